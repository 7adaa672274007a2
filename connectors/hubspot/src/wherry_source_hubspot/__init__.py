"""Wherry source: HubSpot, contacts, companies, deals, tickets and engagements of the CRM."""

from wherry import RestSource

source = RestSource.from_manifest(__package__, "hubspot.yaml")
