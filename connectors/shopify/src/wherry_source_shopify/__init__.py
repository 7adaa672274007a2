"""Wherry source: Shopify, orders, customers, products and variants, through the GraphQL Admin API."""

from wherry import RestSource

source = RestSource.from_manifest(__package__, "shopify.yaml")
