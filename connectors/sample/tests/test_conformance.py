"""The conformance suite of sources, on the shop's tables and on its change log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wherry import Split
from wherry.testing import SourceSuite
from wherry.testing.reading import select
from wherry_source_sample.source import SampleSource


class TestTables(SourceSuite):
    connector = SampleSource
    promises = Path(__file__).with_name("promises.json")

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        return {"rows": 300, "until": "2024-03-01"}

    def mutate(self, config: dict[str, Any]) -> None:
        config["until"] = "2024-03-02"


class TestChanges(TestTables):
    promises = Path(__file__).with_name("promises-changes.json")

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        return {"rows": 300, "until": "2024-03-01", "changes": True}

    def expected(self, config: dict[str, Any], stream: str) -> pa.Table:
        """What the log builds is what the tables hold."""
        tables = SampleSource(SampleSource.Config.model_validate(config | {"changes": False}))
        (selection,) = [s for s in select(tables) if s.stream.path == stream]
        items = tables.read(Split(key=stream, streams=(selection,)))
        return pa.Table.from_batches([item.data for item in items if hasattr(item, "data")])
