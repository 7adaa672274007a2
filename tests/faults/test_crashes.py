"""Runs that are killed at a named point, in each mode, into each destination, and run again: the tables are exact."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from harness import oracle, places
from harness.ledger import Ledger, stream_of
from harness.places import InDuckDB, InPostgres, Place
from harness.warm import Warm

MODES = ("append", "merge", "replace", "history")
ENGINES = ("duckdb", "postgres")
BATCHES = ("--set", "rows=200")
FIRST, LATER = "first", "later"
"""Into nothing; and after a run that was not disturbed."""
ALWAYS = {f"K{n:02}" for n in (1, 2, 4, 7, 8, 9, 10, 11, 12, 13, 15)}
FILE, SWAP, MAKING = {"K03", "K05", "K06"}, {"K14"}, {"K17"}


def passed_by(engine: str, mode: str, when: str) -> set[str]:
    """The points that such a run passes.

    A file is made aside where the database is one, and there is none yet. A swap is what replacing ends with.
    """
    found = set(ALWAYS)
    if when == FIRST:
        found |= MAKING | (FILE if engine == "duckdb" else set())
    return found | (SWAP if mode == "replace" else set())


DELETES = ("K16",)
"""Passed where a source tells of deletes, reads a part again, or reads all keys: see `test_killed_in_deletes`."""


@dataclass
class Bench:
    """One destination that is brought to a state, disturbed, brought back, and looked at."""

    warm: Warm
    wherry: Any
    ledger: Ledger
    place: Place
    mode: str
    when: str
    small: bool = False
    """Loads of two batches, so that a run is of several."""

    @property
    def half(self) -> int:
        """The last seq of the run that is not disturbed."""
        return self.ledger.end // 2

    @property
    def until(self) -> tuple[int, ...]:
        """The last seq of each run."""
        return (self.ledger.end,) if self.when == FIRST else (self.half, self.ledger.end)

    def run(self, failpoint: str = "", passed: Path | None = None) -> Any:
        """A sync in a fork of the warm process."""
        args = self.wherry.syncing(self.ledger, self.place, self.mode, *BATCHES)
        rows = 400 if self.small else 0
        done = self.warm(
            *args, cwd=self.wherry.folder, env=self.wherry.env, failpoint=failpoint, passed=passed, commit_rows=rows
        )
        self.wherry.ended.append(done)
        return done

    def wrong_at_rest(self) -> list[str]:
        """After a kill: the bookmark is not ahead of the rows, and a replaced table is the old or the new one."""
        wrong = oracle.not_ahead(self.place, self.ledger, self.mode)
        if self.mode == "replace":
            found = Counter(places.rows(self.place, stream_of(self.mode)))
            whole = [Counter(self.ledger.expected("replace", seq)) for seq in self.until]
            if found and found not in whole:
                wrong.append(f"V4 a table of {found.total()} rows, neither the old nor the new one")
        return wrong

    def wrong_at_end(self) -> list[str]:
        """After one more run, or two: code, table, leftovers, time."""
        for _ in range(2):
            done = self.run()
            if done.code == 0:
                break
        wrong = oracle.told(done, 0) + oracle.bounded(done)
        wrong += oracle.holds(self.place, self.ledger, self.mode, *self.until)
        return wrong + oracle.clean(self.place, self.wherry.folder)


@pytest.fixture(scope="session")
def warm(plugins: Path) -> Iterator[Warm]:
    server = Warm.start(plugins)
    yield server
    server.close()


@pytest.fixture
def forked(wherry: Any, warm: Warm) -> Any:
    """As `wherry`, its runs forks of the warm process; a kill point is asked for as there."""

    class Forked(type(wherry)):  # type: ignore[misc]
        def __call__(self, *args: object, env: dict[str, str] | None = None) -> Any:
            failpoint = (env or {}).get("WHERRY_FAILPOINT", "")
            self.ended.append(warm(*args, cwd=self.folder, env=self.env, failpoint=failpoint))
            return self.ended[-1]

    return Forked(wherry.folder, wherry.env)


@pytest.fixture(scope="session")
def shared_ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """The same for all: what a run did with it is copied, not done again."""
    return Ledger.write(tmp_path_factory.mktemp("crashes") / "ledger", rows=1_500, changes=600)


class Prepared:
    """Destinations that have seen the first half of the ledger: made once, then copied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, str], Place] = {}
        self._copies: list[InPostgres] = []
        self._numbers = 0

    def copy(self, bench: Bench, engine: str, cluster: Any) -> Place:
        """A destination of its own."""
        self._numbers += 1
        empty = self._new(engine, str(self._numbers), cluster)
        if bench.when == FIRST:
            return empty
        if (engine, bench.mode) not in self._made:
            made = self._new(engine, f"{bench.mode}_half", cluster)
            done = bench.warm(
                *bench.wherry.syncing(bench.ledger, made, bench.mode, *BATCHES, "--set", f"until={bench.half}"),
                cwd=bench.wherry.folder, env=bench.wherry.env,
            )  # fmt: skip
            assert not oracle.told(done, 0)
            assert not oracle.holds(made, bench.ledger, bench.mode, bench.half)
            self._made[engine, bench.mode] = made
        half = self._made[engine, bench.mode]
        if isinstance(half, InDuckDB) and isinstance(empty, InDuckDB):
            shutil.copy(half.path, empty.path)
        else:
            assert isinstance(half, InPostgres)
            name, template = empty.reference.rpartition("/")[2], half.url.rpartition("/")[2]
            cluster.psql(f"drop database {name}")
            cluster.psql(f"create database {name} template {template}")
        return empty

    def _new(self, engine: str, name: str, cluster: Any) -> Place:
        if engine == "duckdb":
            folder = self._folder / name
            folder.mkdir()
            return InDuckDB(folder / "shop.duckdb")
        made = InPostgres(cluster.create_database(), cluster)
        self._copies.append(made)
        return made

    def drop(self, place: Place) -> None:
        """It is not looked at any more."""
        if isinstance(place, InPostgres):
            place.cluster.drop_database(place.url)
        elif isinstance(place, InDuckDB):
            shutil.rmtree(place.path.parent)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("prepared"))


