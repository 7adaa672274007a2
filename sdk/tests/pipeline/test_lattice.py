from decimal import Decimal

import pyarrow as pa
import pytest
from wherry.errors import SchemaError
from wherry.pipeline.lattice import InexactError, exact_cast, join

I8, I32, I64, U32, U64 = pa.int8(), pa.int32(), pa.int64(), pa.uint32(), pa.uint64()
F32, F64, TEXT = pa.float32(), pa.float64(), pa.utf8()
NAIVE, AWARE = pa.timestamp("us"), pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (pa.null(), I64, I64),
        (I8, I64, I64),
        (I32, U32, I64),
        (I64, U64, pa.decimal128(20, 0)),
        (I64, pa.decimal128(10, 2), pa.decimal128(21, 2)),
        (pa.decimal128(10, 2), pa.decimal128(12, 6), pa.decimal128(14, 6)),
        (pa.decimal128(38, 0), pa.decimal128(38, 38), pa.decimal256(76, 38)),
        (pa.decimal256(76, 0), pa.decimal256(76, 38), TEXT),
        (F32, F64, F64),
        (I32, F64, F64),
        (I32, F32, F64),
        (I64, F64, None),
        (pa.decimal128(5, 2), F64, None),
        (I64, TEXT, TEXT),
        (pa.bool_(), I64, TEXT),
        (pa.timestamp("s"), NAIVE, NAIVE),
        (NAIVE, AWARE, TEXT),
        (pa.timestamp("us", "Europe/Oslo"), AWARE, AWARE),
        (pa.date32(), NAIVE, NAIVE),
        (pa.date32(), AWARE, TEXT),
        (pa.list_(I32), pa.list_(I64), pa.list_(I64)),
        (pa.struct([("a", I32)]), pa.struct([("b", TEXT)]), pa.struct([("a", I32), ("b", TEXT)])),
        (pa.struct([("a", I32)]), I64, TEXT),
    ],
)
def test_join(a, b, expected):
    assert join(a, b) == expected
    assert join(b, a) == expected or pa.types.is_struct(a)


def test_bytes_are_not_turned_into_text():
    with pytest.raises(SchemaError):
        join(pa.binary(), TEXT)


@pytest.mark.parametrize(
    ("values", "of", "to", "expected"),
    [
        ([1, None, 2**53 + 1], I64, pa.decimal128(21, 2), [Decimal("1.00"), None, Decimal("9007199254740993.00")]),
        ([2**53 + 1], I64, TEXT, ["9007199254740993"]),
        ([Decimal("1.50")], pa.decimal128(5, 2), TEXT, ["1.50"]),
        ([1.0, 2.0], F64, I64, [1, 2]),
        ([2**53], I64, F64, [float(2**53)]),
        ([0.25], F64, pa.decimal128(5, 2), [Decimal("0.25")]),
        (["12", None], TEXT, I64, [12, None]),
        ([{"a": [1, None]}], pa.struct([("a", pa.list_(I64))]), TEXT, ['{"a": [1, null]}']),
        ([[1], None, []], pa.list_(I32), pa.list_(I64), [[1], None, []]),
        ([{"a": "1"}, None], pa.struct([("a", TEXT)]), pa.struct([("a", I64)]), [{"a": 1}, None]),
        ([{"a": 1}, None], pa.struct([("a", I32)]), pa.struct([("a", I64), ("b", TEXT)]), [{"a": 1, "b": None}, None]),
        ([float("nan"), float("inf")], F32, F64, [None, float("inf")]),
    ],
)
def test_exact_cast(values, of, to, expected):
    result = exact_cast(pa.array(values, of), to)
    assert result.type == to
    shown = [None if isinstance(v, float) and v != v else v for v in result.to_pylist()]
    assert shown == expected


@pytest.mark.parametrize(
    ("values", "of", "to", "row"),
    [
        ([1, 2**53 + 1], I64, F64, 1),
        ([1.0, 1.5], F64, I64, 1),
        ([1, 300], I64, I8, 1),
        (["7", "007"], TEXT, I64, 1),
        (["7", "x"], TEXT, I64, 1),
        ([0.1], F64, F32, 0),
        ([Decimal("1.25")], pa.decimal128(5, 2), pa.decimal128(5, 1), 0),
        ([0.125], F64, pa.decimal128(5, 2), 0),
    ],
)
def test_inexact(values, of, to, row):
    with pytest.raises(InexactError) as caught:
        exact_cast(pa.array(values, of), to)
    assert caught.value.row == row


def test_no_values_are_always_exact():
    assert exact_cast(pa.array([], TEXT), I32).equals(pa.array([], I32))


def test_slices_of_lists():
    array = pa.array([[1], [2, 3], None, [4]], pa.list_(I32)).slice(1)
    assert exact_cast(array, pa.list_(I64)).to_pylist() == [[2, 3], None, [4]]
