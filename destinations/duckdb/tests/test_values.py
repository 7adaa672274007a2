"""Every value comes back as it went in, or a written fallback of it; nothing is rounded, cut or made null."""

from __future__ import annotations

import itertools
import math
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from wherry import KIND, DataError
from wherry_destination_duckdb import types

TEXTS = [
    "",
    "NULL",
    "\\N",
    "a\nb\r\n",
    'it\'s "quoted"',
    "🛶 naïve",
    "\u202e",
    "e\u0301",
    "\ufeff",
    "\x01\x1f",
    "x" * 100_000,
]
D38 = Decimal("9" * 28 + "." + "9" * 10)
EXACT: list[tuple[pa.DataType, list[Any]]] = [
    (pa.bool_(), [True, False]),
    (pa.int8(), [-128, 127]), (pa.int16(), [-(2**15), 2**15 - 1]), (pa.int32(), [-(2**31), 2**31 - 1]),
    (pa.int64(), [-(2**63), 2**63 - 1, 2**53 + 1]),
    (pa.uint8(), [0, 255]), (pa.uint16(), [65535]), (pa.uint32(), [2**32 - 1]), (pa.uint64(), [0, 2**64 - 1]),
    (pa.float32(), [0.1, -0.0, math.inf, -math.inf, 1e-45]),
    (pa.float64(), [0.1 + 0.2, 5e-324, 1.7976931348623157e308, math.inf, -math.inf]),
    (pa.decimal128(38, 10), [D38, D38.copy_negate(), Decimal("0")]),
    (pa.decimal128(38, 0), [Decimal(10**38 - 1), Decimal(2**100)]),
    (pa.decimal128(4, 2), [Decimal("99.99"), Decimal("-0.01")]), (pa.decimal128(18, 18), [Decimal("0." + "9" * 18)]),
    (pa.string(), TEXTS), (pa.binary(), [b"", b"\0\xff'\\x", bytes(range(256))]),
    (pa.date32(), [date(1, 1, 1), date(9999, 12, 31)]),
    (pa.time64("us"), [time(0), time(23, 59, 59, 999999)]),
    (pa.timestamp("us"), [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)]),
    (pa.timestamp("ms"), [datetime(1969, 12, 31, 23, 59, 59, 999000)]), (pa.timestamp("s"), [datetime(2026, 1, 1)]),
    (pa.timestamp("us", "UTC"), [datetime(2026, 10, 25, 2, 30, 0, 1, UTC), datetime(1, 1, 1, tzinfo=UTC)]),
    (pa.list_(pa.int32()), [[], [1, None, 3]]), (pa.list_(pa.list_(pa.string())), [[["a"], [], None]]),
    (pa.list_(pa.int32(), 2), [[1, 2]]),
    (pa.struct([("a", pa.int8()), ("b c", pa.list_(pa.string()))]), [{"a": 1, "b c": ["x"]}, {"a": None, "b c": None}]),
    (pa.map_(pa.string(), pa.int64()), [[("k", 1), ("l", None)], []]),
]  # fmt: skip


def back(driver: Any, schema: pa.Schema, batch: pa.RecordBatch, mode: str = "append") -> pa.Table:
    """What the table gives back, in the order of `n`."""
    target = driver.target(schema=schema, mode=mode, key=("n",) if mode == "merge" else ())
    if mode == "merge":
        batch = batch.append_column("_wherry_pos", pa.array(range(batch.num_rows), pa.int64()))
    session = driver.open()
    driver.load(session, target, batch)
    found = session.read(target).read_all().sort_by("n")
    seen = session.schema(target)
    session.close()
    assert seen == schema, "the table's own account of its columns"
    return found.select(schema.names)


