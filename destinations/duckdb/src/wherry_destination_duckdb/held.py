"""Staged rows that stay in Arrow while statements read them as a table: in memory while they are few, then in a file.

In tables of the engine's they would be copied once more, and tens of millions take more of its memory than a small
limit allows, though they are spilled.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from wherry import SQL, Identifier, ResourceError, Writer, exhausted, failpoint

if TYPE_CHECKING:
    from wherry_destination_duckdb.load import DuckDBConnection

PIECE = 4 << 20
"""Bytes of rows that are read from a file at a time."""


class Held:
    """Batches that the engine may scan again and again."""

    def __init__(self, schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> None:
        self._schema = schema
        self._batches = batches

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = pa.RecordBatchReader.from_batches(self._schema, self._batches)
        return reader.__arrow_c_stream__(requested_schema)


class Spilled:
    """The same in a file that has no name: whatever ends the process, it is gone."""

    def __init__(self, schema: pa.Schema, folder: Path) -> None:
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
            self._writer = pa.ipc.new_stream(self._file, schema)
        except OSError as error:
            raise self._explained(error, 0) from error

    def write(self, rows: pa.RecordBatch) -> None:
        """Add rows. Raises `ResourceError` for a full disk."""
        step = max(1, rows.num_rows * PIECE // max(1, rows.get_total_buffer_size()))
        try:
            for start in range(0, rows.num_rows, step):
                self._writer.write_batch(rows.slice(start, step))
        except OSError as error:
            raise self._explained(error, rows.nbytes) from error

    def reader(self) -> pa.RecordBatchReader:
        """All rows, from the first."""
        return pa.ipc.open_stream(_FromStart(self._file))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)

    def close(self) -> None:
        """Let go of the space."""
        self._file.close()

    def _explained(self, error: OSError, need: int) -> ResourceError:
        return exhausted(error, self._folder, need) or ResourceError(
            f"cannot keep rows in {self._folder}: {error.strerror or error}", next="run it again"
        )


class _FromStart(io.RawIOBase):
    """A file from its beginning, at a place of its own: several scans may be under way."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        found = os.pread(self._file.fileno(), size, self._at)
        self._at += len(found)
        return found


class StagedRows(Writer):
    """Keeps what comes, and gives it to statements as a view, or brings it into the staging table when that is asked.

    hold: bytes that may stay in memory.
    """

    occupies = False

    def __init__(self, connection: DuckDBConnection, table: Identifier, schema: pa.Schema, view: str, hold: int):
        self._connection = connection
        self._table = table
        self._schema = schema
        self._view = view
        self._hold = hold
        self._batches: list[pa.RecordBatch] = []
        self._spilled: Spilled | None = None
        self._bytes = self._rows = 0

    def write(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        self._connection.count(rows)
        self._rows += rows.num_rows
        if self._spilled is not None:
            self._spilled.write(rows)
        else:
            self._batches.append(rows)
            self._bytes += rows.get_total_buffer_size()
            # rows so wide that a few take all memory wait here beside those of other loads
            if self._bytes >= (self._hold >> 3 if self._connection.wide else self._hold):
                self._spill()
        failpoint("K07")

    def _spill(self) -> None:
        self._spilled = self._connection.spilled(self._schema)
        for rows in self._kept():
            self._spilled.write(rows)

    def finish(self) -> int:
        rows, self._rows = self._rows, 0
        if not rows:
            return 0
        columns = [Identifier(name) for name in self._schema.names]
        statement = SQL("insert into {table} ({columns}) select {columns} from {view}").format(
            table=self._table, columns=columns, view=Identifier(self._view)
        )
        if self._spilled is not None:
            reader = self._spilled.reader()
        else:  # one that lets go of what it gave: the engine keeps what stood behind a view until the commit
            reader = pa.RecordBatchReader.from_batches(self._schema, _given_away(self._kept()))
        taken = self._connection.insert(self._view, reader, statement)
        self.drop()
        return taken

    def show(self) -> tuple[Identifier, int] | None:
        """Rows of the staging table's own types are not copied into it. Not wide ones: a scan holds two thousand."""
        rows = self._spilled or (Held(self._schema, self._batches) if self._batches else None)
        if rows is None or self._connection.wide or not self._connection.show(self._view, rows, self._table):
            return None
        return Identifier(self._view), self._rows

    def drop(self) -> None:
        self._kept()
        if self._spilled is not None:
            self._spilled.close()
            self._spilled = None

    def _kept(self) -> list[pa.RecordBatch]:
        kept, self._batches, self._bytes = self._batches, [], 0
        return kept


def _given_away(rows: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rows.reverse()
    while rows:
        yield rows.pop()
