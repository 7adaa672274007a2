"""Cursors: through the pipeline into the memory destination, compared with the table as another client reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from wherry import (
    Batch,
    DataError,
    Progress,
    ReadPlan,
    Run,
    Selection,
    Split,
    StateError,
    UsageError,
    from_json,
    to_json,
)
from wherry.testing import MemoryDestination, Store, Wish, run_sync
from wherry_source_postgres.config import PostgresConfig
from wherry_source_postgres.source import PostgresSource


class World:
    """A database with one table `t (id, at, v)`, and where it is synced to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = Store()

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def sync(self, **wish: Any) -> Any:
        wish = {"mode": "append", "cursor": "at"} | wish
        destination = MemoryDestination.of(self.store)
        outcome = run_sync(lambda: new(self.url), destination, connector="postgres", wish=Wish(**wish))
        (stream,) = outcome.streams
        if stream.error is not None:
            raise stream.error
        return stream.counts

    @property
    def rows(self) -> list[dict[str, Any]]:
        (table,) = self.store.now.tables.values()
        return sorted(table.drop_columns(["_wherry_load_id"]).to_pylist(), key=str)

    @property
    def ids(self) -> list[int]:
        return sorted(row["id"] for row in self.rows)

    @property
    def bookmarks(self) -> list[Any]:
        """Without where the server was, which no test can know."""
        found = [dict(row.bookmark["source"]) for row in self.store.now.state.values() if row.bookmark]
        for bookmark in found:
            assert set(bookmark.pop("origin")) == {"timeline", "position"}
        return found


@pytest.fixture
def world(postgres_database: str) -> World:
    return World(postgres_database)


@pytest.fixture
def made(postgres_database: str, source_of: Callable[..., PostgresSource]) -> PostgresSource:
    return source_of(postgres_database)


def new(url: str) -> PostgresSource:
    return PostgresSource(PostgresConfig.model_validate({"url": url}))


def planned(made: PostgresSource, selection: dict[str, Any], bookmark: Any = None) -> ReadPlan:
    (stream,) = made.discover(["t"])
    chosen = Selection(stream=stream, **({"mode": "append", "cursor": "at"} | selection))
    (plan,) = made.plan([chosen], {"t": Progress(bookmark=bookmark)})
    return from_json(ReadPlan, to_json(plan))


def bound(plan: ReadPlan) -> Any:
    assert plan.after is not None
    return plan.after["value"]


def read(made: PostgresSource, split: Split) -> list[Batch]:
    return [item for item in made.read(split) if isinstance(item, Batch)]


MICRO = "create table t (id int8, at timestamptz not null, v text); create index on t (at);"


