"""Destinations as the tests look at them: with an engine's own client, never through the product."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

COLUMNS = ("id", "version", "seq", "payload", "hash")
SCHEMA = "faults"


class Place(Protocol):
    """A destination."""

    name: str

    @property
    def reference(self) -> str:
        """What to give `wherry sync` as DEST."""

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""

    def exists(self) -> bool:
        """Whether anything was ever committed here."""

    def leftovers(self) -> list[str]:
        """What a run left behind that it should not have: names of tables, files, sessions, locks."""


def rows(place: Place, stream: str, *, current: bool = False) -> list[tuple[Any, ...]]:
    """(id, version, seq, payload, hash) of a ledger's table; none when there is no table. current: of a history."""
    if not tables(place, stream):
        return []
    where = " where _wherry_valid_to is null" if current else ""
    return place.query(f"select {', '.join(COLUMNS)} from {SCHEMA}.{stream}{where}")


def tables(place: Place, like: str = "%") -> list[str]:
    """Names of tables, of those that match."""
    if not place.exists():
        return []
    found = place.query(
        f"select table_name from information_schema.tables where table_schema = '{SCHEMA}' and table_name like '{like}'"
    )
    return sorted(name for (name,) in found)


def bookmarks(place: Place) -> dict[tuple[str, str], Any]:
    """(plan key, split key) -> the source's own bookmark, as the destination keeps it."""
    if "_wherry_state" not in tables(place):
        return {}
    found = place.query(f"select plan_key, split_key, bookmark from {SCHEMA}._wherry_state")
    return {(plan, split): json.loads(text)["source"] for plan, split, text in found if text}


@dataclass
class InDuckDB:
    """A database file."""

    path: Path
    name: str = "duckdb"

    @property
    def reference(self) -> str:
        """What to give `wherry sync` as DEST."""
        return str(self.path)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query; the file must not be open elsewhere."""
        import duckdb

        with duckdb.connect(str(self.path), read_only=True) as database:
            return database.execute(sql).fetchall()

    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.exists() and self.path.stat().st_size > 0

    def leftovers(self) -> list[str]:
        """Files beside the database, and rebuilds in it."""
        beside = [file.name for file in self.path.parent.glob(f"{self.path.name}*") if file != self.path]
        return beside + _rebuilds(self)


@dataclass
class InPostgres:
    """A database of a server of our own. cluster: a `wherry_cluster.Cluster`."""

    url: str
    cluster: Any
    name: str = "postgres"

    @property
    def reference(self) -> str:
        """What to give `wherry sync` as DEST."""
        return self.url

    @contextlib.contextmanager
    def session(self) -> Iterator[Any]:
        """A session of our own, outside of transactions."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as session:
            yield session

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query, or none for a statement."""
        with self.session() as session:
            cursor = session.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def exists(self) -> bool:
        """Whether there is a schema."""
        return bool(self.query(f"select 1 from information_schema.schemata where schema_name = '{SCHEMA}'"))

    def leftovers(self) -> list[str]:
        """Rebuilds, temporary tables, sessions, prepared transactions."""
        temporary = self.query("select relname from pg_class where relpersistence = 't' and relkind = 'r'")
        sessions = self.query(
            "select application_name || ': ' || coalesce(query, '') from pg_stat_activity"
            " where datname = current_database() and application_name like 'wherry%'"
        )
        prepared = self.query("select gid from pg_prepared_xacts")
        return [name for (name,) in [*temporary, *sessions, *prepared]] + _rebuilds(self)


def _rebuilds(place: Place) -> list[str]:
    return [name for name in tables(place) if re.search(r"__gen\d+$|_wherry_stage", name)]
