"""The fences: what keeps a commit that must not happen from happening, or from being believed."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pyarrow as pa
import pytest

from wherry.contracts.destination import Load
from wherry.contracts.loading import Counts, Target
from wherry.contracts.values import ReadPlan
from wherry.errors import LeaseError, TransientError, WherryError
from wherry.testing.bench import Bench, write
from wherry.testing.compare import tables_equal
from wherry.testing.destination_suite.base import DestinationBase, people
from wherry.testing.suite import cases

BEFORE, MORE = people((1, "before")), people((2, "more"))


class FenceTests(DestinationBase):
    """Load.commit, Load.abort, the lease."""

    def test_rows_are_unseen_before_the_commit(self, bench: Bench) -> None:
        """Also while a load is open."""
        target, plan = self._begun(bench)
        load = self._written(bench, plan, target)
        self._stands(bench, target)
        load.commit(bench.entry({"t": 1}))
        assert tables_equal(bench.read(target, BEFORE), pa.concat_tables([BEFORE, MORE]))

    @cases("exclusive", [True, False])
    def test_an_aborted_load_leaves_nothing(self, bench: Bench, exclusive: bool) -> None:
        """Aborting twice is fine; a load that is over cannot commit."""
        target, plan = self._begun(bench, exclusive)
        load = self._written(bench, plan, target)
        load.abort()
        load.abort()
        with pytest.raises(WherryError):
            load.commit(bench.entry({"t": 1}))
        self._stands(bench, target)

    @cases("exclusive", [True, False])
    @pytest.mark.parametrize("wrong", [0, 2, 1_000_000])
    def test_wrong_counts_abort_the_load(self, bench: Bench, exclusive: bool, wrong: int) -> None:
        """Neither rows nor bookmark; the right load passes afterwards."""
        target, plan = self._begun(bench, exclusive)
        load = self._written(bench, plan, target)
        with pytest.raises(WherryError):
            load.commit(bench.entry({"t": wrong}))
        load.abort()
        self._stands(bench, target)
        self._written(bench, plan, target).commit(bench.entry({"t": 1}))
        assert tables_equal(bench.read(target, BEFORE), pa.concat_tables([BEFORE, MORE]))

    def test_counts_of_rows_that_never_came_abort_the_load(self, bench: Bench) -> None:
        """A stream that was counted but not written."""
        target, plan = self._begun(bench)
        load = self._written(bench, plan, target)
        with pytest.raises(WherryError):
            load.commit(bench.entry({"t": 1, "lost": 3}))
        self._stands(bench, target)

    def test_rejected_rows_are_counted_apart(self, bench: Bench) -> None:
        """staged = mapped - rejected, and rejects are rows of one more target."""
        target, plan = self._begun(bench)
        rejects = bench.target(pa.schema([("reason", pa.string())]), stream="t__rejected")
        load = self._written(bench, plan, target)
        load.prepare(rejects)
        reasons = pa.table({"reason": ["why", "because"]})
        write(load, rejects, reasons)
        counts = {"t": Counts(read=4, boundary=1, mapped=3, rejected=2), "t__rejected": Counts(read=2, mapped=2)}
        load.commit(dataclasses.replace(bench.entry({}), counts=counts))
        assert tables_equal(bench.read(rejects, reasons), reasons)
        assert bench.read(target).num_rows == 2

    @cases("exclusive", [True, False])
    def test_a_broken_load_never_reports_success(self, bench: Bench, exclusive: bool) -> None:
        """After a write or a commit that failed, COMMIT would be answered without an error by some engines."""
        target, plan = self._begun(bench, exclusive)
        load = self._written(bench, plan, target)
        broken = pa.table({"id": ["not a number"], "name": ["x"]}).to_batches()[0]
        with pytest.raises((WherryError, pa.ArrowException)):
            self._break(bench, load, broken)
        with pytest.raises((WherryError, pa.ArrowException)):
            load.commit(bench.entry({"t": 2}))
        load.abort()
        self._stands(bench, target)
        self._written(bench, plan, target).commit(bench.entry({"t": 1}))

    def test_of_two_loads_of_one_split_one_commits(self, bench: Bench) -> None:
        """The compare-and-swap: both started from the same bookmark."""
        target, plan = self._begun(bench)
        one, two = self._written(bench, plan, target), self._written(bench, plan, target)
        one.commit(bench.entry({"t": 1}, bookmark={"one": 1}))
        with pytest.raises(TransientError):
            two.commit(bench.entry({"t": 1}, bookmark={"two": 2}))
        two.abort()
        assert tables_equal(bench.read(target, BEFORE), pa.concat_tables([BEFORE, MORE]))
        opened = bench.progress().open
        assert opened is not None
        assert opened.splits[0].bookmark == {"one": 1}

    def test_a_lost_answer_is_not_committed_twice(self, bench: Bench) -> None:
        """A session that does not know of a commit cannot repeat it; `resume` tells it."""
        target, plan = self._begun(bench)
        worker = bench.destination.open(bench.pipeline, schema=bench.schema, join=bench.session.lease)
        try:
            self._written(bench, plan, target).commit(bench.entry({"t": 1}, bookmark={"n": 1}))
            behind = self._written(bench, plan, target, worker)
            with pytest.raises(TransientError):
                behind.commit(bench.entry({"t": 1}, bookmark={"n": 1}))
            behind.abort()
            known = worker.resume(plan).open
            assert known is not None
            assert known.splits[0].bookmark == {"n": 1}
            self._written(bench, plan, target, worker).commit(bench.entry({"t": 1}, bookmark={"n": 2}))
        finally:
            worker.close()
        assert tables_equal(bench.read(target, BEFORE), pa.concat_tables([BEFORE, MORE, MORE]))

    def test_a_superseded_session_cannot_commit(self, bench: Bench) -> None:
        """A worker of run 1 has its rows staged when run 2 begins."""
        target, plan = self._begun(bench)
        worker = bench.destination.open(bench.pipeline, schema=bench.schema, join=bench.session.lease)
        try:
            load = self._written(bench, plan, target, worker)
            bench.reopen()
            with pytest.raises(WherryError):
                load.commit(bench.entry({"t": 1}))
            load.abort()
            with pytest.raises(WherryError):
                self._written(bench, plan, target, worker).commit(bench.entry({"t": 1}))
            with pytest.raises(WherryError):
                worker.start(bench.plan(target))
            with pytest.raises(WherryError):
                worker.set("kit", {"mine": 1})
            with pytest.raises(WherryError):
                worker.publish(plan, [], 1, bench.entry({}))
        finally:
            worker.close()
        self._stands(bench, target)
        known = bench.progress().open
        assert known is not None
        assert known.id == plan.id

    def test_a_lease_that_is_over_cannot_be_joined(self, bench: Bench) -> None:
        """Run 1's, in run 2."""
        lease = bench.session.lease
        bench.reopen()
        with pytest.raises(WherryError):
            bench.destination.open(bench.pipeline, schema=bench.schema, join=lease)

    def test_one_writer_a_pipeline(self, bench: Bench, config: dict[str, Any]) -> None:
        """The second is refused and told who holds it; the lease is free after close."""
        holder = bench.session.lease.holder
        for destination in (bench.destination, self.make(config)):
            with pytest.raises(LeaseError) as refused:
                destination.open(bench.pipeline, schema=bench.schema)
            assert holder in str(refused.value)
        bench.close()
        later = self.make(config).open(bench.pipeline, schema=bench.schema)
        assert later.lease.epoch == 2
        later.close()

    def test_waiting_for_the_lease(self, bench: Bench, config: dict[str, Any]) -> None:
        """`open(wait=…)` has it once the other is done."""
        assert bench.session.lease.epoch == 1
        timer = threading.Timer(0.5, bench.close)
        timer.start()
        later = self.make(config).open(bench.pipeline, schema=bench.schema, wait=30)
        timer.join()
        assert later.lease.epoch == 2
        later.close()

    def test_loads_side_by_side(self, bench: Bench) -> None:
        """As many as declared, of splits of one plan, from threads, into one table, a new column on the way."""
        count = self.connector.capabilities.loads
        wide = BEFORE.append_column("more", pa.array(["x"]))
        target = bench.target(BEFORE)
        plan = bench.started(target, splits=tuple(f"s{n}" for n in range(count)))
        errors: list[BaseException] = []
        barrier = threading.Barrier(count, timeout=60)

        def work(number: int) -> None:
            try:
                rows = (people if number % 2 else _wide)((number, "a"), (number + 1000, "b"))
                mine = bench.target(rows)
                load = bench.begin(plan, f"s{number}")
                load.prepare(mine)
                write(load, mine, rows)
                barrier.wait()
                load.commit(bench.entry({"t": 2}, done=True))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        wanted = [(people if n % 2 else _wide)((n, "a"), (n + 1000, "b")) for n in range(count)]
        found = bench.read(bench.target(wide), wide)
        assert tables_equal(found, pa.concat_tables(wanted, promote_options="default"), key=["id"])
        assert len(bench.progress().done) == count

    def _begun(self, bench: Bench, exclusive: bool = False) -> tuple[Target, ReadPlan]:
        """A table with one row, its load committed at bookmark {"n": 0}."""
        target = bench.target(BEFORE, exclusive=exclusive)
        plan = bench.started(target)
        bench.put(target, BEFORE, plan, bookmark={"n": 0})
        return target, plan

    def _written(self, bench: Bench, plan: ReadPlan, target: Target, session: Any = None) -> Load:
        load = bench.begin(plan, session=session)
        load.prepare(target)
        write(load, target, MORE)
        return load

    def _break(self, bench: Bench, load: Load, batch: pa.RecordBatch) -> None:
        load.write("t", batch)
        load.commit(bench.entry({"t": 2}))

    def _stands(self, bench: Bench, target: Target) -> None:
        """Rows and bookmark are as `_begun` left them."""
        assert tables_equal(bench.read(target, BEFORE), BEFORE)
        opened = bench.progress().open
        assert opened is not None
        assert opened.splits[0].bookmark == {"n": 0}


def _wide(*rows: tuple[int, str]) -> pa.Table:
    table = people(*rows)
    return table.append_column("more", pa.array(["x"] * table.num_rows))
