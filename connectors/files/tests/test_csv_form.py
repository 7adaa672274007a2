"""The shapes that CSV files come in, and what is said of broken ones."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

import pyarrow as pa
import pytest
from wherry import DataError, UsageError

BASE = [{"a": 1, "b": "x"}, {"a": 2, "b": "é"}]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"a,b\n1,x\n2,\xc3\xa9\n", {}),
        (b"a,b\n1,x\n2,\xc3\xa9", {}),
        (b"\xef\xbb\xbfa,b\n1,x\n2,\xc3\xa9\n", {}),
        (b"a,b\r\n1,x\r\n2,\xc3\xa9\r\n", {}),
        (b"a,b\r1,x\r2,\xc3\xa9\r", {}),
        (b"\n\na,b\n\n1,x\n\n2,\xc3\xa9\n\n", {}),
        (b'"a","b"\n"1","x"\n"2","\xc3\xa9"\n', {}),
        (b"a;b\n1;x\n2;\xc3\xa9\n", {}),
        (b"a|b\n1|x\n2|\xc3\xa9\n", {}),
        (b"a\tb\n1\tx\n2\t\xc3\xa9\n", {}),
        (b"a:b\n1:x\n2:\xc3\xa9\n", {"delimiter": ":"}),
        (b"'a','b'\n'1','x'\n2,\xc3\xa9\n", {"quote": "'"}),
        (b"a,b\n1,x\n2,\xe9\n", {"encoding": "latin-1"}),
        ("a,b\n1,x\n2,é\n".encode("utf-16"), {}),
        ("a,b\n1,x\n2,é\n".encode("utf-16-be"), {"encoding": "utf-16-be"}),
    ],
    ids=str,
)
def test_forms(content: bytes, options: dict[str, Any], write: Any, files: Any) -> None:
    read = files(write("t.csv", content), **options).read()
    assert read.rows == BASE
    assert read.complete


def test_tsv_keeps_commas_and_quotes(write: Any, files: Any) -> None:
    read = files(write("t.tsv", 'a\tb\n1,5\t"x\ty"\n'), quote='"').read()
    assert read.rows == [{"a": "1,5", "b": "x\ty"}]


def test_quotes_can_be_plain_characters(write: Any, files: Any) -> None:
    assert files(write("t.csv", 'a,b\n"x,1\n'), quote="none").read().rows == [{"a": '"x', "b": 1}]


def test_escape_character(write: Any, files: Any) -> None:
    assert files(write("t.csv", 'a,b\n"x\\"y",1\n'), escape="\\").read().rows == [{"a": 'x"y', "b": 1}]


def test_no_header(write: Any, files: Any) -> None:
    read = files(write("t.csv", "1,x\n2,y\n"), header=False).read()
    assert read.rows == [{"column_1": 1, "column_2": "x"}, {"column_1": 2, "column_2": "y"}]


def test_header_names_become_distinct(write: Any, files: Any) -> None:
    read = files(write("t.csv", 'a,a,,"a\nb",a_2,\n1,2,3,4,5,6\n')).read()
    assert read.schema.names == ["a", "a_3", "column_3", "a\nb", "a_2", "column_6"]
    assert list(read.rows[0].values()) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("content", ["a,b\n", "a,b", "a,b\r\n", "\ufeffa,b\n"])
def test_header_only(content: str, write: Any, files: Any) -> None:
    read = files(write("t.csv", content)).read()
    assert read.schema == pa.schema([("a", pa.string()), ("b", pa.string())])
    assert read.rows == []
    assert read.complete


@pytest.mark.parametrize("content", ["", "\n", "\ufeff"])
def test_empty_file(content: str, write: Any, files: Any) -> None:
    read = files(write("t.csv", content)).read()
    assert read.schema == pa.schema([])
    assert read.rows == []
    assert read.complete


def test_blank_line_in_one_column_is_null(write: Any, files: Any) -> None:
    assert [row["a"] for row in files(write("t.csv", "a\n1\n\n3\n")).read().rows] == [1, None, 3]
    assert [row["a"] for row in files(write("u.csv", 'a\nx\n""\n\n')).read().rows] == ["x", "", None]


def test_nul_and_control_characters_stay(write: Any, files: Any) -> None:
    text = "".join(map(chr, range(32))).replace("\n", "").replace("\r", "") + "\x7f\u2028\ufeff\U0001f600\u202e"
    read = files(write("t.csv", f'a,b\n"{text}",1\n')).read()
    assert read.rows == [{"a": text, "b": 1}]


@pytest.mark.parametrize(
    ("content", "row", "fields"),
    [("a,b\n1,2\n3\n", 2, 1), ("a,b\n1,2,3\n", 1, 3), ("a,b\n1,2\n\n3,4\n5,6,\n", 3, 3), ("a,b\n1,2\n  \n", 2, 1)],
)
def test_wrong_number_of_fields(content: str, row: int, fields: int, write: Any, files: Any) -> None:
    with pytest.raises(DataError, match=rf"file t.csv, row {row}: {fields} fields where the header has 2") as caught:
        files(write("t.csv", content)).read()
    assert caught.value.row == row - 1
    assert caught.value.next


def test_wrong_number_of_fields_far_into_the_file(write: Any, files: Any) -> None:
    path = write("t.csv", "a,b\n" + '1,"x\ny"\n' * 50_000 + "1\n" + "1,2\n" * 1000)
    with pytest.raises(DataError, match="row 50001: 1 fields"):
        files(path, bytes=1 << 18).read()


@pytest.mark.parametrize("content", ['a,b\n1,2\n3,"x\n4,5\n', 'a,b\n1,"', 'a,b\n1,"x""\n'])
def test_unclosed_quote(content: str, write: Any, files: Any) -> None:
    with pytest.raises(DataError, match="a quote is opened and never closed"):
        files(write("t.csv", content)).read()


def test_invalid_utf8_names_row_and_column(write: Any, files: Any) -> None:
    path = write("t.csv", b"a,b\n" + b"1,x\n" * 30_000 + b"2,\xff\n" + b"1,x\n" * 30_000)
    with pytest.raises(DataError, match="row 30001, column b") as caught:
        files(path, bytes=1 << 18).read()
    assert (caught.value.row, caught.value.column) == (30000, "b")
    assert "latin-1" in str(caught.value.next)


def test_invalid_utf8_in_the_header(write: Any, files: Any) -> None:
    with pytest.raises(DataError, match="the header"):
        files(write("t.csv", b"a,\xff\n1,2\n")).read()


def test_wrong_encoding_says_where(write: Any, files: Any) -> None:
    with pytest.raises(DataError, match="is not ascii: byte 6"):
        files(write("t.csv", b"a,b\n1,\xe9\n"), encoding="ascii").read()


def test_utf16_without_a_mark_is_said(write: Any, files: Any) -> None:
    with pytest.raises(DataError, match="NUL bytes"):
        files(write("t.csv", "a,b\n1,2\n".encode("utf-16-le"))).read()


@pytest.mark.parametrize("bytes", [1 << 18, 64 << 20])
def test_fields_of_many_megabytes(bytes: int, write: Any, files: Any) -> None:
    big = "x" * (10 << 20) + '"\n,'
    path = write("t.csv", 'a,b\n1,y\n2,"' + big.replace('"', '""') + '"\n3,z\n')
    assert files(path, bytes=bytes).read().rows == [{"a": 1, "b": "y"}, {"a": 2, "b": big}, {"a": 3, "b": "z"}]


def test_many_columns(write: Any, files: Any) -> None:
    names = [f"c{i}" for i in range(4096)]
    path = write("t.csv", ",".join(names) + "\n" + ",".join(map(str, range(4096))) + "\n")
    assert files(path).read().rows == [{name: i for i, name in enumerate(names)}]


@pytest.mark.parametrize(
    ("key", "value"), [("delimiter", "ab"), ("delimiter", "é"), ("quote", "''"), ("encoding", "x")]
)
def test_bad_options(key: str, value: str, write: Any, files: Any) -> None:
    with pytest.raises(ValueError, match=key):
        files(write("t.csv", "a\n1\n"), **{key: value}).source()


def test_large_file_against_the_csv_module(write: Any, files: Any) -> None:
    """300,000 rows of 15 columns, quotes and line ends in values, against Python's own reader."""
    rng = random.Random(7)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f"c{i}" for i in range(15)])
    for i in range(300_000):
        writer.writerow(
            [
                i, rng.randrange(-(10**18), 10**18), f"{rng.randrange(10**7) / 100:.2f}", repr(rng.random()),
                rng.choice(["NA", 1, 2]), rng.choice(["a,b", 'say "x"', "two\nlines", "plain", "NA"]), f"{i:08}",
                f"20{i % 100:02}-0{i % 9 + 1}-1{i % 10}", f"2024-01-{i % 28 + 1:02} 10:{i % 60:02}:00", i % 2 == 0,
                "é" * (i % 5), rng.randrange(2**70), i % 7, f"id-{rng.randrange(10**9)}", rng.choice(["yes", "no"]),
            ]
        )  # fmt: skip
    path = write("t.csv", out.getvalue())
    read = files(path).read()
    want = list(csv.reader(io.StringIO(out.getvalue(), newline="")))[1:]
    got = pa.Table.from_batches(read.batches)
    assert got.num_rows == len(want)
    assert [str(t) for t in got.schema.types] == [
        "int64", "int64", "decimal128(18, 2)", "double", "int64", "string", "string", "date32[day]", "timestamp[us]",
        "bool", "string", "decimal128(38, 0)", "int64", "string", "string",
    ]  # fmt: skip
    for index, column in enumerate(got.columns):
        literals = [row[index] for row in want]
        if index == 3:
            assert column.to_pylist() == [float(x) for x in literals]
        elif index == 4:
            assert column.to_pylist() == [None if x == "NA" else int(x) for x in literals]
        elif index == 10:
            assert column.to_pylist() == [x or None for x in literals]
        else:
            assert [str(x) for x in column.to_pylist()] == literals


def test_no_usage_error_hides_in_a_wrong_suffix(write: Any, files: Any) -> None:
    path = write("t.txt", "a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"cannot tell the format of t\.txt"):
        files(path).streams()
    assert files(path, format="csv").read().rows == [{"a": 1, "b": 2}]
