"""One load: rows into staging, then one transaction of rows, record and bookmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from wherry.contracts.destination import Load
from wherry.contracts.loading import Applied, Counts, Entry, Receipt, Target
from wherry.contracts.values import Piece, ReadPlan, Split
from wherry.errors import DestinationError, HandOffRefused, StateError
from wherry.failpoints import failpoint
from wherry.sql import state
from wherry.sql.apply import Work, apply
from wherry.sql.compose import SQL, Value
from wherry.sql.dialect import Connection
from wherry.sql.present import Present
from wherry.sql.staging import Stage, staged_schema, straight

if TYPE_CHECKING:
    from wherry.sql.session import SqlSession


class SqlLoad(Load):
    """A load over one connection of its own.

    Staging tables are temporary ones of that connection. Rows of exclusive append and replace targets go straight
    into the table, inside a transaction that opens with the first of them.
    """

    def __init__(self, session: SqlSession, plan: ReadPlan, split: Split, connection: Connection) -> None:
        self._session = session
        self._plan = plan
        self._place = (plan.key, plan.id, split.key)
        self._seq = session.sequence(self._place)
        self._connection = connection
        self._stages: dict[str, Stage] = {}
        self._begun = False
        self._over = False
        self._writing: Stage | Present | None = None
        self._present: dict[str, Present] = {}
        self.id = session.meta.next_load_id(connection)

    def prepare(self, target: Target) -> None:
        self._rest()
        stage = self._stages.get(target.stream)
        dialect, tables = self._session.dialect, self._session.tables
        direct = stage.direct if stage else straight(target, dialect)
        if stage is not None:
            stage.finish()  # rows that wait are of the old types, and not for the engine's casts to change
        if direct:
            table = tables.ready(self._connection, self._plan.key, target, begun=self._begun)
        else:
            tables.refuse(self._connection, target)
        if stage is not None:
            stage.grow(target)
            return
        if not direct:
            name = f"_wherry_stage_{len(self._stages)}"
            table = dialect.staging(self._connection, name, staged_schema(target))
        self._stages[target.stream] = Stage(self._connection, dialect, target, table, direct, self.id)

    def write(self, stream: str, rows: pa.RecordBatch) -> None:
        stage = self._stage(stream)
        self._turn_to(stage)
        stage.write(rows)

    def take(self, stream: str, form: str, piece: Piece) -> int:
        stage = self._stage(stream)
        if not stage.direct:
            raise HandOffRefused("rows do not go straight into the table")
        stage.begin_taking(form)
        self._turn_to(stage)
        return stage.take(piece)

    def interrupt(self) -> None:
        self._connection.interrupt()

    def idle(self) -> None:
        self._connection.ping()

    def truncate(self, stream: str) -> None:
        self._rest()
        stage = self._stage(stream)
        stage.finish()
        if stage.direct:
            self._begin()
        gone = self._connection.run(SQL("delete from {table}").format(table=stage.table))
        stage.empty(gone)

    def present(self, stream: str, keys: pa.RecordBatch, splits: Sequence[str]) -> None:
        target = self._stage(stream).target
        if stream not in self._present:
            self._rest()
            name = f"_wherry_keys_{len(self._present)}"
            self._present[stream] = Present(self._connection, self._session.dialect, target, name, splits)
        present = self._present[stream]
        if self._writing is not present:
            self._rest()
            self._writing = present if present.occupies else None
        present.write(keys)

    def commit(self, entry: Entry) -> Receipt:
        if self._over:
            raise StateError("this load is over")
        try:
            receipt = self._commit(entry)
        except BaseException:
            self.abort()
            raise
        self._over = True
        self._session.moved(self._place, self._seq + 1)
        self._connection.close()
        return receipt

    def abort(self) -> None:
        if self._over:
            return
        self._over = True
        for stage in self._all():
            stage.drop()
        self._connection.rollback()
        self._connection.close()

    # --- inside

    def _stage(self, stream: str) -> Stage:
        if self._over or stream not in self._stages:
            raise StateError(f"stream {stream} was not prepared in this load")
        return self._stages[stream]

    def _begin(self) -> None:
        if not self._begun:
            self._connection.begin()
            self._begun = True

    def _all(self) -> list[Stage | Present]:
        return [*self._stages.values(), *self._present.values()]

    def _turn_to(self, stage: Stage) -> None:
        """Rows of this stream come next."""
        if stage.direct:
            self._begin()
        if self._writing is not stage:
            self._rest()
            self._writing = stage if stage.occupies else None

    def _rest(self) -> None:
        """Free the connection from the transfer that is under way."""
        if self._writing is not None:
            self._writing.finish()
            self._writing = None

    def _commit(self, entry: Entry) -> Receipt:
        for stage in self._stages.values():
            stage.seal()
        for present in self._present.values():
            present.finish()
        self._writing = None
        failpoint("K04")
        self._check(entry)
        tables = self._session.tables
        locks = [tables.live(stage.target).names for stage in self._stages.values()]
        with self._session.dialect.lock(*locks):
            for stage in self._stages.values():
                if not stage.direct:
                    tables.ready(self._connection, self._plan.key, stage.target, begun=self._begun)
            self._begin()
            now = self._session.meta.now(self._connection)
            applied = {stream: self._apply(stream, entry, now) for stream in self._stages}
            self._record(entry, applied, now)
            change: dict[str, Value] = {"done": entry.done, "load_id": self.id, "changed": now}
            state.swap(
                self._session.meta, self._connection, self._session.lease, self._place, self._seq,
                change | state.bookmark_change(entry.bookmark),
            )  # fmt: skip
            self._connection.commit()
        return Receipt(load_id=self.id, seq=self._seq + 1, committed_at=now, applied=applied)

    def _check(self, entry: Entry) -> None:
        """staged = mapped - rejected, for every stream."""
        for stream in self._stages.keys() | entry.counts.keys():
            counts = entry.counts.get(stream, Counts())
            staged = self._stages[stream].rows if stream in self._stages else 0
            if staged != counts.mapped - counts.rejected:
                raise DestinationError(
                    f"stream {stream}: {staged} rows staged, {counts.mapped} mapped less {counts.rejected} rejected",
                    next="run it again; if it stays, report it",
                )

    def _apply(self, stream: str, entry: Entry, now: int) -> Applied:
        """Bring one stream's rows into its table, after those are gone whose key does not exist any more."""
        work, session = self._work(self._stages[stream], entry, now), self._session
        present = self._present.get(stream)
        gone = present.sweep(session.meta, session.lease.pipeline, self._plan, work.table) if present else 0
        done = apply(work)
        return replace(done, deleted=done.deleted + gone)

    def _work(self, stage: Stage, entry: Entry, now: int) -> Work:
        stream = stage.target.stream
        return Work(
            connection=self._connection, dialect=self._session.dialect, target=stage.target, stage=stage,
            table=self._session.tables.place(self._connection, stage.target), load_id=self.id, now=now,
            parts=tuple(entry.parts.get(stream, ())), complete=stream in entry.complete,
        )  # fmt: skip

    def _record(self, entry: Entry, applied: dict[str, Applied], now: int) -> None:
        targets = {stream: stage.target for stream, stage in self._stages.items()}
        self._session.record(self._connection, self.id, self._place, entry, applied, targets, now)
