"""What the workloads share: Wherry's command and those of the peers as cases, and the places that they fill."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from contest import Case
from environments import NotInstalled
from lineitem import SETTINGS, digest_in_duckdb, digest_in_postgres
from peers import PEERS, Peer, Table
from support import WHERRY
from wherry_cluster import Cluster

THROUGH_ARROW: tuple[str, ...] = ()
"""What makes Wherry take rows through Arrow where it could hand them over."""
Digest = tuple[Any, ...]


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder of its own, gone afterwards; Wherry's state is in it meanwhile."""
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as name:
        os.environ["WHERRY_STATE_DIR"] = str(Path(name) / "state")
        yield Path(name)


@contextlib.contextmanager
def server() -> Iterator[Cluster]:
    """PostgreSQL, set as for bulk loads."""
    with Cluster(SETTINGS) as cluster:
        yield cluster


def psql(cluster: Cluster, url: str, sql: str) -> list[str]:
    """The command, with the server's own program."""
    own = cluster.bin / "psql"
    return [str(own) if own.exists() else "psql", "-X", "-q", url, "-c", sql]


class DuckdbFile:
    """A place to fill: a DuckDB file. wanted: the digest of what must be in it."""

    def __init__(self, path: Path, wanted: Digest):
        self.target: Path | str = path
        self.wanted = wanted
        self._path = path

    def emptied(self) -> None:
        """As if it had never been there."""
        for suffix in ("", ".wal"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        shutil.rmtree(f"{self._path}.tmp", ignore_errors=True)

    def digest(self, table: str, cast: bool = False) -> Digest:
        """Of what is in it."""
        return digest_in_duckdb(str(self._path), table, cast)

    def table_of(self, peer: Peer) -> str:
        """Where this peer puts rows in it."""
        return peer.table


class Database:
    """A place to fill: a database of the server."""

    def __init__(self, cluster: Cluster, name: str, wanted: Digest):
        self.target: Path | str = cluster.url(name)
        self.wanted = wanted
        self._cluster, self._name = cluster, name

    def emptied(self) -> None:
        """As if it had never been there; what others left to be written is written."""
        self._cluster.psql(f"drop database if exists {self._name} with (force)")
        self._cluster.psql(f"create database {self._name}")
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


def wherry(name: str, source: str, place: Place, *more: str, cast: bool = False, **how: Any) -> Case:
    """Wherry, into schema bench, from nothing."""
    command = [str(WHERRY), "sync", source, str(place.target), "--schema", "bench", "--quiet", *more]
    how = {"before": place.emptied, "values": lambda: exact(place, "bench.lineitem", cast)} | how
    return Case(name, "wherry", lambda: command, **how)


def asked_for(asked: argparse.Namespace, folder: Path) -> tuple[list[Peer], dict[str, str]]:
    """The peers that could be installed; why the others could not."""
    wanted = list(PEERS) if asked.peers == "all" else [] if asked.peers == "none" else asked.peers.split(",")
    ready, missing = [], {}
    for name in wanted:
        if name not in PEERS:
            raise SystemExit(f"--peers {name}: there are {', '.join(PEERS)}")
        try:
            ready.append(PEERS[name](folder))
        except NotInstalled as error:
            missing[name] = str(error)
    return ready, missing


def peer_case(
    peer: Peer, source: Table | Path, place: Place, *, role: str = "peer", merge: bool = False,
    before: Callable[[], None] | None = None, rows: int = 0,
) -> Case | None:  # fmt: skip
    """The peer doing it, or None if it does not do this."""
    if peer.copy(source, place.target, merge) is None:
        return None

    def prepared() -> None:
        (before or place.emptied)()
        if before is None:
            peer.forget()

    def command() -> Sequence[str]:
        return peer.copy(source, place.target, merge) or []

    def values() -> str:
        return arrived(place, place.table_of(peer), rows)

    return Case(peer.name, role, command, lambda: peer.env, prepared, values, peer.version, rows)


def arrived(place: Place, table: str, rows: int = 0) -> str:
    """What a peer made of it: exact in numbers, dates and text, or only as many rows."""
    try:
        if (found := place.digest(table, cast=True)) == place.wanted:
            return "exact"
        count = int(found[0])
    except Exception as error:  # a column that does not hold what it should, or no such table
        return f"not as at the source: {str(error).splitlines()[0][:60]}"
    return f"{count:,} rows" + ("" if count == (rows or int(place.wanted[0])) else ", NOT ALL")
