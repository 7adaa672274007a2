"""Parquet and Arrow files: they know their schema; rows come as they were written, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from wherry import DataError

from wherry_source_files.client import LocalFile
from wherry_source_files.formats import Reader
from wherry_source_files.formats.arrow_types import int96_unit, plain_batch, plain_field

ROWS = 1 << 16
MAGIC = b"ARROW1"


class _ColumnarReader(Reader):
    """What the two have in common: the schema of the file read last, and no first pass but the hash."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._schemas: list[pa.Schema] = []

    def _add_schema(self, file: LocalFile, schema: pa.Schema) -> None:
        twice = [name for name in schema.names if schema.names.count(name) > 1]
        if twice:
            raise DataError(f"file {file.rel} has two columns named {twice[0]!r}", next="rename one of them")
        self._schemas.append(schema)

    def survey(self, file: LocalFile, limit: int | None = None) -> Iterator[None]:
        """The schema, and the hash of the bytes."""
        self.sample(file)
        yield
        if limit is None:
            file.digest()

    def schema(self) -> pa.Schema:
        """Every column of the files seen, each with the type it was seen with first."""
        fields: dict[str, pa.Field] = {}
        for schema in self._schemas:
            for field in schema:
                fields.setdefault(field.name, plain_field(field))
        return pa.schema(list(fields.values()))


class ParquetReader(_ColumnarReader):
    """Parquet, by row groups; only the columns asked for are read."""

    def sample(self, file: LocalFile) -> int | None:
        """The footer knows schema and rows."""
        with self._open(file) as parquet:
            self._add_schema(file, parquet.schema_arrow)
            return int(parquet.metadata.num_rows)

    def batches(self, file: LocalFile, columns: tuple[str, ...] | None = None) -> Iterator[pa.RecordBatch]:
        """Batches of about `batch_bytes`, by what the footer says of the rows' size."""
        with self._open(file) as parquet, _damage(file):
            names = None if columns is None else [name for name in parquet.schema_arrow.names if name in columns]
            size = sum(parquet.metadata.row_group(i).total_byte_size for i in range(parquet.metadata.num_row_groups))
            per_row = max(1, 2 * size // max(1, parquet.metadata.num_rows))
            rows = max(1, min(ROWS, self.batch_bytes // per_row))
            for batch in parquet.iter_batches(batch_size=rows, columns=names, use_threads=False):
                yield plain_batch(batch if names is None else batch.select(names))

    @contextmanager
    def _open(self, file: LocalFile) -> Iterator[Any]:
        import pyarrow.parquet as pq

        with file.open() as handle:
            with _damage(file):
                parquet = pq.ParquetFile(handle, pre_buffer=False)
                if any("INT96" in parquet.schema.column(i).physical_type for i in range(len(parquet.schema))):
                    handle.seek(0)
                    parquet = pq.ParquetFile(handle, pre_buffer=False, coerce_int96_timestamp_unit=int96_unit(handle))
            yield parquet


class ArrowReader(_ColumnarReader):
    """Arrow IPC: the file format (also called Feather) and the stream format."""

    def sample(self, file: LocalFile) -> int | None:
        """The schema; rows are not known without reading."""
        with self._open(file) as (schema, _):
            self._add_schema(file, schema)
        return None

    def batches(self, file: LocalFile, columns: tuple[str, ...] | None = None) -> Iterator[pa.RecordBatch]:
        """The batches of the file, large ones in slices."""
        with self._open(file) as (schema, batches), _damage(file):
            names = schema.names if columns is None else [name for name in schema.names if name in columns]
            for batch in batches:
                batch = batch if columns is None else batch.select(names)
                rows = max(1, self.batch_bytes * max(1, batch.num_rows) // max(1, batch.nbytes))
                for start in range(0, batch.num_rows, rows):
                    yield plain_batch(batch.slice(start, rows))

    @contextmanager
    def _open(self, file: LocalFile) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        with file.open() as handle:
            with _damage(file):
                random = handle.read(len(MAGIC)) == MAGIC
                handle.seek(0)
                reader = pa.ipc.open_file(handle) if random else pa.ipc.open_stream(handle)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if random else iter(reader)
            yield reader.schema, batches


@contextmanager
def _damage(file: LocalFile) -> Iterator[None]:
    """Say of which file it is that Arrow complains."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"file {file.rel} is not a whole {file.format} file", next="write or copy it again; check its suffix"
        ) from error
