"""The conformance suite that the plugin ships, with the promises of its tests."""

from pathlib import Path

from wherry_destination_duckdb.suite import DuckDBSuite


class TestDuckDB(DuckDBSuite):
    promises = Path(__file__).with_name("promises.json")
