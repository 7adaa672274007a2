"""CSV files read by DuckDB: each field as text, and each literal proven to be what its column's kind prints."""

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
_CHECKED = SQL(  # a field without a value compares as unknown, and its value is null
    "case when {unlike} then error({message}) else {value} end"
)
_UNLIKE = {
    "float": SQL("{text} <> {field} and {text} <> {field} || '.0'"),
    "date": SQL("{text} <> {field} or {value} not between date '0001-01-01' and date '9999-12-31'"),
    "timestamp ": SQL(
        "{text} <> {field} or not ({value} >= timestamp '0001-01-01' and {value} < timestamp '10000-01-01')"
    ),
    "timestampT": SQL(
        "replace({text}, ' ', 'T') <> {field} "
        "or not ({value} >= timestamp '0001-01-01' and {value} < timestamp '10000-01-01')"
    ),
}
_PLAIN = SQL("{text} <> {field}")
_TYPES = {
    "text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "date": pa.date32(),
    "timestamp ": pa.timestamp("us"), "timestampT": pa.timestamp("us"),
}  # fmt: skip


def source(data: dict[str, Any]) -> Part:
    """The file as a table of texts `f0`, `f1`, …"""
    columns = [SQL("{name}: 'varchar'")(name=Literal(field_name(at))) for at in range(len(data["names"]))]
    return _READ(
        path=Literal(data["path"]), columns=columns, header=Literal(bool(data["header"])),
        delimiter=Literal(data["delimiter"]),
    )  # fmt: skip


def field_name(position: int) -> str:
    """What a field is called while it is read: no name of a file can be in the way."""
    return f"f{position}"


def value(data: dict[str, Any], name: str, type: pa.DataType, engine: Part) -> Part:
    """The value of a column in the target's type (engine: its name there), or an error of the engine."""
    kind, position = data["kinds"].get(name, ""), data["names"].index(name)
    decimal = pa.types.is_decimal(type) and kind == f"decimal({type.precision},{type.scale})"
    if not decimal and _TYPES.get(kind) != type:
        raise HandOffRefused(f"column {name!r} is {kind or 'unknown'} in the file, and {type} in its table")
    field: Part = Identifier(field_name(position))
    if kind == "text":
        return field
    cast = SQL("{field}::{type}")(field=field, type=engine)
    unlike = _UNLIKE.get(kind, _PLAIN)(field=field, value=cast, text=SQL("{cast}::varchar")(cast=cast))
    return _CHECKED(unlike=unlike, message=Literal(f"{UNLIKE}{position}"), value=cast)


def refuse_other_count(
    connection: DuckDBConnection, table: Identifier, texts: list[str], data: dict[str, Any], counted: dict[str, Any],
    rows: int,
) -> None:  # fmt: skip
    """Raise unless lines and delimiters of the file are those between the rows that came, and within them.

    texts: the table's columns of text. counted: {"lines", "delimiters", "quotes": whether values may hold some}.
    """
    lines, delimiters = rows + bool(data["header"]), (rows + bool(data["header"])) * (len(data["names"]) - 1)
    if counted["quotes"]:
        if sum(kind == "text" for kind in data["kinds"].values()) < len(texts) or len(data["kinds"]) < len(
            data["names"]
        ):
            raise HandOffRefused("columns with quoted values are left out")
        lines += _within(connection, table, texts, "\n")
        delimiters += _within(connection, table, texts, data["delimiter"])
    if (lines, delimiters) != (counted["lines"], counted["delimiters"]):
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
