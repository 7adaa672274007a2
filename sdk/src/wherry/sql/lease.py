"""The right to write a pipeline: one row a run in `_wherry_leases`, a rising epoch, and a take-over that fences."""

from __future__ import annotations

import dataclasses
import getpass
import os
import socket
import threading
import time
from collections.abc import Callable

from wherry.contracts.loading import Lease
from wherry.errors import LeaseError, TransientError, WherryError
from wherry.sql.compose import Value
from wherry.sql.dialect import Connection
from wherry.sql.meta import Meta

_HELD: set[tuple[str, str, str, int]] = set()
"""Leases of this process: database, schema, pipeline, epoch."""


def me() -> str:
    """Who holds a lease: user, host and process id."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} pid {os.getpid()}"


def take(meta: Meta, connection: Connection, pipeline: str, wait: float, tell: Callable[[str], None]) -> Lease:
    """The lease of the pipeline, under the next epoch, which is written into all its state rows.

    tell: hears whom it waits for, and whose unfinished lease it took.
    """
    deadline, told = time.monotonic() + wait, ""
    while True:
        try:
            with meta.dialect.setup(connection, meta.namespace):
                busy = _busy(meta, connection, pipeline)
                if busy is None:
                    former = _last(meta, connection, pipeline)
                    held = _write(meta, connection, former, pipeline)
                    break
        except LeaseError as error:  # its holder gave it back at this very moment
            busy = error
        if time.monotonic() >= deadline:
            raise busy
        if busy.message != told:
            told = busy.message
            tell(f"waiting: {told}")
        time.sleep(min(0.2, max(0.0, deadline - time.monotonic())))
    _HELD.add(_place(meta, held))
    if former is not None and former[3] is None:
        tell(_obituary(meta, connection, former[0], former[2]))
    return held


def let_go(meta: Meta, lease: Lease) -> None:
    """This process writes under the lease no more, whether it could be given back or not."""
    _HELD.discard(_place(meta, lease))


def _place(meta: Meta, lease: Lease) -> tuple[str, str, str, int]:
    return meta.dialect.address, meta.namespace, lease.pipeline, lease.epoch


_Last = tuple[Lease, str, int, int | None]
"""A lease, the mark of its holder, when it was renewed and when it was given back."""


def _last(meta: Meta, connection: Connection, pipeline: str) -> _Last | None:
    columns = ("epoch", "holder", "started", "seconds", "mark", "renewed", "finished")
    found = meta.select(connection, "_wherry_leases", columns, {"pipeline": pipeline}, order=("epoch",))
    if not found:
        return None
    epoch, holder, started, seconds, mark, renewed, finished = found[-1]
    lease = Lease(pipeline=pipeline, schema=meta.namespace, epoch=epoch, holder=holder, since=started, seconds=seconds)
    return lease, mark, renewed, finished


def _busy(meta: Meta, connection: Connection, pipeline: str) -> LeaseError | None:
    """Why the lease cannot be had; None when it can, a former holder's remains being ended on the way."""
    last = _last(meta, connection, pipeline)
    if last is None or last[3] is not None:
        return None
    lease, mark, renewed, _ = last
    if lease.holder == me() and _place(meta, lease) not in _HELD:  # ours: taken, and the answer to that was lost
        lives: bool | None = False
    else:
        lives = meta.dialect.lives(connection, mark)
    age = (meta.now(connection) - renewed) / 1e6
    if lives or (lives is None and age < lease.seconds):
        silent = f"; silent for {age:.0f} s, dead after {lease.seconds} s" if age > lease.seconds / 2 else ""
        return LeaseError(
            f"pipeline {pipeline} is being written by {lease.holder}, run {lease.epoch}, since {_clock(lease.since)}"
            + (silent if lives is None else ""),
            next="wait for it, or run again with --wait",
        )
    meta.dialect.evict(connection, lease, mark)
    return None


