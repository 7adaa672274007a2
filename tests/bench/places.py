"""What is filled: a DuckDB file, or a database of the server. Emptied before each run, or put back as it was kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lineitem import digest_in_duckdb, digest_in_postgres
from measure import Failed
from peers import Peer
from wherry_cluster import Cluster

Digest = tuple[Any, ...]


class DuckdbFile:
    """wanted: the digest of what must be in it in the end."""

    def __init__(self, path: Path, wanted: Digest = ()):
        self.target: Path | str = path
        self.wanted = wanted
        self._path = path

    def emptied(self) -> None:
        """As if it had never been there."""
        for here, _ in self._files(""):
            here.unlink(missing_ok=True)
        shutil.rmtree(f"{self._path}.tmp", ignore_errors=True)

    def _files(self, name: str) -> list[tuple[Path, Path]]:
        """The file and its log, and what they are called aside."""
        return [(Path(f"{self._path}{end}"), Path(f"{self._path}.{name}{end}")) for end in ("", ".wal")]

    def keep(self, name: str) -> None:
        """Put it aside under a name."""
        for here, aside in self._files(name):
            if here.exists():
                here.rename(aside)

    def restored(self, name: str) -> None:
        """As it was when it was kept."""
        self.emptied()
        for here, aside in self._files(name):
            if aside.exists():
                shutil.copy(aside, here)

    def digest(self, table: str, cast: bool = False) -> Digest:
        """Of what is in it."""
        return digest_in_duckdb(str(self._path), table, cast)

    def table_of(self, peer: Peer) -> str:
        """Where this peer puts rows in it."""
        return peer.table


class Database:
    """The same with a database."""

    def __init__(self, cluster: Cluster, name: str, wanted: Digest = ()):
        self.target: Path | str = cluster.url(name)
        self.wanted = wanted
        self._cluster, self._name = cluster, name

    def emptied(self) -> None:
        """As if it had never been there; what others left to be written is written."""
        self._create("")

    def keep(self, name: str) -> None:
        """Put it aside under a name."""
        self._cluster.psql("vacuum (analyze)", self._name)
        self._cluster.psql(f"alter database {self._name} rename to {self._name}_{name}")

    def restored(self, name: str) -> None:
        """As it was when it was kept."""
        self._create(f" template {self._name}_{name} strategy file_copy")

    def _create(self, how: str) -> None:
        self._cluster.psql(f"drop database if exists {self._name} with (force)")
        self._cluster.psql(f"create database {self._name}{how}")
        self._cluster.psql("checkpoint")

    def digest(self, table: str, cast: bool = False) -> Digest:
        """Of what is in it."""
        return digest_in_postgres(str(self.target), table, cast)

    def table_of(self, peer: Peer) -> str:
        """Where this peer puts rows in it."""
        return peer.table_in_postgres


Place = DuckdbFile | Database


def exact(place: Place, table: str, cast: bool = False) -> str:
    """That every value is as it was at the source; otherwise the bench ends."""
    found = place.digest(table, cast)
    if found != place.wanted:
        raise SystemExit(f"{table} of {place.target} is not what it should be: {found} instead of {place.wanted}")
    return "exact"


def arrived(place: Place, table: str, rows: int = 0) -> str:
    """What a peer made of it: exact in numbers, dates, text, or only as many rows; raises Failed if not even that."""
    wanted = rows or int(place.wanted[0])
    try:
        found = place.digest(table, cast=True)
    except Exception as error:  # whatever an engine says of columns that are not there, or hold something else
        raise Failed(f"the rows are not in {table}: {str(error).splitlines()[0]}") from None
    if found == place.wanted:
        return "exact"
    if int(found[0]) != wanted:
        raise Failed(f"{table} has {int(found[0]):,} rows instead of {wanted:,}")
    return f"{wanted:,} rows"
