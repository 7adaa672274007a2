"""CSV files read by DuckDB, each column as its kind: the source proves what is in each row.

Floats alone are read as text, and have to print as they were written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from wherry import SQL, HandOffRefused, Identifier, Literal, Part

if TYPE_CHECKING:
    from wherry_destination_duckdb.load import DuckDBConnection

UNLIKE = "wherry: not as written: "
"""How the engine's error begins for a literal that its type would change; the column's position follows."""
_READ = SQL(
    "read_csv({path}, columns = {{{columns}}}, header = {header}, delim = {delimiter}, quote = '\"', escape = '\"', "
    "nullstr = '', allow_quoted_nulls = false, strict_mode = true, auto_detect = false, new_line = '\\n', "
    "null_padding = false, ignore_errors = false, compression = 'none', encoding = 'utf-8', hive_partitioning = false, "
    "filename = false, union_by_name = false)"
)
_FLOAT = SQL(  # a field without a value compares as unknown, and its value is null
    "case when {field}::double::varchar <> {field} and {field}::double::varchar <> {field} || '.0' "
    "then error({message}) else {field}::double end"
)
_TYPES = {
    "text": ("varchar", pa.string()), "int": ("bigint", pa.int64()), "float": ("varchar", pa.float64()),
    "bool": ("boolean", pa.bool_()), "date": ("date", pa.date32()), "timestamp ": ("timestamp", pa.timestamp("us")),
    "timestampT": ("timestamp", pa.timestamp("us")),
}  # fmt: skip
"""By kind: what the engine reads it as, and what it is in the table. Beside them decimals, which read as they are."""


def source(data: dict[str, Any]) -> Part:
    """The file as a table of fields `f0`, `f1`, …"""
    columns = [
        SQL("{name}: {type}")(name=Literal(field_name(at)), type=Literal(_read_as(data["kinds"].get(name, "text"))))
        for at, name in enumerate(data["names"])
    ]
    return _READ(
        path=Literal(data["path"]), columns=columns, header=Literal(bool(data["header"])),
        delimiter=Literal(data["delimiter"]),
    )  # fmt: skip


def field_name(position: int) -> str:
    """What a field is called while it is read: no name of a file can be in the way."""
    return f"f{position}"


def value(data: dict[str, Any], name: str, type: pa.DataType) -> Part:
    """The value of a column, which has the target's type; of a float, or an error of the engine."""
    kind, position = data["kinds"].get(name, ""), data["names"].index(name)
    decimal = pa.types.is_decimal(type) and kind == f"decimal({type.precision},{type.scale})"
    if not decimal and (kind not in _TYPES or _TYPES[kind][1] != type):
        raise HandOffRefused(f"column {name!r} is {kind or 'unknown'} in the file, and {type} in its table")
    field = Identifier(field_name(position))
    return _FLOAT(field=field, message=Literal(f"{UNLIKE}{position}")) if kind == "float" else field


def _read_as(kind: str) -> str:
    return _TYPES[kind][0] if kind in _TYPES else kind


def refuse_other_count(
    connection: DuckDBConnection, table: Identifier, texts: list[str], data: dict[str, Any], counted: dict[str, Any],
    rows: int,
) -> None:  # fmt: skip
    """Raise unless the lines of the file are the rows that came, and those that end within them.

    texts: the table's columns of text. counted: {"lines", "within": whether lines may end within values}.
    """
    lines = rows + bool(data["header"])
    if counted["within"]:
        known = sum(kind == "text" for kind in data["kinds"].values())
        if known < len(texts) or len(data["kinds"]) < len(data["names"]):
            raise HandOffRefused("columns with values of several lines are left out")
        lines += _within(connection, table, texts, "\n")
    if lines != counted["lines"]:
        raise HandOffRefused("the engine sees other rows than the file has")


def _within(connection: DuckDBConnection, table: Identifier, texts: list[str], sign: str) -> int:
    """How often a sign stands in the table's texts."""
    counted = [
        SQL("coalesce(sum(strlen({c}) - strlen(replace({c}, {sign}, ''))) filter (where contains({c}, {sign})), 0)")(
            c=Identifier(name), sign=Literal(sign)
        )
        for name in texts
    ]
    if not counted:
        return 0
    statement = SQL("select {all} from {table}")(all=SQL(" + ").join(counted), table=table)
    return int(connection.rows(statement)[0][0])
