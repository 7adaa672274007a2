"""Which type holds which, and what has to change so that a table takes a target's rows."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest
from wherry import KIND, SchemaError, Target
from wherry.sql.ddl import difference, holds, stored
from wherry.sql.tables import shorten

JSON = pa.field("v", pa.string(), metadata={KIND: b"json"})
CHAINS: list[list[pa.DataType]] = [
    [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.decimal128(38, 0), pa.string()],
    [pa.uint8(), pa.uint16(), pa.uint32(), pa.int64(), pa.decimal128(20, 0), pa.string()],
    [pa.uint64(), pa.decimal128(20, 0)],
    [pa.int32(), pa.float64(), pa.string()],
    [pa.decimal128(10, 2), pa.decimal128(12, 4), pa.decimal128(38, 10), pa.string()],
    [pa.float32(), pa.float64(), pa.string()],
    [pa.date32(), pa.timestamp("us"), pa.string()],
    [pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.string()],
    [pa.list_(pa.int32(), 3), pa.list_(pa.int32()), pa.list_(pa.int64()), pa.string()],
    [pa.struct([("x", pa.int32())]), pa.struct([("y", pa.string()), ("x", pa.int64())]), pa.string()],
    [pa.map_(pa.string(), pa.int32()), pa.map_(pa.string(), pa.int64())],
    [pa.binary(4), pa.binary()],
]
APART: list[tuple[pa.DataType, pa.DataType]] = [
    (pa.int64(), pa.float64()),
    (pa.int64(), pa.uint64()),
    (pa.decimal128(10, 2), pa.decimal128(10, 3)),
    (pa.decimal128(10, 2), pa.float64()),
    (pa.timestamp("us"), pa.timestamp("us", "UTC")),
    (pa.timestamp("us"), pa.timestamp("ns")),
    (pa.bool_(), pa.int64()),
    (pa.list_(pa.int32(), 2), pa.list_(pa.int32(), 3)),
    (pa.struct([("x", pa.int32())]), pa.struct([("y", pa.int32())])),
]


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_each_step_holds_the_ones_before(chain: list[pa.DataType]) -> None:
    for narrow, wide in itertools.combinations(chain, 2):
        assert holds(pa.field("v", wide), pa.field("v", narrow)), (narrow, wide)
        assert not holds(pa.field("v", narrow), pa.field("v", wide)), (narrow, wide)


@pytest.mark.parametrize(("one", "other"), APART, ids=str)
def test_neither_holds_the_other(one: pa.DataType, other: pa.DataType) -> None:
    assert not holds(pa.field("v", one), pa.field("v", other))
    assert not holds(pa.field("v", other), pa.field("v", one))
    with pytest.raises(SchemaError, match="column v of table t"):
        difference("t", pa.schema([("v", one)]), pa.schema([("v", other)]))


def test_json_is_not_text_but_text_holds_it() -> None:
    text = pa.field("v", pa.string())
    assert holds(text, JSON)
    assert holds(JSON, JSON)
    assert not holds(JSON, text)


def test_what_is_there_already_stays() -> None:
    have = pa.schema([("ID", pa.int64()), ("wide", pa.string()), ("own", pa.date32())])
    want = pa.schema([("id", pa.int32()), ("wide", pa.int64()), ("new", pa.bool_())])
    assert difference("t", have, want) == ([want.field("new")], [])
    assert difference("t", have, want, folds=False) == ([want.field("id"), want.field("new")], [])


def test_a_widened_column_keeps_the_name_it_has() -> None:
    have, want = pa.schema([("ID", pa.int32())]), pa.schema([("id", pa.string())])
    assert difference("t", have, want) == ([], [pa.field("ID", pa.string())])


def test_bookkeeping_columns_follow_the_mode() -> None:
    schema = pa.schema([("id", pa.int64())])
    plain = Target(stream="t", table="t", schema=schema, load_id=False)
    history = Target(stream="t", table="t", schema=schema, mode="history")
    assert stored(plain).names == ["id"]
    assert stored(history).names == ["id", "_wherry_valid_from", "_wherry_valid_to", "_wherry_load_id"]


@pytest.mark.parametrize("name", ["orders", "x" * 63, "é" * 40, "🛶" * 30])
def test_generation_names_fit_and_differ(name: str) -> None:
    made = {shorten(name + end, "__gen12", 63) for end in ("", "a", "b")}
    assert len(made) == 3
    assert all(len(text.encode()) <= 63 and text.endswith("__gen12") for text in made)
