"""Random histories: a source that changes, runs that are hurt anywhere; after an undisturbed run all must be there.

The oracle is a model of a few lines that knows nothing of loads, bookmarks or plans: what the source holds now, and
all that it ever held.
"""

import itertools
import random
import threading
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from wherry import StateError, TransientError
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.lanes import Patience
from wherry.pipeline.select import Wish, Wishes
from wherry.testing import Faults, MemoryDestination, MemorySource, MemoryStream, Store, run_sync

POINTS = ["start", "prepare", "write", "before commit", "after commit", "before publish", "after publish"]
FOREVER = 1_000_000


def texts(rows):
    """Rows as a multiset: equal whatever the column types were widened to, absent the same as NULL."""
    return Counter(tuple(sorted((k, str(v)) for k, v in row.items() if v is not None)) for row in rows)


class Sync(RuleBasedStateMachine):
    """One stream, its table, and what happens to both."""

    workers = 1

    @initialize(
        mode=st.sampled_from(["replace", "append", "merge", "history"]),
        order=st.sampled_from(["none", "ordered", "unordered"]),
        keyed=st.booleans(),
        splits=st.sampled_from([1, 1, 2, 3]),
        batch=st.integers(1, 4),
        lookback=st.sampled_from([0, 0, 1, 2]),
        seed=st.integers(0, 999),
    )
    def begin(self, mode, order, keyed, splits, batch, lookback, seed):
        keyed = keyed or mode in ("merge", "history")
        assume(mode != "append" or order != "none")
        self.mode, self.order, self.keyed, self.splits, self.batch = mode, order, keyed, splits, batch
        self.lookback = lookback if keyed and order != "none" and mode != "replace" else 0
        whole = (order, splits) == ("none", 1)  # one load holds all keys that there are
        self.sees_deletes = mode == "replace" or (mode == "history" and whole)
        self.random = random.Random(seed)
        self.store = Store()
        self.rows, self.ever, self.versions = [], Counter(), {}
        self.clock, self.next_id, self.extra, self.text = 1, 0, False, False

    # --- the source changes; its cursor never falls behind what was read

    @rule(values=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 0, 1, None])), min_size=1, max_size=4))
    def insert(self, values):
        for value, later in values:
            self.clock += later or 0
            row = {"v": value, "at": None if later is None and self.mode != "history" else self.clock}
            if self.keyed:
                self.next_id += 1
                row["id"] = self.next_id
            self._put(row)

    @precondition(lambda self: self.rows and self.mode != "append")
    @rule(n=st.integers(0, 99), value=st.integers(0, 2), later=st.booleans())
    def update(self, n, value, later):
        row = self.rows.pop(n % len(self.rows))
        self.clock += later
        self._put(row | {"v": value, "at": self.clock})

    @precondition(lambda self: self.rows and self.sees_deletes)
    @rule(n=st.integers(0, 99))
    def delete(self, n):
        del self.rows[n % len(self.rows)]

    @precondition(lambda self: not self.text)
    @rule()
    def turn_to_text(self):
        """From now on `v` is text at the source, also in old rows."""
        self.text = True

    @precondition(lambda self: not self.extra)
    @rule()
    def add_column(self):
        """From now on rows have one more column; NULL in old ones."""
        self.extra = True

    def _put(self, row):
        if self.extra:
            row = row | {"extra": self.random.choice(["a", None])}
        self.rows.append(row)
        self.ever += texts([row])
        self.versions.setdefault(row.get("id"), []).append(row)

    def _stream(self):
        rows = list(self.rows)
        self.random.shuffle(rows)  # also among equal cursor values no order is promised
        if self.order == "ordered":
            rows.sort(key=lambda row: -1 if row["at"] is None else row["at"])
        fields = [("v", pa.utf8() if self.text else pa.int64()), ("at", pa.int64())]
        fields += [("id", pa.int64())] * self.keyed + [("extra", pa.utf8())] * self.extra
        typed = [row | {"v": str(row["v"]) if self.text else row["v"]} for row in rows]
        middle = self.random.randrange(len(rows) + 1)
        second = pa.Table.from_pylist(typed[middle:], pa.schema(fields))
        if self.text and all(isinstance(row["v"], int) for row in rows[:middle]):
            fields[0] = ("v", pa.int64())  # the schema changes in mid-read
            typed[:middle] = rows[:middle]
        first = pa.Table.from_pylist(typed[:middle], pa.schema(fields))
        return MemoryStream(
            name="t", tables=(first, second), key=("id",) if self.keyed else (), batch=self.batch, splits=self.splits,
            cursor=None if self.order == "none" else "at", ordered=self.order == "ordered",
        )  # fmt: skip

    # --- runs

    def _run(self, source=None, destination=None, stop=None, every=1, full=False):
        """A run; where the source changed under an unfinished one, and it says so, the way out that it tells."""
        try:
            return self._sync(source, destination, stop, every, full)
        except StateError as refused:
            if self.mode != "append" or self.splits == 1 or full or "--full-refresh" not in refused.next:
                raise
            return self._sync(source, destination, stop, every, True)

    def _sync(self, source, destination, stop, every, full):
        stream = self._stream()
        wish = Wish(mode=self.mode, lookback=self.lookback or None)
        outcome = run_sync(
            lambda: MemorySource.of(stream, faults=source or Faults()),
            MemoryDestination.of(self.store, faults=destination or Faults()),
            wishes=Wishes(common=wish, full_refresh=full), stop=stop, yes=True, workers=self.workers,
            commit_every=CommitEvery(rows=every), patience=Patience(attempts=3, seconds=5, longest_wait=0.0001),
        )  # fmt: skip
        note(f"{[(s.outcome, str(s.error)) for s in outcome.streams]} {self.store.now.tables.keys()}")
        return outcome

    @rule(
        point=st.sampled_from([*POINTS, "read", "read"]),
        at=st.integers(1, 6),
        times=st.sampled_from([1, 1, 2, FOREVER]),
        every=st.sampled_from([1, 2, 99]),
        full=st.sampled_from([False, False, False, True]),
    )
    def hurt(self, point, at, times, every, full):
        """A run with failures that pass, or, with times=FOREVER, one that dies."""
        faults = Faults().arm(point, TransientError("the line broke"), at=at, times=times)
        side = {"source" if point == "read" else "destination": faults}
        assert self._run(**side, every=every, full=full).exit_code in (0, 3, 4)

    @rule(at=st.integers(1, 8), every=st.sampled_from([1, 2, 99]), full=st.sampled_from([False, False, True]))
    def stop(self, at, every, full):
        """A run that is asked to stop at some item."""
        stop = threading.Event()
        self._run(source=Faults().arm("read", lambda _: stop.set(), at=at), stop=stop, every=every, full=full)

    @rule(every=st.sampled_from([1, 2, 99]))
    def settle(self, every):
        """An undisturbed run: afterwards the table is what the model says."""
        outcome = self._run(every=every)
        assert outcome.exit_code == 0, outcome.streams[0].error
        table = self.store.now.tables["memory", "t"].to_pylist()
        live = [r for r in table if r.get("_wherry_valid_to") is None]
        got = texts([{k: v for k, v in r.items() if not k.startswith("_")} for r in live])
        assert got == (self.ever if self.mode == "append" else texts(self.rows))
        if self.mode == "history":
            self._check_versions(table)

    def _check_versions(self, table):
        """Versions of a key are some of those that the source had, in their order, without gaps or overlaps in time."""
        for key in {row["id"] for row in table}:
            mine = sorted((r for r in table if r["id"] == key), key=lambda r: r["_wherry_valid_from"])
            for one, other in itertools.pairwise(mine):
                assert one["_wherry_valid_to"] is not None
                assert one["_wherry_valid_to"] <= other["_wherry_valid_from"]
            had = [texts([r]) for r in self.versions[key]]
            for version in ({k: v for k, v in r.items() if not k.startswith("_")} for r in mine):
                assert texts([version]) in had
                had = had[had.index(texts([version])) :]

    @invariant()
    def nothing_is_there_twice(self):
        """Not even between runs: in append no row more often than the source ever had it, in merge no key twice."""
        if not getattr(self, "store", None) or ("memory", "t") not in self.store.now.tables:
            return
        table = self.store.now.tables["memory", "t"].to_pylist()
        rows = [{k: v for k, v in r.items() if not k.startswith("_")} for r in table]
        if self.mode == "append":
            assert not texts(rows) - self.ever
        if self.mode == "merge":
            assert max(Counter(r["id"] for r in rows).values(), default=0) <= 1

    def teardown(self):
        if getattr(self, "store", None):
            self.settle(1)
            self.settle(1)


QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
TestFuzz = Sync.TestCase
TestFuzz.settings = settings(
    max_examples=250, stateful_step_count=10, deadline=None, suppress_health_check=QUIET, print_blob=True
)
TestFuzz.pytestmark = [pytest.mark.timeout(300)]


class Long(Sync):
    """The same, much longer, splits side by side."""

    workers = 3


TestLongFuzz = Long.TestCase
TestLongFuzz.settings = settings(TestFuzz.settings, max_examples=4000, stateful_step_count=25)
TestLongFuzz.pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
