"""The kit finds what it is there to find: each fault below is put into a reference connector, and one test sees it."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from wherry.contracts.values import Batch, Mark, Split
from wherry.testing import DestinationSuite, MemoryDestination, MemorySource, MemoryStream, SourceSuite, Store
from wherry.testing.bench import Bench
from wherry.testing.memory import apply, load, session
from wherry.testing.reading import read, select, small

Patch = Callable[[pytest.MonkeyPatch], object]


class Suite(DestinationSuite):
    connector = MemoryDestination


def method(owner: Any, name: str, made: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Patch:
    """Replace a function by what `made` makes of it."""
    return lambda patch: patch.setattr(owner, name, made(getattr(owner, name)))


def nothing(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: None


def unswapped(_: Callable[..., Any]) -> Callable[..., Any]:
    """A commit that looks at nothing before it writes the bookmark."""

    def swap(self: Any, draft: Any, entry: Any) -> None:
        key = (self.session.hold, self.plan.key, self.split.key)
        draft.state[key] = dataclasses.replace(draft.state[key], bookmark=entry.bookmark, done=entry.done)

    return swap


def by_float(exactly: Callable[..., Any]) -> Callable[..., Any]:
    """Widening whole numbers by way of a double."""

    def cast(values: Any, column: Any) -> Any:
        if pa.types.is_integer(values.type) and not pa.types.is_integer(column.type):
            return values.cast(pa.float64(), safe=False).cast(pa.int64(), safe=False).cast(column.type)
        return exactly(values, column)

    return cast


def changed(function: str, **values: Any) -> Callable[..., Any]:
    """Call the function with other values of its `Facts`."""

    def made(old: Callable[..., Any]) -> Callable[..., Any]:
        def new(table: Any, staged: Any, target: Any, facts: Any) -> Any:
            return old(table, staged, target, dataclasses.replace(facts, **values))

        return new

    return made


def rounded(bookmark: Any) -> Any:
    return json.loads(json.dumps(bookmark), parse_int=float)


def with_rounded_bookmarks(commit: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, entry: commit(self, dataclasses.replace(entry, bookmark=rounded(entry.bookmark)))


def seen_at_once(write: Callable[..., Any]) -> Callable[..., Any]:
    """Rows go into the table before the commit."""

    def early(self: Any, stream: str, rows: Any) -> None:
        write(self, stream, rows)
        home = self.session._home(self.staged[stream].target)
        with self.session.store.transaction() as draft:
            draft.tables[home] = apply.evolve(draft.tables[home], self.staged[stream].target).slice(0, 0)

    return early


def believing(commit: Callable[..., Any]) -> Callable[..., Any]:
    """A commit that reports success whatever happened."""

    def blind(self: Any, entry: Any) -> Any:
        try:
            return commit(self, entry)
        except Exception:
            return None

    return blind


def overlapping(_: Callable[..., Any]) -> Callable[..., Any]:
    """A version ends when the load came, not when the next began."""

    def close(self: Any, version: Any, when: int | None = None) -> bool:
        version.until = self.facts.now
        return True

    return close


def unordered(changes: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: reversed(list(changes(self)))


def unstarted(start: Callable[..., Any]) -> Callable[..., Any]:
    """Starting a plan twice begins it anew."""

    def again(self: Any, plan: Any) -> Any:
        with self.store.transaction() as draft:
            draft.plans.pop((self.hold, plan.key), None)
            draft.published.pop((self.hold, plan.key), None)
        return start(self, plan)

    return again


def unpublished(publish: Callable[..., Any]) -> Callable[..., Any]:
    """Publishing twice publishes twice."""

    def again(self: Any, plan: Any, *rest: Any) -> Any:
        with self.store.transaction() as draft:
            draft.published.pop((self.hold, plan.key), None)
        return publish(self, plan, *rest)

    return again


def folded(home: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, target: tuple(name.lower() for name in home(self, target))


def unowned(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, draft, target: self._home(target)


DESTINATION: list[tuple[str, tuple[Any, ...], Patch]] = [
    ("test_of_two_loads_of_one_split_one_commits", (), method(load.MemoryLoad, "_compare_and_swap", unswapped)),
    ("test_a_lost_answer_is_not_committed_twice", (), method(load.MemoryLoad, "_compare_and_swap", unswapped)),
    ("test_a_superseded_session_cannot_commit", (), method(session.MemorySession, "guard", nothing)),
    ("test_wrong_counts_abort_the_load", (False, 2), method(load.MemoryLoad, "_count", nothing)),
    ("test_counts_of_rows_that_never_came_abort_the_load", (), method(load.MemoryLoad, "_count", nothing)),
    ("test_an_aborted_load_leaves_nothing", (True,), method(load.MemoryLoad, "abort", nothing)),
    ("test_a_broken_load_never_reports_success", (True,), method(load.MemoryLoad, "commit", believing)),
    ("test_rows_are_unseen_before_the_commit", (), method(load.MemoryLoad, "write", seen_at_once)),
    ("test_bookmarks_come_back_as_they_were", (), method(load.MemoryLoad, "commit", with_rounded_bookmarks)),
    ("test_widening_keeps_every_value", ("append",), method(apply, "exactly", by_float)),
    ("test_merge_goes_by_position_not_by_arrival", (), method(apply.Merge, "changes", unordered)),
    ("test_history_keeps_every_version", (), method(apply.Merge, "close", overlapping)),
    ("test_history_closes_what_a_complete_read_lacks", (), method(apply, "apply", changed("apply", complete=True))),
    ("test_truncate_empties_before_later_rows", (), method(apply, "apply", changed("apply", truncate=False))),
    ("test_parts_replace_their_own_rows", ("append",), method(apply, "apply", changed("apply", parts=()))),
    ("test_start_is_idempotent", (), method(session.MemorySession, "start", unstarted)),
    ("test_publish_is_idempotent", (), method(session.MemorySession, "publish", unpublished)),
    ("test_another_plan_drops_the_generation", (), method(session.MemorySession, "_drop_plan", nothing)),
    ("test_names_that_differ_by_case", (), method(session.MemorySession, "_home", folded)),
    ("test_tables_have_one_owner", (), method(session.MemorySession, "own", unowned)),
]


@pytest.mark.parametrize(("test", "arguments", "fault"), DESTINATION, ids=[case[0] for case in DESTINATION])
def test_a_fault_in_a_destination_is_found(
    test: str, arguments: tuple[Any, ...], fault: Patch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt() -> None:
        getattr(Suite(), test)(Bench(MemoryDestination.of(Store())), *arguments)

    attempt()
    fault(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, KeyError, AttributeError)):
        attempt()


def numbered(rows: int) -> pa.Table:
    ids = pa.array(range(rows), pa.int64())
    return pa.table({"id": ids, "at": pc.divide(ids, 7), "name": [f"n{n}" for n in range(rows)]})


STREAM = MemoryStream(name="s", tables=(numbered(100),), key=("id",), cursor="at", ordered=True, batch=10)


class Faulty(MemorySource):
    """A memory source whose items are tampered with by `tamper`."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        yield from items

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        yield from self.tamper(super().read(split), split)


