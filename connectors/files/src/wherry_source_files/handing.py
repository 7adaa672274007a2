"""Hand-overs: files that the destination's engine reads by itself, where that makes the table that we would make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from wherry import KIND, HandOffRefused, Mark, Piece, Selection

from wherry_source_files import handing_csv
from wherry_source_files.client import LocalFile
from wherry_source_files.formats import new_reader
from wherry_source_files.formats.delimited import DelimitedReader
from wherry_source_files.formats.scan import Scan
from wherry_source_files.reading import Reading
from wherry_source_files.streams import PART, FileStream

if TYPE_CHECKING:
    from wherry import LineTemplate

FORMS = {"parquet": "parquet-file", "csv": "csv-file", "tsv": "csv-file", "jsonl": "jsonl-file"}
_EXACT = (
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
    pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.date32(), pa.timestamp("ms"), pa.timestamp("us"),
    pa.timestamp("ns"),
)  # fmt: skip
"""Types of Parquet columns that every engine reads alike; beside them decimals, and microseconds with a zone."""


def form_of(found: FileStream, wanted: Selection, forms: frozenset[str], least: int) -> str | None:
    """The form in which a stream's files may be handed over: all of one format, and as large as that is worth.

    Types of CSV files and JSON lines stand only at their end: they go over where the table is made anew.
    """
    files = found.files()
    formats = {file.format for file in files}
    form = FORMS.get(next(iter(formats), "")) if len(formats) == 1 else None
    if form not in forms or any(file.compression for file in files):
        return None
    if form != "parquet-file" and (wanted.mode != "replace" or found.many):
        return None
    return form if sum(file.version.size for file in files) >= least else None


class Handing(Reading):
    """A stream's files that the bookmark does not know, as pieces."""

    _names: list[str] | None = None
    """Of a CSV file: its columns, their kinds, and what stands between them."""
    _kinds: dict[str, str]
    _delimiter: str
    _template: LineTemplate | None = None
    """Of JSON lines."""

    def _survey(self, pending: list[LocalFile]) -> Iterator[Mark]:
        """Heads or footers alone: each file's columns have to be those of the first."""
        self._counted: dict[str, int | None] = {}
        schemas = []
        for file in pending:
            reader = new_reader(file.format, self._config, self._run)
            self._counted[file.rel] = reader.sample(file)
            schemas.append(reader.schema())
            self._readers.setdefault(file.format, reader)
            if isinstance(reader, DelimitedReader):
                self._names, self._delimiter, facts = reader.layout(file)
                handing_csv.refuse(self._config, self._names, self._delimiter)
                wanted = self._columns() or self._names
                self._kinds = handing_csv.kinds_of(self._names, wanted, facts)
            elif file.format == "jsonl":
                from wherry_source_files import handing_json

                self._template = handing_json.template(reader, file, self._config)
        if any(not schema.equals(schemas[0], check_metadata=True) for schema in schemas):
            raise HandOffRefused("its files differ in their columns")
        for field in schemas[0] if schemas and self._names is None else ():
            if not _is_exact(field):
                raise HandOffRefused(f"column {field.name!r} is {field.type}")
        yield Mark()

    def _file(self, file: LocalFile) -> Iterator[Mark | Piece]:
        yield from self._instead(file)
        if self._names is not None:
            yield from self._text(file, self._names)
            return
        if self._template is not None:
            yield from self._lines(file, self._template)
            return
        names = self._reader(file).schema().names
        data: dict[str, Any] = {"path": file.path, "names": names}
        if self._found.many:
            data["constants"] = {PART: file.rel}
        yield Piece(
            stream=self._path, data=data, rows=self._counted[file.rel], size=file.version.size,
            unchanged=file.refuse_change,
        )  # fmt: skip
        self._seen[file.rel] = file.entry()  # hashed while the engine reads

    def _text(self, file: LocalFile, names: list[str]) -> Iterator[Piece]:
        """The file, then what was counted in it while the engine reads."""
        template = handing_csv.template(names, self._kinds, self._delimiter)
        data = {
            "path": file.path, "names": names, "kinds": self._kinds, "delimiter": self._delimiter,
            "header": self._config.header,
        }  # fmt: skip
        yield Piece(stream=self._path, data=data, unchanged=file.refuse_change)
        reader = self._reader(file)
        scan = Scan(template, self._config.header, reader.batch_bytes, reader.largest // 2)
        handing_csv.look(scan, file, self._stop.is_set)
        if self._stop.is_set():
            return
        yield Piece(stream=self._path, data=handing_csv.about(scan), rows=None, size=file.version.size)
        self._seen[file.rel] = file.entry()

    def _lines(self, file: LocalFile, template: LineTemplate) -> Iterator[Piece]:
        """The file, then that all its lines are as was said, which is looked at while the engine reads."""
        from wherry_source_files import handing_json

        wanted = self._columns() or tuple(template.kinds)
        kinds = {name: kind or "text" for name, kind in template.kinds.items() if name in wanted}
        data = {"path": file.path, "names": list(template.kinds), "kinds": kinds}
        yield Piece(stream=self._path, data=data, unchanged=file.refuse_change)
        reader = self._reader(file)
        scan = handing_json.Scan(template, reader.batch_bytes, reader.largest)
        scan.read(file, self._stop.is_set)
        if self._stop.is_set():
            return
        yield Piece(stream=self._path, data=scan.about(), rows=None, size=file.version.size)
        self._seen[file.rel] = file.entry()


def _is_exact(field: pa.Field) -> bool:
    type = field.type
    zoned = pa.types.is_timestamp(type) and type.unit == "us"
    return bool(type in _EXACT or zoned or pa.types.is_decimal128(type)) and not (field.metadata or {}).get(KIND)
