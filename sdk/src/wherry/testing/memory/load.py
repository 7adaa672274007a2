"""One load of the memory destination: staged rows, then one transaction of rows, record and bookmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wherry.contracts.destination import Load
from wherry.contracts.loading import Applied, Counts, Entry, Receipt, Target
from wherry.contracts.values import LOAD_ID, Piece, ReadPlan, Split
from wherry.errors import DestinationError, TransientError
from wherry.testing.memory.store import Contents, Loaded

if TYPE_CHECKING:
    import pyarrow as pa

    from wherry.testing.memory.session import MemorySession


@dataclass
class Staged:
    """Rows of one stream that only their load sees."""

    target: Target
    rows: list[pa.RecordBatch] = field(default_factory=list)
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
        self.keys: dict[str, tuple[set[tuple[Any, ...]], frozenset[str]]] = {}

    def prepare(self, target: Target) -> None:
        self.session.config.faults.hit("prepare")
        self.session.own(self.session.store.now.copy(), target)
        if target.stream in self.staged:
            self.staged[target.stream].target = target
        else:
            self.staged[target.stream] = Staged(target)

    def write(self, stream: str, rows: pa.RecordBatch) -> None:
        self.session.config.faults.hit("write")
        self.staged[stream].rows.append(rows)

    def take(self, stream: str, form: str, piece: Piece) -> int:
        """Bytes of a batch whose columns are the target's, in their order."""
        import pyarrow as pa

        self.session.config.faults.hit("take")
        staged = self.staged[stream]
        rows = pa.ipc.read_record_batch(pa.py_buffer(piece.data), staged.target.schema)
        staged.rows.append(rows)
        return int(rows.num_rows)

    def truncate(self, stream: str) -> None:
        staged = self.staged[stream]
        staged.rows, staged.truncate = [], True

    def present(self, stream: str, keys: pa.RecordBatch, splits: Sequence[str]) -> None:
        columns = self.staged[stream].target.key
        found = zip(*(keys.column(column).to_pylist() for column in columns), strict=True)
        self.keys.setdefault(stream, (set(), frozenset(splits)))[0].update(found)

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
        """Rows that were counted on the way here must be those that arrived, for every stream."""
        for stream in self.staged.keys() | entry.counts.keys():
            counts = entry.counts.get(stream, Counts())
            staged = sum(rows.num_rows for rows in self.staged[stream].rows) if stream in self.staged else 0
            if staged != counts.mapped - counts.rejected:
                raise DestinationError(
                    f'stream "{stream}": {staged} rows staged, {counts.mapped - counts.rejected} expected; nothing kept'
                )

    def _apply(self, draft: Contents, staged: Staged, entry: Entry, now: int) -> Applied:
        """Additive DDL, then the rows; into the rebuild if there is one."""
        from wherry.testing.memory.apply import Facts, apply, empty, evolve

        target = staged.target
        home = self.session.own(draft, target)
        aside = (home, target.generation) if target.generation is not None else None
        table = draft.rebuilds.get(aside) if aside else draft.tables.get(home)
        table = evolve(empty(target) if table is None else table, target)
        facts = Facts(
            load_id=self.id,
            now=now,
            truncate=staged.truncate,
            parts=tuple(entry.parts.get(target.stream, ())),
            complete=target.stream in entry.complete,
        )
        table, gone = self._sweep(draft, table, target)
        table, applied = apply(table, staged.table(), target, facts)
        if aside:
            draft.rebuilds[aside] = table
        else:
            draft.tables[home] = table
        self.session.record(draft, target)
        return replace(applied, deleted=applied.deleted + gone)

    def _sweep(self, draft: Contents, table: pa.Table, target: Target) -> tuple[pa.Table, int]:
        """The table without rows of the splits that were compared whose key does not exist any more."""
        if target.stream not in self.keys:
            return table, 0
        import pyarrow as pa

        keys, splits = self.keys[target.stream]
        states = (draft.state.get((self.session.hold, self.plan.key, split)) for split in splits)
        loads = {row.load_id for row in states if row is not None}
        columns = [table.column(name).to_pylist() for name in (LOAD_ID, *target.key)]
        kept = [load not in loads or key in keys for load, *rest in zip(*columns, strict=True) for key in [tuple(rest)]]
        return table.filter(pa.array(kept, pa.bool_())), kept.count(False)

    def _compare_and_swap(self, draft: Contents, entry: Entry) -> None:
        """The fence: the split's row must be as it was when its bookmark was read, under our epoch."""
        self.session.guard(draft)
        key = (self.session.hold, self.plan.key, self.split.key)
        row = draft.state.get(key)
        if row is None or (row.seq, row.epoch) != (self.seq, self.session.lease.epoch):
            raise TransientError(f'split "{self.split.key}" has moved since this load began; nothing kept')
        bookmark = row.bookmark if entry.bookmark is None else entry.bookmark
        moved = replace(row, seq=row.seq + 1, bookmark=bookmark, done=entry.done, load_id=self.id)
        draft.state[key] = moved

    def abort(self) -> None:
        self.staged.clear()
