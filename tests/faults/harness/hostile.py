"""Hostile values and names: picked by hand, and drawn by hypothesis; what a column's values are, however it is kept."""

from __future__ import annotations

import functools
import itertools
import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from wherry import KIND, Batch, Mark, Source, Stream

TEXTS = [
    "", " ", "\0", "a\0b", "\\N", "NULL", "null", "NA", "\\.", "\\", "ends with \\", "'", '"', "''", '""', "`", "[x]",
    '"; DROP TABLE canary;--', "'; DROP TABLE canary;--", "1); delete from canary; --", "$$", "$1", "%s", "%(x)s", "{}",
    "{0}", "?", ":x", "\r\n", "\n", "\r", "a\r\nb\nc\rd", "\t", ",", ";", "|", "\x1f", "\ufeff", "\ufeffx", "\u2028",
    "\u2029", "\u202e\u05d0", "e\u0301" * 20, "é", "e\u0301", "👩‍👩‍👧‍👦", "\U0001f600", "\U0010ffff",
    "\ufffe", "\uffff", "\ufffd",
    "\x7f", "\x80\x85\x9f", "".join(map(chr, range(1, 32))), "𝕳𝖊𝖑𝖑𝖔", "ﷺ", "０１２",
    "1e309", "NaN", "-0", "true", "0x10",
    "</script>", "<!--", "../../etc/passwd", "CON", "a" * 100_000, "\ud800", "\udfff", "x\ud83dy", "\udc00\ud800",
]  # fmt: skip
NAMES = [
    "select", "order", "user", "group", "table", "Select", "SELECT", "from", "column", "row", "rows",
    "id;", '"', '""', "'", "`",
    "[x]", 'a"b', "a'b", "a`b", '"; DROP TABLE canary;--', "x); drop table canary; --", "%s", "%(x)s",
    "{}", "{x}", "$1", "?",
    "a\nb", "a\tb", "a b", " a", "a ", "  ", "😀", "é", "e\u0301", "É", "ß", "SS", "ss",
    "ﬁ", "fi", "İ", "i", "I", "ı", "K", "k",
    "\u212a", "a.b", "a..b", ".", "..", "../../x", "/x", "a/b", "a\\b", "CON", "-", "--", "/*", "*", "#",
    "1", "1a", "\ufeff",
    "\u202ex", "\u200b", "_wherry_load_id", "_WHERRY_pos", "_wherry_x",
    "_dlt_id", "_airbyte_raw_id", "_sdc_batched_at",
    "orders__rejected", "ORDERS__SAMPLE", "x" * 62, "x" * 63, "x" * 64, "x" * 128, "x" * 300, "x" * 299 + "y", "é" * 40,
    "é" * 150, "😀" * 16, "😀" * 75, "xmin", "ctid", "rowid", "tableoid", "oid", "*id",
]  # fmt: skip
_I64 = 2**63
_TIMES = st.integers(-_I64, _I64 - 1)