def test_ties_and_microseconds_at_the_boundary_come_once(world: World) -> None:
    world.execute(MICRO)
    world.execute("insert into t select g, '2026-01-01 00:00:00.123456+00', 'x' from generate_series(1, 3) g")
    world.execute("insert into t values (3, '2026-01-01 00:00:00.123456+00', 'x')")  # an equal row: there are two
    assert world.sync()["inserted"] == 4
    (bookmark,) = world.bookmarks
    value = "2026-01-01 00:00:00.123456+00"
    assert bookmark == {"cursor": "at", "type": "timestamptz", "value": value, "zone": "UTC"}
    world.execute("insert into t values (4, '2026-01-01 00:00:00.123456+00', 'late at the boundary')")
    world.execute("insert into t values (5, '2026-01-01 00:00:00.123457+00', 'one microsecond later')")
    counts = world.sync()
    assert (counts["boundary"], counts["inserted"]) == (4, 2)
    assert world.ids == [1, 2, 3, 3, 4, 5]
    before = to_json(world.bookmarks)
    counts = world.sync()
    assert (counts["inserted"], counts["boundary"]) == (0, 1)
    assert to_json(world.bookmarks) == before


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Australia/Lord_Howe", "Pacific/Apia", "Europe/Berlin"])
@pytest.mark.parametrize("type", ["timestamptz", "timestamp"])
def test_session_zones_with_daylight_saving_lose_nothing(world: World, zone: str, type: str) -> None:
    world.execute(f"create table t (id int, at {type} not null)")
    world.execute(f"alter database {world.url.rpartition('/')[2]} set timezone = '{zone}'")
    world.execute(f"alter database {world.url.rpartition('/')[2]} set datestyle = 'SQL, DMY'")
    span = "'2011-12-28 00:00+00'::timestamptz at time zone 'UTC'"
    expected = 0
    for step in range(6):
        world.execute(
            f"insert into t select {step} * 1000 + g, ({span} + ({step} * 100 + g) * interval '41 min 0.000001 s')"
            + (" at time zone 'UTC'" if type == "timestamptz" else "")
            + " from generate_series(1, 100) g"
        )
        expected += 100
        assert world.sync()["inserted"] == 100
    assert len(set(world.ids)) == expected == len(world.ids)


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("int2", ["-1", "0", "32767"]),
        ("int8", ["9007199254740992", "9007199254740993", "9223372036854775807"]),
        ("numeric(38,18)", ["0.000000000000000001", "1.000000000000000001", "99999999999999999999"]),
        ("numeric", ["1", "1.000000001", "1.5"]),
        ("float8", ["0.1", "0.30000000000000004", "1e300"]),
        ("date", ["2026-01-01", "2026-01-02", "9999-12-31"]),
        ("timestamptz(0)", ["2026-01-01 00:00:00+00", "2026-01-01 00:00:01+00", "2026-01-02 00:00:00+00"]),
        ("text", ['a"b', "a'b", "z\\"]),
        ("varchar(10)", ["", "A", "a"]),
        ("uuid", ["00000000-0000-0000-0000-000000000001", "018f0000-0000-7000-8000-000000000000", "f" * 32]),
        ("oid", ["1", "2", "4294967295"]),
        ("xid8", ["9", "10", "18446744073709551615"]),
        ("bytea", ["\\x00", "\\x00ff", "\\xff00"]),
        ("time", ["00:00:00", "00:00:00.000001", "23:59:59.5"]),
        ('text collate "en-x-icu"', ["B", "a", "ä"]),
    ],
)
def test_every_kind_of_cursor_goes_on_where_it_stood(world: World, type: str, values: list[str]) -> None:
    with psycopg.connect(world.url) as connection:
        if (
            "icu" in type
            and not connection.execute("select 1 from pg_collation where collname = 'en-x-icu'").fetchall()
        ):
            pytest.skip("this server was built without ICU")
    world.execute(f"create table t (id int, at {type} not null)")
    for number, value in enumerate(values):
        with psycopg.connect(world.url) as connection:
            connection.execute("insert into t values (%s, %s)", (number, value))
        assert world.sync()["inserted"] == 1, value
        before = to_json(world.bookmarks)
        assert world.sync()["inserted"] == 0
        assert to_json(world.bookmarks) == before
    assert world.ids == [0, 1, 2]


def test_rows_without_a_cursor_value_are_read_by_each_run_and_kept_once(world: World, made: PostgresSource) -> None:
    world.execute("create table t (id int, at int)")
    world.execute("insert into t values (1, null), (2, 5), (3, null)")
    plan = planned(made, {})
    assert any("NULL" in note for note in plan.splits[0].streams[0].stream.notes)
    assert world.sync()["inserted"] == 3
    world.execute("insert into t values (4, 6), (5, null), (3, null)")
    counts = world.sync()
    assert (counts["inserted"], counts["boundary"]) == (3, 3)
    assert world.ids == [1, 2, 3, 3, 4, 5]
    before = to_json(world.bookmarks)
    counts = world.sync()
    assert (counts["inserted"], counts["boundary"]) == (0, 5)
    assert to_json(world.bookmarks) == before


def test_rows_without_a_cursor_value_are_left_out_or_refused_where_that_is_asked(world: World) -> None:
    world.execute("create table t (id int, at int)")
    world.execute("insert into t values (1, 5)")
    assert world.sync(nulls="error")["inserted"] == 1
    world.execute("insert into t values (2, null), (3, 6)")
    with pytest.raises(DataError, match="stream t: row 1 has no value in its cursor at") as caught:
        world.sync()
    assert "--null-cursor exclude" in str(caught.value.next)
    assert world.sync(nulls="exclude")["inserted"] == 1
    assert world.ids == [1, 3]


def test_only_null_cursors_and_empty_tables_make_a_lasting_bookmark(world: World) -> None:
    world.execute("create table t (id int, at int)")
    assert world.sync()["inserted"] == 0
    assert world.bookmarks == [{"cursor": "at", "type": "int4", "value": None}]
    world.execute("insert into t values (1, null)")
    assert world.sync()["inserted"] == 1
    world.execute("insert into t values (2, 1)")
    assert world.sync()["inserted"] == 1
    assert world.ids == [1, 2]


def pairs(batches: list[Batch]) -> list[tuple[int, int]]:
    """(microseconds, id) of every row."""
    columns = [(b.data.column("at").cast(pa.int64()), b.data.column("id")) for b in batches]
    return [pair for at, ids in columns for pair in zip(at.to_pylist(), ids.to_pylist(), strict=True)]


