"""The conformance suite on a DuckDB file."""

from pathlib import Path
from typing import Any

import pytest
from wherry.testing import DestinationSuite

from wherry_destination_duckdb.destination import DuckDBDestination


class DuckDBSuite(DestinationSuite):
    """A new file for each test."""

    connector = DuckDBDestination

    @pytest.fixture
    def config(self, tmp_path: Path) -> dict[str, Any]:
        """Its name is not that of the suite's schema."""
        return {"path": str(tmp_path / "file.duckdb"), "threads": 2}
