"""Manners: what a source leaves behind, how it stops, and that it knows no other instance."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections import Counter
from pathlib import Path

from wherry.testing.reading import Item, Whole, items, select
from wherry.testing.source_suite.base import Make, SourceBase
from wherry.testing.suite import does_not_apply


class MannerTests(SourceBase):
    """Source.close, Run.stop, instances."""

    def test_a_read_that_is_given_up_leaves_nothing_behind(self, make: Make) -> None:
        """No thread, no child, no open file, after close."""
        _give_up(make)  # what is imported and pooled once stays
        _give_up(make)
        before = _left()
        for _ in range(3):
            _give_up(make)
        assert _left_after(before) == Counter()

    def test_closing_twice_or_without_a_read_is_fine(self, make: Make) -> None:
        """`close` is called always, also after an error."""
        source = make()
        source.close()
        source = make()
        list(source.discover())
        source.close()
        source.close()

    def test_a_stop_ends_the_read(self, make: Make) -> None:
        """At the next item."""
        source = make()
        for plan in source.plan(select(source), {}):
            reader = make()
            reading = items(reader, plan.splits[0])
            next(reading, None)
            reader.run.stop.set()
            started = time.monotonic()
            assert sum(item.rows is not None for item in reading) <= 1
            assert time.monotonic() - started < 10

    def test_two_instances_side_by_side(self, make: Make, whole: Whole) -> None:
        """Reading in turns, and from two threads: each gets everything."""
        planner = make()
        plans = list(planner.plan(select(planner), {}))
        for plan in plans:
            for split in plan.splits:
                readers = [items(make(), split) for _ in range(2)]
                halves: list[list[Item]] = [[], []]
                for pair in itertools.zip_longest(*readers):
                    for half, item in zip(halves, pair, strict=True):
                        half.extend([item] if item is not None else [])
                assert _rows(halves[0]) == _rows(halves[1])
        found: list[Counter[object]] = []
        sources = [make(), make()]

        def work(number: int) -> None:
            rows: Counter[object] = Counter()
            for plan in plans:
                for split in plan.splits:
                    rows += _rows(list(items(sources[number], split)))
            found.append(rows)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 2
        assert found[0] == found[1]


def _give_up(make: Make) -> None:
    planner = make()
    reader = make()
    for plan in planner.plan(select(planner), {}):
        reading = reader.read(plan.splits[0])
        next(reading, None)
        getattr(reading, "close", int)()
        break
    reader.close()
    planner.close()


def _left() -> Counter[str]:
    """Threads, children and open files of this process."""
    if not Path("/proc/self/fd").exists():
        does_not_apply("only where /proc tells of open files")
    found = Counter(f"thread {thread.name}" for thread in threading.enumerate())
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ended just now
            found.update(f"child {pid}" for pid in (task / "children").read_text().split())
    for handle in Path("/proc/self/fd").iterdir():
        try:
            found[f"file {os.readlink(handle)}"] += 1
        except OSError:  # the folder's own handle
            continue
    return found


def _left_after(before: Counter[str]) -> Counter[str]:
    """What is there now and was not before; connections may take a moment to go."""
    deadline = time.monotonic() + 5
    while (more := _left() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    return more


def _rows(found: list[Item]) -> Counter[object]:
    return Counter((item.stream, line) for item in found for line in item.lines())
