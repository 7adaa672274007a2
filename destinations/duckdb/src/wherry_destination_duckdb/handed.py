"""Files that DuckDB reads by itself, straight into their table: only what becomes the very rows that we would write.

The source says what the file holds. Whatever the engine sees otherwise (a name, a type, a value) is refused, and the
file is read instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
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

from wherry_destination_duckdb import handed_csv, handed_json, types

if TYPE_CHECKING:
    from wherry_destination_duckdb.load import DuckDBConnection

LOAD_ID = "_wherry_load_id"
PARQUET, CSV, JSON = FORMS = ("parquet-file", "csv-file", "jsonl-file")
_PARQUET = SQL(
    "read_parquet({path}, hive_partitioning = false, filename = false, union_by_name = false, "
    "file_row_number = false, utf8_validation = 'strict')"
)
_PATTERN = frozenset("*?[]{}\\")
"""Characters by which the engine takes a path for more than one file."""


class FileTaker(Taker):
    """Files, one at a time, each by one INSERT inside the load's transaction.

    parquet-file: {"path": an absolute path, "names": the file's columns in their order, "constants": column -> text}.
    csv-file: {"path", "names", "kinds": column -> kind, "delimiter", "header"}, then {"lines", "within"}, by which the
    source says that it has seen nothing else than rows of these columns and kinds.
    jsonl-file: {"path", "names": all keys, "kinds": key -> "int", "float", "text" or "bool"}, then {"lines"}, by which
    the source says that it has seen nothing else than objects of these keys and kinds, one a line.
    """

    occupies = False

    def __init__(self, connection: DuckDBConnection, form: str, table: Identifier, target: Target, load_id: int):
        self._connection = connection
        self._form = form
        self._table = table
        self._target = target
        self._load_id = load_id
        self._rows = 0
        self._last: dict[str, Any] = {}

    def take(self, data: Any) -> int:
        if "path" not in data:
            return self._counted(data)
        if _PATTERN & set(data["path"]):
            raise HandOffRefused("the engine would take the path for a pattern")
        self._last = data
        source = self._source(data)
        with _refusing(data):
            if self._form == JSON:
                handed_json.refuse_little_memory(self._connection)
            if self._form == PARQUET:
                self._refuse_other_columns(source, data)
            taken = self._connection.run(self._insert(source, data))
        failpoint("K07")
        self._rows += taken
        return taken

    def _source(self, data: dict[str, Any]) -> Part:
        if self._form == PARQUET:
            return _PARQUET(path=Literal(data["path"]))
        return handed_csv.source(data) if self._form == CSV else handed_json.source(data)

    def finish(self) -> int:
        rows, self._rows = self._rows, 0
        return rows

    def _counted(self, counted: dict[str, Any]) -> int:
        """The rows of the last file, if there are as many as the source found."""
        if self._form == JSON:
            handed_json.refuse_other_count(counted, self._rows)
            return self._rows
        texts = [field.name for field in self._target.schema if field.type == pa.string()]
        handed_csv.refuse_other_count(self._connection, self._table, texts, self._last, counted, self._rows)
        return self._rows

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

    def _insert(self, source: Part, data: dict[str, Any]) -> Part:
        columns: list[Part] = [Identifier(field.name) for field in self._target.schema]
        values: list[Part] = [self._value(field, data) for field in self._target.schema]
        if self._target.load_id:
            columns.append(Identifier(LOAD_ID))
            values.append(Literal(self._load_id))
        return SQL("insert into {table} ({columns}) select {values} from {source}")(
            table=self._table, columns=columns, values=values, source=source
        )

    def _value(self, field: pa.Field, data: dict[str, Any]) -> Part:
        name = _source_of(field)
        if self._form == CSV:
            if name not in data["names"]:
                raise HandOffRefused(f"the file has no column {name!r}")
            return handed_csv.value(data, name, field.type)
        if self._form == JSON:
            return handed_json.value(data, name, field.type)
        constants = data.get("constants", {})
        return Literal(constants[name]) if name in constants else Identifier(name)


@contextmanager
def _refusing(data: dict[str, Any]) -> Iterator[None]:
    """What the engine's reader makes of a file is no failure of the database: the file can still be read."""
    try:
        yield
    except (LeaseError, ResourceError, HandOffRefused):
        raise
    except WherryError as error:
        column = re.search(re.escape(handed_csv.UNLIKE) + r"(\d+)", str(error.__cause__))
        if column is not None:
            why = f"column {data['names'][int(column[1])]!r}: a literal that the engine would change"
        else:
            why = f"the engine's own reader does not take it ({type(error.__cause__).__name__})"
        raise HandOffRefused(why) from error


def _source_of(field: pa.Field) -> str:
    """What the source calls a column."""
    return str((field.metadata or {}).get(b"wherry:source", field.name.encode()).decode())
