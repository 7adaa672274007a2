"""The conformance suite, against PocketBase itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wherry.testing import SourceSuite
from wherry_apis.pocketbase import IDENTITY, PASSWORD, PocketBase
from wherry_source_pocketbase.source import PocketBaseSource


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PocketBase]:
    with PocketBase(Path(tmp_path_factory.mktemp("pocketbase"))) as running:
        running.collection("teams", {"name": "name", "type": "text"}, stamped=False)
        running.collection("posts", {"name": "title", "type": "text"}, {"name": "likes", "type": "number"})
        for n in range(20):
            running.insert("posts", title=f"Post {n}", likes=n / 2)
            running.insert("teams", name=f"Team {n}")
        yield running


@pytest.mark.slow  # a superuser's password takes the server a while to check, for each of a hundred instances
class TestPocketBase(SourceSuite):
    connector = PocketBaseSource
    promises = Path(__file__).with_name("promises.json")

    @pytest.fixture
    def config(self, server: PocketBase) -> dict[str, Any]:
        self.server = server
        return {"url": server.url, "identity": IDENTITY, "password": PASSWORD}

    @pytest.fixture
    def broken(self, server: PocketBase) -> dict[str, Any]:
        return {"url": server.url, "identity": IDENTITY, "password": "wrong"}

    def mutate(self, config: dict[str, Any]) -> None:
        self.server.insert("posts", title="New")
