"""Wherry source: GitLab, projects: issues, merge requests, pipelines, jobs, commits, releases."""

from wherry import RestSource

source = RestSource.from_manifest(__package__, "gitlab.yaml")
