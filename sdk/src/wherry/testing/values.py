"""Columns of every type family with the values that break things."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.values import KIND

DAY = dt.date
FIRST_DAY, LAST_DAY = DAY(1, 1, 1), DAY(9999, 12, 31)
LONG = "wherry " * 20_000
TEXTS = [
    "", " ", "plain", "NULL", "null", "\\N", "\\.", "\\", "a\\", "''", "it's", '"quoted"', "`back`", "$1 %s {} ? :x",
    "tab\tin", "line\nline", "line\r\nline", "\x01\x08\x1b\x7f\x85", "\ufeffbom", "\u2028\u2029", "\ufffe\uffff",
    "Ünï cödé", "e\u0301 é", "日本語", "🚣👩‍👩‍👧", "\u202eright to left", "שלום عليكم", "NaN", "0",
    "true", "1e400", LONG,
]  # fmt: skip
JSON_TEXTS = [
    "{}", "[]", "null", "true", '""', '"text"', "0", "-1.5", "9007199254740993", '{"a": 1}',
    '{"a": {"b": [1, 2.5, null, {"c": "d"}]}}', '["\\u00e9", "é", "\\"", "\\\\"]', '{"": "empty key"}',
]  # fmt: skip
UUIDS = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0189c6f5-7b2a-7cc3-98c4-dc0c0c07398f",
]


@cache
def columns() -> dict[str, tuple[tuple[pa.Field, list[Any]], ...]]:
    """Type family of `Capabilities.types` -> fields of that family, each with its values; NULL is always one."""
    found: dict[str, tuple[tuple[pa.Field, list[Any]], ...]] = {
        "bool": (_column("bool", pa.bool_(), [True, False]),),
        "int": tuple(
            _integer(kind) for kind in (pa.int64(), pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint32())
        ),
        "uint64": (_column("uint64", pa.uint64(), [0, 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]),),
        "float": (
            _float(pa.float64(), 1.7976931348623157e308, 5e-324),
            _float(pa.float32(), 3.4028234663852886e38, 1e-45),
        ),
        "decimal": tuple(_decimal(pa.decimal128(*shape)) for shape in ((38, 9), (38, 0), (38, 38), (10, 2), (1, 0))),
        "decimal256": tuple(_decimal(pa.decimal256(*shape)) for shape in ((76, 10), (50, 0))),
        "text": (_column("text", pa.string(), TEXTS),),
        "binary": (_column("binary", pa.binary(), [b"", b"\0", b"\\x00", bytes(range(256)), b"\xff" * 100_000]),),
        "date": (
            _column("date", pa.date32(), [FIRST_DAY, DAY(1582, 10, 15), DAY(1900, 2, 28), DAY(1970, 1, 1), LAST_DAY]),
        ),
        "time": (_column("time", pa.time64("us"), [dt.time(), dt.time(12, 30, 0, 1), dt.time.max]),),
        "timestamp": (_instants("timestamp", pa.timestamp("us")),),
        "timestamptz": (_instants("timestamptz", pa.timestamp("us", "UTC")),),
        "timestamp_ns": (_nanoseconds(),),
        "interval": _intervals(),
    }
    return found | _nested() | _marked()


def table(field: pa.Field, values: list[Any]) -> pa.Table:
    """Columns `id` int64 (counting from 0) and the field's."""
    array = pa.array(values, pa.int64()).cast(field.type) if _is_instant(field.type) else pa.array(values, field.type)
    ids = pa.array(range(len(array)), pa.int64())
    return pa.table([ids, array], schema=pa.schema([pa.field("id", pa.int64()), field]))


def _is_instant(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_duration(kind))


def _column(name: str, kind: pa.DataType, values: list[Any]) -> tuple[pa.Field, list[Any]]:
    return pa.field(name, kind), [*values, None]


def _integer(kind: pa.DataType) -> tuple[pa.Field, list[Any]]:
    unsigned = kind.bit_width if str(kind).startswith("u") else 0
    low, high = (0, 2**unsigned - 1) if unsigned else (-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
    exact = [2**53 + 1, -(2**53) - 1] if kind.bit_width == 64 else []
    return _column(str(kind), kind, [low, high, 0, 1, *exact])


def _float(kind: pa.DataType, most: float, least: float) -> tuple[pa.Field, list[Any]]:
    special = [float("nan"), float("inf"), float("-inf"), -0.0, 0.0]
    return _column(str(kind), kind, [*special, most, -most, least, 0.1, 1 / 3, 16777217.0])


def _decimal(kind: pa.DataType) -> tuple[pa.Field, list[Any]]:
    digits = [((9,) * kind.precision, sign) for sign in (0, 1)] + [((1,), 0), ((1,), 1), ((0,), 0)]
    values = [Decimal((sign, figures, -kind.scale)) for figures, sign in digits]  # no arithmetic: it would round
    return _column(f"decimal_{kind.precision}_{kind.scale}", kind, values)


def _instants(name: str, kind: pa.DataType) -> tuple[pa.Field, list[Any]]:
    """Microseconds since 1970: the first and the last of years 1 to 9999, around zero, daylight saving changes."""
    first, last = (
        pc.cast(pa.scalar(day), pa.timestamp("us")).cast(pa.int64()).as_py() for day in (FIRST_DAY, LAST_DAY)
    )
    return _column(name, kind, [first, last + 86_399_999_999, 0, -1, 1, 1_711_846_800_123_456, 1_729_990_800_000_001])


def _nanoseconds() -> tuple[pa.Field, list[Any]]:
    return _column(
        "timestamp_ns", pa.timestamp("ns"), [0, 1, -1, 999, 1_711_846_800_123_456_789, 2**63 - 1, -(2**63) + 1]
    )


def _intervals() -> tuple[tuple[pa.Field, list[Any]], ...]:
    months = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1000), (14, -3, 86_400_000_000_000), (-1, 2, -3000)]
    return (
        _column("interval", pa.month_day_nano_interval(), months),
        _column("duration", pa.duration("us"), [0, 1, -1, 86_400_000_000, -(10**15), 10**15 + 1]),
    )


def _nested() -> dict[str, tuple[tuple[pa.Field, list[Any]], ...]]:
    pair = pa.struct([("a", pa.int64()), ("b", pa.string())])
    lists = [[], [1], [None], [2**53 + 1, None, -1]]
    structs = [{"a": 1, "b": "x"}, {"a": None, "b": None}, {"a": 2**63 - 1, "b": "it's"}]
    maps = [[], [("a", 1)], [("", None), ("it's", 2**63 - 1)]]
    return {
        "list": (
            _column("list", pa.list_(pa.int64()), lists),
            _column("texts", pa.list_(pa.string()), [[], ["", None, "NULL", "a,b", '{"}', "\\"]]),
            _column("lists", pa.list_(pa.list_(pa.int64())), [[], [[]], [None, [1, None]]]),
        ),
        "struct": (
            _column("struct", pair, structs),
            _column("structs", pa.list_(pair), [[], [None], structs]),
        ),
        "map": (_column("map", pa.map_(pa.string(), pa.int64()), maps),),
    }


def _marked() -> dict[str, tuple[tuple[pa.Field, list[Any]], ...]]:
    """Text that means more than text."""

    def column(name: str, texts: list[str]) -> tuple[pa.Field, list[Any]]:
        return pa.field(name, pa.string(), metadata={KIND: name.encode()}), [*texts, None]

    return {"json": (column("json", JSON_TEXTS),), "uuid": (column("uuid", UUIDS),)}