def utf8(text: str) -> bool:
    """Whether the text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Kind:
    """Values of one Arrow type. refused: which of them a place must set aside, by its name; others it keeps exactly."""

    name: str
    field: pa.Field
    picked: Sequence[Any]
    drawn: st.SearchStrategy[Any]
    refused: Callable[[str, Any], bool] = lambda place, value: False
    postgres: str = "{v}"
    """How its column is asked for: what comes is compared with `plain`."""
    weight: int = 1

    def values(self, count: int) -> list[Any]:
        """All picked ones, and drawn ones up to the number; NULL among them."""
        return [None, *self.picked, *examples(self.name, self.drawn, max(1, count - len(self.picked) - 1))]


def examples(name: str, strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """So many examples, the same in each run of one version of hypothesis."""
    found: list[Any] = []

    @seed(name)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def draw(value: Any) -> None:
        if len(found) < count:
            found.append(value)

    draw()
    return list(itertools.islice(itertools.cycle(found), count))  # there may be fewer different ones


def _kind(name: str, type: pa.DataType, picked: Sequence[Any], drawn: Any, **options: Any) -> Kind:
    metadata = {KIND: options.pop("kind")} if "kind" in options else None
    return Kind(name, pa.field("v", type, metadata=metadata), picked, drawn, **options)


def _count(type: pa.DataType) -> Callable[[int], Any]:
    """A moment, of so many units around 1970."""
    width = pa.int32() if type.bit_width == 32 else pa.int64()
    return lambda n: pa.array([n], width).cast(type)[0]


def _decimals(precision: int, scale: int) -> tuple[list[Decimal], Any]:
    top = 10**precision - 1
    picked = [Decimal(n).scaleb(-scale, context=_WIDE) for n in (0, 1, -1, top, -top, 10**scale, top // 3)]
    return picked, st.integers(-top, top).map(lambda n: Decimal(n).scaleb(-scale, context=_WIDE))


_WIDE = Context(prec=100)
_D38, _D38_25, _D76 = _decimals(38, 10), _decimals(38, 25), _decimals(76, 30)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
_ANY = st.text(st.characters(exclude_categories=()), max_size=20)


def _deep(depth: int) -> str:
    return "[" * depth + "]" * depth


def _nul(place: str, value: str | None) -> bool:
    return value is not None and (not utf8(value) or (place == "postgres" and "\0" in value))


def _far_date(place: str, value: Any) -> bool:
    return place == "postgres" and value is not None and not -2_440_588 <= _units(value) <= 2_145_031_948


def _far_time(place: str, value: Any) -> bool:
    return place == "postgres" and value is not None and _units(value) < -210_866_803_200_000_000


def _units(value: Any) -> int:
    return int(value.value)


_DAYS = st.integers(-(2**31) + 2, 2**31 - 2)
_SENT = "('x' || encode({type}_send({v}), 'hex'))::bit(64)::bigint + 946684800000000::numeric"  # since the year 2000
_MICROS = "(extract(epoch from {v}) * 1000000)::bigint"
KINDS: tuple[Kind, ...] = (
    _kind("text", pa.utf8(), TEXTS, st.one_of(_TEXT, _TEXT, _TEXT, _ANY), refused=_nul, weight=8),
    _kind(
        "bytes",
        pa.binary(),
        [b"", b"\0", b"\xff\xfe", b"\\x00", b"'\"", bytes(range(256)) * 40],
        st.binary(max_size=80),
        weight=2,
    ),
    _kind("int64", pa.int64(), [0, -1, 2**53 - 1, 2**53, 2**53 + 1, _I64 - 1, -_I64], st.integers(-_I64, _I64 - 1)),
    _kind("uint64", pa.uint64(), [0, _I64, 2**64 - 1], st.integers(0, 2**64 - 1)),
    _kind("int8", pa.int8(), [-128, 127], st.integers(-128, 127)),
    _kind(
        "float64",
        pa.float64(),
        [0.0, -0.0, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 0.1 + 0.2, 1e22, 2.0**53 + 2],
        st.floats(),
        weight=2,
    ),
    _kind(
        "float32",
        pa.float32(),
        [0.0, -0.0, 1.401298464324817e-45, 3.4028234663852886e38, math.nan, math.inf, 0.10000000149011612],
        st.floats(width=32),
        postgres="{v}::float8",
    ),
    _kind("decimal38", pa.decimal128(38, 10), *_D38),
    _kind("decimal38_25", pa.decimal128(38, 25), *_D38_25),
    _kind("decimal76", pa.decimal256(76, 30), *_D76),
    _kind("boolean", pa.bool_(), [True, False], st.booleans()),
    _kind(
        "date",
        pa.date32(),
        [
            _count(pa.date32())(n)
            for n in (
                0,
                -719_528,
                -719_162,
                -719_163,
                2_932_896,
                2_932_897,
                -25_508,
                -2_440_588,
                -2_440_589,
                2_145_031_948,
                2_145_031_949,
            )
        ],
        _DAYS.map(_count(pa.date32())),
        refused=_far_date,
        postgres="{v} - date '1970-01-01'",
    ),
    *(
        _kind(
            name,
            kind,
            [
                _count(kind)(n)
                for n in (
                    0,
                    -1,
                    1,
                    _I64 - 1,
                    -_I64 + 1,
                    -62_135_596_800_000_000,
                    -62_135_596_800_000_001,
                    -62_167_219_200_000_000,
                    253_402_300_799_999_999,
                    253_402_300_800_000_000,
                    -210_866_803_200_000_000,
                    -210_866_803_200_000_001,
                    -2_203_891_200_000_000,
                )
            ],
            _TIMES.map(_count(kind)),
            refused=_far_time,
            postgres=_SENT.format(type=name, v="{v}"),
        )
        for name, kind in (("timestamp", pa.timestamp("us")), ("timestamptz", pa.timestamp("us", "UTC")))
    ),
    _kind(
        "nanoseconds",
        pa.timestamp("ns"),
        [_count(pa.timestamp("ns"))(n) for n in (0, 1, -1, _I64 - 1, -_I64 + 1, 123_456_789)],
        st.integers(-_I64 + 1, _I64 - 1).map(_count(pa.timestamp("ns"))),
    ),
    _kind(
        "time",
        pa.time64("us"),
        [_count(pa.time64("us"))(n) for n in (0, 1, 86_399_999_999)],
        st.integers(0, 86_399_999_999).map(_count(pa.time64("us"))),
        postgres=_MICROS,
    ),
    _kind(
        "duration",
        pa.duration("us"),
        [_count(pa.duration("us"))(n) for n in (0, -1, _I64 - 1, -_I64 + 1)],
        st.integers(-_I64 + 1, _I64 - 1).map(_count(pa.duration("us"))),
        postgres=_MICROS,
    ),
    _kind(
        "uuid",
        pa.utf8(),
        ["00000000-0000-0000-0000-000000000000", "not a uuid", "123E4567-E89B-12D3-A456-426614174000"],
        st.uuids().map(str),
        kind=b"uuid",
        refused=lambda place, v: v == "not a uuid",
        postgres="{v}::text",
    ),
    _kind(
        "json",
        pa.utf8(),
        ["{}", "[]", "null", '""', "0", "1e400", '{"a":1,"a":2}', '{"":[{}]}', _deep(100), '"\\u00e9"', "[null]"],
        _JSON.map(json.dumps),
        kind=b"json",
        postgres="{v}::text",
        weight=2,
    ),
    _kind(
        "list",
        pa.list_(pa.int64()),
        [[], [None], [1, None, 2**60], [[]] and [0] * 1000],
        st.lists(st.none() | st.integers(-_I64, _I64 - 1), max_size=6),
    ),
    _kind(
        "struct",
        pa.struct([("a", pa.int64()), ("b c", pa.utf8())]),
        [{"a": None, "b c": None}, {"a": 1, "b c": ""}, {"a": 2, "b c": '"'}],
        st.fixed_dictionaries(
            {
                "a": st.none() | st.integers(-_I64, _I64 - 1),
                "b c": st.none()
                | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=10),
            }
        ),
    ),
    _kind(
        "map",
        pa.map_(pa.int64(), pa.utf8()),
        [[], [(1, None)], [(-1, ""), (2, "x")]],
        st.dictionaries(st.integers(-_I64, _I64 - 1), st.none() | st.text("abc", max_size=3), max_size=4).map(
            lambda d: list(d.items())
        ),
    ),
)


@dataclass
class Rows(Source):
    """A source of rows as dicts or Arrow tables, by stream name; rows of dicts come in batches."""

    data: dict[str, Any] = field(default_factory=dict)
    schemas: dict[str, pa.Schema] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    batch: int = 500

    def __post_init__(self) -> None:
        super().__init__(self.Config())

    def identity(self) -> tuple[str, str]:
        return "hostile", "hostile"

    def discover(self, only: Sequence[str] = ("*",)) -> Iterator[Stream]:
        for name, schema in self.schemas.items():
            yield Stream(name=name, schema=schema, primary_key=self.key)

    def read(self, split: Any) -> Iterator[Batch | Mark]:
        name = split.streams[0].stream.name
        data = self.data[name]
        for start in range(0, len(data), self.batch):
            part = data[start : start + self.batch] if isinstance(data, list) else data.slice(start, self.batch)
            yield Batch(stream=name, data=part)


def source(values: dict[str, list[Any]]) -> Rows:
    """A stream for each kind: `id`, the position, and `v`."""
    data: dict[str, Any] = {}
    schemas = {}
    for kind in KINDS:
        if kind.name not in values:
            continue
        schemas[kind.name] = pa.schema([pa.field("id", pa.int64()), kind.field])
        if kind.name == "text":  # Arrow cannot hold half of a surrogate pair
            data[kind.name] = [{"id": i, "v": v} for i, v in enumerate(values[kind.name])]
        else:
            column = pa.array(values[kind.name], kind.field.type)
            data[kind.name] = pa.table([pa.array(range(len(column)), pa.int64()), column], schema=schemas[kind.name])
    return Rows(data, schemas)


def plain(value: Any) -> Any:
    """A value in a form that is equal for equal values alone, whatever client read it."""
    if isinstance(value, pa.Scalar):
        if pa.types.is_temporal(value.type):
            return None if not value.is_valid else _nanos(value)
        return plain(value.as_py())
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, int | Decimal):
        return Decimal(value).normalize(_WIDE) if value else Decimal(0)
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def _nanos(value: Any) -> Decimal:
    """Microseconds of moments, days of dates."""
    scale = {"s": 10**6, "ms": 10**3, "us": 1}
    unit = getattr(value.type, "unit", "us")
    if unit == "ns":
        return Decimal(value.value).scaleb(-3, context=_WIDE).normalize(_WIDE)
    return plain(value.value * (1 if pa.types.is_date(value.type) else scale[unit]))


@functools.cache
def drawn(each: int) -> dict[str, list[Any]]:
    """Values of every kind, `each` times its weight."""
    return {kind.name: kind.values(each * kind.weight) for kind in KINDS}
