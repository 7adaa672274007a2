"""Whole runs over the reference connectors: what is in the destination afterwards, also after something failed."""

import threading
from decimal import Decimal

import pyarrow as pa
import pytest
from wherry import KIND, hookimpl
from wherry.errors import DataError, StateError, StreamError, TransientError, UsageError, WherryError
from wherry.host.hooks import observer
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.lanes import Patience
from wherry.pipeline.prepare import Settings, name_run
from wherry.pipeline.rejects import MaxRejects
from wherry.pipeline.select import Wish, Wishes, adds_again
from wherry.testing import Faults, MemoryDestination, MemorySource, MemoryStream, Store, run_sync

ROWS = pa.table({"id": [1, 2, 3, 4], "v": ["a", "b", "c", "d"], "at": [10, 20, 20, 30]})
EVERY_BOOKMARK = CommitEvery(rows=1)


def orders(table=ROWS, **options):
    given = {"name": "orders", "key": ("id",), "cursor": "at", "ordered": True, "batch": 1} | options
    return MemoryStream(tables=table if isinstance(table, tuple) else (table,), **given)


class World:
    def __init__(self):
        self.store = Store()
        self.faults = Faults()
        self.source_faults = Faults()
        self.acknowledged = []

    def run(self, *streams, **settings):
        destination = MemoryDestination.of(self.store, faults=self.faults)
        log = settings.pop("log", False)
        settings.setdefault("patience", Patience(attempts=4, seconds=5, longest_wait=0.01))
        return run_sync(
            lambda: MemorySource.of(*streams, log=log, faults=self.source_faults, acknowledged=self.acknowledged),
            destination,
            **settings,
        )

    def rows(self, table="orders", schema="memory"):
        found = self.store.table(schema, table).to_pylist()
        return sorted(found, key=str)

    @property
    def bookmarks(self):
        return {key: row.bookmark for key, row in self.store.now.state.items()}


@pytest.fixture
def world():
    return World()


def as_rows(table):
    return sorted(table.to_pylist(), key=str)


def only(outcome):
    assert len(outcome.streams) == 1
    return outcome.streams[0]


@pytest.mark.parametrize("mode", ["replace", "append", "merge", "history"])
def test_a_second_run_without_changes_moves_nothing(world, mode):
    first = world.run(orders(), wish=Wish(mode=mode))
    assert first.exit_code == 0
    assert only(first).counts["inserted"] == 4
    before = world.bookmarks
    second = world.run(orders(), wish=Wish(mode=mode))
    shown = [{k: v for k, v in r.items() if not k.startswith("_")} for r in world.rows()]
    assert shown == as_rows(ROWS)
    if mode != "replace":
        assert only(second).outcome == "unchanged"
        assert only(second).counts["boundary"] == 1
        assert world.bookmarks == before


def test_the_mode_follows_from_key_and_declared_cursor(world):
    modes = [
        only(World().run(stream)).mode
        for stream in (orders(), orders(key=()), orders(cursor=None, ordered=False), orders(key=(), cursor=None))
    ]
    assert modes == ["merge", "append", "replace", "replace"]


def test_new_and_changed_rows_are_merged(world):
    world.run(orders())
    later = pa.table({"id": [1, 2, 3, 4, 2, 5], "v": [*"abcd", "B", "e"], "at": [10, 20, 20, 30, 40, 40]})
    second = world.run(orders(later))
    assert only(second).counts | {"bytes": 0} == {
        "read": 3, "boundary": 1, "mapped": 2, "rejected": 0, "staged": 2, "inserted": 1, "updated": 1, "deleted": 0,
        "bytes": 0,
    }  # fmt: skip
    assert [r["v"] for r in sorted(world.rows(), key=lambda r: r["id"])] == ["a", "B", "c", "d", "e"]


def test_equal_keyless_rows_in_one_tick_of_which_one_comes_late(world):
    tick = pa.table({"v": ["x", "x"], "at": [1, 1]})
    late = pa.table({"v": ["x", "x", "x", "y"], "at": [1, 1, 1, 1]})
    stream = {"key": (), "batch": 10}
    world.run(orders(tick, **stream), wish=Wish(mode="append"))
    second = world.run(orders(late, **stream), wish=Wish(mode="append"))
    assert only(second).counts["inserted"] == 2
    assert world.rows() == as_rows(late)


