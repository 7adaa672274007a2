"""What the contract means, where it speaks of engines: the same rules on each of ours."""

import threading
import uuid
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pytest
from wherry import Entry, LeaseError, StateError, TransientError
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.lanes import Patience
from wherry.pipeline.select import Wish, Wishes
from wherry.testing import Faults, MemorySource, MemoryStream, run_sync
from wherry.testing.bench import Bench, write
from wherry_destination_duckdb.destination import DuckDBDestination
from wherry_destination_postgres.destination import PostgresDestination

ROWS = pa.table({"id": [1, 2, 3, 4], "v": ["a", "b", "c", "d"], "at": [10, 20, 20, 30]})
SOON = Patience(attempts=3, seconds=5, longest_wait=0.01)


@pytest.fixture(params=["duckdb", "postgres"])
def new_destination(request, tmp_path):
    """Makes destinations over one and the same new database."""
    if request.param == "duckdb":
        config = DuckDBDestination.Config(path=str(tmp_path / "wh.duckdb"))
        return lambda: DuckDBDestination(config)
    url = request.getfixturevalue("postgres_database")
    return lambda: PostgresDestination(PostgresDestination.Config.model_validate({"url": url}))


@pytest.fixture
def bench(new_destination):
    made = Bench(new_destination())
    yield made
    made.close()


def columns_of(bench, table):
    statement = f"select column_name from information_schema.columns where table_name = '{table}'"
    return set(bench.session.execute(statement).read_all().column(0).to_pylist())


def one(bench, statement):
    """The only value of a query."""
    return bench.session.execute(statement).read_all().column(0)[0].as_py()


def looks(new_destination, bench, target):
    """Rows that another session sees now."""
    if isinstance(bench.destination, DuckDBDestination):  # a file has one process; its sessions share it
        found = bench.session.schema(target)
        return 0 if found is None else bench.session.read(target).read_all().num_rows
    other = new_destination().open("kit", schema="kit", read_only=True)
    try:
        return 0 if other.schema(target) is None else other.read(target).read_all().num_rows
    finally:
        other.close()


# --- staging, DDL and commit


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("mode", ["append", "merge", "history"])
def test_write_fills_staging_that_only_this_load_sees(new_destination, bench, mode, exclusive):
    target = bench.target(ROWS, mode=mode, key=("id",) if mode != "append" else (), exclusive=exclusive)
    load = bench.begin(bench.started(target))
    load.prepare(target)
    write(load, target, ROWS)
    assert looks(new_destination, bench, target) == 0
    load.commit(bench.entry({"t": 4}))
    assert looks(new_destination, bench, target) == 4


def test_an_aborted_load_leaves_no_row(new_destination, bench):
    target = bench.target(ROWS, mode="append", exclusive=True)
    bench.put(target, ROWS)
    load = bench.begin(bench.started(target))
    load.prepare(target)
    write(load, target, ROWS)
    load.abort()
    assert looks(new_destination, bench, target) == 4


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_loads_that_began_together_both_commit(bench, mode):
    """One key in both, one of them brings a column: no row twice, no DDL that makes the other's COMMIT fail."""
    key = ("id",) if mode == "merge" else ()
    narrow = bench.target(ROWS, mode=mode, key=key)
    more = ROWS.append_column("more", pa.array(["m"] * 4))
    wide = bench.target(more, mode=mode, key=key)
    bench.put(narrow, ROWS)
    plan = bench.started(narrow, splits=("a", "b"))
    first, second = bench.begin(plan, "a"), bench.begin(plan, "b")
    for load, target, rows in ((first, narrow, ROWS), (second, wide, more)):
        load.prepare(target)
        write(load, target, rows)
    errors = []

    def commit(load):
        try:
            load.commit(bench.entry({"t": 4}))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=commit, args=(load,)) for load in (second, first)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    rows = bench.read(wide).to_pylist()
    assert len(rows) == (4 if mode == "merge" else 12)
    assert columns_of(bench, "t") >= {"id", "v", "at", "more"}


def test_the_schema_is_never_behind_the_rows(bench):
    """Columns that came with a load that failed at its last step may stay; rows without their columns never are."""
    target = bench.target(ROWS, mode="append")
    bench.put(target, ROWS)
    more = ROWS.append_column("more", pa.array(["m"] * 4))
    wide = bench.target(more, mode="append")
    with pytest.raises(Exception, match="staged"):
        bench.put(wide, more, counts={})
    assert bench.read(target).num_rows == 4
    bench.put(wide, more)
    assert sorted(map(str, bench.read(wide)["more"].to_pylist())) == ["None"] * 4 + ["m"] * 4


# --- the fence


def test_the_fence_is_a_compare_and_swap(bench):
    target = bench.target(ROWS, mode="append")
    plan = bench.started(target)
    loads = [bench.begin(plan), bench.begin(plan)]
    for load in loads:
        load.prepare(target)
        write(load, target, ROWS)
    loads[0].commit(bench.entry({"t": 4}, bookmark={"first": 1}))
    with pytest.raises((TransientError, LeaseError)):
        loads[1].commit(bench.entry({"t": 4}))
    assert bench.read(target).num_rows == 4
    assert bench.progress().open.splits[0].bookmark == {"first": 1}


def test_a_take_over_fences_every_older_load(bench):
    """The new epoch is in all state rows: what the older run stages can never be committed."""
    target = bench.target(ROWS, mode="append")
    load = bench.begin(bench.started(target))
    load.prepare(target)
    write(load, target, ROWS)
    meta = '"kit"."_wherry_state"'
    before = one(bench, f"select max(epoch) from {meta}")
    assert before == bench.session.lease.epoch
    bench.session.execute(f"update {meta} set epoch = epoch + 1")
    with pytest.raises(LeaseError) as caught:
        load.commit(bench.entry({"t": 4}))
    assert caught.value.exit_code == 7
    assert bench.session.schema(target) is None or bench.read(target).num_rows == 0