Benches = Callable[..., Bench]


@pytest.fixture
def bench(
    warm: Warm, wherry: Any, shared_ledger: Ledger, prepared: Prepared, request: pytest.FixtureRequest
) -> Iterator[Benches]:
    """Makes a bench: (engine, mode, when, small)."""
    made: list[Bench] = []

    def make(engine: str, mode: str, when: str, small: bool = False) -> Bench:
        cluster = request.getfixturevalue("postgres_cluster") if engine == "postgres" else None
        nowhere: Any = None
        found = Bench(warm, wherry, shared_ledger, nowhere, mode, when, small)
        found.place = prepared.copy(found, engine, cluster)
        made.append(found)
        return found

    yield make
    for one in made:
        prepared.drop(one.place)


def passings(bench: Bench, folder: Path) -> list[str]:
    """Which points a run passes, in order; the run itself pleases the oracle."""
    file = folder / "passed"
    file.unlink(missing_ok=True)
    done = bench.run(passed=file)
    assert not oracle.told(done, 0) + oracle.holds(bench.place, bench.ledger, bench.mode, *bench.until)
    return file.read_text().split()


def at_its_load(passed: list[str], point: str) -> int:
    """Which passing of the point is the one of the first load that commits: other transactions come before."""
    if point != "K10":
        return 1
    return passed[: passed.index("K09") + 1].count(point) + 1


def points_of(engine: str, mode: str) -> list[tuple[str, str]]:
    """(when, point): each point that such runs pass, in a run that has rows to change, or else in a first one."""
    first, later = passed_by(engine, mode, FIRST), passed_by(engine, mode, LATER) - {"K13"}
    return sorted([(LATER, point) for point in later] + [(FIRST, point) for point in first - later])


