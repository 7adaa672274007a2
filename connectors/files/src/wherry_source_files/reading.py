"""One read of a stream: look through its pending files, then give schema, rows and a bookmark after each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wherry import Batch, Mark, Piece, Run, Selection, StateError, StreamError

from wherry_source_files.client import LocalFile
from wherry_source_files.formats import Reader, new_reader
from wherry_source_files.streams import PART, FileStream

if TYPE_CHECKING:
    import pyarrow as pa

    from wherry_source_files.config import FilesConfig
    from wherry_source_files.cursor import Cursor

QUIET = 0.5
"""Seconds after which a read that only looks gives an empty mark, so that it can be stopped."""


class Reading:
    """A stream's files that the bookmark does not know, read in two passes.

    Nothing is emitted before every pending file was looked through, so one schema holds them all; a file that changed
    meanwhile raises before its bookmark.
    """

    def __init__(self, config: FilesConfig, found: FileStream, selection: Selection, bookmark: Any, run: Run) -> None:
        self._config = config
        self._found = found
        self._selection = selection
        self._path = selection.stream.path
        self._seen = remembered(bookmark, config)
        self._known_cursor: dict[str, str] | None = (bookmark or {}).get("cursor")
        self._run = run
        self._stop = run.stop
        self._readers: dict[str, Reader] = {}
        self._left = selection.limit
        self._cursor: Cursor | None = None

    def items(self) -> Iterator[Batch | Piece | Mark]:
        """Marks and batches; ends early, without a mark of completeness, when asked to stop."""
        pending = [file for file in self._found.files() if not file.unchanged(self._seen.get(file.rel))]
        yield from self._survey(pending)
        if self._stop.is_set():
            return
        yield from self._forget(pending)
        schema = None
        for position, file in enumerate(pending, 1):
            exact = with_part(self._reader(file).schema(), self._found)
            if exact != schema:
                schema = exact
                yield Mark(stream=replace(self._selection.stream, schema=schema))
                self._cursor = self._make_cursor(schema)
            yield from self._file(file)
            if self._left == 0 or self._stop.is_set():
                break
            if position == len(pending) or position % (1 + len(self._seen) // 100) == 0:
                yield from self._bookmark()
        if not self._stop.is_set():
            yield Mark(complete=(self._path,))

    def _survey(self, pending: list[LocalFile]) -> Iterator[Mark]:
        quiet_since = time.monotonic()
        for file in pending:
            reader = self._reader(file)
            reader.alone = len(pending) == 1
            for _ in reader.survey(file, self._selection.limit):
                if time.monotonic() - quiet_since > QUIET or self._stop.is_set():
                    yield Mark()
                    quiet_since = time.monotonic()
                if self._stop.is_set():
                    return

    def _forget(self, pending: list[LocalFile]) -> Iterator[Mark]:
        """In a rebuild that goes on after a failure: rows read before from a file that is gone, or another now."""
        if self._selection.mode != "replace" or not self._seen:
            return
        if not self._found.many:
            if pending:
                yield Mark(truncate=(self._path,))
            return
        gone = sorted(set(self._seen) - {file.rel for file in self._found.files()})
        if gone:
            yield Mark(parts={self._path: tuple(gone)})
            self._seen = {rel: entry for rel, entry in self._seen.items() if rel not in gone}

    def _instead(self, file: LocalFile) -> Iterator[Mark]:
        """The rows that a changed file had before go."""
        if self._found.many and file.rel in self._seen and self._selection.mode in ("append", "replace"):
            yield Mark(parts={self._path: (file.rel,)})

    def _file(self, file: LocalFile) -> Iterator[Batch | Piece | Mark]:
        yield from self._instead(file)
        for rows in self._reader(file).batches(file, self._columns()):
            if self._stop.is_set():
                return
            if self._cursor is not None:
                rows = self._cursor.keep(rows)
            if self._left is not None:
                rows = rows.slice(0, self._left)
                self._left -= rows.num_rows
            yield Batch(stream=self._path, data=self._stamp(rows, file))
            if self._left == 0:
                return
        if self._cursor is not None and not self._stop.is_set():
            self._cursor.refuse_older(file.rel)
        if self._selection.end is None and not self._stop.is_set():  # beyond an end rows are still to come
            self._seen[file.rel] = file.entry()

    def _bookmark(self) -> Iterator[Mark]:
        """One after each file; after each hundredth part of them where there are very many, for it lists them all."""
        if self._selection.limit is None:
            cursor = self._cursor.to_json() if self._cursor else None
            more = {"cursor": cursor, "reading": self._config.reading()}
            yield Mark(bookmark={"files": dict(self._seen)} | {key: value for key, value in more.items() if value})

    def _columns(self) -> tuple[str, ...] | None:
        """Columns asked for, and those that the pipeline needs beside them."""
        if self._selection.columns is None:
            return None
        cursor = (self._selection.cursor,) if self._selection.cursor else ()
        return (*self._selection.columns, *self._selection.key, *cursor)

    def _stamp(self, rows: pa.RecordBatch, file: LocalFile) -> pa.RecordBatch:
        """With the file's path, in a stream of many files."""
        if not self._found.many:
            return rows
        import pyarrow as pa

        return rows.append_column(PART, pa.repeat(pa.scalar(file.rel), rows.num_rows))

    def _make_cursor(self, schema: pa.Schema) -> Cursor | None:
        name = self._selection.cursor
        if name is None or self._selection.mode == "replace":
            return None
        if name not in schema.names:
            if self._known_cursor is not None:
                raise StateError(
                    f"stream {self._path} has no column {name} any more, which is the cursor of its bookmark",
                    key="cursor",
                    next="name the one to use now, and rebuild the table: --cursor COLUMN --full-refresh",
                )
            raise StreamError(f"stream {self._path} has no column {name} to use as cursor", key="cursor")
        from wherry_source_files.cursor import Cursor

        return Cursor(self._selection, schema.field(name).type, self._known_cursor)

    def _reader(self, file: LocalFile) -> Reader:
        if file.format not in self._readers:
            types: Mapping[str, str] = self._selection.types
            self._readers[file.format] = new_reader(file.format, self._config, self._run, types)
        return self._readers[file.format]


def remembered(bookmark: Any, config: FilesConfig) -> dict[str, Any]:
    """The files that a bookmark knows; read otherwise than they would be now, they count as changed."""
    known = bookmark or {}
    files = dict(known.get("files", {}))
    if known.get("reading", {}) == config.reading():
        return files
    return {rel: entry | {"size": -1} for rel, entry in files.items()}


def with_part(schema: pa.Schema, found: FileStream) -> pa.Schema:
    """The schema of a stream: with a column for the file's path where there are many."""
    if not found.many:
        return schema
    import pyarrow as pa

    return schema.append(pa.field(PART, pa.string()))
