"""Bookmarks, plans and runs: what a destination remembers."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from wherry.contracts.loading import Counts, Target
from wherry.contracts.values import Progress, Split
from wherry.errors import UsageError, WherryError
from wherry.testing.bench import Bench, write
from wherry.testing.compare import tables_equal
from wherry.testing.destination_suite.base import DestinationBase, people
from wherry.testing.suite import does_not_apply, settings

BOOKMARKS: list[Any] = [
    0, 2**63 + 1, -1.5, 1e300, "", "2024-01-01T00:00:00.123456789Z", "it's; \"q\" \\ \n ü 🚣", [], [1, [None, True]],
    {}, {"v": 1, "source": {"": {"a b": "2^53+1: 9007199254740993", "n": 9007199254740993}}}, {"big": "x" * 100_000},
]  # fmt: skip


class StateTests(DestinationBase):
    """Session.progress, resume, set, runs, adopt, read_only; Destination.check, label."""

    def test_check_and_label(self, bench: Bench, config: dict[str, Any]) -> None:
        """An empty place passes the check; the label is for messages and shows no secret."""
        bench.destination.check()
        label = bench.destination.label()
        assert label
        for secret in _secrets(bench.destination.config):
            assert secret not in label

    def test_config_keeps_its_promise(self, request: pytest.FixtureRequest) -> None:
        """Names, types and defaults of the configuration, and the capabilities, are what users build on."""
        self.promise(request, "config", settings(self.connector.Config))
        fields = dataclasses.asdict(self.connector.capabilities)
        self.promise(
            request, "capabilities", {k: sorted(v) if isinstance(v, frozenset) else v for k, v in fields.items()}
        )

    def test_every_setting_is_described(self) -> None:
        """For `wherry plugins info`."""
        for name, setting in self.connector.Config.model_fields.items():
            assert setting.description, name

    def test_bookmarks_come_back_as_they_were(self, bench: Bench) -> None:
        """Any JSON, in the open plan, as the lasting one, in the next run."""
        target = bench.target(people())
        plan = bench.started(target, splits=tuple(f"s{n}" for n in range(len(BOOKMARKS))))
        for split, bookmark in zip(plan.splits, BOOKMARKS, strict=True):
            bench.put(target, people((1, "a")), plan, split=split.key, bookmark=bookmark)
        bench.reopen()
        opened = bench.progress().open
        assert opened is not None
        assert [_typed(split.bookmark) for split in opened.splits] == [_typed(b) for b in BOOKMARKS]
        for bookmark in BOOKMARKS:
            bench.session.set("kit", bookmark)
            assert _typed(bench.progress().bookmark) == _typed(bookmark)
        bench.reopen()
        assert bench.progress().bookmark == BOOKMARKS[-1]

    def test_an_open_plan_comes_back(self, bench: Bench) -> None:
        """With the bookmarks reached, the finished splits and its generation; `resume` sees the same."""
        target = bench.target(people(), mode="replace")
        plan = bench.plan(target, splits=("a", "b", "c"), bookmark={"start": 1})
        plan = dataclasses.replace(plan, after={"end": 9}, ordered=True)
        built = dataclasses.replace(target, generation=bench.session.start(plan))
        bench.put(built, people((1, "a")), plan, split="a", bookmark={"at": 1}, done=True)
        bench.put(built, people((2, "b")), plan, split="b", bookmark={"at": 2})
        reached = {"a": {"at": 1}, "b": {"at": 2}, "c": {"start": 1}}
        splits = tuple(_at(split, reached) for split in plan.splits)
        for _ in range(2):
            known = bench.progress()
            assert known.open == dataclasses.replace(plan, splits=splits)
            assert known.done == frozenset({"a"})
            assert (known.generation, known.bookmark) == (built.generation, None)
            assert bench.session.resume(plan).open == known.open
            bench.reopen()

    def test_bookmarks_can_be_set_and_reset(self, bench: Bench) -> None:
        """Setting drops an open plan; None forgets the key; other keys stay."""
        bench.put(bench.target(people()), people((1, "a")))
        bench.session.set("other", {"o": 1})
        bench.session.set("kit", {"set": 1})
        assert (bench.progress().bookmark, bench.progress().open) == ({"set": 1}, None)
        bench.session.set("kit", None)
        bench.reopen()
        assert bench.progress() == Progress()
        assert bench.session.progress["other"].bookmark == {"o": 1}

    def test_pipelines_do_not_see_each_other(self, bench: Bench) -> None:
        """Same schema, same plan key."""
        bench.session.set("kit", {"mine": 1})
        bench.close()
        other = Bench(bench.destination, "other")
        assert dict(other.session.progress) == {}
        other.session.set("kit", {"theirs": 1})
        other.close()
        assert bench.progress().bookmark == {"mine": 1}

    def test_runs_are_recorded(self, bench: Bench) -> None:
        """One a writing session, numbered from 1, with rows by stage and how it ended."""
        before = time.time_ns() // 1000
        target = bench.target(people())
        plan = bench.started(target)
        load = bench.begin(plan)
        load.prepare(target)
        write(load, target, people((1, "a"), (2, "b")))
        counts = {"t": Counts(read=5, boundary=2, mapped=3, rejected=1, bytes=64)}
        load.commit(dataclasses.replace(bench.entry({}), counts=counts))
        assert bench.session.lease.epoch == 1
        bench.close("failed")
        assert bench.session.lease.epoch == 2
        bench.close()
        bench.session.lease  # noqa: B018
        newest, second, first = bench.session.runs()
        assert [(r.run, r.outcome, r.pipeline) for r in (second, first)] == [(2, "ok", "kit"), (1, "failed", "kit")]
        assert (newest.run, newest.outcome, newest.finished) == (3, None, None)
        assert (first.read, first.inserted, first.rejected) == (5, 2, 1)
        assert first.finished is not None
        assert before - 60_000_000 < first.started <= first.finished < before + 600_000_000
        assert first.holder

    def test_reading_needs_no_lease_and_leaves_nothing_behind(self, bench: Bench) -> None:
        """On a destination that was never written, and after a run."""
        target = bench.target(people())
        for _ in range(2):
            looking = bench.destination.open("kit", schema=bench.schema, read_only=True)
            assert dict(looking.progress) == {}
            assert dict(looking.names) == {}
            assert list(looking.runs()) == []
            assert looking.schema(target) is None
            looking.close()
        bench.put(target, people((1, "a")))
        bench.close()
        looking = bench.destination.open("kit", schema=bench.schema, read_only=True)
        assert tables_equal(
            looking.read(target).read_all().select(["id", "name"]).cast(people().schema), people((1, "a"))
        )
        assert len(looking.runs()) == 1
        with pytest.raises(WherryError):
            looking.set("kit", {"x": 1})
        looking.close()

    def test_tables_have_one_owner(self, bench: Bench) -> None:
        """Another pipeline is refused, and told what to do, until it adopts the table."""
        target = bench.target(people())
        bench.put(target, people((1, "a")))
        bench.close()
        other = Bench(bench.destination, "other")
        with pytest.raises(WherryError) as refused:
            other.put(target, people((2, "b")))
        assert refused.value.next
        assert tables_equal(other.read(target, people()), people((1, "a")))
        other.session.adopt("t")
        other.put(target, people((2, "b")))
        assert tables_equal(other.read(target, people()), people((1, "a"), (2, "b")))
        other.close()
        with pytest.raises(WherryError):
            bench.put(target, people((3, "c")))

    def test_a_dropped_table_is_missing(self, bench: Bench) -> None:
        """`Progress.missing` names the stream whose table a user dropped."""
        if not self.connector.capabilities.sql:
            does_not_apply("no SQL to drop a table with")
        target = bench.target(people())
        self._lasting(bench, target)
        assert bench.progress().missing == frozenset()
        bench.session.execute('drop table "kit"."t"')
        bench.reopen()
        assert bench.progress().missing == {"t"}
        self._lasting(bench, target)
        assert bench.progress().missing == frozenset()

    def test_sql_runs_if_it_is_declared(self, bench: Bench) -> None:
        """`Session.execute`: a reader for a query, None for a statement, a plain error for a mistake."""
        if not self.connector.capabilities.sql:
            with pytest.raises(UsageError):
                bench.session.execute("select 1")
            return
        reader = bench.session.execute("select 40 + 2 as answer, 'ü' as letter")
        assert reader is not None
        assert reader.read_all().to_pylist() == [{"answer": 42, "letter": "ü"}]
        bench.put(bench.target(people()), people((1, "a")))
        bench.session.execute('create table "kit"."made" (a integer)')
        assert "made" in self.tables(bench)
        with pytest.raises(WherryError):
            bench.session.execute("selekt 1")
        again = bench.session.execute("select 1 as one")
        assert again is not None
        assert again.read_all().num_rows == 1

    def _lasting(self, bench: Bench, target: Target) -> None:
        plan = bench.started(target)
        bench.put(target, people((1, "a")), plan, done=True)
        bench.publish(plan, target)


def _at(split: Split, reached: dict[str, Any]) -> Split:
    return dataclasses.replace(split, bookmark=reached[split.key])


def _typed(value: Any) -> str:
    """1 and 1.0 and true are not the same bookmark; the order of keys does not matter."""
    if isinstance(value, dict):
        return repr(sorted((key, _typed(item)) for key, item in value.items()))
    return repr([_typed(item) for item in value]) if isinstance(value, list) else repr(value)


def _secrets(config: Any) -> list[str]:
    found = (getattr(config, name) for name in type(config).model_fields)
    return [
        value.get_secret_value() for value in found if hasattr(value, "get_secret_value") and value.get_secret_value()
    ]
