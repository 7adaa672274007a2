"""Connections to a DuckDB database, and Arrow rows on their way in."""

from __future__ import annotations

import queue
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from wherry import (
    SQL,
    Connection,
    DataError,
    DestinationError,
    Identifier,
    LeaseError,
    Part,
    Quoting,
    Taker,
    Target,
    UsageError,
    WherryError,
    Writer,
    failpoint,
)  # fmt: skip

from wherry_destination_duckdb import limits
from wherry_destination_duckdb.catalog import a_view
from wherry_destination_duckdb.file import Database
from wherry_destination_duckdb.held import Held, Spilled, StagedRows
from wherry_destination_duckdb.making import TableMaker

BYTES = 16 << 20
"""A load smaller than this goes in as one table; a larger one streams into one INSERT, a few batches in flight."""
FLIGHT = 4
WIDE = 64 << 10
"""Bytes of a row, on average, from which on rows count as wide."""


class DuckDBConnection(Connection):
    """A cursor, which is a connection of its own to the opened database."""

    def __init__(self, database: Database, quoting: Quoting, flush: int = BYTES, hold: int = BYTES) -> None:
        self._database = database
        self._cursor = database.cursor()
        self._rows = self._bytes = 0
        self._quoting = quoting
        self._flush = flush
        self._hold = hold
        self._begun = self._failed = False
        self._views = 0
        self._catalog = ""
        self._stream: Stream | None = None
        self._spilled: list[Spilled] = []
        self._readers: weakref.WeakSet[pa.RecordBatchReader] = weakref.WeakSet()

    def _execute(self, statement: Part) -> duckdb.DuckDBPyConnection:
        self.rest()
        try:
            with self._database.turn if self.wide else nullcontext():
                return self._cursor.execute(statement.render(self._quoting))
        except duckdb.Error as error:
            raise self._fail(error) from error

    def _fetch(self) -> list[tuple[Any, ...]]:
        try:
            return list(self._cursor.fetchall())
        except duckdb.Error as error:
            raise self._fail(error) from error

    def _fail(self, error: duckdb.Error) -> WherryError:
        self._failed = True
        if self._database.broken is not None and "invalidated" in str(error):  # it refuses everything since then
            return WherryError.from_json(self._database.broken.to_json())
        found = translate(error, self._database.path, self._bytes, self._rows)
        if isinstance(error, duckdb.FatalException):
            self._database.broken = self._database.broken or found
        return found

    def run(self, statement: Part) -> int:
        self._execute(statement)
        counted = self._cursor.description
        found = self._fetch()
        return int(found[0][0]) if found and counted and counted[0][0] == "Count" else 0

    def rows(self, statement: Part) -> list[tuple[Any, ...]]:
        self._execute(statement)
        return self._fetch()

    def reader(self, statement: Part) -> pa.RecordBatchReader | None:
        if absent := self._database.absent:
            raise UsageError(f"there is no file {absent}", key="path", next="correct the path, or sync into it")
        text = statement.render(self._quoting)
        self.rest()
        try:
            found = self._cursor.sql(text)
            if found is None:
                return None
            reader = found.to_arrow_reader(65536)
            self._readers.add(reader)
            return _guarded(reader)
        except duckdb.Error as error:
            raise translate(error, self._database.path, own=True) from error

    def described(self, table: Identifier) -> list[tuple[str, str]] | None:
        """(name, the engine's type) of each column; None if there is no such table or view.

        A miss leaves a transaction alone, which that of a statement does not. A name like `main.json` that no table has
        is looked for among files, too: one that is there is no table, and one that is not is no error.
        """
        self.rest()
        place, temporary = table, _temporary(table)
        if not temporary:  # a schema may be called like the database
            self._catalog = self._catalog or str(self.rows(SQL("select current_database()"))[0][0])
            place = Identifier(self._catalog, *table.names)
        try:
            found = self._cursor.table(place.render(self._quoting))
        except duckdb.CatalogException:
            return None
        except duckdb.Error as error:
            if temporary or self.rows(a_view(table)):
                raise self._fail(error) from error
            return None
        if found.type != "TABLE_RELATION" and not self.rows(a_view(table)):
            return None
        return list(zip(found.columns, map(str, found.types), strict=True))

    def count(self, rows: pa.RecordBatch) -> None:
        """These rows are to be written through this connection, which is that of one load."""
        self._rows += rows.num_rows
        self._bytes += rows.nbytes

    @property
    def wide(self) -> bool:
        """Whether rows are so wide that a vector of them may take all memory: then one statement runs at a time."""
        return self._bytes > WIDE * self._rows

    def begin(self) -> None:
        self._execute(SQL("begin transaction"))
        self._begun, self._failed = True, False

    def commit(self) -> None:
        if self._failed:  # the COMMIT of an aborted transaction is answered like any other
            raise DestinationError("a statement of the transaction failed: nothing was committed")
        self._execute(SQL("commit"))
        failpoint("K10")
        self._begun = False

    def rollback(self) -> None:
        self._drop_stream()
        if self._begun:
            self._begun = False
            try:
                self._cursor.execute("rollback")
            except duckdb.Error:  # already rolled back by the engine
                return

    def taker(self, form: str, table: Identifier, target: Target, load_id: int) -> Taker:
        from wherry_destination_duckdb.handed import FileTaker

        return FileTaker(self, form, table, target, load_id)

    def interrupt(self) -> None:
        self._cursor.interrupt()

    def writer(self, table: Identifier, schema: pa.Schema) -> Writer:
        self._views += 1
        view = f"_wherry_rows_{self._views}"
        if _temporary(table):
            return StagedRows(self, table, schema, view, self._hold)
        return ArrowWriter(self, table, schema, view, self._flush)

    def spilled(self, schema: pa.Schema) -> Spilled:
        """A file for rows that memory does not hold, until this closes."""
        made = Spilled(schema, Path(self._database.path).parent)
        self._spilled.append(made)
        return made

    def maker(self, table: Identifier, schema: pa.Schema, kinds: Sequence[Part]) -> Writer:
        self._views += 1
        return TableMaker(self, table, schema, kinds, f"_wherry_rows_{self._views}")

    def insert(self, view: str, rows: pa.RecordBatchReader, statement: Part) -> int:
        """Run an INSERT that selects from `view`, which stands for these rows; how many went in."""
        self.rest()
        with self._shown(view, rows):
            return self.run(statement)

    def show(self, view: str, rows: Held | Spilled, table: Identifier) -> bool:
        """Let `view` stand for these rows from now on; False if they would be of other types than in `table`."""
        self.rest()
        try:
            self._cursor.register(view, rows)
            shown = self._cursor.view(view)
            if list(zip(shown.columns, map(str, shown.types), strict=True)) == self.described(table):
                return True
            self._cursor.unregister(view)
        except duckdb.Error as error:
            raise self._fail(error) from error
        return False

    def stream(self, view: str, schema: pa.Schema, statement: Part) -> Stream:
        """Start an INSERT that takes batches as they come; any other statement waits for its end."""
        self.rest()
        feed = Stream(schema)
        text = statement.render(self._quoting)

        def work() -> int:
            with self._shown(view, pa.RecordBatchReader.from_batches(schema, feed.batches())):
                return int(self._cursor.execute(text).fetchall()[0][0])

        feed.start(work)
        self._stream = feed
        return feed

    def rest(self) -> None:
        """Let the INSERT that is under way come to its end."""
        feed, self._stream = self._stream, None
        if feed is not None:
            feed.end()
            self._checked(feed)

    def streaming(self, feed: Stream) -> bool:
        """Whether this INSERT is still the one under way."""
        return self._stream is feed

    def _checked(self, feed: Stream) -> None:
        if feed.error is not None:
            self._failed = True
            if isinstance(feed.error, duckdb.Error):
                raise self._fail(feed.error) from feed.error
            raise feed.error

    def _drop_stream(self) -> None:
        feed, self._stream = self._stream, None
        if feed is not None:
            self._failed = True
            feed.abort()

    @contextmanager
    def _shown(self, view: str, rows: Any) -> Iterator[None]:
        """Arrow rows under a name, for one statement."""
        try:
            self._cursor.register(view, rows)
        except duckdb.Error as error:
            raise self._fail(error) from error
        try:
            yield
        finally:
            with suppress(duckdb.Error):  # in an aborted transaction; the rows are let go with the cursor
                self._cursor.unregister(view)

    def close(self) -> None:
        """What is still being read ends too: a result that somebody holds keeps the file open."""
        self.rollback()
        for reader in self._readers:
            reader.close()
        self._cursor.close()
        for spilled in self._spilled:
            spilled.close()


