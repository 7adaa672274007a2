"""Hand-overs in the pipeline, between the reference connectors: one load, the same table, or a read instead."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pytest
from wherry import HandOffRefused, Mark, Piece, TransientError
from wherry.hookspecs import hookimpl
from wherry.host.hooks import observer
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.select import Wishes
from wherry.testing import (
    Faults,
    HandOffRun,
    MemoryDestination,
    MemorySource,
    MemoryStream,
    Store,
    Wish,
    handed_and_read,
    handoff_differences,
    run_sync,
)

FORM = "arrow-ipc"
ROWS = pa.table({"id": pa.array(range(10), pa.int64()), "t": [None, "", "a"] * 3 + ["b"]})


def stream(**options: Any) -> MemoryStream:
    return MemoryStream(**({"name": "orders", "tables": (ROWS,), "batch": 3, "handoff": True} | options))


def both(memory: MemoryStream, faults: Any = None, **options: Any) -> HandOffRun:
    """A hand-over that differs in nothing from the read beside it."""
    stores: dict[str, Store] = {}

    def place(name: str) -> MemoryDestination:
        return MemoryDestination.of(stores.setdefault(name, Store()))

    handed, read = handed_and_read(
        lambda: MemorySource.of(memory, **({"faults": faults()} if faults else {})), place, **options
    )
    assert not handoff_differences(handed, read)
    assert set(read.handed.values()) == {None}
    return handed


def test_a_table_is_handed_over_in_one_load() -> None:
    found = both(stream())
    assert found.handed == {"orders": FORM}
    assert found.outcome.streams[0].counts["staged"] == 10
    assert found.tables["orders"].num_rows == 10


def test_its_beginning_is_told_before_there_are_figures() -> None:
    told: list[tuple[str, int]] = []

    class Watcher:
        @hookimpl
        def batch_loaded(self, stream: str, rows: int) -> None:
            told.append((stream, rows))

    run_sync(
        lambda: MemorySource.of(stream()), MemoryDestination.of(Store()), handoff=True,
        observers=(observer(Watcher(), "watcher"),),
    )  # fmt: skip
    assert told[0] == ("orders", 0)
    assert sum(rows for _, rows in told) == 10


@pytest.mark.parametrize(
    ("memory", "options"),
    [
        (stream(key=("id",)), {"wish": Wish(mode="merge")}),
        (stream(cursor="id"), {"wish": Wish(mode="append", cursor="id")}),
        (stream(), {"wish": Wish(types={"id": "text"})}),
        (stream(splits=2), {}),
        (stream(changes=True, key=("id",)), {}),
    ],
)
def test_where_values_are_needed_rows_are_read(memory: MemoryStream, options: dict[str, Any]) -> None:
    assert both(memory, **options).handed == {"orders": None}


def test_a_sample_is_read() -> None:
    outcome = run_sync(
        lambda: MemorySource.of(stream()), MemoryDestination.of(Store()), wishes=Wishes(limit=3), handoff=True
    )
    assert outcome.streams[0].handed is None
    assert outcome.streams[0].counts["staged"] == 3


def test_small_tables_only_where_they_are_asked_for() -> None:
    def handed(**options: Any) -> str | None:
        outcome = run_sync(lambda: MemorySource.of(stream()), MemoryDestination.of(Store()), **options)
        return outcome.streams[0].handed

    assert (handed(handoff=True), handed(handoff=False)) == (FORM, None)


@pytest.mark.parametrize("point", ["hand over", "take"])
def test_a_refusal_in_the_middle_leaves_nothing_behind(point: str) -> None:
    faults = Faults().arm(point, HandOffRefused("a value does not bear it"), at=3)
    store = Store()
    source_faults = {"faults": faults} if point == "hand over" else {}
    place = MemoryDestination.of(store, **({"faults": faults} if point == "take" else {}))
    outcome = run_sync(lambda: MemorySource.of(stream(), **source_faults), place, handoff=True)
    assert outcome.exit_code == 0
    assert outcome.streams[0].handed is None
    assert outcome.streams[0].counts["staged"] == 10
    (table,) = store.now.tables.values()
    assert table.column("id").to_pylist() == list(range(10))
    assert not store.now.rebuilds


def test_what_may_pass_is_tried_again() -> None:
    faults = Faults().arm("take", TransientError("the network blinked"), at=3)
    outcome = run_sync(lambda: MemorySource.of(stream()), MemoryDestination.of(Store(), faults=faults), handoff=True)
    assert (outcome.exit_code, outcome.streams[0].handed, outcome.streams[0].counts["staged"]) == (0, FORM, 10)


class Miscounting(MemorySource):
    """Says of each piece that it has a row more than it has."""

    def hand_over(self, split: Any, form: str) -> Any:
        for item in super().hand_over(split, form):
            yield (
                item
                if isinstance(item, Mark)
                else Piece(stream=item.stream, data=item.data, rows=(item.rows or 0) + 1, size=item.size)
            )


def test_rows_that_do_not_arrive_abort_the_load() -> None:
    store = Store()
    config = MemorySource.Config(streams=(stream(),))
    outcome = run_sync(lambda: Miscounting(config), MemoryDestination.of(store), handoff=True)
    assert outcome.exit_code == 4
    assert "10 rows staged, 14 expected" in str(outcome.streams[0].error)
    assert not store.now.tables


def test_a_table_whose_column_is_wider_is_written_through_it() -> None:
    store = Store()
    text = pa.table({"id": ["x"], "t": ["y"]})
    for table in (text, ROWS):
        outcome = run_sync(
            lambda table=table: MemorySource.of(stream(tables=(table,))), MemoryDestination.of(store), handoff=True
        )
    assert outcome.streams[0].handed is None


def test_a_stop_commits_nothing() -> None:
    stop, store = threading.Event(), Store()
    faults = Faults().arm("hand over", lambda _: stop.set(), at=3)
    outcome = run_sync(
        lambda: MemorySource.of(stream(), faults=faults), MemoryDestination.of(store), handoff=True, stop=stop
    )
    assert outcome.streams[0].outcome == "stopped"
    assert not store.now.tables
    again = run_sync(lambda: MemorySource.of(stream()), MemoryDestination.of(store), handoff=True)
    assert (again.streams[0].handed, again.streams[0].counts["staged"]) == (FORM, 10)


def test_an_engine_that_a_stop_interrupted_is_not_said_to_refuse() -> None:
    stop, told = threading.Event(), []

    class Watcher:
        @hookimpl
        def message(self, text: str) -> None:
            told.append(text)

    def interrupted(_: object) -> None:
        stop.set()
        raise HandOffRefused("interrupted")

    def run(stop: threading.Event, action: Any) -> str:
        outcome = run_sync(
            lambda: MemorySource.of(stream(), faults=Faults().arm("hand over", action, at=2)),
            MemoryDestination.of(Store()), handoff=True, stop=stop, observers=(observer(Watcher(), "watcher"),),
        )  # fmt: skip
        return outcome.streams[0].outcome

    assert (run(stop, interrupted), told) == ("stopped", [])
    assert run(threading.Event(), HandOffRefused("no")) == "committed"
    assert told == [f"orders: not handed over as {FORM}, but read: no"]


class Eager(MemorySource):
    """Offers each split, and a bookmark after each piece."""

    def handoff(self, split: Any) -> str:
        return FORM

    def hand_over(self, split: Any, form: str) -> Any:
        for number, item in enumerate(super().hand_over(split, form)):
            yield item
            if isinstance(item, Piece):
                yield Mark(bookmark={"piece": number})


@pytest.mark.parametrize(("splits", "form", "loads"), [(1, FORM, 1), (2, None, 2)])
def test_a_hand_over_is_one_load_of_a_stream_that_no_other_shares(splits: int, form: str | None, loads: int) -> None:
    store = Store()
    config = MemorySource.Config(streams=(stream(splits=splits),))
    every = CommitEvery(rows=1, bytes=1, seconds=0)
    outcome = run_sync(lambda: Eager(config), MemoryDestination.of(store), handoff=True, commit_every=every)
    assert (outcome.streams[0].handed, outcome.streams[0].counts["staged"]) == (form, 10)
    assert len({load for load, _ in store.now.loads}) == loads
