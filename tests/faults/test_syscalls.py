"""Runs whose Nth system call kills them, fails or is cut short, for N = 1, 2, 3 … until one passes undisturbed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness import oracle, tracer
from harness.ledger import Ledger
from harness.places import InDuckDB, InPostgres, Place
from harness.syscalls import Disturbed, Disturber, Fault, at, numbers

pytestmark = pytest.mark.skipif(not tracer.SUPPORTED, reason="calls are known by number on Linux on x86-64")
MODES = ("append", "merge", "replace", "history")
HALF = 400
ROWS, CHANGES = 600, 200
WRITES, SYNCS, SENDS = ("write", "pwrite64"), ("fsync", "fdatasync"), ("sendto",)
NAMES = ("rename", "link", "unlink", "ftruncate")
EVERY = 0
"""Cases: each N, not some."""


@dataclass
class Sweep:
    """One destination in one mode, brought to the same state before each case, and to its end after it.

    state: "empty", or "half" for one that an undisturbed run has seen.
    """

    disturber: Disturber
    wherry: Any
    ledger: Ledger
    engine: str
    mode: str
    state: str
    folder: Path
    cluster: Any
    cases: int = 0
    wrong: list[str] = field(default_factory=list)
    _half: Place | None = None

    def each(self, fault: Fault, some: int, codes: Callable[[Disturbed], tuple[int, ...]]) -> None:
        """A case at about `some` of the matching calls, or at every one. codes: exit codes that the run may have."""
        for nth in numbers(self.once(at(fault, 1 << 40), codes).seen, some):
            self.once(at(fault, nth), codes)
        if not some:  # a run may make a call or two more than another: on until one passes without the fault
            nth += 1
            while self.once(at(fault, nth), codes).hit is not None:
                nth += 1

    def once(self, fault: Fault, codes: Callable[[Disturbed], tuple[int, ...]]) -> Disturbed:
        """One run under the fault, then without it; complaints are kept with the case's number and place."""
        place = self._fresh()
        try:
            found = self._run(place, fault)
            wrong = oracle.told(found.ended, *codes(found)) + oracle.bounded(found.ended)
            wrong += oracle.not_ahead(place, self.ledger, self.mode)
            wrong += self._end(place)
        finally:
            self._drop(place)
        self.cases += found.hit is not None
        self.wrong += [f"{fault.action} at {found.hit}: {complaint}" for complaint in wrong]
        return found

    def _end(self, place: Place) -> list[str]:
        for _ in range(2):
            done = self._run(place).ended
            if done.code == 0:
                break
        until = (self.ledger.end,) if self.state == "empty" else (HALF, self.ledger.end)
        wrong = oracle.told(done, 0) + oracle.holds(place, self.ledger, self.mode, *until)
        return wrong + oracle.clean(place)

    def _run(self, place: Place, fault: Fault | None = None, *more: str) -> Disturbed:
        args = self.wherry.syncing(self.ledger, place, self.mode, "--set", "rows=100", *more)
        return self.disturber(*args, cwd=self.wherry.folder, env=self.wherry.env, fault=fault, commit_rows=200)

    def _fresh(self) -> Place:
        if self.state == "half" and self._half is None:
            half = self._new("half")
            done = self._run(half, None, "--set", f"until={HALF}")
            assert done.ended.code == 0, str(done.ended)
            self._half = half
        place = self._new("case")
        if isinstance(self._half, InDuckDB) and isinstance(place, InDuckDB):
            shutil.copy(self._half.path, place.path)
        elif isinstance(self._half, InPostgres) and isinstance(place, InPostgres):
            name, template = (made.url.rpartition("/")[2] for made in (place, self._half))
            self.cluster.psql(f"drop database {name}")
            self.cluster.psql(f"create database {name} template {template}")
        return place

    def _new(self, name: str) -> Place:
        if self.engine == "postgres":
            return InPostgres(self.cluster.create_database(), self.cluster)
        (self.folder / name).mkdir()
        return InDuckDB(self.folder / name / "shop.duckdb")

    def _drop(self, place: Place) -> None:
        if isinstance(place, InPostgres):
            self.cluster.drop_database(place.url)
        elif isinstance(place, InDuckDB):
            shutil.rmtree(place.path.parent)

    def close(self) -> None:
        """Nothing is looked at any more."""
        if self._half is not None:
            self._drop(self._half)


@pytest.fixture(scope="session")
def disturber(plugins: Path) -> Iterator[Disturber]:
    server = Disturber.start(plugins)
    yield server
    server.close()


@pytest.fixture(scope="session")
def small_ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger.write(tmp_path_factory.mktemp("syscalls") / "ledger", rows=ROWS, changes=CHANGES)


@pytest.fixture
def sweep(
    request: pytest.FixtureRequest, disturber: Disturber, small_ledger: Ledger, wherry: Any, tmp_path: Path
) -> Iterator[Callable[..., Sweep]]:
    """Makes sweeps; at the end tells the number of their cases, and fails if one of them went wrong."""
    made: list[Sweep] = []

    def make(engine: str, mode: str, state: str = "half") -> Sweep:
        cluster = request.getfixturevalue("postgres_cluster") if engine == "postgres" else None
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Sweep(disturber, wherry, small_ledger, engine, mode, state, folder, cluster))
        return made[-1]

    yield make
    for found in made:
        found.close()


def prove(sweep: Sweep, record: Callable[[str, object], None]) -> None:
    record("cases", sweep.cases)
    assert sweep.cases, "no call was disturbed"
    assert not sweep.wrong, "\n".join(sweep.wrong[:20])


