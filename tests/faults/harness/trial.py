"""A PostgreSQL database as a source, a place to sync it to, and runs between them: for faults of the source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from harness import places
from harness.child import Ended
from harness.places import SCHEMA, Place
from harness.warm import Warm


@dataclass
class Trial:
    """url: of the source.  Everything is about its table `t`, unless another one is named."""

    warm: Warm
    wherry: Any
    place: Place
    url: str

    def do(self, *statements: str) -> None:
        """Run statements at the source, each in a transaction of its own."""
        with psycopg.connect(self.url, autocommit=True) as session:
            for statement in statements:
                session.execute(statement.encode())

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query at the source."""
        with psycopg.connect(self.url) as session:
            return session.execute(sql.encode()).fetchall()

    def command(self, *args: object, stream: str = "t", verb: str = "sync") -> list[object]:
        """The arguments of a run."""
        return [verb, self.url, self.place.reference, "--schema", SCHEMA, "--stream", stream, *args]

    def sync(
        self, *args: object, expect: int | tuple[int, ...] = 0, stream: str = "t", verb: str = "sync", **options: Any
    ) -> Ended:
        """A run of the command in a fork of the warm process; it ends as expected, without a traceback."""
        done = self.warm(
            *self.command(*args, stream=stream, verb=verb), cwd=self.wherry.folder, env=self.wherry.env, **options
        )
        self.wherry.ended.append(done)
        assert done.code in (expect if isinstance(expect, tuple) else (expect,)), str(done)
        assert "Traceback" not in done.stderr, str(done)
        return done

    def rows(self, columns: str = "id", table: str = "t", where: str = "") -> list[tuple[Any, ...]]:
        """What the place holds, in order; none when there is no table."""
        if table not in places.tables(self.place):
            return []
        listed = f"select {columns} from {SCHEMA}.{table}" + (f" where {where}" if where else "")
        return sorted(self.place.query(listed), key=repr)

    def ids(self, table: str = "t", where: str = "") -> list[Any]:
        """The column id of them."""
        return sorted(id for (id,) in self.rows("id", table, where))

    def bookmark(self, table: str = "t") -> Any:
        """The source's lasting bookmark."""
        return places.bookmarks(self.place).get((table, ""))

    def state(self) -> str:
        """All that is kept beside the rows, to the byte."""
        listed = f"select plan_key, split_key, seq, bookmark from {SCHEMA}._wherry_state order by 1, 2"
        return json.dumps(self.place.query(listed))

    def quiet(self, *args: object) -> None:
        """One more run without a change reads nothing new and leaves every byte of the state."""
        before, rows = self.state(), self.rows("count(*)")
        done = self.sync(*args)
        assert "0 rows written" in done.stdout, str(done)
        assert self.state() == before
        assert self.rows("count(*)") == rows


def compiled(source: Path, folder: Path) -> Path | None:
    """A shared library to be loaded before others; None where there is no C compiler."""
    import shutil
    import subprocess

    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / f"{source.stem}.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library
