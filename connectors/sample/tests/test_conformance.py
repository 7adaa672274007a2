"""The conformance suites that the plugin ships, with the promises of its tests."""

from pathlib import Path

from wherry_source_sample.suite import ChangeSuite, TableSuite


class TestTables(TableSuite):
    promises = Path(__file__).with_name("promises.json")


class TestChanges(ChangeSuite):
    promises = Path(__file__).with_name("promises-changes.json")
