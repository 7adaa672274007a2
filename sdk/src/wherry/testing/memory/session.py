"""One pipeline's hold on the memory destination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wherry.contracts.destination import Load, Session
from wherry.contracts.loading import Entry, Lease, Receipt, RunRecord, Target
from wherry.contracts.values import Bookmark, Progress, ReadPlan, Split
from wherry.errors import DestinationError, LeaseError, UsageError
from wherry.testing.memory.load import MemoryLoad
from wherry.testing.memory.store import Contents, Hold, Home, Row

if TYPE_CHECKING:
    import pyarrow as pa

    from wherry.testing.memory.destination import MemoryConfig


def newest_epoch(contents: Contents, hold: Hold) -> int:
    """The number of the pipeline's last run, 0 before the first."""
    return max((epoch for owner, epoch in contents.runs if owner == hold), default=0)


def _covers(*bookmarks: Bookmark | None) -> str:
    """What the first of them says that it covers."""
    return next((str(b["covers"]) for b in bookmarks if isinstance(b, dict) and b.get("covers")), "")


class MemorySession(Session):
    """`lease` is missing in a read-only session, which may do nothing that needs one. owner: gives it back."""

    def __init__(self, config: MemoryConfig, hold: Hold, lease: Lease | None, *, owner: bool) -> None:
        self.config, self.store, self.hold = config, config.store, hold
        self.writing, self.owner = lease is not None, owner
        self.seen = {key[1:]: row.seq for key, row in self.store.now.state.items() if key[0] == hold}
        """By (plan key, split key): the seq that was read together with the bookmark. Loads swap against it."""
        if lease:
            self.lease = lease

    @property
    def progress(self) -> Mapping[str, Progress]:  # type: ignore[override]
        """As it is now."""
        now = self.store.now
        keys = {key for hold, key, _ in now.state if hold == self.hold}
        return {key: self._progress(now, key) for key in sorted(keys)}

    def _progress(self, now: Contents, key: str) -> Progress:
        missing = frozenset(
            path
            for path in now.streams.get((self.hold, key), ())
            if (target := now.targets.get((self.hold, path))) and self._home(target) not in now.tables
        )
        last = now.state.get((self.hold, key, ""), Row())
        if (self.hold, key) not in now.plans:
            return Progress(bookmark=last.bookmark, covers=_covers(last.bookmark), missing=missing)
        plan, generation = now.plans[self.hold, key]
        rows = {split.key: now.state[self.hold, key, split.key] for split in plan.splits}
        reached = tuple(replace(split, bookmark=rows[split.key].bookmark) for split in plan.splits)
        done = frozenset(split for split, row in rows.items() if row.done)
        return Progress(
            bookmark=last.bookmark,
            covers=_covers(*(row.bookmark for row in (last, *rows.values()))),
            open=replace(plan, splits=reached),
            done=done,
            missing=missing,
            generation=generation,
        )

    @property
    def names(self) -> Mapping[tuple[str, str], str]:  # type: ignore[override]
        """As recorded with the loads."""
        recorded = self.store.now.names.items()
        return {(stream, column): name for (hold, stream, column), name in recorded if hold == self.hold}

    def start(self, plan: ReadPlan) -> int:
        self.config.faults.hit("start")
        with self.store.transaction() as draft:
            self.guard(draft)
            known = draft.plans.get((self.hold, plan.key))
            if known and known[0].id == plan.id:
                self._add_splits(draft, plan, known[0])
                return known[1]
            if (past := draft.published.get((self.hold, plan.key))) and past[0] == plan.id:
                return past[1]
            self._drop_plan(draft, plan.key)
            draft.last_generation += 1
            draft.plans[self.hold, plan.key] = plan, draft.last_generation
            draft.streams[self.hold, plan.key] = tuple(s.stream.path for split in plan.splits for s in split.streams)
            epoch = self.lease.epoch
            draft.state.setdefault((self.hold, plan.key, ""), Row(epoch=epoch))
            for split in plan.splits:
                draft.state[self.hold, plan.key, split.key] = Row(epoch=epoch, bookmark=split.bookmark)
                self.seen[plan.key, split.key] = 0
            return draft.last_generation

    def _add_splits(self, draft: Contents, plan: ReadPlan, known: ReadPlan) -> None:
        """Splits that a source adds when it goes on with a plan."""
        added = tuple(split for split in plan.splits if (self.hold, plan.key, split.key) not in draft.state)
        for split in added:
            draft.state[self.hold, plan.key, split.key] = Row(epoch=self.lease.epoch, bookmark=split.bookmark)
            self.seen[plan.key, split.key] = 0
        generation = draft.plans[self.hold, plan.key][1]
        draft.plans[self.hold, plan.key] = replace(known, splits=(*known.splits, *added)), generation

    def resume(self, plan: ReadPlan) -> Progress:
        with self.store.lock:
            for split in plan.splits:
                self.seen[plan.key, split.key] = self.store.now.state[self.hold, plan.key, split.key].seq
            return self.progress[plan.key]

    def begin(self, plan: ReadPlan, split: Split) -> Load:
        with self.store.transaction() as draft:
            self.guard(draft)
            draft.last_id = max(self.store.clock(), draft.last_id + 1)
            known = draft.plans.get((self.hold, plan.key))
            if known is None or known[0].id != plan.id:
                raise DestinationError(f'split "{split.key}" of "{plan.key}" was not started')
            return MemoryLoad(self, plan, split, draft.last_id, self.seen[plan.key, split.key])

    def publish(self, plan: ReadPlan, targets: Sequence[Target], generation: int, entry: Entry) -> Receipt:
        self.config.faults.hit("before publish")
        with self.store.transaction() as draft:
            self.guard(draft)
            done = draft.published.get((self.hold, plan.key))
            if done and done[0] == plan.id:
                return done[2]
            last = draft.state[self.hold, plan.key, ""]
            draft.last_id = max(self.store.clock(), draft.last_id + 1)
            for target in targets:
                if target.generation is not None:
                    self._swap(draft, target)
            receipt = Receipt(load_id=draft.last_id, seq=last.seq + 1, committed_at=self.store.clock())
            self._drop_plan(draft, plan.key)
            bookmark = last.bookmark if entry.bookmark is None else entry.bookmark
            moved = Row(seq=last.seq + 1, epoch=self.lease.epoch, bookmark=bookmark)
            draft.state[self.hold, plan.key, ""] = moved
            draft.published[self.hold, plan.key] = plan.id, generation, receipt
        self.config.faults.hit("after publish")
        return receipt

    def _swap(self, draft: Contents, target: Target) -> None:
        """The rebuild becomes the table's rows. Columns it does not have stay, all NULL: somebody's view uses them."""
        from wherry.testing.memory.apply import empty

        home = self.own(draft, target)
        assert target.generation is not None
        rows = draft.rebuilds.pop((home, target.generation), None)
        rows = empty(target) if rows is None else rows
        for column in draft.tables.get(home, rows).schema:
            if column.name not in rows.schema.names:
                import pyarrow as pa

                rows = rows.append_column(column, pa.nulls(rows.num_rows, column.type))
        draft.tables[home] = rows
        self.record(draft, target)

    def _drop_plan(self, draft: Contents, key: str) -> None:
        known = draft.plans.pop((self.hold, key), None)
        if known:
            plan, generation = known
            for split in plan.splits:
                draft.state.pop((self.hold, key, split.key), None)
            for rebuild in [r for r in draft.rebuilds if r[1] == generation]:
                del draft.rebuilds[rebuild]

    def schema(self, target: Target) -> pa.Schema | None:
        from wherry.testing.memory.apply import data_columns

        rows = self._rows(target)
        return None if rows is None else data_columns(rows).schema

    def read(self, target: Target) -> pa.RecordBatchReader:
        rows = self._rows(target)
        if rows is None:
            raise DestinationError(f'there is no table "{target.table}"')
        return rows.to_reader()

    def set(self, key: str, bookmark: Bookmark | None) -> None:
        with self.store.transaction() as draft:
            self.guard(draft)
            self._drop_plan(draft, key)
            last = draft.state.pop((self.hold, key, ""), Row())
            if bookmark is not None:
                row = Row(seq=last.seq + 1, epoch=self.lease.epoch, bookmark=bookmark)
                draft.state[self.hold, key, ""] = row
            draft.published.pop((self.hold, key), None)

    def adopt(self, table: str, namespace: str | None = None) -> None:
        with self.store.transaction() as draft:
            self.guard(draft)
            home = (namespace or self.hold[0], table)
            if home not in draft.tables:
                raise UsageError(f'there is no table "{table}" to adopt')
            draft.owners[home] = self.hold

    def runs(self) -> Sequence[RunRecord]:
        now = self.store.now
        runs = [held.record for (hold, _), held in now.runs.items() if hold[0] == self.hold[0]]
        return [self._summed(now, run) for run in sorted(runs, key=lambda run: run.started, reverse=True)]

    def _summed(self, now: Contents, run: RunRecord) -> RunRecord:
        loads = [ld for ld in now.loads.values() if ld.hold == (self.hold[0], run.pipeline) and ld.run == run.run]
        return replace(
            run,
            read=sum(load.counts.read for load in loads),
            inserted=sum(load.applied.inserted for load in loads),
            updated=sum(load.applied.updated for load in loads),
            deleted=sum(load.applied.deleted for load in loads),
            rejected=sum(load.counts.rejected for load in loads),
        )

    def close(self, outcome: str = "ok") -> None:
        writing, self.writing = self.writing, False
        if not (writing and self.owner):
            return
        with self.store.transaction() as draft:
            held = draft.runs[self.hold, self.lease.epoch]
            if held.record.finished is not None:
                return  # taken over
            record = replace(held.record, finished=self.store.clock(), outcome=outcome)
            draft.runs[self.hold, self.lease.epoch] = replace(held, record=record)

    def guard(self, draft: Contents) -> None:
        """Nobody has taken the pipeline over; and we are alive."""
        if not self.writing:
            raise UsageError("this session may only read")
        newest = newest_epoch(draft, self.hold)
        if newest != self.lease.epoch:
            holder = draft.runs[self.hold, newest].record.holder
            raise LeaseError(f'pipeline "{self.hold[1]}" was taken over by {holder}, run {newest}')
        held = draft.runs[self.hold, newest]
        draft.runs[self.hold, newest] = replace(held, renewed=self.store.clock())

    def own(self, draft: Contents, target: Target) -> Home:
        """The target's table, which must be new or ours."""
        home = self._home(target)
        owner = draft.owners.get(home)
        if owner is None and home not in draft.tables:
            draft.owners[home] = owner = self.hold
        others = {stream for (hold, stream), t in draft.targets.items() if hold == self.hold and self._home(t) == home}
        if owner == self.hold and others - {target.stream}:
            raise UsageError(
                f'table "{target.table}" already takes stream "{others.pop()}"', next="choose another table"
            )
        if owner != self.hold:
            whose = f'belongs to pipeline "{owner[1]}"' if owner else "was not made by wherry"
            raise UsageError(
                f'table "{target.table}" {whose}', next=f"write to another table, or adopt it: --adopt {target.table}"
            )
        return home

    def record(self, draft: Contents, target: Target) -> None:
        """Where the stream's rows are, and under which names."""
        if target.generation is None or self._home(target) in draft.tables:
            draft.targets[self.hold, target.stream] = target
        draft.names[self.hold, target.stream, ""] = target.table
        for column in target.schema:
            source = (column.metadata or {}).get(b"wherry:source", column.name.encode()).decode()
            draft.names[self.hold, target.stream, source] = column.name

    def _home(self, target: Target) -> Home:
        return target.namespace or self.hold[0], target.table

    def _rows(self, target: Target) -> pa.Table | None:
        home, now = self._home(target), self.store.now
        if target.generation is not None:
            return now.rebuilds.get((home, target.generation))
        return now.tables.get(home)