class Stream:
    """Batches on their way into a statement that another thread runs."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self.error: BaseException | None = None
        self._queue: queue.Queue[pa.RecordBatch | None] = queue.Queue(FLIGHT)
        self._aborted = False
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], int]) -> None:
        """Run `work`, which takes `batches` and returns the number of rows, until the end."""

        def run() -> None:
            try:
                self.rows = work()
            except BaseException as error:
                self.error = error

        self._thread = threading.Thread(target=run, name="wherry-insert", daemon=True)
        self._thread.start()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """What was put, in its order, until the end."""
        while (rows := self._queue.get()) is not None:
            yield rows
            failpoint("K07")
        if self._aborted:
            raise RuntimeError("dropped")

    def put(self, rows: pa.RecordBatch | None) -> bool:
        """Hand over rows, waiting while enough are in flight; False when the statement is over already."""
        while self._thread is not None and self._thread.is_alive():
            with suppress(queue.Full):
                self._queue.put(rows, timeout=0.2)
                return True
        return False

    def end(self) -> None:
        """No more rows: wait for the statement."""
        self.put(None)
        if self._thread is not None:
            self._thread.join()

    def abort(self) -> None:
        """Make the statement fail and wait for it."""
        self._aborted = True
        self.end()


class ArrowWriter(Writer):
    """Keeps the first batches; when there are many, they and all that follow stream into one INSERT."""

    occupies = False

    def __init__(
        self, connection: DuckDBConnection, table: Identifier, schema: pa.Schema, view: str, flush: int
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._view = view
        self._flush = flush
        columns = [Identifier(name) for name in schema.names]
        self._statement = SQL("insert into {table} ({columns}) select {columns} from {view}").format(
            table=table, columns=columns, view=Identifier(view)
        )
        self._batches: list[pa.RecordBatch] = []
        self._bytes = self._taken = 0
        self._stream: Stream | None = None

    def write(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        self._connection.count(rows)
        if self._stream is not None and not self._connection.streaming(self._stream):
            self._ended()
        if self._stream is not None:
            self._hand(rows)
            return
        self._batches.append(rows)
        failpoint("K07")
        self._bytes += rows.get_total_buffer_size()
        if self._connection.wide:  # what waits here is counted by no budget
            if self._bytes >= self._flush >> 3:
                self._insert()
        elif self._bytes >= self._flush:
            self._stream = self._connection.stream(self._view, self._schema, self._statement)
            for kept in self._kept():
                self._hand(kept)

    def finish(self) -> int:
        if self._stream is not None:
            if self._connection.streaming(self._stream):
                self._connection.rest()
            self._ended()
        elif self._batches:
            self._insert()
        taken, self._taken = self._taken, 0
        return taken

    def _insert(self) -> None:
        """As a reader that lets go of what it gave: the engine keeps what stood behind a view until the commit."""
        kept = self._kept()
        kept.reverse()
        rows = pa.RecordBatchReader.from_batches(self._schema, (kept.pop() for _ in range(len(kept))))
        self._taken += self._connection.insert(self._view, rows, self._statement)

    def drop(self) -> None:
        self._batches.clear()

    def _kept(self) -> list[pa.RecordBatch]:
        kept, self._batches, self._bytes = self._batches, [], 0
        return kept

    def _hand(self, rows: pa.RecordBatch) -> None:
        if self._stream is not None and not self._stream.put(rows):
            self._connection.rest()  # raises what ended it

    def _ended(self) -> None:
        """Another statement came between: the INSERT is over and its rows are in."""
        if self._stream is not None:
            self._taken += self._stream.rows
            self._stream = None


def _temporary(table: Identifier) -> bool:
    """Whether this is a table of the connection's own: staging."""
    return len(table.names) == 1


def translate(error: duckdb.Error, path: str = "", need: int = 0, rows: int = 0, own: bool = False) -> WherryError:
    """The engine's error in our words, without the values that it likes to quote.

    path: of the database.  need: bytes of rows that waited to be written.  rows: how many.  own: the user
    wrote the SQL.
    """
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if (local := limits.met(error, path, need, rows)) is not None:
        return local
    if own:
        return UsageError(text, next="correct the statement")
    if isinstance(error, duckdb.TransactionException) and "Conflict" in str(error):
        return LeaseError("another run changed the same rows: nothing was committed", next="run it again")
    if isinstance(error, (duckdb.ConversionException, duckdb.OutOfRangeException)):
        return DataError(re.sub(r"['\"].*['\"]", "a value", text))
    if isinstance(error, duckdb.ConstraintException):
        return DataError(re.sub(r"['\"].*['\"]|duplicate key.*", "a value", text))
    return DestinationError(f"DuckDB: {text}", next="run it again")


def _guarded(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except (duckdb.Error, pa.ArrowException) as error:
            raise DestinationError(f"DuckDB: {str(error).splitlines()[0]}") from error

    return pa.RecordBatchReader.from_batches(reader.schema, batches())
