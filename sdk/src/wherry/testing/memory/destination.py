"""The reference destination: the contract of `Destination`, `Session` and `Load` over a `Store`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, InstanceOf
from pydantic.json_schema import SkipJsonSchema

from wherry.contracts.config import ConnectorConfig
from wherry.contracts.destination import Destination, Load, Session
from wherry.contracts.loading import Applied, Capabilities, Counts, Entry, Lease, Receipt, RunRecord, Target
from wherry.contracts.values import Bookmark, Progress, ReadPlan, Split
from wherry.errors import DestinationError, LeaseError, UsageError
from wherry.testing.faults import Faults
from wherry.testing.memory.store import Contents, Held, Hold, Home, Loaded, Row, Store

if TYPE_CHECKING:
    import pyarrow as pa


EVERY_TYPE = (
    "bool int uint64 float decimal decimal256 text binary date time timestamp timestamptz timestamp_ns interval "
    "list struct map json uuid"
)


class MemoryConfig(ConnectorConfig):
    """Values, not settings."""

    reference: ClassVar[str | None] = "name"

    name: str = Field("memory", description="what the destination is called in messages")
    store: SkipJsonSchema[InstanceOf[Store]] = Field(default_factory=Store, description="where everything is kept")
    faults: SkipJsonSchema[InstanceOf[Faults]] = Field(default_factory=Faults, description="fault switches")
    lease: int = Field(60, description="seconds after which a silent run may be taken over")


class MemoryDestination(Destination):
    """Tables in a `Store`."""

    Config = MemoryConfig
    config: MemoryConfig
    capabilities = Capabilities(
        types=frozenset(EVERY_TYPE.split()),
        loads=8,
        case_sensitive=True,
        sql=False,
    )

    @classmethod
    def of(cls, store: Store, **values: Any) -> MemoryDestination:
        """A destination over this store; `values` are other fields of its config."""
        return cls(cls.Config(store=store, **values))

    def check(self) -> None:
        self.config.faults.hit("check")

    def storage(self, field: pa.Field[Any]) -> tuple[pa.DataType, ...]:
        import pyarrow as pa

        kind, text = field.type, pa.string()
        if pa.types.is_null(kind):
            return (text,)
        if pa.types.is_nested(kind):
            return (kind,)
        if pa.types.is_integer(kind):
            wider = [pa.int64()] if not pa.types.is_uint64(kind) else []
            return tuple(dict.fromkeys([kind, *wider, pa.decimal128(38, 0), text]))
        return tuple(dict.fromkeys([kind, text]))

    def open(
        self, pipeline: str, *, schema: str, join: Lease | None = None, read_only: bool = False, wait: float = 0
    ) -> Session:
        self.config.faults.hit("open")
        if read_only or join:
            return MemorySession(self.config, (schema, pipeline), join, owner=False)
        deadline = time.monotonic() + wait
        while True:
            try:
                return MemorySession(self.config, (schema, pipeline), self._lease((schema, pipeline)), owner=True)
            except LeaseError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.02)

    def _lease(self, hold: Hold) -> Lease:
        """The next epoch, unless the last run still lives. Taking it fences every older session of the pipeline."""
        with self.config.store.transaction() as draft:
            now, epoch = self.config.store.clock(), _epoch(draft, hold)
            last = draft.runs.get((hold, epoch))
            if last and last.record.finished is None and now < last.renewed + last.seconds * 1_000_000:
                raise LeaseError(
                    f'pipeline "{hold[1]}" is in the hands of {last.record.holder}, run {epoch}',
                    next="wait for it (--wait), or end it",
                )
            holder = f"pid {os.getpid()} on {socket.gethostname()}"
            record = RunRecord(run=epoch + 1, pipeline=hold[1], holder=holder, started=now)
            draft.runs[hold, epoch + 1] = Held(record, now, self.config.lease)
            for key, row in draft.state.items():
                if key[0] == hold:
                    draft.state[key] = replace(row, epoch=epoch + 1)
        schema, pipeline = hold
        lease = self.config.lease
        return Lease(pipeline=pipeline, schema=schema, epoch=epoch + 1, holder=holder, since=now, seconds=lease)


def _epoch(contents: Contents, hold: Hold) -> int:
    return max((epoch for owner, epoch in contents.runs if owner == hold), default=0)


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
            return Progress(bookmark=last.bookmark, missing=missing)
        plan, generation = now.plans[self.hold, key]
        rows = {split.key: now.state[self.hold, key, split.key] for split in plan.splits}
        reached = tuple(replace(split, bookmark=rows[split.key].bookmark) for split in plan.splits)
        done = frozenset(split for split, row in rows.items() if row.done)
        return Progress(
            bookmark=last.bookmark,
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
                return known[1]
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
                return done[1]
            last = draft.state[self.hold, plan.key, ""]
            draft.last_id = max(self.store.clock(), draft.last_id + 1)
            for target in targets:
                if target.generation is not None:
                    self._swap(draft, target)
            receipt = Receipt(load_id=draft.last_id, seq=last.seq + 1, committed_at=self.store.clock())
            self._drop_plan(draft, plan.key)
            moved = Row(seq=last.seq + 1, epoch=self.lease.epoch, bookmark=entry.bookmark)
            draft.state[self.hold, plan.key, ""] = moved
            draft.published[self.hold, plan.key] = plan.id, receipt
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
            record = replace(held.record, finished=self.store.clock(), outcome=outcome)
            draft.runs[self.hold, self.lease.epoch] = replace(held, record=record)

    def guard(self, draft: Contents) -> None:
        """Nobody has taken the pipeline over; and we are alive."""
        if not self.writing:
            raise UsageError("this session may only read")
        newest = _epoch(draft, self.hold)
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


@dataclass
class Staged:
    """Rows of one stream that only their load sees."""

    target: Target
    rows: list[pa.RecordBatch] = field(default_factory=list)
    written: int = 0
    truncate: bool = False

    def table(self) -> pa.Table:
        """All rows; batches from before the schema grew have NULLs in the new columns."""
        import pyarrow as pa

        from wherry.testing.memory.apply import evolve

        if not self.rows:
            return self.target.schema.empty_table()
        tables = [evolve(pa.Table.from_batches([rows]), self.target) for rows in self.rows]
        return pa.concat_tables(tables, promote_options="permissive")


class MemoryLoad(Load):
    """One split's rows on their way into one transaction."""

    def __init__(self, session: MemorySession, plan: ReadPlan, split: Split, id: int, seq: int) -> None:
        self.session, self.plan, self.split, self.id, self.seq = session, plan, split, id, seq
        self.staged: dict[str, Staged] = {}

    def prepare(self, target: Target) -> None:
        self.session.config.faults.hit("prepare")
        self.session.own(self.session.store.now.copy(), target)
        if target.stream in self.staged:
            self.staged[target.stream].target = target
        else:
            self.staged[target.stream] = Staged(target)

    def write(self, stream: str, rows: pa.RecordBatch) -> None:
        self.session.config.faults.hit("write")
        staged = self.staged[stream]
        staged.rows.append(rows)
        staged.written += rows.num_rows

    def truncate(self, stream: str) -> None:
        staged = self.staged[stream]
        staged.rows, staged.truncate = [], True

    def commit(self, entry: Entry) -> Receipt:
        faults, store = self.session.config.faults, self.session.store
        faults.hit("before commit")
        with store.transaction() as draft:
            now = store.clock()
            self._count(entry)
            applied = {name: self._apply(draft, staged, entry, now) for name, staged in self.staged.items()}
            for stream in applied.keys() | entry.counts.keys():
                counts = entry.counts.get(stream, Counts())
                did = applied.get(stream, Applied())
                run = self.session.lease.epoch
                draft.loads[self.id, stream] = Loaded(self.id, self.session.hold, run, stream, counts, did)
            self._compare_and_swap(draft, entry)
        faults.hit("after commit")
        self.session.seen[self.plan.key, self.split.key] = self.seq + 1
        return Receipt(load_id=self.id, seq=self.seq + 1, committed_at=now, applied=applied)

    def _count(self, entry: Entry) -> None:
        """Rows that were counted on the way here must be those that arrived."""
        for stream, counts in entry.counts.items():
            staged = self.staged[stream].written if stream in self.staged else 0
            if staged != counts.mapped - counts.rejected:
                raise DestinationError(
                    f'stream "{stream}": {staged} rows staged, {counts.mapped - counts.rejected} expected; nothing kept'
                )

    def _apply(self, draft: Contents, staged: Staged, entry: Entry, now: int) -> Applied:
        """Additive DDL, then the rows; into the rebuild if there is one."""
        from wherry.testing.memory.apply import apply, empty, evolve, without_parts

        target = staged.target
        home = self.session.own(draft, target)
        aside = (home, target.generation) if target.generation is not None else None
        table = draft.rebuilds.get(aside) if aside else draft.tables.get(home)
        table = evolve(empty(target) if table is None else table, target)
        before = table.num_rows
        if staged.truncate:
            table = table.slice(0, 0)
        if parts := entry.parts.get(target.stream):
            table = without_parts(table, target, parts)
        gone = before - table.num_rows
        complete = target.stream in entry.complete
        table, applied = apply(table, staged.table(), target, load_id=self.id, now=now, complete=complete)
        if aside:
            draft.rebuilds[aside] = table
        else:
            draft.tables[home] = table
        self.session.record(draft, target)
        return replace(applied, deleted=applied.deleted + gone)

    def _compare_and_swap(self, draft: Contents, entry: Entry) -> None:
        """The fence: the split's row must be as it was when its bookmark was read, under our epoch."""
        self.session.guard(draft)
        key = (self.session.hold, self.plan.key, self.split.key)
        row = draft.state.get(key)
        if row is None or (row.seq, row.epoch) != (self.seq, self.session.lease.epoch):
            raise LeaseError(f'split "{self.split.key}" has moved since this load began; nothing kept')
        draft.state[key] = Row(seq=row.seq + 1, epoch=row.epoch, bookmark=entry.bookmark, done=entry.done)

    def abort(self) -> None:
        self.staged.clear()