class Forgetful(Faulty):
    """Leaves out the rest of a tie when it resumes."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        for item in items:
            if isinstance(item, Batch) and split.bookmark is not None:
                later = pc.greater(item.data["at"], int(split.bookmark["cursor"]))
                item = dataclasses.replace(item, data=item.data.filter(later))
            yield item


class Repeating(Faulty):
    """Resumes from the very start."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        yield from MemorySource.read(self, dataclasses.replace(split, bookmark=None))


class Retyped(Faulty):
    """Sends another type than it announced."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        for item in items:
            if isinstance(item, Batch):
                item = dataclasses.replace(item, data=item.data.set_column(0, "id", item.data["id"].cast(pa.int32())))
            yield item


class Backwards(Faulty):
    """Not in the order it claims."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        yield from reversed(list(items))


class Early(Faulty):
    """Has a bookmark before its rows, though they come in no order."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        yield Mark(bookmark={"cursor": "99"})
        yield from items


class Tuples(Faulty):
    """Bookmarks that JSON changes."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        for item in items:
            yield dataclasses.replace(item, bookmark=("a", 1))


class Generous(Faulty):
    """Knows no limit, and no columns."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        streams = (dataclasses.replace(split.streams[0], limit=None, columns=None),)
        yield from MemorySource.read(self, dataclasses.replace(split, streams=streams))


class Deaf(Faulty):
    """Goes on after a stop."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        found = list(items)
        yield from found


class Littering(Faulty):
    """Starts a thread and leaves it."""

    def tamper(self, items: Iterator[Batch | Mark], split: Split) -> Iterator[Batch | Mark]:
        threading.Thread(target=threading.Event().wait, args=(20,), daemon=True).start()
        yield from items


class Restless(Faulty):
    """Discovers something new each time."""

    found = 0

    def discover(self, only: Any = ("*",)) -> Any:
        type(self).found += 1
        return [dataclasses.replace(s, row_estimate=self.found) for s in super().discover(only)]


SOURCE: list[tuple[str, type[MemorySource]]] = [
    ("test_resumes_from_each_bookmark", Forgetful),
    ("test_resumes_from_each_bookmark", Repeating),
    ("test_a_second_run_finds_nothing_new", Repeating),
    ("test_batches_have_the_schema_that_was_announced", Retyped),
    ("test_rows_of_ordered_streams_come_in_order", Backwards),
    ("test_only_ordered_reads_have_a_bookmark_in_the_middle", Early),
    ("test_bookmarks_are_json", Tuples),
    ("test_limits_are_kept", Generous),
    ("test_columns_are_left_out", Generous),
    ("test_a_stop_ends_the_read", Deaf),
    ("test_a_read_that_is_given_up_leaves_nothing_behind", Littering),
    ("test_discovery_repeats_itself", Restless),
]


@pytest.mark.parametrize(("test", "faulty"), SOURCE, ids=[f"{test}-{faulty.__name__}" for test, faulty in SOURCE])
def test_a_fault_in_a_source_is_found(test: str, faulty: type[MemorySource]) -> None:
    stream = dataclasses.replace(STREAM, ordered=faulty is not Early)

    def attempt(kind: type[MemorySource]) -> None:
        class Suite(SourceSuite):
            connector = kind

        def make() -> Any:
            return small(kind.of(stream))

        known: dict[str, Any] = {"make": make, "whole": lambda: read(make(), select(make()))}
        wanted = getattr(Suite, test).__code__.co_varnames[1 : getattr(Suite, test).__code__.co_argcount]
        values = [make if name == "make" else known[name]() for name in wanted]
        getattr(Suite(), test)(*values)

    attempt(MemorySource)
    with pytest.raises(AssertionError):
        attempt(faulty)
