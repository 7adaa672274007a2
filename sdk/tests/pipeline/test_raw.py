"""A row as JSON: exact, also what JSON cannot say, and back."""

import json
from decimal import Decimal

import pyarrow as pa
import pytest
from wherry.errors import DataError
from wherry.pipeline import raw

FAR = [0, -1, 2**63 - 1, -(2**63), None, 253_402_300_799_999_999]
COLUMNS = [
    pa.array([1, None, 2**63 - 1, -(2**63), 2**53, 2**53 + 1]),
    pa.array([2**64 - 1, 0], pa.uint64()),
    pa.array([0.1, float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, None]),
    pa.array([0.1, 3.4e38], pa.float32()),
    pa.array(["a\0b", "", None, "é\u2028", "\\N"]),
    pa.array([b"\0\xff", b"", None]),
    pa.array([Decimal("1.10"), None], pa.decimal128(38, 2)),
    pa.array([Decimal("1." + "1" * 70)], pa.decimal256(76, 70)),
    pa.array([-719_162, 2_932_896, 2_932_897, -800_000, None, 0], pa.int32()).cast(pa.date32()),
    pa.array(FAR).cast(pa.timestamp("us")),
    pa.array(FAR).cast(pa.timestamp("us", "UTC")),
    pa.array(FAR[:5]).cast(pa.timestamp("ns")),
    pa.array([0, 86_399_999_999]).cast(pa.time64("us")),
    pa.array([0, 86_399_999], pa.int32()).cast(pa.time32("ms")),
    pa.array([5, None, -(2**63)]).cast(pa.duration("us")),
    pa.array([pa.MonthDayNano([1, 2, 3]), None]),
    pa.array([[1, None], [], None, [2**60]]),
    pa.array([{"a": 1, "b": [b"x"]}, {"a": None, "b": None}]),
    pa.array([[(1, "x"), (2, None)], []], pa.map_(pa.int64(), pa.utf8())),
    pa.array([True, None]),
]


@pytest.mark.parametrize("column", COLUMNS, ids=[str(c.type) for c in COLUMNS])
@pytest.mark.parametrize("first", [0, 1])
def test_every_value_comes_back(column, first):
    column = column.slice(first)
    texts = raw.texts(pa.RecordBatch.from_arrays([column], ["x"]))
    assert all(json.loads(text, parse_constant=None) is not None and "NaN\n" not in text for text in texts)
    back = raw.parse([raw.loads(text)["x"] for text in texts], column.type)
    back.validate(full=True)
    assert back.type == column.type
    assert str(back) == str(column)


def test_json_says_no_number_that_readers_round():
    (text, _) = raw.texts(pa.RecordBatch.from_pydict({"n": [2**53 + 1, 2**53], "x": [float("nan"), 0.5]}))
    assert json.loads(text) == {"n": "9007199254740993", "x": "NaN"}


def test_text_that_is_none():
    """Half of a surrogate pair stays an escape; other bytes are told in hex, and are no text when read."""
    column = pa.Array.from_buffers(pa.utf8(), 2, pa.array([b"\xed\xa0\x80", b"\xff"]).buffers())
    texts = raw.texts(pa.RecordBatch.from_arrays([column], ["x"]))
    assert texts == ['{"x": "\\ud800"}', '{"x": {"$hex": "ff"}}']
    with pytest.raises(ValueError, match="no text"):
        raw.parse([raw.loads(texts[1])["x"]], pa.utf8())


@pytest.mark.parametrize(
    ("value", "type"),
    [
        ("12.345", pa.decimal128(12, 2)),
        ("2024-01-01 00:00:00.1234567", pa.timestamp("us")),
        ("1.5", pa.int64()),
        ("99999999999999999999", pa.int64()),
        ("1e400", pa.float64()),
        ("text", pa.binary()),
        ("x", pa.list_(pa.int64())),
        ([], pa.struct([("a", pa.int64())])),
    ],
)
def test_what_is_not_of_the_type_is_refused(value, type):
    with pytest.raises((ValueError, pa.ArrowException)):
        raw.parse([value], type)


def test_values_as_a_user_writes_them():
    """Of a corrected row: numbers are numbers however many zeros they have."""
    assert raw.parse([raw.loads('{"x": 12.10}')["x"], 7, "12"], pa.decimal128(12, 2)).to_pylist() == [
        Decimal("12.10"), Decimal(7), Decimal(12),
    ]  # fmt: skip
    assert raw.parse(["x", True, raw.Number("0.10"), 2**70], pa.utf8()).to_pylist() == ["x", "true", "0.10", str(2**70)]


def test_a_row_beyond_all_measure_is_not_set_aside(monkeypatch):
    monkeypatch.setattr(raw, "LARGEST", 100)
    with pytest.raises(DataError, match="cannot be set aside") as refused:
        raw.texts(pa.RecordBatch.from_pydict({"x": ["a", "b" * 101]}))
    assert refused.value.row == 1
