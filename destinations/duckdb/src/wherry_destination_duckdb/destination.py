"""The DuckDB destination."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from wherry import Capabilities, ConnectorConfig, Dialect, ResourceError, SqlDestination

from wherry_destination_duckdb import types
from wherry_destination_duckdb.config import DuckDBConfig


class DuckDBDestination(SqlDestination):
    """Tables in a DuckDB database file."""

    Config: ClassVar[type[ConnectorConfig]] = DuckDBConfig
    capabilities: ClassVar[Capabilities] = Capabilities(
        types=frozenset(
            {
                *("bool", "int", "uint64", "float", "decimal", "text", "binary", "date", "time", "timestamp"),
                *("timestamptz", "timestamp_ns", "interval", "list", "struct", "map", "json", "uuid"),
            }
        ),
        loads=4,
        identifier_limit=255,
        case_sensitive=False,
        handoffs=("parquet-file", "csv-file", "jsonl-file"),
    )
    config: DuckDBConfig

    def check(self) -> None:
        """The folder takes files, and the file, if it is there, opens for writing."""
        file = Path(os.path.realpath(self.config.file))
        if file.exists():
            self.dialect().close()
        elif not os.access(file.parent, os.W_OK | os.X_OK):
            raise ResourceError(
                f"cannot create {file}: the folder is missing or not yours to write to", key="path",
                next="create the folder, or choose another",
            )  # fmt: skip

    def label(self) -> str:
        return self.config.path

    def schema_for(self, proposed: str) -> str:
        """`main` for a schema named like the file: `shop.orders` in `shop.duckdb` is then a table in `main`."""
        return "main" if proposed.casefold() == self.config.file.stem.casefold() else proposed

    def storage(self, field: pa.Field) -> tuple[pa.DataType, ...]:
        return types.storage(field)

    def dialect(self, *, read_only: bool = False, wait: float = 0) -> Dialect:
        from wherry_destination_duckdb.ddl import DuckDBDialect
        from wherry_destination_duckdb.file import open_file
        from wherry_destination_duckdb.load import BYTES

        settings: dict[str, Any] = {"memory_limit": self.config.memory_limit or _limit(self.memory)}
        if self.config.threads is not None:
            settings["threads"] = self.config.threads
        database = open_file(self.config.file, settings, read_only=read_only, wait=wait, tell=self.tell)
        return DuckDBDialect(database, BYTES, max(BYTES, (self.memory or 0) // 4))


_LEAST = 48 << 20
"""Bytes; with less the engine cannot even merge a stream while another is loaded, spilling or not."""


def _limit(memory: int | None) -> str:
    return "1GB" if memory is None else f"{max(memory, _LEAST) >> 10}KiB"
