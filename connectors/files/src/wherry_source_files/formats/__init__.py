"""One reader a format: a first pass that finds the exact schema, a second that gives the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from wherry import ResourceError, Run

from wherry_source_files.client import LocalFile
from wherry_source_files.config import FilesConfig

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_TYPES = frozenset({"text", "string", "str", "varchar", "utf8"})
LEAST_ROW = 16 << 20
SAMPLE_BYTES = 1 << 20
"""How much of a file's head `discover` looks at, in bytes after decompression."""


class Reader(ABC):
    """Reads files of one format into one schema. Order of calls: survey each file, then schema, then batches.

    batch_bytes: aim of a batch.  largest: bytes that one row may take.  text: columns that the user wants as text:
    literals are kept as they are.
    """

    alone = False
    """Whether no more than one file is surveyed, so that its facts need not tell more than its types."""

    def __init__(
        self, config: FilesConfig, batch_bytes: int, text: frozenset[str] = frozenset(), largest: int = 1 << 28
    ) -> None:
        self.config = config
        self.batch_bytes = batch_bytes
        self.largest = largest
        self.text = text

    @abstractmethod
    def sample(self, file: LocalFile) -> int | None:
        """Look at the head of a file in place of `survey`; returns an estimate of its rows, None if unknown."""

    @abstractmethod
    def survey(self, file: LocalFile, limit: int | None = None) -> Iterator[None]:
        """Look at all of a file, yielding between pieces of work. Raises `DataError` for what cannot be read.

        limit: at most so many rows will be asked for, so that no later batch need be looked at.
        """

    @abstractmethod
    def schema(self) -> pa.Schema:
        """The schema that holds every value of the files surveyed."""

    @abstractmethod
    def batches(self, file: LocalFile, columns: tuple[str, ...] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of a surveyed file, in order. columns: only these, where leaving others out saves work."""


def new_reader(format: str, config: FilesConfig, run: Run, types: Mapping[str, str] | None = None) -> Reader:
    """A reader of a format of `client.SUFFIXES`, imported when first asked for.

    types: what the user wants columns to be. A row may take half of the run's memory: it stands there as text, as
    Arrow data, and on its way.
    """
    text = frozenset(column for column, type in (types or {}).items() if type.lower() in TEXT_TYPES)
    return _reader_class(format)(config, max(1 << 16, run.bytes // 4), text, max(LEAST_ROW, run.memory // 2))


def too_large(file: str, what: str, largest: int) -> ResourceError:
    """A row that does not fit into the memory that the user grants."""
    return ResourceError(
        f"file {file} has {what} of more than {largest / 1e6:.0f} MB",
        next="if it is meant to be one row, raise --memory",
    )


def _reader_class(format: str) -> type[Reader]:
    if format in ("csv", "tsv"):
        from wherry_source_files.formats.delimited import DelimitedReader

        return DelimitedReader
    if format in ("json", "jsonl"):
        from wherry_source_files.formats.json_rows import JsonReader

        return JsonReader
    from wherry_source_files.formats.columnar import ArrowReader, ParquetReader

    return ParquetReader if format == "parquet" else ArrowReader