def killed(found: Disturbed) -> tuple[int, ...]:
    return (137,) if found.hit else (0,)


def refused(found: Disturbed) -> tuple[int, ...]:
    """What fails on the local disk is a local resource; it is never passed over."""
    return (9,) if found.hit else (0,)


def borne(found: Disturbed) -> tuple[int, ...]:
    """A lost connection is made anew, or the destination has failed."""
    return (0, 4)


@pytest.mark.fault(2)
def test_killed_at_some_calls(sweep: Callable[..., Sweep], record_property: Callable[[str, object], None]) -> None:
    made = sweep("duckdb", "merge")
    made.each(Fault(), 2, killed)
    prove(made, record_property)


@pytest.mark.fault(2, tier=1)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_killed_at_calls(
    sweep: Callable[..., Sweep], engine: str, mode: str, record_property: Callable[[str, object], None]
) -> None:
    made = sweep(engine, mode)
    made.each(Fault(), 3, killed)
    prove(made, record_property)


@pytest.mark.fault(2, tier=2)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("state", ["empty", "half"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_killed_at_every_call(
    sweep: Callable[..., Sweep], engine: str, mode: str, state: str, record_property: Callable[[str, object], None]
) -> None:
    made = sweep(engine, mode, state)
    made.each(Fault(), EVERY, killed)
    prove(made, record_property)


DISK = [
    pytest.param(WRITES, "error:ENOSPC", id="write-ENOSPC", marks=[pytest.mark.fault(21, tier=1)]),
    pytest.param(WRITES, "error:EIO", id="write-EIO", marks=[pytest.mark.fault(24, tier=1)]),
    pytest.param(SYNCS, "error:ENOSPC", id="fsync-ENOSPC", marks=[pytest.mark.fault(23, tier=1)]),
    pytest.param(SYNCS, "error:EIO", id="fsync-EIO", marks=[pytest.mark.fault(24, tier=1)]),
]


@pytest.mark.fault(2, tier=1)
@pytest.mark.parametrize(("calls", "action"), DISK)
def test_a_database_file_that_cannot_be_written(
    sweep: Callable[..., Sweep], calls: tuple[str, ...], action: str,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """Once, then the disk would work again: what failed is not believed, and not tried again on the same file."""
    made = sweep("duckdb", "merge")
    made.each(Fault(calls, action, path="*shop.duckdb*"), 3, refused)
    prove(made, record_property)


@pytest.mark.fault(2, tier=2)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("state", ["empty", "half"])
@pytest.mark.parametrize("last", [0, None], ids=["once", "from-then-on"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("calls", "action"), [(WRITES, "error:ENOSPC"), (SYNCS, "error:EIO")])
def test_a_database_file_that_cannot_be_written_at_every_call(
    sweep: Callable[..., Sweep], calls: tuple[str, ...], action: str, mode: str, last: int | None, state: str,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    made = sweep("duckdb", mode, state)
    made.each(Fault(calls, action, last=last, path="*shop.duckdb*"), EVERY, refused)
    prove(made, record_property)


@pytest.mark.fault(2, tier=1)
@pytest.mark.fault(24, tier=1)
def test_a_file_that_cannot_be_put_in_its_place(
    sweep: Callable[..., Sweep], record_property: Callable[[str, object], None]
) -> None:
    made = sweep("duckdb", "append", "empty")
    made.each(Fault(("link",), "error:EIO"), EVERY, refused)
    prove(made, record_property)


@pytest.mark.fault(2, tier=1)
@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_connection_that_breaks_in_sending(
    sweep: Callable[..., Sweep], mode: str, record_property: Callable[[str, object], None]
) -> None:
    made = sweep("postgres", mode)
    made.each(Fault(SENDS, "error:ECONNRESET"), 3, borne)
    prove(made, record_property)


@pytest.mark.fault(2, tier=2)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", MODES)
def test_a_connection_that_breaks_in_every_sending(
    sweep: Callable[..., Sweep], mode: str, record_property: Callable[[str, object], None]
) -> None:
    made = sweep("postgres", mode)
    made.each(Fault(SENDS, "error:ECONNRESET"), EVERY, borne)
    prove(made, record_property)


@pytest.mark.fault(24)
def test_nothing_is_written_after_a_sync_that_failed(sweep: Callable[..., Sweep]) -> None:
    """The kernel forgets what it could not write: the file is left alone, the next run opens it anew."""
    made = sweep("duckdb", "append")
    whole = made.once(Fault(SYNCS, path="*.wal"), killed)
    found = made.once(Fault(SYNCS, "error:EIO", nth=whole.seen // 2, path="*.wal"), refused)
    assert found.hit
    assert found.seen == whole.seen // 2
    assert "the disk of" in found.ended.stderr
    assert "input/output error" in found.ended.stderr
    assert not made.wrong, made.wrong


@pytest.mark.fault(25, tier=1)
@pytest.mark.parametrize(
    ("engine", "calls", "path"),
    [("duckdb", WRITES, "*shop.duckdb*"), ("duckdb", ("write",), "*.jsonl"), ("postgres", SENDS, None)],
    ids=["database", "log", "connection"],
)
def test_short_writes(
    sweep: Callable[..., Sweep], engine: str, calls: tuple[str, ...], path: str | None,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """Each one takes a few bytes only, from the first on: what is left is written after it."""
    made = sweep(engine, "merge")
    made.once(
        Fault(calls, "short:7" if engine == "postgres" else "short:300", nth=1, last=None, path=path), lambda _: (0,)
    )
    prove(made, record_property)
