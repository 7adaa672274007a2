"""Comparison of tables: every kind of difference is seen and shown, order is none."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from wherry.testing import differences, digest, tables_equal
from wherry.testing.compare import texts

NESTED = pa.struct([("a", pa.string()), ("b", pa.list_(pa.int64()))])
TABLE = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "x": pa.array([{"a": None, "b": [1]}, None, {"a": "None", "b": []}], NESTED),
        "f": [float("nan"), -0.0, 1.5],
    }
)


def test_order_of_rows_and_columns_is_no_difference() -> None:
    other = TABLE.take([2, 0, 1]).select(["f", "x", "id"])
    assert tables_equal(TABLE, other)
    assert digest(TABLE) == digest(other)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", pa.array([1, 2, 2**53 + 1], pa.int64())),
        ("id", pa.array([1, 2, None], pa.int64())),
        ("f", pa.array([float("nan"), 0.0, 1.5])),
        ("f", pa.array([None, -0.0, 1.5])),
        ("x", pa.array([{"a": None, "b": [1]}, None, {"a": None, "b": []}], NESTED)),
        ("x", pa.array([{"a": None, "b": [1]}, None, {"a": "None", "b": None}], NESTED)),
        ("x", pa.array([{"a": None, "b": [1]}, {"a": None, "b": None}, {"a": "None", "b": []}], NESTED)),
    ],
)
def test_one_other_value_is_a_difference(column: str, values: Any) -> None:
    other = TABLE.set_column(TABLE.schema.get_field_index(column), column, values)
    assert digest(other) != digest(TABLE)
    assert differences(TABLE, other)


def test_how_often_a_row_comes_matters() -> None:
    twice = pa.concat_tables([TABLE, TABLE.slice(0, 1)])
    assert differences(TABLE, twice)[0] == "  3 rows left, 4 right"
    assert digest(TABLE) != digest(twice)


def test_differences_are_shown_by_key() -> None:
    other = TABLE.set_column(2, "f", pa.array([float("nan"), -0.0, 2.5]))
    with pytest.raises(AssertionError, match=r"(?s)tables differ here .*\n  row id=3: f: '1.5' ≠ '2.5'"):
        tables_equal(TABLE, other, key=["id"], about="here")


def test_columns_and_types_are_compared() -> None:
    assert differences(TABLE, TABLE.drop_columns(["f"])) == ["- column f double"]
    narrow = TABLE.set_column(0, "id", TABLE["id"].cast(pa.int32()))
    assert differences(TABLE, narrow) == ["  column id: int64 is not int32"]
    assert differences(TABLE, narrow, types=False) == []


def test_texts_are_exact() -> None:
    zone = pa.array([0], pa.int64()).cast(pa.timestamp("us", "America/New_York"))
    entries = pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int64()))
    assert texts(zone) == texts(zone.cast(pa.timestamp("us", "UTC")))
    assert texts(entries.slice(1)) == [None, "[]"]
    assert texts(pa.array([0.1, 1e300, 5e-324])) == ["0.1", "1e+300", "5e-324"]
    assert texts(pa.array(["a", "b", "a"]).dictionary_encode()) == ["a", "b", "a"]
    assert texts(pa.array([b"\xff", None])) == ["ff", None]