@pytest.mark.parametrize("mode", ["append", "merge", "history", "replace"])
def test_rows_and_bookmark_are_together_after_any_break(new_destination, mode):
    """A source that breaks for good in each place; the last run brings the rest, once."""
    stream = MemoryStream(name="orders", tables=(ROWS,), key=("id",), cursor="at", ordered=True, batch=1)
    settings = {"wish": Wish(mode=mode), "commit_every": CommitEvery(rows=1), "patience": SOON}
    for item in (2, 3, 4):
        faults = Faults().arm("read", TransientError("gone"), at=item, times=SOON.attempts * 5)
        run_sync(partial(MemorySource.of, stream, faults=faults), new_destination(), **settings)
    assert run_sync(lambda: MemorySource.of(stream), new_destination(), **settings).exit_code == 0
    session = new_destination().open("memory-memory", schema="memory", read_only=True)
    try:
        got = session.execute('select id, v, "at" from "memory"."orders" order by id').read_all()
    finally:
        session.close()
    assert [tuple(r.values()) for r in got.to_pylist()] == [tuple(r.values()) for r in ROWS.to_pylist()]


# --- publishing


def test_publish_keeps_the_tables_identity(bench):
    """A view on the table reads the new rows, an index and a comment are still there."""
    target = bench.target(ROWS, mode="replace", key=())
    bench.put(target, ROWS)
    bench.session.execute('create view "kit"."seen" as select id from "kit"."t"')
    bench.session.execute('create index by_id on "kit"."t" (id)')
    bench.session.execute('comment on table "kit"."t" is \'ours\'')
    plan = bench.started(target)
    rebuilt = replace(target, generation=bench.session.start(plan))
    bench.put(rebuilt, ROWS.slice(2), plan, done=True)
    assert one(bench, 'select count(*) from "kit"."seen"') == 4
    bench.publish(plan, rebuilt)
    assert sorted(bench.session.execute('select id from "kit"."seen"').read_all().column(0).to_pylist()) == [3, 4]
    index = "duckdb_indexes() where index_name" if _is_duckdb(bench) else "pg_indexes where indexname"
    assert one(bench, f"select count(*) from {index} = 'by_id'") == 1
    comment = (
        "select comment from duckdb_tables() where table_name = 't'" if _is_duckdb(bench)
        else "select obj_description('kit.t'::regclass)"
    )  # fmt: skip
    assert one(bench, comment) == "ours"


def _is_duckdb(bench):
    return isinstance(bench.destination, DuckDBDestination)


def test_publish_is_idempotent_and_first_reads_whether_it_happened(bench):
    target = bench.target(ROWS, mode="replace")
    plan = bench.started(target)
    generation = bench.session.start(plan)
    rebuilt = replace(target, generation=generation)
    bench.put(rebuilt, ROWS, plan, done=True)
    entry = Entry(bookmark={"n": 1}, done=True)
    receipts = [bench.session.publish(plan, [rebuilt], generation, entry) for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert bench.read(target).num_rows == 4
    assert bench.progress().bookmark == {"n": 1}


def test_a_full_refresh_that_ended_before_its_publication_goes_on(new_destination, monkeypatch):
    """All splits are done, the generation stands aside; the next run, without the flag, only publishes."""
    from wherry.sql.session import SqlSession

    def sync(rows, **wishes):
        stream = MemoryStream(name="orders", tables=(rows,), key=("id",), cursor="at", ordered=True, batch=1)
        settings = {"wishes": Wishes(**wishes), "patience": SOON, "commit_every": CommitEvery(rows=1)}
        return run_sync(lambda: MemorySource.of(stream), new_destination(), **settings)

    def fail(*_):
        raise TransientError("gone")

    wide = ROWS.append_column("n", pa.array([1, 2, 3, 2**40]))
    assert sync(ROWS).exit_code == 0
    with monkeypatch.context() as broken:
        broken.setattr(SqlSession, "publish", fail)
        assert sync(wide.slice(1), full_refresh=True).exit_code == 4
    assert sync(wide.slice(1)).exit_code == 0
    session = new_destination().open("memory-memory", schema="memory", read_only=True)
    try:
        got = session.execute('select id, n from "memory"."orders" order by id').read_all().to_pylist()
    finally:
        session.close()
    assert [tuple(r.values()) for r in got] == [(2, 2), (3, 3), (4, 2**40)]


# --- names and formats


def test_names_are_never_pasted_into_statements(bench):
    name = "t\"; drop table x; --' %s $1 {0}"
    rows = pa.table({"id": [1], "select": ["x"], 'a"b': ["y"], "c'd %s": ["z"]})
    target = bench.target(rows, table=name[:50], mode="merge", key=("id",))
    for _ in range(2):
        bench.put(target, rows)
    assert bench.read(target).to_pylist() == rows.to_pylist()


def test_wherry_meta_guards_the_tables_format(new_destination, bench):
    bench.put(bench.target(ROWS), ROWS)
    bench.session.execute('update "kit"."_wherry_meta" set number = number + 1 where name = \'format\'')
    bench.close()
    with pytest.raises(StateError, match="newer version") as caught:
        new_destination().open(uuid.uuid4().hex, schema="kit").close()
    assert caught.value.exit_code == 8