@pytest.mark.parametrize(("type", "values"), EXACT, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_values_come_back(driver: Any, type: pa.DataType, values: list[Any], mode: str) -> None:
    assert types.storage(pa.field("v", type))[0] == type
    schema = pa.schema([("n", pa.int64()), ("v", type)])
    given = [*values, None]
    batch = pa.record_batch([pa.array(range(len(given)), pa.int64()), pa.array(given, type)], schema=schema)
    found = back(driver, schema, batch, mode)
    assert found["v"].type == type
    assert found["v"].combine_chunks().equals(batch["v"]) or found["v"].to_pylist() == given


def test_nan_and_negative_zero(driver: Any) -> None:
    schema = pa.schema([("n", pa.int64()), ("v", pa.float64())])
    found = back(driver, schema, pa.record_batch([[0, 1], pa.array([math.nan, -0.0])], schema=schema))["v"].to_pylist()
    assert math.isnan(found[0])
    assert math.copysign(1, found[1]) == -1


def test_nanoseconds_and_intervals(driver: Any) -> None:
    schema = pa.schema(
        [("n", pa.int64()), ("t", pa.timestamp("ns")), ("z", pa.timestamp("ns", "UTC")), ("c", pa.time64("ns")),
         ("i", pa.month_day_nano_interval())]
    )  # fmt: skip
    values = [[0], [1_767_225_600_000_000_001], [-1], [86_399_999_999_999]]
    arrays = [pa.array(v, pa.int64()).cast(f.type) for v, f in zip(values, schema, strict=False)]
    interval = pa.array([(14, -3, 1_000)], pa.month_day_nano_interval())
    batch = pa.record_batch([*arrays, interval], schema=schema)
    assert back(driver, schema, batch).combine_chunks().to_batches()[0].equals(batch)


def test_json_and_uuid(driver: Any) -> None:
    kinds = [pa.field(k, pa.string(), metadata={KIND: k.encode()}) for k in ("json", "uuid")]
    schema = pa.schema([pa.field("n", pa.int64()), *kinds])
    document, id = '{"b": [1, 2.50, null], "a": "\\u00e9"}', str(uuid.uuid4())
    found = back(driver, schema, pa.record_batch([[1], [document], [id]], schema=schema))
    assert found.to_pylist() == [{"n": 1, "json": document, "uuid": id}]
    columns = "select data_type from duckdb_columns() where column_name in ('json', 'uuid') order by 1"
    assert driver.sql(columns) == [("JSON",), ("UUID",)]


def test_a_value_that_does_not_fit_is_not_shown(driver: Any) -> None:
    schema = pa.schema([pa.field("n", pa.int64()), pa.field("u", pa.string(), metadata={KIND: b"uuid"})])
    with pytest.raises(DataError) as caught:
        back(driver, schema, pa.record_batch([[1], ["S3CR3T"]], schema=schema))
    assert "S3CR3T" not in str(caught.value)


FALLBACKS = [
    (pa.decimal256(50, 2), pa.string()), (pa.float16(), pa.float32()), (pa.large_string(), pa.string()),
    (pa.string_view(), pa.string()), (pa.large_binary(), pa.binary()), (pa.binary(4), pa.binary()),
    (pa.date64(), pa.date32()), (pa.time32("ms"), pa.time64("us")), (pa.duration("us"), pa.int64()),
    (pa.timestamp("s", "Europe/Paris"), pa.timestamp("us", "UTC")), (pa.null(), pa.string()),
    (pa.dictionary(pa.int8(), pa.large_string()), pa.string()), (pa.decimal32(5, 2), pa.decimal128(5, 2)),
    (pa.large_list(pa.large_string()), pa.list_(pa.string())), (pa.struct([]), pa.string()),
    (pa.list_(pa.decimal256(50, 2)), pa.list_(pa.string())),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kept"), FALLBACKS, ids=str)
def test_fallbacks_are_what_is_written_down(given: pa.DataType, kept: pa.DataType) -> None:
    assert types.storage(pa.field("v", given))[0] == kept


def test_each_later_type_holds_more() -> None:
    from wherry.testing import holds

    for type, _ in EXACT:
        row = types.storage(pa.field("v", type))
        assert row[-1] == pa.string()
        for narrow, wide in itertools.pairwise(row):
            assert holds(pa.field("v", wide), pa.field("v", narrow)), (narrow, wide)


def test_encoded_columns_are_decoded(driver: Any) -> None:
    schema = pa.schema([("n", pa.int64()), ("v", pa.string())])
    for values in (
        pa.array(["a", None, "a"]).dictionary_encode(),
        pc.run_end_encode(pa.array(["a", None, "a"])),
        pa.array(["a", None, "a"], pa.string_view()),
        pa.array(["a", None, "a"], pa.large_string()),
    ):
        batch = pa.RecordBatch.from_arrays([pa.array([0, 1, 2]), values], names=["n", "v"])
        target = driver.target(schema=schema, mode="replace")
        driver.run(target, batch)
        assert [row["v"] for row in driver.read(target)] == ["a", None, "a"]


def test_time_zones_become_utc(driver: Any) -> None:
    schema = pa.schema([("n", pa.int64()), ("v", pa.timestamp("us", "UTC"))])
    moment = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    batch = pa.RecordBatch.from_arrays(
        [pa.array([0]), pa.array([moment], pa.timestamp("us", "Europe/Paris"))], names=["n", "v"]
    )
    found = back(driver, schema, batch)
    assert found["v"].to_pylist() == [moment]
    assert driver.sql("select epoch_us(v) from shop.orders") == [(int(moment.timestamp() * 1_000_000),)]
