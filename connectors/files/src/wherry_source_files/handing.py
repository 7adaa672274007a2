"""Hand-overs: files that the destination's engine reads by itself, where that makes the table that we would make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from wherry import KIND, HandOffRefused, Mark, Piece

from wherry_source_files.client import LocalFile
from wherry_source_files.formats import new_reader
from wherry_source_files.reading import Reading
from wherry_source_files.streams import PART, FileStream

FORMS = {"parquet": "parquet-file"}
_EXACT = (
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
    pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.date32(), pa.timestamp("ms"), pa.timestamp("us"),
    pa.timestamp("ns"),
)  # fmt: skip
"""Types of Parquet columns that every engine reads alike; beside them decimals, and microseconds with a zone."""


def form_of(found: FileStream, forms: frozenset[str], least: int) -> str | None:
    """The form in which a stream's files may be handed over: all of one format, and as large as that is worth."""
    files = found.files()
    formats = {file.format for file in files}
    form = FORMS.get(next(iter(formats), "")) if len(formats) == 1 else None
    if form not in forms or any(file.compression for file in files):
        return None
    return form if sum(file.version.size for file in files) >= least else None


class Handing(Reading):
    """A stream's files that the bookmark does not know, as pieces."""

    def _survey(self, pending: list[LocalFile]) -> Iterator[Mark]:
        """Footers alone: each file's columns have to be those of the first."""
        self._counted: dict[str, int | None] = {}
        schemas = []
        for file in pending:
            reader = new_reader(file.format, self._config, self._run)
            self._counted[file.rel] = reader.sample(file)
            schemas.append(reader.schema())
            self._readers.setdefault(file.format, reader)
        if any(not schema.equals(schemas[0], check_metadata=True) for schema in schemas):
            raise HandOffRefused("its files differ in their columns")
        for field in schemas[0] if schemas else ():
            if not _is_exact(field):
                raise HandOffRefused(f"column {field.name!r} is {field.type}")
        yield Mark()

    def _file(self, file: LocalFile) -> Iterator[Mark | Piece]:
        yield from self._instead(file)
        names = self._reader(file).schema().names
        data: dict[str, Any] = {"path": file.path, "names": names}
        if self._found.many:
            data["constants"] = {PART: file.rel}
        yield Piece(
            stream=self._path, data=data, rows=self._counted[file.rel], size=file.version.size,
            unchanged=file.refuse_change,
        )  # fmt: skip
        self._seen[file.rel] = file.entry()  # hashed while the engine reads


def _is_exact(field: pa.Field) -> bool:
    type = field.type
    zoned = pa.types.is_timestamp(type) and type.unit == "us"
    return bool(type in _EXACT or zoned or pa.types.is_decimal128(type)) and not (field.metadata or {}).get(KIND)
