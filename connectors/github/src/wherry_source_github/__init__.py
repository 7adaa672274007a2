"""Wherry source: GitHub, repositories of an owner: issues, pull requests, commits, releases, workflow runs."""

from wherry import RestSource

source = RestSource.from_manifest(__package__, "github.yaml")
