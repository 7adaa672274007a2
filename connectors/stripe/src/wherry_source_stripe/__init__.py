"""Wherry source: Stripe, customers, charges, invoices, subscriptions, balance transactions, events."""

from wherry import RestSource

source = RestSource.from_manifest(__package__, "stripe.yaml")
