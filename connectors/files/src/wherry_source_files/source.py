"""The source of local files: plans what changed, reads it in two passes, and remembers each file by its hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar

from wherry import (
    Batch,
    Mark,
    Progress,
    ReadPlan,
    Selection,
    Source,
    Split,
    Stopped,
    Stream,
    StreamError,
    UsageError,
)

from wherry_source_files.client import LocalFile
from wherry_source_files.config import FilesConfig
from wherry_source_files.formats import Reader, reader_for
from wherry_source_files.streams import PART, FileStream, identity, streams

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_TYPES = frozenset({"text", "string", "str", "varchar", "utf8"})


class FilesSource(Source):
    """Local files: CSV, TSV, JSON lines, JSON, Parquet, Arrow; the text formats also compressed (gz, zst).

    A bookmark is {"files": {path below the base: {"size", "mtime_ns", "sha256"}}}, with "cursor" where one is used.
    """

    Config: ClassVar[type[FilesConfig]] = FilesConfig
    config: FilesConfig

    def identity(self) -> tuple[str, str]:
        """(the folder's name or the file's stem, the absolute path)."""
        return identity(self.config)

    def check(self) -> None:
        """List the files and open the first of each stream."""
        for found in streams(self.config):
            for file in found.files()[:1]:
                with file.open():
                    pass

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        """Streams with a schema from the head of their first file; `read` tells the exact one."""
        for found in streams(self.config):
            if any(fnmatchcase(found.name, pattern) for pattern in only):
                yield self._describe(found)

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        """One plan and one split a stream; none where no file changed."""
        known = {found.name: found for found in streams(self.config)}
        for selection in selected:
            name = selection.stream.path
            if name not in known:
                raise StreamError(f"stream {name}: its file is gone", next="see what there is: wherry discover")
            plan = self._plan(known[name], selection, progress.get(name, Progress()))
            if plan is not None:
                yield plan

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        """The exact schema, then the rows of each file that the bookmark does not know, a bookmark after each."""
        (selection,) = split.streams
        found = next((f for f in streams(self.config) if f.name == selection.stream.path), None)
        if found is None:
            raise StreamError(f"stream {selection.stream.path}: its file is gone", next="run again")
        yield from _Reading(self, found, selection, (split.bookmark or {}).get("files", {})).items()

    def reader(self, format: str, selection: Selection | None = None) -> Reader:
        """A reader of one format with this source's options."""
        wanted = selection.types if selection else {}
        text = frozenset(column for column, type in wanted.items() if type.lower() in TEXT_TYPES)
        return reader_for(format)(self.config, max(1 << 16, self.run.bytes // 4), text)

    def _describe(self, found: FileStream) -> Stream:
        files = found.files()
        file = next((f for f in files if f.version.size), files[0])
        reader = self.reader(file.format)
        rows = reader.sample(file)
        total = sum(f.version.size for f in files)
        if rows is not None and len(files) > 1:
            rows = rows * total // max(1, file.version.size)
        return Stream(
            name=found.name,
            schema=_with_part(reader.schema(), found),
            part=PART if found.many else None,
            row_estimate=rows,
            description=f"{len(files)} files" if found.many else file.rel,
        )

    def _plan(self, found: FileStream, selection: Selection, known: Progress) -> ReadPlan | None:
        key = found.name
        bookmark = None if key in known.missing else known.bookmark
        if found.many and selection.cursor:
            raise UsageError(
                f"stream {key} is made of many files: what is new is known by file, not by cursor {selection.cursor}",
                key="cursor",
                next="leave --cursor out; new files are added, changed files replace their earlier rows",
            )
        if known.open is not None and selection.mode != "replace" and key not in known.missing:
            return known.open
        if bookmark is not None and not self._news(found, selection, bookmark["files"]):
            return None
        whole = selection.mode == "replace"
        split = Split(key=key, streams=(selection,), bookmark=None if whole else bookmark)
        return ReadPlan(key=key, splits=(split,))

    def _news(self, found: FileStream, selection: Selection, seen: Mapping[str, Any]) -> bool:
        files = found.files()
        if selection.mode == "replace" and {f.rel for f in files} != set(seen):
            return True
        return any(not file.unchanged(seen.get(file.rel)) for file in files)


class _Reading:
    """One pass over the pending files of a stream."""

    def __init__(self, source: FilesSource, found: FileStream, selection: Selection, seen: Mapping[str, Any]) -> None:
        self._source = source
        self._found = found
        self._selection = selection
        self._seen = dict(seen)
        self._readers: dict[str, Reader] = {}
        self._left = selection.limit

    def items(self) -> Iterator[Batch | Mark]:
        """Schema, rows and bookmarks; nothing is emitted before every pending file was looked through."""
        path = self._selection.stream.path
        pending = [file for file in self._found.files() if not file.unchanged(self._seen.get(file.rel))]
        for file in pending:
            for _ in self._reader(file).survey(file):
                self._stop()
        schema = None
        for file in pending:
            exact = _with_part(self._reader(file).schema(), self._found)
            if exact != schema:
                schema = exact
                yield Mark(stream=replace(self._selection.stream, schema=schema))
            yield from self._file(file)
            if self._left == 0:
                break
        yield Mark(complete=(path,))

    def _file(self, file: LocalFile) -> Iterator[Batch | Mark]:
        path = self._selection.stream.path
        if self._found.many and file.rel in self._seen and self._selection.mode == "append":
            yield Mark(parts={path: (file.rel,)})
        for rows in self._reader(file).batches(file, self._selection.columns):
            self._stop()
            if self._left is not None:
                rows = rows.slice(0, self._left)
                self._left -= rows.num_rows
            yield Batch(stream=path, data=self._stamp(rows, file))
            if self._left == 0:
                return
        if self._selection.limit is None:
            self._seen[file.rel] = file.entry()
            yield Mark(bookmark={"files": dict(self._seen)})

    def _stamp(self, rows: pa.RecordBatch, file: LocalFile) -> pa.RecordBatch:
        """With the file's path, in a stream of many files."""
        if not self._found.many:
            return rows
        import pyarrow as pa

        return rows.append_column(PART, pa.repeat(pa.scalar(file.rel), rows.num_rows))

    def _reader(self, file: LocalFile) -> Reader:
        if file.format not in self._readers:
            self._readers[file.format] = self._source.reader(file.format, self._selection)
        return self._readers[file.format]

    def _stop(self) -> None:
        if self._source.run.stop.is_set():
            raise Stopped


def _with_part(schema: pa.Schema, found: FileStream) -> pa.Schema:
    if not found.many:
        return schema
    import pyarrow as pa

    return schema.append(pa.field(PART, pa.string()))
