"""The conformance suite, against a local server that answers as Zendesk does: exports that tell of deletes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wherry.testing import SourceSuite
from wherry_apis.zendesk import EMAIL, JANUARY, TOKEN, Zendesk, iso, person, ticket
from wherry_source_zendesk import source


class TestZendesk(SourceSuite):
    connector = source
    promises = Path(__file__).with_name("promises.json")

    @pytest.fixture
    def config(self) -> Iterator[dict[str, Any]]:
        with Zendesk(size=50) as self.api:
            self.api.tickets = [ticket(n, JANUARY + 600 * n) for n in range(1, 24)]
            self.api.tickets[4]["status"] = "deleted"
            self.api.users = [person(n, JANUARY + 600 * n, active=n != 3) for n in range(1, 13)]
            for row in self.api.organizations:
                row["updated_at"] = iso(JANUARY + 600 * row["id"])
                row["deleted_at"] = row["updated_at"] if row["id"] == 5 else None
            del self.api.events[1:]
            self.api.comments["7"] = [{"id": n, "body": "x"} for n in range(3)]
            yield {"url": self.api.url, "email": EMAIL, "token": TOKEN}

    @pytest.fixture
    def broken(self, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"token": "wrong"}

    def mutate(self, config: dict[str, Any]) -> None:
        self.api.tickets[7] = ticket(8, JANUARY + 60_000, status="deleted")
