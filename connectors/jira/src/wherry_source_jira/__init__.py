"""Wherry source: Jira, issues, comments, worklogs, projects, boards and sprints of a Jira Cloud site."""

from wherry import RestSource

source = RestSource.from_manifest(__package__, "jira.yaml")
