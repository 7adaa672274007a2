"""CSV and TSV: every field is read as text; its column's facts, over the whole file, decide the type."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
from wherry import DataError

from wherry_source_files.client import LocalFile
from wherry_source_files.formats import SAMPLE_BYTES, Reader, too_large
from wherry_source_files.formats.guard import Guard, RowTooLongError, UncountedRowError, WithSentinel
from wherry_source_files.formats.literals import TEXT_FACTS, Facts, convert, observe
from wherry_source_files.formats.scan import Scan, UnlikeError
from wherry_source_files.formats.template import RowTemplate, is_plain, kind_of
from wherry_source_files.formats.text import TextFile, Utf8Reader, open_text

HEAD = 4 << 20
WORTH = 8 << 20
"""Bytes of a file from which on its rows are first held against a template."""


class DelimitedReader(Reader):
    """CSV and TSV files. Small files are kept in memory between the two passes."""

    _facts: dict[str, Facts]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._facts = {}
        self._kept: dict[str, list[pa.RecordBatch]] = {}
        self._proven: dict[str, pa.DataType] = {}
        """Types that each literal of the only file is known to have; then Arrow's parser may make them."""
        self._room = self.batch_bytes
        self._block = max(1 << 16, min(4 << 20, self.batch_bytes))
        self._threads = True

    def sample(self, file: LocalFile) -> int | None:
        """Rows of the head; an estimate of all from the sizes."""
        limit, rows, cut = SAMPLE_BYTES, 0, True
        while cut and not rows and limit < self.largest:
            self._block = max(self._block, limit)
            with open_text(file, self.config.encoding, limit) as text:
                batches = list(self._parse(file, text, strict=False))
                cut = text.reader.cut
            if cut and batches:  # the last row may be cut off
                batches[-1] = batches[-1].slice(0, batches[-1].num_rows - 1)
            for batch in batches:
                self._look(batch)
                rows += batch.num_rows
            limit *= 8
        if not cut:
            return rows
        return None if file.compression or not rows else rows * file.version.size // (limit // 8)

    def survey(self, file: LocalFile, limit: int | None = None) -> Iterator[None]:
        """The whole file; again with larger blocks for a long row, or without threads to find a malformed one.

        Where each row is like those of the head, there is no more to know.
        """
        if self.alone and limit is None and file.version.size >= WORTH:
            yield from self._scan(file)
        if self._proven:
            return
        while True:
            try:
                yield from self._survey(file, limit)
                return
            except RowTooLongError:
                self._grow(file)
            except UncountedRowError:
                self._threads = False

    def _scan(self, file: LocalFile) -> Iterator[None]:
        """Set `_proven` if all rows are like those of the head; else all is as before."""
        facts, block = self._facts, self._block
        self._facts = {}
        try:
            self.sample(file)
            template = self._template(file)
            if template is not None:
                with open_text(file, self.config.encoding) as text:
                    half = block // 2  # so that no row is too long for a block of the parser
                    yield from Scan(template, self.config.header, half, half // 2).look(text.reader)
                    text.finish(file)
                self._proven = {name: self._fact(name).type() for name in self._facts}
        except (DataError, RowTooLongError, UncountedRowError, UnlikeError):
            self._proven = {}
        finally:
            self._block = block
            if not self._proven:
                self._facts = facts

    def _template(self, file: LocalFile) -> RowTemplate | None:
        """That of the rows of the head; None where it has none, or where its rows would not tell all facts."""
        names, delimiter, facts = self.layout(file)
        kinds = [kind_of(facts[name]) for name in names]
        plain = is_plain(self.config, names, delimiter) and self.config.encoding in ("utf-8", "utf-8-sig")
        if not plain or any(facts[name].markers for name in names):
            return None
        known = [kind for kind in kinds if kind is not None]
        template = RowTemplate(known, delimiter, windows=True) if len(known) == len(names) else None
        return template if template is not None and not template.wide else None

    def _survey(self, file: LocalFile, limit: int | None) -> Iterator[None]:
        kept: list[pa.RecordBatch] = []
        size = rows = 0
        with open_text(file, self.config.encoding) as text:
            for batch in self._parse(file, text, strict=True):
                self._look(batch)
                rows += batch.num_rows
                if limit is not None and rows >= limit:
                    return
                size += batch.nbytes
                kept = [*kept, batch] if size <= self._room else []
                yield
            text.finish(file)
        if size <= self._room:
            self._room -= size
            self._kept[file.path] = kept

    def schema(self) -> pa.Schema:
        """Columns in the order they were first seen."""
        return pa.schema([pa.field(name, self._fact(name).type()) for name in self._facts])

    def batches(self, file: LocalFile, columns: tuple[str, ...] | None = None) -> Iterator[pa.RecordBatch]:
        """From memory where the survey kept it, else by a second pass."""
        kept = self._kept.pop(file.path, None)
        if kept is not None:
            yield from (self._typed(batch, columns) for batch in kept)
            return
        with open_text(file, self.config.encoding) as text:
            for batch in self._parse(file, text, strict=True):
                yield self._typed(batch, columns)

    def layout(self, file: LocalFile) -> tuple[list[str], str, dict[str, Facts]]:
        """(columns in their order, delimiter, what is known of each column) after `sample`."""
        with open_text(file, self.config.encoding, SAMPLE_BYTES) as text:
            head = _read_head(text.reader)
        delimiter = self._delimiter(file, head)
        return self._names(file, head, delimiter), delimiter, {name: self._fact(name) for name in self._facts}

    def _fact(self, name: str) -> Facts:
        return TEXT_FACTS if name in self.text else self._facts[name]

    def _look(self, batch: pa.RecordBatch) -> None:
        markers = self.config.null is None
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            known = self._facts.setdefault(name, Facts())
            if known.kind != "text":
                self._facts[name] = known.merge(observe(column, markers))

    def _typed(self, batch: pa.RecordBatch, columns: tuple[str, ...] | None) -> pa.RecordBatch:
        names = [name for name in batch.schema.names if columns is None or name in columns]
        facts = [self._fact(name) for name in names]
        arrays = [
            convert(batch.column(name), fact.type(), fact.null_markers) for name, fact in zip(names, facts, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, names=names) if names else batch.select([])

    def _grow(self, file: LocalFile) -> None:
        most = self.largest // 2  # a row may begin in one block and end in the next
        if self._block >= most:
            raise too_large(file.rel, "a row, or a quote that is never closed,", self.largest)
        self._block = min(8 * self._block, most)

    def _parse(self, file: LocalFile, text: TextFile, strict: bool) -> Iterator[pa.RecordBatch]:
        """Batches of text columns. strict: malformed rows and an unclosed quote are errors."""
        head = _read_head(text.reader).lstrip(b"\r\n")
        delimiter = self._delimiter(file, head)
        names = self._names(file, head, delimiter)
        if not names:
            return
        self._facts |= {name: Facts() for name in names if name not in self._facts}
        guard = Guard(file, len(names), self.config.header, strict)
        source = WithSentinel(head, text.reader, guard.sentinel(delimiter) if strict else b"")
        skip = self.config.header and not self._proven  # else Arrow's parser skips its line, which has other types
        try:
            threads = self._threads and file.version.size > self._block
            types = {name: self._proven.get(name, pa.string()) for name in names}
            with self._open(source, names, delimiter, guard, types, threads) as batches:
                for batch in batches:
                    guard.rows += batch.num_rows
                    if skip and batch.num_rows:
                        batch, skip = batch.slice(1), False
                    if batch.num_rows:
                        yield batch
        except pa.ArrowInvalid as error:
            raise self._explain(file, error, guard) from None
        guard.check()

    def _find_bad_text(self, file: LocalFile) -> DataError:
        """Which value is not UTF-8: one more pass, as bytes."""
        with open_text(file, self.config.encoding) as text:
            head = _read_head(text.reader).lstrip(b"\r\n")
            delimiter = self._delimiter(file, head)
            names = self._names(file, head, delimiter)
            guard = Guard(file, len(names), self.config.header, strict=False)
            row = 1 - int(self.config.header)
            types = dict.fromkeys(names, pa.binary())
            for batch in self._open(WithSentinel(head, text.reader, b""), names, delimiter, guard, types):
                for name, column in zip(names, batch.columns, strict=True):
                    if (at := _bad_text(column)) is not None:
                        return _not_utf8(file, f"row {row + at}, column {name}", name, row + at - 1)
                row += batch.num_rows
        return _not_utf8(file, "some value")

    def _open(
        self, source: Any, names: list[str], delimiter: str, guard: Guard, types: dict[str, pa.DataType],
        threads: bool = False,
    ) -> Any:  # fmt: skip
        quote = self.config.quote
        return pc.open_csv(
            pa.PythonFile(source, mode="r"),
            read_options=pc.ReadOptions(
                use_threads=threads,
                block_size=self._block,
                column_names=names,
                skip_rows=int(self.config.header and bool(self._proven)),
            ),
            parse_options=pc.ParseOptions(
                delimiter=delimiter,
                quote_char=False if quote == "none" else quote,
                escape_char=self.config.escape or False,
                newlines_in_values=True,
                ignore_empty_lines=len(names) > 1,
                invalid_row_handler=guard,
            ),
            convert_options=pc.ConvertOptions(
                column_types=types,
                true_values=["true"],
                false_values=["false"],
                null_values=["", *(self.config.null or ())],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _delimiter(self, file: LocalFile, head: bytes) -> str:
        if self.config.delimiter:
            return self.config.delimiter
        if file.format == "tsv":
            return "\t"
        first = head.partition(b"\n")[0]
        others = [sign for sign in (b";", b"\t", b"|") if sign in first]
        return others[0].decode() if len(others) == 1 and b"," not in first else ","

    def _names(self, file: LocalFile, head: bytes, delimiter: str) -> list[str]:
        """Distinct column names from the first row; [] for an empty file."""
        quote = self.config.quote
        quoting: Any = {"quoting": csv.QUOTE_NONE} if quote == "none" else {"quotechar": quote}
        text = io.StringIO(head.decode("utf-8", "surrogateescape"), newline="")
        rows = csv.reader(text, delimiter=delimiter, escapechar=self.config.escape, **quoting)
        try:
            first = next((row for row in rows if row), [])
            "".join(first).encode()
        except UnicodeEncodeError:
            raise _not_utf8(file, "the header") from None
        except csv.Error:
            raise DataError(f"file {file.rel}: the header has a field of more than 131072 characters") from None
        if any("\0" in name for name in first):
            raise DataError(
                f"file {file.rel}: NUL bytes in the header", key="encoding", next="is it --set encoding=utf-16-le?"
            )
        return distinct(first if self.config.header else ["" for _ in first], "column_")

    def _explain(self, file: LocalFile, error: pa.ArrowInvalid, guard: Guard) -> Exception:
        text = str(error)
        if guard.uncounted:
            return UncountedRowError()
        if guard.broken is not None:
            return guard.broken
        if "straddl" in text or "block size" in text:
            return RowTooLongError()
        if "UTF8" in text:
            return self._find_bad_text(file)
        return DataError(f"file {file.rel} cannot be parsed as CSV after row {guard.rows}")


def distinct(names: list[str], prefix: str) -> list[str]:
    """Names made distinct: an empty one becomes prefix + position (from 1), a repeated one gets _2, _3, ..."""
    taken = set(names)
    result: list[str] = []
    used: set[str] = set()
    for position, name in enumerate(names, 1):
        wanted = candidate = name or f"{prefix}{position}"
        count = 1
        while candidate in used or (candidate != name and candidate in taken):
            count += 1
            candidate = f"{wanted}_{count}"
        used.add(candidate)
        result.append(candidate)
    return result


def _read_head(reader: Utf8Reader) -> bytes:
    """The first row and more: until there is a line end outside of what may be a long header."""
    head = reader.read()
    while head.count(b"\n") + head.count(b"\r") < 2 and len(head) < HEAD and (more := reader.read()):
        head += more
    return head


def _bad_text(column: pa.BinaryArray) -> int | None:
    """Position of the first value that is not UTF-8."""
    try:
        column.cast(pa.string())
    except pa.ArrowInvalid:
        for position, value in enumerate(column.to_pylist()):
            try:
                (value or b"").decode()
            except UnicodeDecodeError:
                return position
    return None


def _not_utf8(file: LocalFile, where: str, column: str | None = None, row: int | None = None) -> DataError:
    return DataError(
        f"file {file.rel} is not UTF-8: {where}",
        column=column,
        row=row,
        key="encoding",
        next="give its encoding: --set encoding=latin-1",
    )
