"""The conformance suite of destinations, on a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wherry.testing import DestinationSuite
from wherry_destination_postgres.destination import PostgresDestination


class TestPostgres(DestinationSuite):
    connector = PostgresDestination
    promises = Path(__file__).with_name("promises.json")

    @pytest.fixture
    def config(self, postgres_database: str) -> dict[str, Any]:
        return {"url": postgres_database, "lease": 4}
