"""The source of local files: plans what changed, reads it in two passes, and remembers each file by its hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar, cast

from wherry import (
    Batch,
    DataError,
    Mark,
    Piece,
    Progress,
    ReadPlan,
    Selection,
    Source,
    Split,
    Stream,
    StreamError,
    UsageError,
    WherryError,
)

from wherry_source_files.config import FilesConfig
from wherry_source_files.formats import new_reader
from wherry_source_files.handing import Handing, form_of
from wherry_source_files.reading import Reading, remembered, with_part
from wherry_source_files.streams import PART, FileStream, identity, streams


class FilesSource(Source):
    """Local files: CSV, TSV, JSON lines, JSON, Parquet, Arrow; the text formats also compressed (gz, zst).

    A bookmark is {"files": {path below the base: {"size", "mtime_ns", "sha256"}}}, with "cursor" where one is used, and
    "reading" where it is set how files are read.
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
        every = streams(self.config)
        for found in every:
            if any(fnmatchcase(found.name, pattern) for pattern in only):
                try:
                    yield self._describe(found)
                except (DataError, StreamError) as error:
                    if len(every) == 1:
                        raise
                    yield _broken(found, error)

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
        found = self._found(split)
        if found is None:
            raise StreamError(f"stream {selection.stream.path}: its file is gone", next="run again")
        reading = Reading(self.config, found, selection, split.bookmark, self.run)
        yield from cast("Iterator[Batch | Mark]", reading.items())

    def handoff(self, split: Split) -> str | None:
        """Parquet and CSV files may be read by the destination's engine itself."""
        found = self._found(split)
        return form_of(found, split.streams[0], self.run.handoffs, self.run.least_handoff) if found else None

    def hand_over(self, split: Split, form: str) -> Iterator[Piece | Mark]:
        """As `read`, a piece a file."""
        found = self._found(split)
        if found is None:
            raise StreamError(f"stream {split.streams[0].stream.path}: its file is gone", next="run again")
        handing = Handing(self.config, found, split.streams[0], split.bookmark, self.run)
        yield from cast("Iterator[Piece | Mark]", handing.items())

    def _found(self, split: Split) -> FileStream | None:
        return next((f for f in streams(self.config) if f.name == split.streams[0].stream.path), None)

    def _describe(self, found: FileStream) -> Stream:
        files = found.files()
        file = next((f for f in files if f.version.size), files[0])
        reader = new_reader(file.format, self.config, self.run)
        rows = reader.sample(file)
        total = sum(f.version.size for f in files)
        if rows is not None and len(files) > 1:
            rows = rows * total // max(1, file.version.size)
        return Stream(
            name=found.name,
            schema=with_part(reader.schema(), found),
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
        if bookmark is not None:
            if not self._news(found, selection, remembered(bookmark, self.config)):
                return None
            self._refuse_twice(found, selection)
        whole = selection.mode == "replace"
        split = Split(key=key, streams=(selection,), bookmark=None if whole else bookmark)
        return ReadPlan(key=key, splits=(split,))

    def _refuse_twice(self, found: FileStream, selection: Selection) -> None:
        """Appending a changed file whole would add the rows it had before a second time."""
        if not found.many and selection.mode == "append" and not selection.cursor:
            raise UsageError(
                f"stream {found.name}: its file changed, or is read in another way, and to append it again would add "
                "its earlier rows twice",
                key="mode",
                next="--full-refresh with --mode replace; or name what tells new rows: --cursor COLUMN, --key COLUMN",
            )

    def _news(self, found: FileStream, selection: Selection, seen: Mapping[str, Any]) -> bool:
        files = found.files()
        if selection.mode == "replace" and {f.rel for f in files} != set(seen):
            return True
        return any(not file.unchanged(seen.get(file.rel)) for file in files)


def _broken(found: FileStream, error: WherryError) -> Stream:
    """A stream that cannot be looked at: reading it says why, the streams beside it go on."""
    import pyarrow as pa

    return Stream(name=found.name, schema=pa.schema([]), part=PART if found.many else None, notes=(error.message,))
