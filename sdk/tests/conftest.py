"""What tests of whole runs share: a destination in memory, and a source that a test writes down as functions."""

import threading

import pytest
from wherry import Progress, ReadPlan, Source, Split
from wherry.pipeline.lanes import Patience
from wherry.testing import Faults, MemoryDestination, MemorySource, Store, run_sync

SOON = Patience(attempts=4, seconds=5, longest_wait=0.01)


class Scripted(Source):
    """A source made of what a test hands over: streams, `plan(selected, progress)`, `read(source, split)`."""

    def __init__(self, streams, read, plan=None, closed=None):
        super().__init__(self.Config())
        self.streams, self.reading, self.planning, self.closed = streams, read, plan, closed

    def identity(self):
        return "memory", "memory"

    def discover(self, only=("*",)):
        return self.streams

    def plan(self, selected, progress):
        return super().plan(selected, progress) if self.planning is None else self.planning(selected, progress)

    def read(self, split):
        return self.reading(self, split)

    def close(self):
        if self.closed is not None:
            self.closed()


def in_splits(*keys, **options):
    """A `plan` of one plan for the first stream, with these splits; an open one is resumed."""

    def plan(selected, progress):
        path = selected[0].stream.path
        known = progress.get(path, Progress())
        if known.open is not None:
            return [known.open]
        splits = tuple(Split(key=key, streams=tuple(selected), bookmark=known.bookmark) for key in keys)
        return [ReadPlan(key=path, splits=splits, **options)]

    return plan


class World:
    """A destination in memory that outlives runs, with fault switches on both sides."""

    def __init__(self):
        self.store = Store()
        self.faults = Faults()
        self.source_faults = Faults()
        self.acknowledged = []

    def sync(self, new_source, **settings):
        """One run of any source."""
        settings.setdefault("patience", SOON)
        return run_sync(new_source, MemoryDestination.of(self.store, faults=self.faults), **settings)

    def run(self, *streams, log=False, **settings):
        """One run of these streams."""
        return self.sync(
            lambda: MemorySource.of(*streams, log=log, faults=self.source_faults, acknowledged=self.acknowledged),
            **settings,
        )

    def script(self, streams, read, plan=None, closed=None, **settings):
        """One run of a scripted source."""
        return self.sync(lambda: Scripted(streams, read, plan, closed), **settings)

    def table(self, name="orders", schema="memory"):
        return self.store.table(schema, name)

    def rows(self, name="orders", schema="memory"):
        return sorted(self.table(name, schema).to_pylist(), key=str)

    def live(self, name="orders", schema="memory"):
        """Rows of a history table that are valid now."""
        rows = self.store.now.tables[schema, name].to_pylist()
        live = [r for r in rows if not r["_wherry_valid_to"]]
        return sorted(({k: v for k, v in r.items() if not k.startswith("_wherry_")} for r in live), key=str)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def splitting():
    return in_splits


@pytest.fixture
def threads_end():
    """Fails the test when a thread that it started is still alive at its end."""
    before = set(threading.enumerate())
    yield
    late = [t for t in threading.enumerate() if t not in before]
    for thread in late:
        thread.join(5)
    assert [t.name for t in late if t.is_alive()] == []
