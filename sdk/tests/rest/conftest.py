"""A REST source on a server that a test writes down as a function, read into a destination in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from typing import Any

import pytest
from wherry import RestSource
from wherry.pipeline.outcome import Outcome
from wherry.rest.manifest import build_manifest
from wherry.testing import MemoryDestination, Store, run_sync
from wherry_web import Asked, Said, Web, said

NOW = 1_735_689_600
"""Seconds since 1970 by the clocks of server and source: 2025-01-01."""


class Shore:
    """A server and a destination that outlive runs. routes: path -> what to say, or a function of the request."""

    def __init__(self) -> None:
        self.store = Store()
        self.routes: dict[str, Any] = {}
        self.now = NOW
        self.web = Web(self._answer)

    def _answer(self, asked: Asked) -> Said | None:
        found = self.routes.get(asked.route)
        found = found(asked) if callable(found) else found
        if found is None:
            return said({"error": "no such thing"}, 404)
        date = {"Date": formatdate(self.now, usegmt=True)}
        return found if isinstance(found, Said) else said(found, headers=date)

    def source(self, streams: Mapping[str, Any], config: Mapping[str, Any] | None = None, **words: Any) -> Any:
        """A source of these streams."""
        raw = {"name": "acme", "base_url": self.web.url, "streams": streams, **words}
        cls = RestSource.of(build_manifest(json.loads(json.dumps(raw))))
        cls.now = staticmethod(lambda: self.now * 10**9)
        return cls(cls.Config.model_validate(dict(config or {})))

    def sync(self, streams: Mapping[str, Any], **words: Any) -> Outcome:
        """One run. `run_…` words are settings of the run, the others the manifest's."""
        settings = {name[4:]: words.pop(name) for name in list(words) if name.startswith("run_")}
        destination = MemoryDestination.of(self.store)
        return run_sync(lambda: self.source(streams, **words), destination, connector="rest", **settings)

    def asked(self, since: int = 0) -> list[str]:
        """Paths with their queries, in order."""
        return [asked.path for asked in self.web.log[since:]]

    def rows(self, name: str, *columns: str) -> list[dict[str, Any]]:
        """What the table holds, by its values in order."""
        table = self.store.table("acme", name)
        return sorted((table.select(list(columns)) if columns else table).to_pylist(), key=str)

    def ids(self, name: str) -> list[Any]:
        """Values of the column id, in order."""
        return sorted(self.store.table("acme", name).column("id").to_pylist())


@pytest.fixture
def shore() -> Iterator[Shore]:
    """A server that says nothing yet."""
    found = Shore()
    with found.web:
        yield found


def paged(rows: list[dict[str, Any]], size: int) -> Callable[[Asked], Any]:
    """Rows by `offset` in pages of `size`, as `{"data": […], "next": offset or null}`."""

    def answer(asked: Asked) -> Any:
        at = int(asked.query.get("offset", 0))
        more = at + size < len(rows)
        return {"data": rows[at : at + size], "next": str(at + size) if more else None}

    return answer
