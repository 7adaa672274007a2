"""Wherry source: Slack, channels, users, messages, files and user groups of a workspace."""

from wherry import RestSource

source = RestSource.from_manifest(__package__, "slack.yaml")