def test_each_mid_read_bookmark_resumes_exactly(world: World, made: PostgresSource) -> None:
    world.execute(MICRO)
    world.execute(
        """insert into t select g, '2026-01-01'::timestamptz + (g / 7) * interval '1 us', repeat('x', 150)
           from generate_series(1, 12000) g order by random()"""
    )
    plan = planned(made, {})
    made.run = Run(bytes=1 << 20)
    (split,) = plan.splits
    assert split.streams[0].stream.ordered
    batches = read(made, split)
    assert len(batches) > 5
    everything = pairs(batches)
    assert sorted(i for _, i in everything) == list(range(1, 12001))
    assert [at for at, _ in everything] == sorted(at for at, _ in everything)
    for number, batch in enumerate(batches):
        assert batch.bookmark is not None
        again = read(made, Split(key=split.key, streams=split.streams, bookmark=batch.bookmark, detail=split.detail))
        last, _ = pairs(batches[: number + 1])[-1]
        assert sorted(pairs(again)) == sorted(pair for pair in everything if pair[0] >= last)


def test_an_unordered_read_takes_no_bookmark_before_its_end(world: World, made: PostgresSource) -> None:
    world.execute("create table t (id int, at int not null, pad text)")
    world.execute("insert into t select g, g % 1000, repeat('x', 100) from generate_series(1, 300000) g; analyze t")
    plan = planned(made, {})
    assert plan.after == {"cursor": "at", "type": "int4", "value": "999", "origin": plan.after["origin"]}
    assert not plan.splits[0].streams[0].stream.ordered
    batches = read(made, plan.splits[0])
    assert {b.bookmark for b in batches} == {None}
    assert sum(b.data.num_rows for b in batches) == 300000


def test_a_source_that_went_back_is_an_error_that_names_it(world: World, made: PostgresSource) -> None:
    world.execute("create table t (id int, at int not null)")
    world.execute("insert into t values (1, 10), (2, 20)")
    world.sync()
    world.execute("delete from t where at = 20")
    with pytest.raises(StateError, match=r"t\.at ends at 10, before its bookmark 20: restored or made anew") as caught:
        world.sync()
    assert caught.value.exit_code == 8
    world.execute("delete from t")
    assert world.sync()["inserted"] == 0  # nothing there, nothing to read
    assert world.ids == [1, 2]


def test_a_changed_cursor_column_is_an_error_of_state(world: World, made: PostgresSource) -> None:
    world.execute("create table t (id int, at timestamp not null)")
    world.execute("insert into t values (1, '2026-01-01')")
    world.sync()
    world.execute("alter table t alter at type timestamptz")
    with pytest.raises(StateError, match=r"is for at \(timestamp\), the cursor is at \(timestamptz\)"):
        world.sync()
    planned(made, {}, {"cursor": "at", "type": "timestamptz", "value": "2026-01-01 00:00:00+00"})
    with pytest.raises(UsageError, match="t has no column et"):
        planned(made, {"cursor": "et"})


def test_start_end_and_lookback(world: World, made: PostgresSource) -> None:
    world.execute(MICRO)
    world.execute(
        "insert into t select g, '2026-01-01'::timestamptz + g * interval '1 hour' from generate_series(0, 23) g"
    )
    plan = planned(made, {"start": "2026-01-01 05:00+01", "end": "2026-01-01 10:00+00"})
    assert bound(plan) == "2026-01-01 09:00:00+00"
    got = sorted(i for b in read(made, plan.splits[0]) for i in b.data.column("id").to_pylist())
    assert got == [4, 5, 6, 7, 8, 9]
    plan = planned(made, {"lookback": 7200.0, "mode": "merge", "key": ("id",)}, plan.after)
    got = sorted(i for b in read(made, plan.splits[0]) for i in b.data.column("id").to_pylist())
    assert got == list(range(7, 24))
    with pytest.raises(UsageError, match="start 'soon' is not a value of type timestamptz") as caught:
        planned(made, {"start": "soon"})
    assert caught.value.key == "start"


def test_a_cursor_at_infinity_is_refused(world: World) -> None:
    world.execute("create table t (id int, at timestamptz not null)")
    world.execute("insert into t values (1, '2026-01-01'), (2, 'infinity')")
    with pytest.raises(Exception, match=r"t\.at holds infinity: as a bookmark it would hide all later rows"):
        world.sync()
    assert world.sync(where="at < 'infinity' -- those that end")["inserted"] == 1


def test_every_kind_of_column_goes_through_the_pipeline_twice(world: World) -> None:
    world.execute(
        """create table t (id int, at int not null, b bytea, n numeric, d date, z timestamptz, f float8, o bool,
           u uuid, j jsonb, a int[], t time, big numeric(50,2))"""
    )
    for number in (1, 2):
        world.execute(
            f"""insert into t values ({number}, {number}, '\\x00ff', 1.5, '2026-01-01', '2026-01-01 00:00+00', 0.1,
                true, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '[1]', '{{1,null}}', '12:00', 1e40)"""
        )
        assert world.sync()["inserted"] == 1
    first, second = world.rows
    assert {k: v for k, v in first.items() if k not in ("id", "at")} == {
        k: v for k, v in second.items() if k not in ("id", "at")
    }
    assert (first["b"], first["a"], first["f"], first["o"]) == (b"\x00\xff", "[1,null]", 0.1, True)


