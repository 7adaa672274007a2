"""Files that DuckDB reads by itself, straight into their table: only what becomes the very rows that we would write.

The source says what the file holds. Whatever the engine sees otherwise (a name, a type, a value) is refused, and the
file is read instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from wherry import (
    SQL,
    HandOffRefused,
    Identifier,
    LeaseError,
    Literal,
    Part,
    ResourceError,
    Taker,
    Target,
    WherryError,
    failpoint,
)

from wherry_destination_duckdb import types

if TYPE_CHECKING:
    from wherry_destination_duckdb.load import DuckDBConnection

LOAD_ID = "_wherry_load_id"
_PARQUET = SQL(
    "read_parquet({path}, hive_partitioning = false, filename = false, union_by_name = false, "
    "file_row_number = false, utf8_validation = 'strict')"
)
_PATTERN = frozenset("*?[]{}\\")
"""Characters by which the engine takes a path for more than one file."""


class FileTaker(Taker):
    """Files, one at a time, each by one INSERT inside the load's transaction.

    A piece is {"path": an absolute path, "names": the file's columns in their order, "constants": column -> text}.
    """

    occupies = False

    def __init__(self, connection: DuckDBConnection, form: str, table: Identifier, target: Target, load_id: int):
        if form != "parquet-file":
            raise HandOffRefused(f"{form} is not known here")
        self._connection = connection
        self._table = table
        self._target = target
        self._load_id = load_id
        self._rows = 0

    def take(self, data: Any) -> int:
        path = str(data["path"])
        if _PATTERN & set(path):
            raise HandOffRefused("the engine would take the path for a pattern")
        source = _PARQUET(path=Literal(path))
        try:
            self._refuse_other_columns(source, data)
            taken = self._connection.run(self._insert(source, data.get("constants", {})))
        except (LeaseError, ResourceError, HandOffRefused):
            raise
        except WherryError as error:
            cause = type(error.__cause__).__name__
            raise HandOffRefused(f"the engine's own reader does not take it ({cause})") from error
        failpoint("K07")
        self._rows += taken
        return taken

    def finish(self) -> int:
        rows, self._rows = self._rows, 0
        return rows

    def _refuse_other_columns(self, source: Part, data: Any) -> None:
        """Raise unless the engine sees the names that the source sees, and the target's types."""
        reader = self._connection.reader(SQL("select * from {source} limit 0")(source=source))
        assert reader is not None
        seen = reader.schema
        reader.close()
        if seen.names != list(data["names"]) or len({name.casefold() for name in seen.names}) < len(seen.names):
            raise HandOffRefused("the engine gives its columns other names")
        for field in self._target.schema:
            name = _source_of(field)
            if name in data.get("constants", {}):
                continue
            if name not in seen.names:
                raise HandOffRefused(f"the file has no column {name!r}")
            if types.native(seen.field(name).type) != field.type or types.kind(field):
                raise HandOffRefused(f"column {name!r} is {seen.field(name).type} to the engine, not {field.type}")

    def _insert(self, source: Part, constants: dict[str, str]) -> Part:
        columns: list[Part] = [Identifier(field.name) for field in self._target.schema]
        values: list[Part] = [self._value(_source_of(field), constants) for field in self._target.schema]
        if self._target.load_id:
            columns.append(Identifier(LOAD_ID))
            values.append(Literal(self._load_id))
        return SQL("insert into {table} ({columns}) select {values} from {source}")(
            table=self._table, columns=columns, values=values, source=source
        )

    def _value(self, name: str, constants: dict[str, str]) -> Part:
        return Literal(constants[name]) if name in constants else Identifier(name)


def _source_of(field: pa.Field) -> str:
    """What the source calls a column."""
    return str((field.metadata or {}).get(b"wherry:source", field.name.encode()).decode())
