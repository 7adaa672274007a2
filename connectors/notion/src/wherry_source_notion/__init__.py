"""Wherry source: Notion, pages, databases, users, blocks and comments of a workspace."""

from wherry import RestSource

source = RestSource.from_manifest(__package__, "notion.yaml")
