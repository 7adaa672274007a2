"""An API that misbehaves, a manifest that describes it, and syncs of it into a database file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
from wherry_web import Asked, Said, Web, said

from harness.child import Child, Ended
from harness.warm import Warm

ROWS = [{"id": number, "name": f"näme {number}", "note": "x" * (number % 7)} for number in range(1, 64)]
SIZE = 10
"""Rows a page."""


def page(asked: Asked, rows: list[dict[str, Any]] = ROWS) -> Said:
    """The page that is asked for, as the API gives it when it is well."""
    number = int(asked.query.get("page", 1))
    return said({"data": rows[(number - 1) * SIZE : number * SIZE]})


def once(broken: Said | Callable[[Asked], Said | None] | None, number: int = 2, times: int = 1) -> Any:
    """An API whose page of that number is broken, the first so many times."""
    left = [times]

    def answer(asked: Asked) -> Said | None:
        if asked.query.get("page", "1") == str(number) and left[0]:
            left[0] -= 1
            return broken(asked) if callable(broken) else broken
        return page(asked)

    return answer


@dataclass
class Api:
    """A folder with a manifest, and the database beside it."""

    warm: Warm
    wherry: Any
    folder: Path
    ended: list[Ended] = field(default_factory=list)

    def describe(self, base_url: str, streams: Mapping[str, Any] | None = None, **words: Any) -> None:
        """Write the manifest. streams: by default `items`, in pages by number."""
        manifest = {
            "version": 1, "name": "acme", "base_url": base_url, "timeout": 5,
            "paginate": {"type": "page", "size": SIZE}, "retry": {"max_seconds": 5},
            "streams": streams or {"items": {"records": "data", "primary_key": "id"}}, **words,
        }  # fmt: skip
        (self.folder / "acme.yaml").write_text(json.dumps(manifest))

    def sync(self, *args: object, expect: int | None = 0, **options: Any) -> Ended:
        """A run in a fork of the warm process, without a traceback, and with this exit code."""
        done = self.warm(
            "sync", self.folder / "acme.yaml", self.database, *args, cwd=self.folder, env=self.wherry.env, **options
        )
        return self.checked(done, expect)

    def start(self, *args: object, **options: Any) -> Child:
        """The real command, from its start."""
        begun: Child = self.wherry.start("sync", self.folder / "acme.yaml", self.database, *args, **options)
        return begun

    def checked(self, done: Ended, expect: int | None) -> Ended:
        """How it ended, as expected."""
        self.ended.append(done)
        assert expect is None or done.code == expect, str(done)
        assert "Traceback" not in done.stderr, str(done)
        return done

    @property
    def database(self) -> Path:
        """The destination."""
        return self.folder / "out.duckdb"

    def rows(self, stream: str = "items") -> list[dict[str, Any]]:
        """Its rows by id; none, where there is no table."""
        if not self.database.exists():
            return []
        with duckdb.connect(str(self.database), read_only=True) as db:
            if not db.sql(f"select 1 from information_schema.tables where table_name = '{stream}'").fetchall():
                return []
            found = db.sql(f"select * exclude (_wherry_load_id) from acme.{stream} order by id")
            return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]

    def exact(self, rows: list[dict[str, Any]] = ROWS, stream: str = "items") -> None:
        """The table holds these rows, and each once."""
        assert self.rows(stream) == rows

    def reads(self, web: Web, answer: Callable[[Asked], Said | None], expect: int = 0, **words: Any) -> Ended:
        """One run against an API that answers so."""
        web.answer = answer
        web.log.clear()
        self.describe(f"{web.url}/v1", **words)
        return self.sync(expect=expect)
