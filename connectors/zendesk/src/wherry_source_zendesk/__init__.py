"""Wherry source: Zendesk, tickets, users, organizations, comments and metric events of Zendesk Support."""

from wherry import RestSource

source = RestSource.from_manifest(__package__, "zendesk.yaml")
