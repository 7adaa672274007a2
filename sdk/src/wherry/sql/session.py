"""A session on a SQL warehouse: the lease, progress, loads, publishing; all bookkeeping on one connection."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from wherry.contracts.destination import Gathering, Load, Session
from wherry.contracts.loading import Applied, Entry, Lease, Receipt, RunRecord, Target
from wherry.contracts.values import Bookmark, Progress, ReadPlan, Split, is_ours
from wherry.errors import StateError, UsageError
from wherry.failpoints import failpoint
from wherry.sql import lease, state
from wherry.sql.compose import SQL, Identifier, Part
from wherry.sql.dialect import Connection, Dialect
from wherry.sql.load import SqlLoad
from wherry.sql.meta import Meta
from wherry.sql.publish import publish
from wherry.sql.runs import applied, record_load, run_records
from wherry.sql.tables import Tables

if TYPE_CHECKING:
    import pyarrow as pa


class SqlSession(Session):
    """The session of every SQL destination. Owns the dialect: closing the session closes the database."""

    def __init__(
        self, dialect: Dialect, pipeline: str, schema: str, *, label: str, join: Lease | None = None,
        read_only: bool = False, wait: float = 0, tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.dialect = dialect
        self.meta = Meta(dialect, schema)
        self.tables = Tables(self.meta, pipeline, label)
        self._read_only = read_only
        self._joined = join is not None
        self._lock = threading.RLock()
        self._renewal: lease.Renewal | None = None
        self._progress: dict[str, Progress] | None = None
        self._sequences: dict[state.Place, int] = {}
        self._reading: weakref.WeakKeyDictionary[Generator[pa.RecordBatch, None, None], Connection]
        self._reading = weakref.WeakKeyDictionary()
        self._open = True
        self._control = dialect.connect()
        try:
            self.lease = self._enter(pipeline, schema, join, wait, tell)
            if self._written and not read_only:
                self.tables.look(self._control)
        except BaseException:
            self._control.close()
            raise

    def _enter(self, pipeline: str, schema: str, join: Lease | None, wait: float, tell: Callable[[str], None]) -> Lease:
        if self._read_only:
            self._written = self.meta.exists(self._control)
            return Lease(pipeline=pipeline, schema=schema, epoch=0, holder=lease.me(), since=0)
        self._written = True
        if join is not None:
            held = lease.check(self.meta, self._control, join)
        else:
            self.meta.create(self._control)
            held = lease.take(self.meta, self._control, pipeline, wait, tell)
        try:
            if join is None:
                self.tables.sweep(self._control)
            self._sequences = state.sequences(self.meta, self._control, pipeline)
            if join is None and not self.dialect.file_lock:
                self._renewal = lease.Renewal(self.meta, held)
        except BaseException:
            lease.let_go(self.meta, held)
            raise
        return held

    # --- what is known

    @property
    def progress(self) -> Mapping[str, Progress]:  # type: ignore[override]
        """By plan key, as it stands now."""
        with self._lock:
            if self._progress is None:
                self._progress = self._read_progress()
            return self._progress

    def _read_progress(self) -> dict[str, Progress]:
        if not self._written:
            return {}
        missing, broken = self.tables.missing(self._control)
        return state.progress(self.meta, self._control, self.lease.pipeline, missing, broken)

    @property
    def names(self) -> Mapping[tuple[str, str], str]:  # type: ignore[override]
        """(stream path, source column or "") -> name, as recorded."""
        with self._lock:
            return self.tables.names(self._control) if self._written else {}

    def schema(self, target: Target) -> pa.Schema | None:
        import pyarrow as pa

        with self._lock:
            found = self.dialect.columns(self._control, self._place(target))
        return found and pa.schema([field for field in found if not is_ours(field.name)])

    def read(self, target: Target) -> pa.RecordBatchReader:
        with self._lock:
            table = self._place(target)
        reader = self._stream(SQL("select * from {table}").format(table=table))
        if reader is None:
            raise UsageError(f"there is no table {target.table}")
        return reader

    def execute(self, sql: str) -> pa.RecordBatchReader | None:
        return self._stream(SQL(sql), users=True)

    def runs(self) -> Sequence[RunRecord]:
        with self._lock:
            return run_records(self.meta, self._control) if self._written else ()

    # --- work

    def start(self, plan: ReadPlan) -> int:
        with self._writing():
            with self._fenced():
                generation = state.start(self.meta, self._control, self.lease, plan)
            found = state.sequences(self.meta, self._control, self.lease.pipeline, plan.key)
            known = {place: seq for place, seq in self._sequences.items() if place[0] != plan.key or place in found}
            self._sequences = found | known  # a known number stays: it goes with the bookmark that was read
            self.tables.sweep(self._control)
            return generation

    def resume(self, plan: ReadPlan) -> Progress:
        with self._writing():
            lease.check(self.meta, self._control, self.lease)  # a run that was taken over reads nothing again
            # First the numbers, then the bookmarks: a number that is too old only makes the swap fail.
            found = state.sequences(self.meta, self._control, self.lease.pipeline, plan.key)
            self._sequences |= {place: seq for place, seq in found.items() if place[1] == plan.id}
            seen = self._read_progress().get(plan.key, Progress())
        if seen.damaged:
            raise StateError(f"what is stored of {plan.key} cannot be read: {seen.damaged}", next="run it again")
        return seen

    def blocked(self) -> str:
        connection = self.dialect.connect()
        try:
            return self.dialect.blocked(connection)
        finally:
            connection.close()

    def applied(self, load_id: int) -> Mapping[str, Applied] | None:
        with self._lock:
            return applied(self.meta, self._control, load_id)

    def gather(self, most: int) -> Gathering | None:
        from wherry.sql.gather import SqlGathering

        self._check_open()
        return SqlGathering(self, most)

    def begin(self, plan: ReadPlan, split: Split) -> Load:
        self._check_open()
        connection = self.dialect.connect()
        try:
            return SqlLoad(self, plan, split, connection)
        except BaseException:
            connection.close()
            raise

    def publish(self, plan: ReadPlan, targets: Sequence[Target], generation: int, entry: Entry) -> Receipt:
        self._check_open()
        connection = self.dialect.connect()
        try:
            return publish(self, connection, plan, targets, generation, entry)
        finally:
            connection.close()

    def set(self, key: str, bookmark: Bookmark | None) -> None:
        with self._writing():
            with self._fenced():
                state.put(self.meta, self._control, self.lease, key, bookmark)
            found = state.sequences(self.meta, self._control, self.lease.pipeline, key)
            self._sequences = {place: seq for place, seq in self._sequences.items() if place[0] != key} | found
            self.tables.sweep(self._control)

    def adopt(self, table: str, namespace: str | None = None) -> None:
        with self._writing(), self._fenced():
            self.tables.adopt(self._control, namespace or self.meta.namespace, table)

    def close(self, outcome: str = "ok") -> None:
        with self._lock:
            if not self._open:
                return
            self._open = False
            for going, connection in list(self._reading.items()):  # readers that nobody read to their end
                with suppress(ValueError):  # another thread is reading
                    going.close()
                    connection.close()
            if self._renewal is not None:
                self._renewal.stop()
            try:
                if not self._read_only and not self._joined:
                    lease.finish(self.meta, self._control, self.lease, outcome)
            finally:
                self._control.close()
                self.dialect.close()

    # --- for loads and publishing

    def sequence(self, place: state.Place) -> int:
        """The seq that the next swap there must find: it goes with the bookmark that was read, and is never newer."""
        with self._lock:
            if place not in self._sequences:
                raise StateError(f"split {place[2] or place[0]} belongs to no plan that was started")
            return self._sequences[place]

    def moved(self, place: state.Place, seq: int) -> None:
        """A commit is known to have happened."""
        failpoint("K11")
        with self._lock:
            self._sequences[place] = seq
            self._progress = None
        failpoint("K12")

    def record(
        self, connection: Connection, load_id: int, place: state.Place, entry: Entry,
        applied: Mapping[str, Applied], targets: Mapping[str, Target], now: int,
    ) -> None:  # fmt: skip
        """The load's rows in `_wherry_loads`, inside its transaction."""
        record_load(self.meta, connection, self.lease, load_id, place, entry, applied, targets, now)

    def knows(self, key: str) -> bool:
        """Whether anything is stored of a plan key."""
        with self._lock:
            return any(place[0] == key for place in self._sequences)

    def gathered(self, keys: Sequence[str]) -> None:
        """Plans of these keys, which were new, are committed."""
        with self._lock:
            self._sequences |= {(key, "", ""): 1 for key in keys}
            self._progress = None

    # --- inside

    def _place(self, target: Target) -> Identifier:
        return self.tables.place(self._control, target) if self._written else self.tables.live(target)

    def _check_open(self) -> None:
        if not self._open or self._read_only:
            raise StateError("this session is closed or reads only")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """The session's own connection for a change; afterwards progress is read anew."""
        self._check_open()
        with self._lock:
            try:
                yield
            finally:
                self._progress = None

    @contextmanager
    def _fenced(self) -> Iterator[None]:
        """A transaction that no take-over can come between: it waits, or has been and is seen here."""
        with self.dialect.setup(self._control, self.meta.namespace):
            lease.check(self.meta, self._control, self.lease)
            yield

    def _stream(self, statement: Part, users: bool = False) -> pa.RecordBatchReader | None:
        """A query on a connection of its own, which closes with its last batch. users: it is not ours."""
        import pyarrow as pa

        connection = self.dialect.connect()
        try:
            if users and self._read_only:
                self.dialect.for_query(connection, self.meta.namespace)
            reader = connection.reader(statement)
        except BaseException:
            connection.close()
            raise
        if reader is None:
            connection.close()
            return None

        def batches() -> Generator[pa.RecordBatch, None, None]:
            try:
                yield from reader
            finally:
                connection.close()

        going = batches()
        self._reading[going] = connection
        return pa.RecordBatchReader.from_batches(reader.schema, going)
