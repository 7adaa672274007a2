"""What a boundary says of the cursor values it has seen."""

import json
from decimal import Decimal

import pyarrow as pa
import pytest
from wherry.pipeline.boundary import Boundary


def batch(type, *values):
    number = pa.int32() if type.bit_width == 32 else pa.int64()
    return pa.record_batch({"at": pa.array(values, number).cast(type)})


@pytest.mark.parametrize(
    ("type", "first", "second"),
    [
        (pa.time64("us"), "00:00:00.000003", "00:00:00.000005"),
        (pa.time32("s"), "00:00:03", "00:00:05"),
        (pa.timestamp("ns", "UTC"), "1970-01-01 00:00:00.000000003Z", "1970-01-01 00:00:00.000000005Z"),
        (pa.int64(), "3", "5"),
    ],
    ids=str,
)
def test_the_window_of_a_read_in_full_precision(type, first, second):
    boundary = Boundary("at")
    assert boundary.window() == (None, None)
    boundary.filter(batch(type, 1, 3))
    assert boundary.window() == (None, first)
    boundary = Boundary("at", stored=boundary.to_json())
    boundary.filter(batch(type, 3, 5))
    assert boundary.window() == (first, second)


US = pa.timestamp("us")
THEN = {"at": pa.array([1, 2, 2, 2], pa.int64()), "id": [1, 2, 3, 3]}
BEFORE = {"n": pa.array([5, 7, None, None], pa.int32()), "gone": ["a", "b", "c", "c"], "f": [0.5, 0.1, 1e300, 1e300]}


def read_again(first, second, columns=(), **options):
    """Rows of `second` that a boundary left by `first` lets pass."""
    left = Boundary("at", **options)
    left.filter(pa.record_batch(first))
    again = Boundary("at", stored=json.loads(json.dumps(left.to_json())), columns=columns, **options)
    return again.filter(pa.record_batch(second)).to_pylist()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"new": pa.nulls(4, pa.string())},
        {"n": pa.array([5, 7, None, None], pa.int64())},
        {"n": pa.array([Decimal(5), Decimal(7), None, None], pa.decimal128(30, 4))},
        {"n": ["5", "7", None, None], "f": ["0.5", "0.1", "1e300", "1e300"]},
        {"n": ["5.0000", "7.0000", None, None]},
        {"at": pa.array([Decimal(v) for v in (1, 2, 2, 2)], pa.decimal128(20, 2))},
    ],
    ids=["the same", "column added", "bigint", "decimal", "text", "text of a decimal", "decimal cursor"],
)
def test_rows_are_known_again_when_their_columns_changed(change):
    passed = read_again(THEN | BEFORE, THEN | BEFORE | change)
    assert [row["id"] for row in passed] == [1]


def test_rows_are_known_again_without_a_column_that_the_source_lost():
    left = {name: values for name, values in (THEN | BEFORE).items() if name != "gone"}
    assert [row["id"] for row in read_again(THEN | BEFORE, left, columns=("at", "id", "n", "f"))] == [1]
    twice = {name: pa.concat_arrays([pa.array(values)] * 2) for name, values in left.items()}
    assert [row["id"] for row in read_again(THEN | BEFORE, twice, columns=tuple(left))] == [1, 1, 2, 3, 3]


def test_a_column_that_only_this_batch_lacks_means_null_and_is_no_loss():
    left = {name: values for name, values in (THEN | BEFORE).items() if name != "gone"}
    passed = read_again(THEN | BEFORE, left, columns=("at", "id", "n", "gone", "f"))
    assert [row["id"] for row in passed] == [1, 2, 3, 3]


def test_a_text_that_looks_like_another_number_is_another_row():
    first = {"at": [1], "v": ["7"]}
    assert read_again(first, {"at": [1, 1], "v": ["07", "7"]}) == [{"at": 1, "v": "07"}]
    assert read_again(first, {"at": [1, 1], "v": ["7.0", "7"]}) == [{"at": 1, "v": "7.0"}]


@pytest.mark.parametrize("type", [pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("ns")], ids=str)
def test_the_unit_of_a_cursor_may_change(type):
    def rows(type):
        return {"at": pa.array([10**9, 2 * 10**9], pa.timestamp("ns")).cast(type), "id": [1, 2]}

    assert [row["id"] for row in read_again(rows(US), rows(type))] == [1]


def test_very_many_values_are_remembered_as_whole_rows():
    rows = {"at": [1] * 3000, "id": list(range(3000)), "n": list(range(3000))}
    assert read_again(rows, rows) == []
    assert read_again(rows, rows | {"n": [str(n) for n in range(3000)]}) == []
    half = {name: values[:1500] for name, values in rows.items()}
    assert len(read_again(half, rows)) == 1500