def _clock(micros: int) -> str:
    """To the second, in UTC, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(micros // 1_000_000))


def _obituary(meta: Meta, connection: Connection, dead: Lease, renewed: int) -> str:
    """Who died, when, and what that means."""
    where: dict[str, Value] = {"pipeline": dead.pipeline, "run": dead.epoch}
    commits = meta.select(connection, "_wherry_loads", ("committed",), where, order=("committed",))
    heard = max(renewed, *(at for (at,) in commits[-1:]), dead.since)
    return (
        f"run {dead.epoch} ({dead.holder}) died, last heard of at {_clock(heard)}: rows that it had not committed are "
        "gone, and this run goes on from its bookmarks"
    )


def _write(meta: Meta, connection: Connection, last: _Last | None, pipeline: str) -> Lease:
    now = meta.now(connection)
    epoch = last[0].epoch + 1 if last else 1
    if last and last[3] is None:
        where: dict[str, Value] = {"pipeline": pipeline, "epoch": last[0].epoch}
        meta.update(connection, "_wherry_leases", {"finished": now, "outcome": "died"}, where)
    seconds = meta.dialect.lease
    lease = Lease(pipeline=pipeline, schema=meta.namespace, epoch=epoch, holder=me(), since=now, seconds=seconds)
    row: dict[str, Value] = {
        "pipeline": pipeline, "epoch": epoch, "holder": lease.holder, "mark": meta.dialect.holder(connection),
        "started": now, "renewed": now, "seconds": seconds,
    }  # fmt: skip
    meta.insert(connection, "_wherry_leases", row)
    meta.update(connection, "_wherry_state", {"epoch": epoch}, {"pipeline": pipeline})
    return lease


def check(meta: Meta, connection: Connection, lease: Lease) -> Lease:
    """A lease handed to a worker, if it still holds."""
    last = _last(meta, connection, lease.pipeline)
    if last is None or last[0].epoch != lease.epoch or last[3] is not None:
        raise lost(meta, connection, lease)
    return dataclasses.replace(lease, schema=meta.namespace)


def lost(meta: Meta, connection: Connection, lease: Lease) -> LeaseError:
    """Why a run may not commit any more: who took over."""
    last = _last(meta, connection, lease.pipeline)
    if last is None or last[0].epoch == lease.epoch:
        return LeaseError(
            f"run {lease.epoch} of pipeline {lease.pipeline} is over: nothing more is committed", next="run it again"
        )
    by = last[0]
    return LeaseError(
        f"run {by.epoch} ({by.holder}) has taken pipeline {lease.pipeline} over from run {lease.epoch}, which stood "
        f"still, at {_clock(by.since)}: nothing more of run {lease.epoch} is committed",
        next="let that run end, then run it again",
    )


def finish(meta: Meta, connection: Connection, lease: Lease, outcome: str) -> None:
    """Give the lease back and write down how the run ended; nothing happens when it was taken over.

    Tried again at once when the connection was lost: that may have been long ago.
    """
    let_go(meta, lease)
    where: dict[str, Value] = {"pipeline": lease.pipeline, "epoch": lease.epoch, "finished": None}
    for last in (False, False, True):
        try:
            row: dict[str, Value] = {"finished": meta.now(connection), "outcome": outcome}
            meta.update(connection, "_wherry_leases", row, where)
        except TransientError:
            if last:
                raise
            time.sleep(0.5)
        else:
            return


class Renewal:
    """Renews a lease from a thread of its own until it is stopped or the lease is lost."""

    def __init__(self, meta: Meta, lease: Lease) -> None:
        self._meta = meta
        self._lease = lease
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wherry-lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        where: dict[str, Value] = {"pipeline": self._lease.pipeline, "epoch": self._lease.epoch, "finished": None}
        connection: Connection | None = None
        while not self._stop.wait(self._lease.seconds / 4):
            try:
                connection = connection or self._meta.dialect.connect()
                row: dict[str, Value] = {"renewed": self._meta.now(connection)}
                if not self._meta.update(connection, "_wherry_leases", row, where):
                    break
            except WherryError:  # the next renewal, or the fence at commit, will tell
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()
