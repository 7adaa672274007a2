"""The conformance suites of the shop: its tables, and its change log."""

from typing import Any

import pyarrow as pa
import pytest
from wherry import Split
from wherry.testing import SourceSuite, select

from wherry_source_sample.source import SampleSource


class TableSuite(SourceSuite):
    """The shop as it is on a day, and on the next."""

    connector = SampleSource

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        """A small shop."""
        return {"rows": 300, "until": "2024-03-01"}

    def mutate(self, config: dict[str, Any]) -> None:
        config["until"] = "2024-03-02"


class ChangeSuite(TableSuite):
    """The shop's change log: what it builds is what the tables hold."""

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        """The same shop's log."""
        return {"rows": 300, "until": "2024-03-01", "changes": True}

    def expected(self, config: dict[str, Any], stream: str) -> pa.Table:
        tables = SampleSource(SampleSource.Config.model_validate(config | {"changes": False}))
        (selection,) = [s for s in select(tables) if s.stream.path == stream]
        items = tables.read(Split(key=stream, streams=(selection,)))
        return pa.Table.from_batches([item.data for item in items if hasattr(item, "data")])