@pytest.mark.parametrize(
    "point", ["before commit", "after commit", "before publish", "after publish", "write", "start"]
)
@pytest.mark.parametrize("mode", ["replace", "append", "merge", "history"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_transient_failure_anywhere_is_tried_again_without_loss_or_double(world, point, mode, at):
    world.faults.arm(point, TransientError("the line broke"), at=at)
    outcome = world.run(orders(), wish=Wish(mode=mode), commit_every=EVERY_BOOKMARK)
    assert outcome.exit_code in (0, 3, 4)
    if outcome.exit_code:
        outcome = world.run(orders(), wish=Wish(mode=mode))
        assert outcome.exit_code == 0
    shown = [{k: v for k, v in r.items() if not k.startswith("_")} for r in world.rows()]
    assert shown == as_rows(ROWS)


@pytest.mark.parametrize("item", [1, 2, 3, 4, 5])
def test_a_source_that_breaks_in_mid_read_resumes_at_the_last_commit(world, item):
    world.source_faults.arm("read", TransientError("reset by peer"), at=item)
    outcome = world.run(orders(), wish=Wish(mode="append"), commit_every=EVERY_BOOKMARK)
    assert outcome.exit_code == 0
    assert world.rows() == as_rows(ROWS)


def test_giving_up_names_the_tries_and_keeps_what_was_committed(world):
    world.source_faults.arm("read", TransientError("reset by peer"), at=3, times=100)
    outcome = world.run(orders(), wish=Wish(mode="append"), commit_every=EVERY_BOOKMARK)
    assert outcome.exit_code == 3
    assert "tried 4 times" in only(outcome).error.message
    assert len(world.rows()) == 2
    world.source_faults = Faults()
    assert world.run(orders(), wish=Wish(mode="append")).exit_code == 0
    assert world.rows() == as_rows(ROWS)


def test_one_failing_stream_does_not_stop_the_others(world):
    bad = orders(pa.table({"id": [1], "v": ["x"], "at": [1]}), name="bad")
    outcome = world.run(
        orders(), bad, orders(name="third"),
        wishes=Wishes(special={"bad": Wish(types={"v": "int"})}),
    )  # fmt: skip
    assert outcome.exit_code == 5
    assert {s.stream: s.outcome for s in outcome.streams} == {
        "orders": "committed", "bad": "failed", "third": "committed"
    }  # fmt: skip
    assert world.rows("third") == as_rows(ROWS)


def test_a_failed_stream_says_at_which_cursor_value_its_bookmark_stands(world):
    assert world.run(orders(), wish=Wish(mode="merge")).exit_code == 0
    more = pa.concat_tables([ROWS, pa.table({"id": [5, 6], "v": ["e", "f"], "at": [40, 50]})])
    world.source_faults.arm("read", StreamError("gone"), at=2)
    assert only(world.run(orders(more))).kept == "30"
    world.source_faults.arm("read", StreamError("gone"), at=3)
    assert only(world.run(orders(more), commit_every=EVERY_BOOKMARK)).kept == "40"
    assert only(world.run(orders(more))).kept is None


def test_the_destination_has_its_word_on_a_schema_that_the_user_named():
    class Picky(MemoryDestination):
        def schema_for(self, proposed):
            return "main" if proposed == "shop" else proposed

    def named(schema):
        return name_run(MemorySource.of(orders()), "memory", Picky.of(Store()), Settings(schema=schema)).schema

    assert [named(schema) for schema in ("shop", "crm", None)] == ["main", "crm", "memory"]


def test_a_connectors_own_exception_is_reported_as_its_bug(world):
    world.source_faults.arm("read", KeyError("nope"))
    outcome = world.run(orders())
    assert outcome.exit_code == 3
    assert "KeyError" in only(outcome).error.message


def test_stopping_commits_at_the_bookmark_and_the_next_run_goes_on(world):
    stop = threading.Event()
    world.source_faults.arm("read", lambda _: stop.set(), at=3)
    outcome = world.run(orders(), wish=Wish(mode="append"), stop=stop)
    assert only(outcome).outcome == "stopped"
    assert 0 < len(world.rows()) < 4
    world.run(orders(), wish=Wish(mode="append"))
    assert world.rows() == as_rows(ROWS)


def test_acknowledge_follows_each_commit(world):
    world.run(orders(), commit_every=EVERY_BOOKMARK)
    assert [b["cursor"] for _, b in world.acknowledged] == ["10", "20", "20", "30", "30"][: len(world.acknowledged)]
    assert world.acknowledged[-1] == ("orders", {"cursor": "30"})


def test_schema_changes_in_mid_read_keep_every_value(world):
    parts = (
        pa.table({"id": [1], "n": pa.array([1], pa.int32())}),
        pa.table({"id": [2], "n": [2**53 + 1], "more": ["x"]}),
        pa.table({"id": [3], "n": [Decimal("1.25")]}),
        pa.table({"id": [4], "n": ["007"], "more": ["y"]}),
    )
    world.run(orders(parts, cursor=None, ordered=False))
    table = world.store.table("memory", "orders")
    assert table.schema.field("n").type == pa.utf8()
    got = {r["id"]: (r["n"], r["more"]) for r in table.to_pylist()}
    assert {k: Decimal(v[0]) for k, v in got.items() if k < 4} == {1: 1, 2: 2**53 + 1, 3: Decimal("1.25")}
    assert got[4] == ("007", "y")
    assert got[1][1] is None


class Told:
    """Keeps what a run says of columns."""

    def __init__(self):
        self.changes = []

    @hookimpl
    def schema_changed(self, added, widened):
        self.changes.append((dict(added), dict(widened)))


def test_a_rebuild_tells_what_changed_of_the_table_and_no_more(world):
    def told(*numbers):
        parts = tuple(pa.table({"id": [n], "v": [value]}) for n, value in enumerate(numbers))
        seen = Told()
        world.run(orders(parts, cursor=None, ordered=False), observers=(observer(seen, "told", builtin=True),))
        return seen.changes

    assert told(1) == []
    assert told(1, Decimal("2.5"), "x") == [
        ({}, {"v": ("bigint", "decimal(20,1)")}),
        ({}, {"v": ("decimal(20,1)", "text")}),
    ]
    assert told(1, Decimal("2.5"), "x") == []
    assert told("x") == []


def test_nested_values_kept_as_json_stay_json_batch_after_batch_and_run_after_run(world):
    class Flat(MemoryDestination):
        def storage(self, field):
            return (pa.string(),) if pa.types.is_nested(field.type) else super().storage(field)

    def rows(*ids):
        return tuple(pa.table({"id": [n], "doc": [{"n": n}], "at": [n]}) for n in ids)

    for upto in (2, 3):
        source = orders(rows(*range(upto)))
        told = Told()
        run_sync(
            lambda source=source: MemorySource.of(source), Flat.of(world.store),
            observers=(observer(told, "told", builtin=True),),
        )  # fmt: skip
        assert told.changes == []
    doc = world.store.table("memory", "orders").schema.field("doc")
    assert (doc.type, doc.metadata[KIND]) == (pa.string(), b"json")
    assert [r["doc"] for r in world.rows()] == [f'{{"n": {n}}}' for n in range(3)]


def test_a_changed_mode_is_refused_and_the_choice_is_remembered(world):
    world.run(orders(), wish=Wish(mode="append"))
    assert only(world.run(orders())).mode == "append"
    with pytest.raises(UsageError, match="was synced with mode append, now merge"):
        world.run(orders(), wish=Wish(mode="merge"))
    assert world.run(orders(), wishes=Wishes(common=Wish(mode="merge"), full_refresh=True)).exit_code == 0
    assert world.rows() == as_rows(ROWS)


def test_from_replace_to_merge_rebuilds_so_that_no_stale_row_stays(world):
    world.run(orders(), wish=Wish(mode="replace"))
    gone = ROWS.slice(1)
    outcome = world.run(orders(gone), wish=Wish(cursor="at"))
    assert only(outcome).mode == "merge"
    assert world.rows() == as_rows(gone)
    assert only(world.run(orders(gone))).outcome == "unchanged"


def test_a_changed_filter_is_refused_by_what_the_bookmark_covers(world):
    world.run(orders(), wish=Wish(mode="merge"))
    with pytest.raises(StateError, match="where"):
        world.run(orders(), wish=Wish(mode="merge", where="id > 1"))


def test_a_restored_source_is_refused(world):
    world.run(orders(options={"incarnation": "one"}))
    with pytest.raises(StateError, match="recreated or restored"):
        world.run(orders(options={"incarnation": "two"}))


def test_a_table_dropped_by_the_user_is_rebuilt_from_empty(world):
    world.run(orders())
    world.store.drop("memory", "orders")
    assert world.run(orders()).exit_code == 0
    assert world.rows() == as_rows(ROWS)


def test_a_sample_touches_no_bookmark(world):
    world.run(orders())
    before = world.bookmarks
    world.run(orders(), wishes=Wishes(limit=2))
    assert len(world.rows("orders__sample")) == 2
    assert {k: v for k, v in world.bookmarks.items() if "sample" not in k[1]} == before
    assert world.rows() == as_rows(ROWS)


def test_rejected_rows_go_beside_the_table_up_to_the_limit(world):
    rows = pa.table({"id": [1, 2, 3], "v": ["1", "x", "3"], "at": [1, 2, 3]})
    wish = Wish(types={"v": "bigint"})
    refused = world.run(orders(rows, batch=10), wish=wish)
    assert refused.exit_code == DataError.exit_code
    error = only(refused).error
    assert error.message.startswith("stream orders, row 2: column 'v'")
    assert error.row == 1
    assert "'x'" not in error.message
    outcome = world.run(orders(rows, batch=10), wish=wish, max_rejects=MaxRejects(rows=1))
    assert outcome.exit_code == 0
    assert [r["v"] for r in world.rows()] == [1, 3]
    (rejected,) = world.rows("orders__rejected")
    assert (rejected["column"], rejected["row"]) == ("v", 2)
    assert '"x"' in rejected["raw"]


def test_a_log_of_several_streams_commits_them_together(world):
    log = pa.table({"id": [1, 2, 1], "v": ["a", "b", None], "_wherry_op": pa.array([0, 0, 1], pa.int8())})
    streams = [MemoryStream(name=n, tables=(log,), key=("id",), changes=True, batch=1) for n in ("a", "b")]
    assert world.run(*streams, log=True, commit_every=EVERY_BOOKMARK).exit_code == 0
    assert world.rows("a") == world.rows("b") == [{"id": 2, "v": "b"}]


def test_splits_side_by_side_make_one_table(world):
    many = pa.table({"id": list(range(100)), "v": [str(i) for i in range(100)], "at": list(range(100))})
    for mode in ("replace", "merge", "append"):
        world = World()
        assert world.run(orders(many, splits=4, batch=7), wish=Wish(mode=mode)).exit_code == 0
        assert world.rows() == as_rows(many)
        second = world.run(orders(many, splits=4, batch=7), wish=Wish(mode=mode))
        assert second.exit_code == 0
        assert world.rows() == as_rows(many)


def test_no_matching_stream_names_near_ones(world):
    with pytest.raises(UsageError) as caught:
        world.run(orders(), wishes=Wishes(only=("ordrs",)))
    assert "orders" in caught.value.next


def test_an_empty_stream_gets_its_table(world):
    outcome = world.run(orders(ROWS.slice(0, 0)))
    assert outcome.exit_code == 0
    assert world.store.table("memory", "orders").schema.names == ["id", "v", "at"]


def test_names_that_differ_only_by_case_get_tables_of_their_own(world):
    lower, upper = orders(name="items"), orders(ROWS.slice(2), name="Items")
    assert world.run(lower, upper).exit_code == 0
    tables = sorted(name for _, name in world.store.now.tables)
    assert len(tables) == 2


def test_errors_have_a_next_step():
    for error in (UsageError("x", next="y"), DataError("x", row=1, next="z")):
        assert WherryError.from_json(error.to_json()).next == error.next


def test_a_type_for_a_column_that_is_not_there_is_refused(world):
    with pytest.raises(UsageError, match="type: stream orders has no column 'idd'"):
        world.run(orders(), wishes=Wishes(common=Wish(types={"idd": "text"})))


def test_append_without_a_cursor_is_known_to_add_again(world):
    stream = orders(cursor=None, ordered=False)
    for runs in (1, 2):
        outcome = world.run(stream, wish=Wish(mode="append"))
        assert adds_again(outcome.choices[0].selection)
        assert len(world.rows()) == 4 * runs
    assert not adds_again(world.run(orders(name="other"), wish=Wish(mode="append")).choices[0].selection)
