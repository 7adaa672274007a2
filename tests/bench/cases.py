"""What the workloads share: Wherry's command and those of the peers as cases, and where they run."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contest import Case
from environments import NotInstalled
from lineitem import SETTINGS
from measure import Measured
from peers import PEERS, Peer, Step, Table
from places import Place, arrived, exact
from support import WHERRY
from wherry_cluster import Cluster

PATIENCE = 600.0
"""Seconds that a peer gets for one run."""


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


def sync(source: str, place: Place, *more: str) -> list[str]:
    """Wherry's command, into schema bench."""
    return [str(WHERRY), "sync", source, str(place.target), "--schema", "bench", *more]


def wherry(name: str, source: str, place: Place, *more: str, cast: bool = False, **how: Any) -> Case:
    """Wherry copying it, from nothing."""
    command = sync(source, place, *more)
    how = {"before": place.emptied, "values": lambda run: exact(place, "bench.lineitem", cast)} | how
    return Case(name, "wherry", lambda: command, **how)


def both_ways(source: str, place: Place, cast: bool = False) -> list[Case]:
    """Wherry handing rows over, which its summary must say, and Wherry taking them through Arrow."""

    def values(run: Measured) -> str:
        found = exact(place, "bench.lineitem", cast)
        return found if "handed over" in run.output else f"{found}, but NOT handed over"

    over = wherry("Wherry, handed over", source, place, "--handoff", values=values)
    return [over, wherry("Wherry, through Arrow", source, place, "--no-handoff", cast=cast)]


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


def peer_case(peer: Peer, source: Table | Path, place: Place, *, role: str = "peer", rows: int = 0) -> Case | None:
    """The peer copying it, or None if it does not do this. rows: if they are fewer than the others'."""

    def prepared() -> None:
        place.emptied()
        if peer.memory:
            shutil.rmtree(peer.memory, ignore_errors=True)

    if peer.copy(source, place.target) is None:
        return None
    return _peer(peer, source, place, "copy", role, before=prepared, rows=rows)


def merge_case(peer: Peer, url: str, place: Place) -> Case | None:
    """The peer merging table `changes` into what it makes, here and now, of table `base`."""
    command = peer.copy(Table(url, "base"), place.target, "base")
    if command is None:
        return None
    place.emptied()
    kept = peer.folder / "kept"
    for old in filter(None, (peer.memory, kept)):
        shutil.rmtree(old, ignore_errors=True)
    subprocess.run(command, env=os.environ | dict(peer.env), check=True, capture_output=True, timeout=PATIENCE)
    place.keep(peer.folder.name)
    if peer.memory:
        peer.memory.rename(kept)

    def prepared() -> None:
        place.restored(peer.folder.name)
        if peer.memory:
            shutil.rmtree(peer.memory, ignore_errors=True)
            shutil.copytree(kept, peer.memory)

    return _peer(peer, Table(url, "changes"), place, "merge", before=prepared)


def _peer(peer: Peer, source: Table | Path, place: Place, step: Step, role: str = "peer", **how: Any) -> Case:
    return Case(
        peer.name, role, lambda: peer.copy(source, place.target, step) or [], lambda: peer.env,
        values=lambda run: arrived(place, place.table_of(peer), how.get("rows", 0)), version=peer.version,
        limit=PATIENCE, **how,
    )  # fmt: skip
