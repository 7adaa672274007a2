"""Values as texts and JSON, exactly."""

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from wherry.cli.rows import print_csv, print_json
from wherry.cli.values import dumps, jsons, numbers_of, objects_of, texts


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["", None, "x"]), ["", None, "x"]),
        (pa.array([2**63 - 1, None]), ["9223372036854775807", None]),
        (pa.array([Decimal("1.50")], pa.decimal128(38, 2)), ["1.50"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([b"\x00\xff"]), ["\\x00ff"]),
        (pa.array([1_500_000, 0], pa.timestamp("us", "UTC")), ["1970-01-01 00:00:01.5Z", "1970-01-01 00:00:00Z"]),
        (pa.array([1], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001"]),
        (pa.array([dt.date(9999, 12, 31)]), ["9999-12-31"]),
        (pa.array([86_399_000_001], pa.time64("us")), ["23:59:59.000001"]),
        (pa.array([[1, None], []]), ["[1,null]", "[]"]),
        (pa.array([{"a": Decimal("0.10"), "b": dt.date(2024, 1, 1)}]), ['{"a":"0.10","b":"2024-01-01"}']),
        (pa.array([None, None]), [None, None]),
    ],
)
def test_texts(column: pa.Array, expected: list[str | None]) -> None:
    assert texts(column) == expected


def test_json_keeps_numbers_and_spells_out_what_json_has_not() -> None:
    assert jsons(pa.array([2**63 - 1])) == [2**63 - 1]
    assert jsons(pa.array([0.1, float("nan"), float("inf"), float("-inf"), None])) == [
        0.1, "NaN", "Infinity", "-Infinity", None
    ]  # fmt: skip
    assert jsons(pa.array([Decimal("0.10")])) == ["0.10"]
    assert jsons(pa.array([{"x": [1.5, float("nan")]}])) == [{"x": [1.5, "NaN"]}]
    assert dumps({"a": "ü\n"}) == '{"a":"ü\\n"}'


def test_columns_of_one_name_are_all_kept() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "b", "a"])
    assert objects_of(batch) == [{"a": 1, "b": 2, "a_3": 3}]


def test_numbers_stand_to_the_right() -> None:
    schema = pa.schema([("a", pa.int8()), ("b", pa.string()), ("c", pa.decimal128(5, 2)), ("d", pa.float32())])
    assert numbers_of(schema) == [0, 2, 3]


def test_csv_tells_null_from_an_empty_text(capsys: pytest.CaptureFixture[str]) -> None:
    batch = pa.RecordBatch.from_pydict({"a,b": ["", None, 'q"', "x\ny", " s "], "n": [1, 2, 3, 4, None]})
    assert print_csv(batch.schema, [batch]) == 5
    assert capsys.readouterr().out == '"a,b",n\n"",1\n,2\n"q""",3\n"x\ny",4\n" s ",\n'


def test_json_lines_of_several_batches(capsys: pytest.CaptureFixture[str]) -> None:
    batches = [pa.RecordBatch.from_pydict({"n": list(range(start, start + 1500))}) for start in (0, 1500)]
    assert print_json(batches) == 3000
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == list(range(3000))