CASES = [
    pytest.param(engine, mode, when, point, id=f"{point}-{engine}-{mode}-{when}")
    for engine in ENGINES
    for mode in MODES
    for when, point in points_of(engine, mode)
]
IN_FORKS = [case for case in CASES if case.values[0] == "duckdb" and case.values[1] in ("append", "merge")]
QUICK = [case for n, case in enumerate(IN_FORKS[: len(IN_FORKS) // 2]) if n % 2] + [
    case for n, case in enumerate(IN_FORKS[len(IN_FORKS) // 2 :]) if not n % 2
]
"""Each point once, in one of the two modes."""
RUNS = [
    pytest.param(engine, mode, when, id=f"{engine}-{mode}-{when}")
    for engine in ENGINES
    for mode in MODES
    for when in (FIRST, LATER)
]


@pytest.mark.fault(1, tier=1)
@pytest.mark.parametrize(("engine", "mode", "when"), RUNS)
def test_a_run_passes_the_points_that_it_should(bench, tmp_path, engine, mode, when):
    """So that no point is left out unseen; it is as it should be that the others are not passed."""
    assert set(passings(bench(engine, mode, when), tmp_path)) == passed_by(engine, mode, when)


@pytest.mark.fault(1)
@pytest.mark.parametrize(("engine", "mode", "when", "point"), QUICK)
def test_killed_in_a_fork(bench, tmp_path, engine, mode, when, point):
    nth = passing(bench, tmp_path, engine, mode, when, point)
    assert not disturbed(bench(engine, mode, when), f"{point}:kill:{nth}")


@pytest.mark.fault(1, tier=1)
@pytest.mark.parametrize(("engine", "mode", "when", "point"), CASES)
def test_killed_as_installed(bench, tmp_path, engine, mode, when, point):
    """The command as users have it, and its whole process group at every other point."""
    verb = "group" if int(point[1:]) % 2 else "kill"
    nth = passing(bench, tmp_path, engine, mode, when, point)
    assert not disturbed(bench(engine, mode, when), f"{point}:{verb}:{nth}", installed=True)


def passing(bench: Benches, folder: Path, engine: str, mode: str, when: str, point: str) -> int:
    """See `at_its_load`."""
    if point != "K10":
        return 1
    return at_its_load(passings(bench(engine, mode, when), folder), point)


def disturbed(bench: Bench, failpoint: str, installed: bool = False) -> list[str]:
    """What is wrong after a kill there, and after running again."""
    if installed:
        env = {"WHERRY_FAILPOINT": failpoint}
        done = bench.wherry.sync(bench.ledger, bench.place, bench.mode, *BATCHES, env=env)
    else:
        done = bench.run(failpoint)
    if done.code != 128 + signal.SIGKILL:
        return [f"{failpoint} was not reached: {done}"]
    return [f"{failpoint}: {wrong}" for wrong in bench.wrong_at_rest() + bench.wrong_at_end()]


@pytest.mark.fault(1, tier=2)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("engine", "mode", "when"), RUNS)
def test_killed_at_every_passing(bench, tmp_path, record_property, engine, mode, when):
    """Runs of several loads, killed at each passing of each point, until there is none left."""
    counted = Counter(passings(bench(engine, mode, when, small=True), tmp_path))
    failpoints = [f"{point}:kill:{nth}" for point, count in sorted(counted.items()) for nth in range(1, count + 1)]
    wrong = [said for failpoint in failpoints for said in disturbed(bench(engine, mode, when, small=True), failpoint)]
    record_property("cases", len(failpoints))
    assert not wrong


@pytest.mark.fault(3, tier=1)
@pytest.mark.parametrize(("engine", "mode", "when"), RUNS)
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_while_it_recovers(bench, tmp_path, record_property, engine, mode, when, seed):
    """Pairs of kills, at passings that the seed chooses."""
    assert not pairs(bench, tmp_path, record_property, (engine, mode, when), seed, 2)


@pytest.mark.fault(3, tier=2)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("engine", "mode", "when"), RUNS)
@pytest.mark.parametrize("seed", range(10, 12))
def test_killed_again_while_it_recovers_many_times(bench, tmp_path, record_property, engine, mode, when, seed):
    assert not pairs(bench, tmp_path, record_property, (engine, mode, when), seed, 20)


def pairs(bench: Benches, folder: Path, note: Any, run: tuple[str, str, str], seed: int, wanted: int) -> list[str]:
    """What is wrong after so many pairs. The second kill counts when it was one: less may be left to do by then."""
    chance = random.Random(f"{run} {seed}")
    whole = passings(bench(*run, small=True), folder)
    wrong, counted, ended = [], 0, 0
    while counted < wanted and ended < 3 * wanted:
        first = chance.randrange(len(whole))
        second = chance.randrange(first, len(whole))  # of what is left to do, and so is passed again
        one = bench(*run, small=True)
        again = [
            f"{whole[first]}:kill:{whole[: first + 1].count(whole[first])}",
            f"{whole[second]}:kill:{whole[first : second + 1].count(whole[second])}",
        ]
        killed = one.run(again[0])
        wrong += [f"{again[0]} was not reached: {killed}"] * (killed.code != 137)
        wrong += [f"{again[0]}: {said}" for said in one.wrong_at_rest()]
        killed = one.run(again[1])
        wrong += [f"{again}: {said}" for said in oracle.told(killed, 0, 137) + one.wrong_at_rest() + one.wrong_at_end()]
        counted, ended = counted + (killed.code == 137), ended + 1
    note("cases", counted)
    return wrong if counted == wanted else [*wrong, f"only {counted} of {ended} pairs were two kills"]


@dataclass
class Deleting:
    """A source that takes rows away between two runs, and how they go. table: the columns that are compared."""

    args: list[object]
    change: Callable[[], object]
    table: str
    columns: str
    first: tuple[object, ...] = ()
    """More arguments of the first run."""


def by_a_change(folder: Path, ledger: Ledger) -> Deleting:
    """A log of changes tells that keys are deleted."""
    args: list[object] = [ledger.reference, "--stream", "items", "--mode", "merge", "--set", "gone=7"]
    return Deleting(args, lambda: None, "items", "id, version, hash", ("--set", f"until={ledger.end // 2}"))


def by_part(folder: Path, ledger: Ledger) -> Deleting:
    """A file of many is written anew: its earlier rows go."""
    (folder / "parts").mkdir()
    for part in range(4):
        csv(folder / "parts" / f"{part}.csv", range(part * 100, part * 100 + 100))
    change = lambda: csv(folder / "parts" / "2.csv", range(230, 260), "new")  # noqa: E731
    return Deleting([folder / "parts" / "*.csv", "--mode", "append"], change, "parts", "id, value")


def by_absence(folder: Path, ledger: Ledger) -> Deleting:
    """A file that shows all keys there are lacks some."""
    csv(folder / "all.csv", range(300))
    change = lambda: csv(folder / "all.csv", range(50, 400), "new")  # noqa: E731
    args: list[object] = [folder / "all.csv", "--mode", "history", "--key", "id"]
    return Deleting(args, change, "all", "id, value, _wherry_valid_to is null")


def csv(path: Path, ids: range, word: str = "old") -> None:
    path.write_text("id,value\n" + "".join(f"{id},{word} {id}\n" for id in ids))


@pytest.mark.fault(1, tier=1)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [by_a_change, by_part, by_absence])
def test_killed_in_deletes(bench, tmp_path, shared_ledger, engine, kind):
    """K16: into two destinations that are treated alike but for the kill."""
    source = kind(tmp_path, shared_ledger)
    one, other = (bench(engine, "merge", FIRST) for _ in range(2))

    def run(at: Bench, *more: object, failpoint: str = "") -> int:
        args = ["sync", source.args[0], at.place.reference, "--schema", places.SCHEMA, *source.args[1:], *more]
        done = at.warm(*args, cwd=at.wherry.folder, env=at.wherry.env, failpoint=failpoint)
        assert not oracle.told(done, 137 if failpoint else 0)
        return done.code

    def found(at: Bench) -> Counter[tuple[Any, ...]]:
        return Counter(at.place.query(f'select {source.columns} from {places.SCHEMA}."{source.table}"'))

    run(one, *source.first), run(other, *source.first)
    before = found(one)
    source.change()
    run(other)
    run(one, failpoint="K16:kill")
    assert found(one) == before, "the kill was after the commit, or rows went without it"
    run(one)
    assert found(one) == found(other)
    assert len(before.keys() - found(one).keys()) >= 30  # rows that are gone, or closed
    assert not oracle.clean(one.place)


@pytest.mark.fault(18)
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_killed_between_a_new_column_and_its_rows(forked, new_ledger, duckdb_place, mode):
    between_column_and_rows(forked, new_ledger, duckdb_place, mode)
    assert not oracle.clean(duckdb_place)


@pytest.mark.fault(18, tier=1)
@pytest.mark.parametrize("mode", MODES)
def test_killed_between_a_new_column_and_its_rows_on_a_server(wherry, new_ledger, postgres_place, mode):
    between_column_and_rows(wherry, new_ledger, postgres_place, mode)


def between_column_and_rows(wherry: Any, new_ledger: Callable[..., Ledger], place: Place, mode: str) -> None:
    """The column is there and durable, in a file's log alone, and no row has it; the next run fills it."""
    ledger = new_ledger(rows=600, changes=200)
    stream = stream_of(mode)
    assert wherry.sync(ledger, place, mode, "--set", "until=300").code == 0
    file = ledger.folder / f"{stream}.arrow"
    with pa.ipc.open_file(file) as reader:
        rows = reader.read_all()
    extra = pc.if_else(pc.greater(rows["seq"], 300), rows["seq"], None)  # rows that are there already did not change
    grown = rows.append_column("extra", extra)
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_file(out, grown.schema) as writer:
        writer.write_table(grown)
    killed = wherry.sync(ledger, place, mode, env={"WHERRY_FAILPOINT": "K13:kill"})
    assert killed.code == 137
    if isinstance(place, InDuckDB):
        assert place.path.with_name("shop.duckdb.wal").exists()
    if mode != "replace":  # its rows go into a table aside
        assert place.query(f"select count(*), count(extra) from {places.SCHEMA}.{stream}") == [(300, 0)]
    assert not wherry.recovers(ledger, place, mode, until=(300, ledger.end))
    assert place.query(
        f"select count(*) from {places.SCHEMA}.{stream} where seq > 300 and extra is distinct from seq"
    ) == [(0,)]


READER = """
import duckdb, sys
database = duckdb.connect(sys.argv[1], read_only=True)
print(database.execute("select count(*) from faults.log").fetchone()[0], flush=True)
sys.stdin.readline()
print(database.execute("select count(*) from faults.log").fetchone()[0], flush=True)
"""


@pytest.mark.fault(19)
@pytest.mark.parametrize("point", ["", "K09", "K11"])
def test_a_run_while_a_reader_has_the_file(forked, new_ledger, duckdb_place, point):
    """Begun, or begun after a kill whose log the reader sees: refused, the reader named; nothing lost."""
    ledger = new_ledger(rows=600, changes=200)
    assert forked.sync(ledger, duckdb_place, "append", "--set", "until=300").code == 0
    if point:
        assert forked.sync(ledger, duckdb_place, "append", env={"WHERRY_FAILPOINT": f"{point}:kill"}).code == 137
    rows = {"": "300", "K09": "300", "K11": str(ledger.end)}[point]
    with subprocess.Popen(
        [sys.executable, "-c", READER, duckdb_place.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout.readline().strip() == rows
        refused = forked.sync(ledger, duckdb_place, "append")
        assert not oracle.told(refused, 4, 7)
        assert str(reader.pid) in refused.stderr
        assert "next:" in refused.last
        out, _ = reader.communicate("\n")
        assert out.strip() == rows
    assert not forked.recovers(ledger, duckdb_place, "append")


@pytest.mark.fault(33)
def test_files_of_killed_creations(forked, new_ledger, duckdb_place):
    """Ours go when their process is gone; those of a process that lives, and what people made, stay."""
    ledger = new_ledger(rows=100, changes=0)
    gone = subprocess.Popen(["true"])
    gone.wait()
    beside = duckdb_place.path.parent
    ours = beside / f"shop.duckdb.new-{gone.pid}"
    others = [
        beside / f"shop.duckdb.new-{os.getpid()}" / "database", beside / "shop.duckdb.new-copy" / "database",
        beside / "shop.duckdb.bak", beside / f"other.duckdb.new-{gone.pid}" / "database",
    ]  # fmt: skip
    for _ in range(2):  # the first run makes the file, the second finds it
        for file in (ours / "database", ours / "database.wal", *others):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"left")
        assert forked.sync(ledger, duckdb_place, "append").code == 0
        assert not ours.exists()
        assert [file.read_bytes() for file in others] == [b"left"] * 4
    assert not oracle.holds(duckdb_place, ledger, "append")


@pytest.mark.fault(33, tier=1)
@pytest.mark.parametrize("engine", ENGINES)
def test_rebuilds_of_killed_runs(bench, new_ledger, engine):
    """A table that another pipeline was building, or that nobody knows, is left alone; each cleans up its own."""
    one = bench(engine, "replace", FIRST)

    def sync(pipeline: str, failpoint: str = "") -> int:
        args = [*one.wherry.syncing(one.ledger, one.place, "replace"), "--pipeline", pipeline, "--table", pipeline]
        done = one.warm(*args, cwd=one.wherry.folder, env=one.wherry.env, failpoint=failpoint)
        return done.code

    def made() -> set[str]:
        return {name for name in places.tables(one.place) if "__gen" in name}

    assert sync("a", "K15:kill") == 137  # published: nothing is left
    assert not made()
    assert sync("a", "K14:kill") == sync("b", "K14:kill") == 137
    (left_by_a, left_by_b) = sorted(made())
    assert (left_by_a[:6], left_by_b[:6]) == ("a__gen", "b__gen")
    unknown = left_by_a[:-1] + str(int(left_by_a[-1]) + 1)
    by_hand(one.place, f"create table {places.SCHEMA}.{unknown} as select 1 as mine")
    assert sync("a") == 0
    assert made() == {left_by_b, unknown}
    assert sync("b") == 0
    assert sync("a") == 0
    assert made() == {unknown}
    assert one.place.query(f"select mine from {places.SCHEMA}.{unknown}") == [(1,)]
    for table in ("a", "b"):
        found = Counter(one.place.query(f"select {', '.join(places.COLUMNS)} from {places.SCHEMA}.{table}"))
        assert found == Counter(one.ledger.expected("replace"))


def by_hand(place: Place, sql: str) -> None:
    """What a user does with a client of their own."""
    if isinstance(place, InDuckDB):
        import duckdb

        with duckdb.connect(str(place.path)) as database:
            database.execute(sql)
    else:
        place.query(sql)
