"""The conformance suite of destinations, on a DuckDB file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wherry.testing import DestinationSuite
from wherry_destination_duckdb.destination import DuckDBDestination


class TestDuckDB(DestinationSuite):
    connector = DuckDBDestination
    promises = Path(__file__).with_name("promises.json")

    @pytest.fixture
    def config(self, tmp_path: Path) -> dict[str, Any]:
        return {"path": str(tmp_path / "file.duckdb"), "threads": 2}
