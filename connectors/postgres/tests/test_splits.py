"""Large tables in splits of one snapshot: what is read, by how many, and what an interrupted run goes on with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from wherry import DestinationError, Progress, ReadPlan, SchemaError, Selection, StreamError, from_json, to_json
from wherry.testing import Faults, MemoryDestination, Store, Wish, run_sync
from wherry_source_postgres import ranges
from wherry_source_postgres.client import Client
from wherry_source_postgres.config import PostgresConfig
from wherry_source_postgres.source import PostgresSource

MADE = """
create table t (id int8 primary key, at timestamptz not null, v text);
insert into t select g * 3, '2026-01-01 00:00+00'::timestamptz + (g * 7919 % 8000) * interval '1 s', 'v' || g
from generate_series(1, 8000) g;
create index on t (at);
analyze t;
"""


class World:
    """A database with a table `t (id, at, v)` of 8,000 rows, and where it is synced to, in 8 splits."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = Store()
        self.read = 0

    def execute(self, sql: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def sync(self, stop_at: int = 0, full: bool = False, **options: Any) -> Any:
        """Sync with one lane; `stop_at`: that load's commit fails, and all after it."""
        wish = {"cursor": "at"} | options
        faults = Faults()
        if stop_at:
            faults.arm("before commit", DestinationError("cut"), at=stop_at, times=99)
        destination = MemoryDestination.of(self.store, faults=faults)
        outcome = run_sync(
            lambda: new(self.url), destination, connector="postgres", workers=1, fail_fast=True, full_refresh=full,
            wish=Wish(**{k: v for k, v in wish.items() if v}),
        )  # fmt: skip
        (stream,) = outcome.streams
        self.read = stream.counts["read"]
        if stop_at:
            assert stream.error is not None
        elif stream.error is not None:
            raise stream.error
        return stream

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        (table,) = self.store.now.tables.values()
        return sorted(tuple(row[c] for c in ("id", "v")) for row in table.to_pylist())

    @property
    def source_rows(self) -> list[tuple[Any, ...]]:
        return sorted(self.execute("select id, v from t"))


def new(url: str, **keys: Any) -> PostgresSource:
    return PostgresSource(PostgresConfig.model_validate({"splits": 8, "url": url} | keys))


@pytest.fixture
def world(postgres_database: str) -> World:
    world = World(postgres_database)
    world.execute(MADE)
    return world


def planned(source: PostgresSource, known: Progress | None = None, **options: Any) -> ReadPlan:
    (stream,) = source.discover(["t"])
    selection = Selection(stream=stream, **options)
    (plan,) = source.plan([selection], {"t": known or Progress()})
    return from_json(ReadPlan, to_json(plan))


def read(source: PostgresSource, plan: ReadPlan) -> list[list[int]]:
    """The keys of each split."""
    found = []
    for split in plan.splits:
        batches = [item.data for item in source.read(split) if hasattr(item, "data")]
        found.append([row["id"] for batch in batches for row in batch.to_pylist()])
    return found


@pytest.mark.parametrize("options", [{}, {"mode": "merge", "cursor": "at", "key": ("id",)}])
def test_splits_are_of_about_one_size_and_see_one_snapshot(
    world: World, source_of: Callable[..., PostgresSource], options: dict[str, Any]
) -> None:
    planner, reader = source_of(world.url, splits=8), source_of(world.url)
    plan = planned(planner, **options)
    world.execute("delete from t where id % 2 = 0; insert into t values (1, now(), 'after'); update t set v = 'x'")
    parts = read(reader, plan)
    assert sorted(id for part in parts for id in part) == list(range(3, 24001, 3))
    assert len(parts) == 8
    assert all(500 <= len(part) <= 2000 for part in parts)
    assert any("8 splits of one snapshot" in note for note in plan.splits[0].streams[0].stream.notes)


def test_a_snapshot_that_is_gone_is_no_reason_to_read_another(
    world: World, source_of: Callable[..., PostgresSource]
) -> None:
    planner, reader = source_of(world.url, splits=8), source_of(world.url)
    plan = planned(planner)
    planner.close()
    with pytest.raises(StreamError, match="the snapshot that all splits share is gone"):
        list(reader.read(plan.splits[0]))


def test_small_tables_views_and_samples_are_one_split(world: World, source_of: Callable[..., PostgresSource]) -> None:
    assert len(planned(source_of(world.url)).splits) == 1
    assert len(planned(source_of(world.url, splits=8), limit=5).splits) == 1
    assert len(planned(source_of(world.url, splits=20)).splits) == 8  # each of 1,000 rows at least
    assert len(planned(source_of(world.url, splits=1)).splits) == 1
    world.execute("alter table t rename to base; create view t as select * from base")
    assert len(planned(source_of(world.url, splits=8)).splits) == 1


def test_the_number_comes_from_the_size() -> None:
    def of(rows: int, bytes: int = 0) -> int:
        return ranges.Size(pages=1, bytes=bytes, rows=rows, fresh=True, version=150_000).splits(None)

    assert [of(n) for n in (0, 100_000, 4_900_000, 5_000_000, 20_000_000, 10**9)] == [1, 1, 1, 2, 8, 256]
    assert of(1_000_000, bytes=10 << 30) == 5


def test_what_starts_over_is_cut_only_if_asked_for(
    world: World, source_of: Callable[..., PostgresSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "ROWS", 1_000)
    assert len(planned(source_of(world.url), mode="replace").splits) == 1
    assert len(planned(source_of(world.url, splits=4), mode="replace").splits) == 4
    assert len(planned(source_of(world.url), mode="merge", cursor="at", key=("id",)).splits) == 8


@pytest.mark.parametrize("key", ["text", "uuid", "numeric(20,3)", "timestamptz", "bytea"])
def test_keys_of_any_kind_are_cut_without_loss(
    world: World, source_of: Callable[..., PostgresSource], key: str
) -> None:
    value = {
        "uuid": "md5(id::text)::uuid", "numeric(20,3)": "id / 7.0", "bytea": "decode(md5(id::text), 'hex')",
        "timestamptz": "at + id * interval '1 us'",
    }.get(key, "'k''\\' || md5(id::text)")  # fmt: skip
    world.execute(f"alter table t drop constraint t_pkey; alter table t add k {key}; update t set k = {value}")
    world.execute("alter table t add primary key (k)")  # there are no statistics of k: a sample is taken
    plan = planned(source_of(world.url, splits=8), mode="merge", cursor="at", key=("k",))
    parts = read(source_of(world.url), plan)
    assert sorted(id for part in parts for id in part) == list(range(3, 24001, 3))
    assert len(parts) == 8
    assert all(part for part in parts)


def test_partitions_are_cut_together(world: World, source_of: Callable[..., PostgresSource]) -> None:
    world.execute(
        """
        alter table t rename to old;
        create table t (id int8 primary key, at timestamptz not null, v text) partition by range (id);
        create table t1 partition of t for values from (0) to (20000);
        create table t2 partition of t for values from (20000) to (100000);
        insert into t select * from old; analyze t
        """
    )
    several: list[dict[str, Any]] = [{}, {"mode": "merge", "cursor": "at", "key": ("id",)}]
    for options in several:
        parts = read(source_of(world.url), planned(source_of(world.url, splits=4), **options))
        assert len(parts) == 4
        assert sorted(id for part in parts for id in part) == list(range(3, 24001, 3))


def test_rows_without_a_key_are_in_the_first_range_so_that_they_are_told(world: World) -> None:
    world.execute("alter table t drop constraint t_pkey; alter table t alter id drop not null; create index on t (id)")
    world.execute("insert into t values (null, now(), 'no key')")
    with pytest.raises(Exception, match="no value"):
        world.sync(key=("id",), mode="merge")


CHANGES = """
delete from t where id % 8 = 0;
update t set v = v || ' changed', at = '2026-02-01' where id % 8 = 1;
insert into t select g * 3 + 1, '2026-02-02', 'new' from generate_series(1, 8000, 16) g;
update t set id = id + 1000000, at = '2026-02-03' where id % 8 = 2;
"""


def interrupted(world: World, done: int, full: bool) -> None:
    """A first run, or a full refresh, that is cut when so many splits are committed."""
    if full:
        world.sync()
        assert world.read == 8000
        world.execute("update t set v = 'of the second time' where id < 5000")
    world.sync(stop_at=done + 1, full=full)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("done", [1, 3, 7])
def test_an_interrupted_run_reads_the_rest_and_what_has_changed(world: World, done: int, full: bool) -> None:
    interrupted(world, done, full)
    before = world.rows
    (first,) = world.execute("select max(at) from t")
    left = 8000 - world.read if full else None
    world.execute(CHANGES)
    changed = world.execute(f"select count(*) from t where at >= '{first[0]}'")[0][0]
    unread = world.execute(f"select count(*) from t where id >= {bound(world, done)} and id < 1000000")[0][0]
    if full:
        assert before == world.rows  # readers see the old table
        assert left is not None
    stream = world.sync(full=full)
    assert world.rows == world.source_rows
    assert world.read <= unread + changed
    assert stream.counts["boundary"] == 0
    world.sync()
    assert world.read <= world.execute("select count(*) from t where at = (select max(at) from t)")[0][0]
    assert world.rows == world.source_rows


def bound(world: World, done: int) -> int:
    """The first key that the finished splits did not read."""
    source = new(world.url)
    try:
        (stream,) = source.discover(["t"])
        selection = Selection(stream=stream, mode="merge", cursor="at", key=("id",))
        size = ranges.Size(pages=99, bytes=0, rows=8000, fresh=True, version=150_000)
        client = Client(source.config)
        with client.snapshot():
            cut = ranges.cut(client, selection, "id", 8, size)
        client.close()
        return int(cut[done][0] or 0)
    finally:
        source.close()


def test_a_run_that_is_interrupted_twice_is_gone_on_with_twice(world: World) -> None:
    interrupted(world, 2, True)
    world.execute(CHANGES)
    world.sync(stop_at=3, full=True)
    assert 0 < world.read < 3000
    world.execute("delete from t where id % 5 = 0; update t set v = 'again', at = '2026-03-01' where id % 5 = 1")
    world.execute("insert into t select g * 3 + 2, '2026-03-02', 'newer' from generate_series(1, 8000, 100) g")
    world.sync()
    assert world.rows == world.source_rows
    assert world.read < 8000


def test_without_a_cursor_a_run_starts_over_and_says_so(world: World) -> None:
    world.sync(cursor="", mode="replace", stop_at=4)
    world.execute(CHANGES)
    stream = world.sync(cursor="", mode="replace")
    assert world.rows == world.source_rows
    assert world.read == len(world.rows)
    assert any("starts over, as this one does: 3 of 8 splits were done" in note for note in stream.notes)


def test_with_other_columns_or_another_filter_a_refresh_starts_over(world: World) -> None:
    interrupted(world, 3, True)
    world.sync(full=True, where="id > 30")
    assert world.read == 7990
    assert world.rows == [row for row in world.source_rows if row[0] > 30]


@pytest.mark.parametrize("change", ["alter table t alter at type timestamp", "alter table t rename at to a2"])
def test_a_cursor_that_is_another_one_is_nothing_to_go_on_with(world: World, change: str) -> None:
    interrupted(world, 3, True)
    world.execute(change)
    cursor = "a2" if "a2" in change else "at"
    world.sync(full=True, cursor=cursor)
    assert world.read == 8000
    assert world.rows == world.source_rows


def test_a_value_that_makes_a_column_text_between_two_runs(world: World) -> None:
    world.execute("alter table t add d date; update t set d = '2026-01-01'")
    interrupted(world, 3, True)
    world.execute("update t set d = 'infinity', at = '2026-02-01' where id in (3, 23997)")
    world.sync(full=True)
    (table,) = world.store.now.tables.values()
    found = {row["id"]: row["d"] for row in table.to_pylist()}
    assert (found[3], found[23997], found[6], found[23994]) == ("infinity", "infinity", "2026-01-01", "2026-01-01")


@pytest.mark.parametrize("key", ["1e31", "0.1234567891", "'NaN'"])
@pytest.mark.parametrize("cut", [True, False], ids=["gone on with", "a later run"])
def test_a_key_that_would_become_text_is_refused(world: World, key: str, cut: bool) -> None:
    world.execute("alter table t alter id type numeric")
    if cut:
        interrupted(world, 3, False)
    else:
        world.sync()
    before = world.rows
    world.execute(f"insert into t values ({key}, '2026-02-01', 'new')")
    with pytest.raises(SchemaError, match="column 'id' is part of the key"):
        world.sync()
    assert world.rows == before  # none was taken for a row that is gone, none comes twice
    world.sync(full=True, types={"id": "text"})
    assert world.rows == sorted(world.execute("select id::text, v from t"))


def test_rows_without_a_cursor_value_are_read_again_in_the_finished_splits(world: World) -> None:
    world.execute("alter table t alter at drop not null; update t set at = null where id % 100 = 0")
    interrupted(world, 4, False)
    world.execute("update t set v = 'changed all the same' where at is null; delete from t where id = 300")
    world.sync()
    assert world.rows == world.source_rows


def test_the_other_streams_of_a_run_take_turns_with_the_splits(world: World) -> None:
    world.execute("create table a as select 1 as id; create table z as select 1 as id")
    run_sync(lambda: new(world.url), MemoryDestination.of(world.store), connector="postgres", workers=1)
    order = [load.stream for _, load in sorted(world.store.now.loads.items())]
    assert (order.index("a"), order.index("z")) < (3, 3)
    assert order.count("t") == 8


def test_a_table_that_is_locked_keeps_no_plan_waiting(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as holder:
        holder.execute("create table a as select n from generate_series(1, 10) n; create table b as select 1 as n")
        holder.commit()
        source = PostgresSource(PostgresSource.Config(url=postgres_database))
        selections = [Selection(stream=stream, mode="replace", key=()) for stream in source.discover()]
        holder.execute("lock table a in access exclusive mode")
        began = time.monotonic()
        plans = list(source.plan(selections, {}))
        assert (sorted(plan.key for plan in plans), time.monotonic() - began < 5) == (["a", "b"], True)
        source.close()
