"""Generations: a table is rebuilt aside and published at once; readers see the old one whole until then."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa

from wherry.contracts.destination import Load
from wherry.contracts.loading import Target
from wherry.contracts.values import ReadPlan
from wherry.testing.bench import Bench, cast, write
from wherry.testing.compare import tables_equal
from wherry.testing.destination_suite.base import DestinationBase, people
from wherry.testing.suite import cases, does_not_apply

OLD, NEW = people((1, "old"), (2, "old")), people((2, "new"), (3, "new"), (4, "new"))


class GenerationTests(DestinationBase):
    """Session.start, Session.publish, Target.generation."""

    @cases("exclusive", [True, False])
    def test_readers_see_the_old_table_until_it_is_published(self, bench: Bench, exclusive: bool) -> None:
        """In three loads, over two splits."""
        self._published(bench, OLD)
        plan, target = self._building(bench, splits=("a", "b"), exclusive=exclusive)
        for split, start, done in (("a", 0, False), ("a", 1, True), ("b", 2, True)):
            bench.put(target, NEW.slice(start, 1), plan, split=split, done=done)
            self._shows(bench, target, OLD)
        bench.publish(plan, target)
        self._shows(bench, target, NEW)
        assert bench.progress().open is None

    def test_publish_is_idempotent(self, bench: Bench) -> None:
        """The second time, in another run too, gives the first receipt and changes nothing."""
        plan, target = self._building(bench)
        bench.put(target, NEW, plan, done=True)
        receipt = bench.publish(plan, target, bookmark={"end": 5})
        assert bench.publish(plan, target, bookmark={"end": 6}) == receipt
        bench.reopen()
        assert bench.publish(plan, target, bookmark={"end": 7}) == receipt
        assert bench.progress().bookmark == {"end": 5}
        self._shows(bench, target, NEW)

    def test_start_is_idempotent(self, bench: Bench) -> None:
        """By the plan's id, in another run too; what was loaded stays."""
        plan, target = self._building(bench)
        bench.put(target, NEW.slice(0, 1), plan, bookmark={"load": 1})
        assert bench.session.start(plan) == target.generation
        bench.reopen()
        assert bench.session.start(plan) == target.generation
        opened = bench.progress().open
        assert opened is not None
        assert opened.splits[0].bookmark == {"load": 1}
        bench.put(target, NEW.slice(1), opened, done=True)
        bench.publish(plan, target)
        self._shows(bench, target, NEW)

    def test_another_plan_drops_the_generation(self, bench: Bench) -> None:
        """Nothing of it is left, and nothing of it is published."""
        self._published(bench, OLD)
        before = self.tables(bench) if self.connector.capabilities.sql else set()
        plan, target = self._building(bench)
        bench.put(target, people((9, "leftover")), plan)
        again, fresh = self._building(bench)
        assert fresh.generation != target.generation
        bench.put(fresh, NEW, again, done=True)
        bench.publish(again, fresh)
        self._shows(bench, fresh, NEW)
        bench.reopen()
        assert bench.session.schema(target) is None
        if self.connector.capabilities.sql:
            assert self.tables(bench) == before

    def test_an_empty_generation_empties_the_table(self, bench: Bench) -> None:
        """Published after a complete read of nothing."""
        self._published(bench, OLD)
        plan, target = self._building(bench)
        bench.put(target, people(), plan, done=True)
        bench.publish(plan, target)
        self._shows(bench, target, people())

    def test_a_generation_may_have_other_columns(self, bench: Bench) -> None:
        """New ones come, wider types too; a lost one may stay as NULLs or go."""
        self._published(bench, OLD)
        rows = pa.table({"id": pa.array(["1", "x"]), "city": ["A", "B"]})
        plan, target = self._building(bench, rows)
        bench.put(target, rows, plan, done=True)
        bench.publish(plan, target)
        found = bench.read(dataclasses.replace(target, generation=None), rows)
        assert tables_equal(found.select(["id", "city"]), rows)
        if "name" in found.schema.names:
            assert found.column("name").null_count == 2

    def test_several_streams_are_published_together(self, bench: Bench) -> None:
        """With one bookmark."""
        targets = [bench.target(OLD, stream=name, mode="replace") for name in ("one", "two")]
        plan = bench.plan(*targets)
        generation = bench.session.start(plan)
        one, two = (dataclasses.replace(target, generation=generation) for target in targets)
        bench.put(one, OLD, plan)
        bench.put(two, NEW, plan, done=True)
        bench.publish(plan, one, two, bookmark={"both": True})
        self._shows(bench, one, OLD)
        self._shows(bench, two, NEW)
        assert bench.progress().bookmark == {"both": True}

    def test_targets_without_a_generation_are_left_alone(self, bench: Bench) -> None:
        """Publishing an incremental plan moves its bookmark and closes it."""
        target = bench.target(OLD)
        plan = bench.started(target)
        bench.put(target, OLD, plan, done=True)
        bench.publish(plan, target, bookmark={"end": 3})
        assert tables_equal(bench.read(target, OLD), OLD)
        assert bench.progress().bookmark == {"end": 3}
        assert bench.progress().open is None

    def test_a_view_shows_the_published_rows(self, bench: Bench) -> None:
        """Where SQL runs: publishing keeps the table's identity."""
        if not self.connector.capabilities.sql:
            does_not_apply("no SQL")
        self._published(bench, OLD)
        bench.session.execute('create view "kit"."kit_view" as select "id", "name" from "kit"."t"')
        plan, target = self._building(bench)
        bench.put(target, NEW, plan, done=True)
        bench.publish(plan, target)
        reader = bench.session.execute('select "id", "name" from "kit"."kit_view"')
        assert reader is not None
        assert tables_equal(reader.read_all().cast(NEW.schema), NEW)

    @cases("mode", ["merge", "history"])
    def test_a_generation_of_a_keyed_table(self, bench: Bench, mode: Any) -> None:
        """A full refresh, in two loads that share a key; then it goes on as usual."""
        if mode not in self.connector.capabilities.modes:
            does_not_apply(f"{mode} is not declared")
        plan, target = self._building(bench, mode=mode, key=("id",))
        bench.put(target, OLD, plan)
        bench.put(target, people((2, "old"), (3, "x")), plan, done=True)
        bench.publish(plan, target)
        live = dataclasses.replace(target, generation=None)
        bench.put(live, people((4, "y")))
        wanted = people((1, "old"), (2, "old"), (3, "x"), (4, "y"))
        assert tables_equal(bench.read(live, wanted), wanted)

    @cases("aside", [True, False])
    def test_what_is_gone_in_a_part_that_was_read_goes(self, bench: Bench, aside: bool) -> None:
        """A plan gone on with in another run: keys of a part, compared with what that part's split loaded."""
        self._needs_present(bench)
        plan, target = self._building(bench, splits=("a", "b"), mode="merge", key=("id",))
        target = target if aside else dataclasses.replace(target, generation=None)
        bench.put(target, people((1, "stays"), (2, "goes"), (3, "is new")), plan, split="a", done=True)
        opened = self._goes_on(bench, plan, target)
        bench.put(target, people((7, "of b")), opened, split="b", done=True)
        load = bench.begin(opened, "c")
        load.prepare(target)
        for key in (1, 3):
            load.present("t", cast(people((key, "")).select(["id"]), target).to_batches()[0], ("a",))
        write(load, target, people((3, "newer"), (4, "new")))
        receipt = load.commit(bench.entry({"t": 2}, done=True))
        assert (receipt.applied["t"].deleted, receipt.applied["t"].staged) == (1, 2)
        bench.publish(opened, *([target] if aside else []))
        self._shows(bench, target, people((1, "stays"), (3, "newer"), (4, "new"), (7, "of b")))

    def test_a_part_without_any_key_is_emptied(self, bench: Bench) -> None:
        """No key, no row: and those of other splits stay."""
        self._needs_present(bench)
        plan, target = self._building(bench, splits=("a", "b"), mode="merge", key=("id",))
        bench.put(target, people((1, "goes"), (2, "goes")), plan, split="a", done=True)
        bench.put(target, people((7, "of b")), plan, split="b", done=True)
        opened = self._goes_on(bench, plan, target)
        load = bench.begin(opened, "c")
        load.prepare(target)
        load.present("t", cast(people((1, "")).select(["id"]), target).to_batches()[0].slice(1), ("a",))
        load.commit(bench.entry({}, done=True))
        bench.publish(opened, target)
        self._shows(bench, target, people((7, "of b")))

    def _needs_present(self, bench: Bench) -> None:
        load = bench.begin(bench.started(bench.target(OLD)))
        load.abort()
        if type(load).present is Load.present:
            does_not_apply("Load.present is not built")

    def _goes_on(self, bench: Bench, plan: ReadPlan, target: Target) -> ReadPlan:
        """The plan in another run, with a split more."""
        bench.reopen()
        more = dataclasses.replace(plan, splits=(*plan.splits, dataclasses.replace(plan.splits[0], key="c")))
        generation = bench.session.start(more)
        assert target.generation in (None, generation)
        assert "a" in bench.progress().done
        return more

    def _building(
        self, bench: Bench, rows: pa.Table = OLD, *, splits: tuple[str, ...] = ("a",), **fields: Any
    ) -> tuple[ReadPlan, Target]:
        target = bench.target(rows, **{"mode": "replace", **fields})
        plan = bench.plan(target, splits=splits)
        return plan, dataclasses.replace(target, generation=bench.session.start(plan))

    def _published(self, bench: Bench, rows: pa.Table) -> None:
        plan, target = self._building(bench, rows)
        bench.put(target, rows, plan, done=True)
        bench.publish(plan, target)
        self._shows(bench, target, rows)

    def _shows(self, bench: Bench, target: Target, rows: pa.Table) -> None:
        found = bench.read(dataclasses.replace(target, generation=None), rows)
        assert tables_equal(found, rows)
