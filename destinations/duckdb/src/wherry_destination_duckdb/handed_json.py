"""JSON lines read by DuckDB, each key as its column's kind: the source proves that every line is an object of those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from wherry import SQL, HandOffRefused, Identifier, Literal, Part

if TYPE_CHECKING:
    from wherry_destination_duckdb.load import DuckDBConnection

_READ = SQL(
    "read_json({path}, columns = {{{columns}}}, format = 'newline_delimited', records = 'true', auto_detect = false, "
    "compression = 'none', ignore_errors = false, convert_strings_to_integers = false, hive_partitioning = false, "
    "filename = false, union_by_name = false)"
)
_TYPES = {
    "int": ("bigint", pa.int64()), "float": ("double", pa.float64()), "bool": ("boolean", pa.bool_()),
    "text": ("varchar", pa.string()),
}  # fmt: skip

_BUFFER = 48 << 20
"""Bytes that each thread of the engine takes to read JSON, and a little more."""
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def refuse_little_memory(connection: DuckDBConnection) -> None:
    """Raise where the engine's reader would not get the memory that it wants, whatever the file."""
    settings = SQL("select current_setting('threads'), current_setting('memory_limit')")
    ((threads, limit),) = connection.rows(settings)
    number, _, unit = str(limit).partition(" ")
    if (int(threads) + 1) * _BUFFER > float(number) * _UNITS.get(unit, 0):
        raise HandOffRefused(f"the engine reads JSON by {threads} threads, for which {limit} of memory is little")


def source(data: dict[str, Any]) -> Part:
    """The file as a table of its keys."""
    if len({name.casefold() for name in data["names"]}) < len(data["names"]):
        raise HandOffRefused("the engine may take two of its keys for one")
    columns = [
        SQL("{name}: {type}")(name=Literal(name), type=Literal(_TYPES[kind][0])) for name, kind in data["kinds"].items()
    ]
    return _READ(path=Literal(data["path"]), columns=columns)


def value(data: dict[str, Any], name: str, type: pa.DataType) -> Part:
    """The value of a column, which has the target's type."""
    kind = data["kinds"].get(name)
    if kind not in _TYPES or _TYPES[kind][1] != type:
        raise HandOffRefused(f"column {name!r} is {kind or 'unknown'} in the file, and {type} in its table")
    return Identifier(name)


def refuse_other_count(counted: dict[str, Any], rows: int) -> None:
    """Raise unless there are as many rows as the source saw lines."""
    if counted["lines"] != rows:
        raise HandOffRefused("the engine sees other rows than the file has")