@pytest.mark.parametrize(
    ("type", "value"), [("timestamptz", "-infinity"), ("date", "0044-03-15 BC"), ("numeric", "0.1234567891")]
)
def test_a_cursor_that_would_have_to_be_text_is_refused(world: World, type: str, value: str) -> None:
    world.execute(f"create table t (id int, at {type} not null)")
    usual = "2" if type == "numeric" else "2026-01-01"
    world.execute(f"insert into t values (1, '{usual}'), (2, '{value}')")
    with pytest.raises(DataError, match=r"t\.at holds values that are no plain"):
        world.sync()


def test_a_column_wished_as_text_comes_as_the_server_writes_it(world: World) -> None:
    world.execute("create table t (id int, at int not null, n numeric, day date)")
    world.execute(
        "insert into t values (1, 1, 1.50, 'infinity'), (2, 2, 12345678901234567890.12345678901, '2026-01-01')"
    )
    world.sync(types={"n": "text", "day": "text"})
    assert [(row["n"], row["day"]) for row in world.rows] == [
        ("1.50", "infinity"),
        ("12345678901234567890.12345678901", "2026-01-01"),
    ]


def test_boundary_rows_are_recognised_when_another_column_turns_into_text(world: World) -> None:
    world.execute("create table t (id int, at int not null, ends timestamptz)")
    world.execute("insert into t values (1, 1, '2026-01-01'), (2, 1, '2026-01-02')")
    assert world.sync()["inserted"] == 2
    world.execute("insert into t values (3, 1, '2026-01-03'), (4, 2, 'infinity')")
    counts = world.sync()
    assert (counts["boundary"], counts["inserted"]) == (2, 2)
    assert world.ids == [1, 2, 3, 4]
    ends = {row["id"]: row["ends"] for row in world.rows}
    assert ends[4] == "infinity"
    assert ends[1].startswith("2026-01-01 00:00:00")
    assert world.bookmarks[0]["text"] == ["ends"]
    world.execute("insert into t values (5, 2, '2026-01-05')")
    counts = world.sync()
    assert (counts["boundary"], counts["inserted"]) == (1, 1)
    assert world.ids == [1, 2, 3, 4, 5]


def test_rows_that_come_while_a_run_reads_wait_for_the_next(world: World, made: PostgresSource) -> None:
    world.execute("create table t (id int, at int not null)")
    world.execute("insert into t values (1, 1)")
    plan = planned(made, {})
    world.execute("insert into t values (2, 1), (3, 2)")
    ids = [i for b in read(made, plan.splits[0]) for i in b.data.column("id").to_pylist()]
    assert ids == [1, 2]
    assert bound(plan) == "1"


def test_an_open_plan_is_resumed_as_it_is(world: World, made: PostgresSource) -> None:
    world.execute(MICRO)
    world.execute("insert into t values (1, '2026-01-01', 'x')")
    plan = planned(made, {})
    world.execute("insert into t values (2, '2026-01-02', 'x')")
    (stream,) = made.discover(["t"])
    selection = Selection(stream=stream, mode="append", cursor="at")
    (split,) = plan.splits
    begun = replace(plan, splits=(replace(split, bookmark={**plan.after, "value": "2025-12-31 00:00:00+00"}),))
    (again,) = made.plan([selection], {"t": Progress(open=begun)})
    assert again is begun
    (fresh,) = made.plan([selection], {"t": Progress(open=plan)})  # it has got nowhere: up to what there is now
    assert bound(fresh) == "2026-01-02 00:00:00+00"
    (fresh,) = made.plan([selection], {"t": Progress(open=plan, missing=frozenset({"t"}))})
    assert bound(fresh) == "2026-01-02 00:00:00+00"


def test_merge_takes_updates_and_counts_the_boundary_apart(world: World) -> None:
    world.execute("create table t (id int primary key, at timestamptz not null, v text)")
    world.execute("insert into t select g, '2026-01-01', 'old' from generate_series(1, 5) g")
    assert world.sync(mode="merge")["inserted"] == 5
    world.execute(
        "update t set at = '2026-01-02', v = 'new' where id = 3; insert into t values (6, '2026-01-03', 'new')"
    )
    counts = world.sync(mode="merge")
    assert (counts["inserted"], counts["updated"], counts["boundary"]) == (1, 1, 4)
    assert [(r["id"], r["v"]) for r in world.rows] == [
        (1, "old"),
        (2, "old"),
        (3, "new"),
        (4, "old"),
        (5, "old"),
        (6, "new"),
    ]
