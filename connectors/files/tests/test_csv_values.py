"""Every CSV value comes out as it went in: compared with an own reading, character by character."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wherry import DataError
from wherry_source_files.client import local_file
from wherry_source_files.config import FilesConfig
from wherry_source_files.formats import delimited
from wherry_source_files.formats.delimited import DelimitedReader

MARKERS = ("NA", "NULL", "\\N")
Cell = tuple[str, bool]  # text, quoted


def reference(text: str) -> list[list[Cell]]:
    """Rows of (text, quoted) fields; blank lines left out where there are several columns."""
    rows: list[list[Cell]] = []
    row: list[Cell] = []
    position = 0
    while position < len(text):
        cell, quoted = "", False
        if text[position] == '"':
            quoted, position = True, position + 1
            while text[position] != '"' or text[position : position + 2] == '""':
                cell += text[position]
                position += 2 if text[position] == '"' else 1
            position += 1
        while position < len(text) and text[position] not in ",\n":
            cell += text[position]
            position += 1
        row.append((cell, quoted))
        if position == len(text) or text[position] == "\n":
            rows.append(row)
            row = []
        position += 1
    if row:
        rows.append([*row, ("", False)])
    return [row for row in rows if len(row) > 1 or len(rows[0]) == 1 or row != [("", False)]]


def shortest(literal: str) -> bool:
    return Decimal(repr(float(literal))) == Decimal(literal)


NUMBER = re.compile(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


def expected_type(literals: list[str]) -> str:
    """The family of a column, by Python's own numbers and times."""
    if not literals:
        return "string"
    if all(re.fullmatch(r"0|-?[1-9]\d*", x, re.ASCII) for x in literals):
        if all(-(2**63) <= int(x) < 2**63 for x in literals):
            return "int64"
        return "decimal" if all(len(x.lstrip("-")) <= 38 for x in literals) else "string"
    if all(NUMBER.fullmatch(x) for x in literals):
        return expected_number(literals)
    for family in ({"true", "false"}, {"True", "False"}, {"TRUE", "FALSE"}):
        if all(x in family for x in literals):
            return "bool"
    if all(re.fullmatch(r"\d{4}-\d\d-\d\d", x, re.ASCII) and parses(date, x) for x in literals):
        return "date"
    return expected_moment(literals)


MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?P<sep>[T ])\d\d:\d\d(?P<second>:\d\d(\.\d{1,9})?)?(?P<zone>Z|[+-]\d\d(:?\d\d)?)?", re.ASCII
)
CLOCK = re.compile(r"\d\d:\d\d(?P<second>:\d\d(\.\d{1,9})?)?", re.ASCII)


def expected_moment(literals: list[str]) -> str:
    """Date-times and times of one form that Python knows, too."""
    for pattern, kind, name in ((MOMENT, datetime, "timestamp"), (CLOCK, time, "time")):
        found = [pattern.fullmatch(x) for x in literals]
        if not all(found) or not all(parses(kind, x) for x in literals):
            continue
        forms = {tuple(bool(g) if k != "sep" else g for k, g in m.groupdict().items()) for m in found if m}
        return name if len(forms) == 1 else "string"
    return "string"


def expected_number(literals: list[str]) -> str:
    scales = {len(x.partition(".")[2]) for x in literals}
    left = max(len(x.partition(".")[0].lstrip("-")) for x in literals)
    plain = not any("e" in x.lower() or (x.startswith("-") and Decimal(x) == 0) for x in literals)
    fits = plain and left + max(scales) <= 38
    if fits and len(scales) == 1:
        return "decimal"
    if any(set(x) & set(".eE") for x in literals) and all(shortest(x) for x in literals):
        return "double"
    return "decimal" if fits else "string"


def parses(kind: Any, literal: str) -> bool:
    try:
        kind.fromisoformat(literal)
    except ValueError:
        return False
    return True


def family(type: pa.DataType) -> str:
    names = {
        pa.string(): "string",
        pa.int64(): "int64",
        pa.float64(): "double",
        pa.bool_(): "bool",
        pa.date32(): "date",
    }
    if pa.types.is_timestamp(type) or pa.types.is_time(type):
        return "timestamp" if pa.types.is_timestamp(type) else "time"
    return "decimal" if pa.types.is_decimal(type) else names[type]


def same(value: Any, literal: str, kind: str) -> bool:
    match kind:
        case "int64":
            return str(value) == literal
        case "double":
            return Decimal(repr(value)) == Decimal(literal) and repr(value).startswith("-") == literal.startswith("-")
        case "decimal":
            return bool(value == Decimal(literal))
        case "bool":
            return str(value).lower() == literal.lower()
        case "date":
            return bool(value.isoformat() == literal)
        case "timestamp":
            return bool(value == datetime.fromisoformat(literal))
        case "time":
            return bool(value == time.fromisoformat(literal))
    return bool(value == literal)


def compare(text: str, schema: pa.Schema, rows: list[list[Any]]) -> None:
    want = reference(text)
    header, want = want[0], want[1:]
    assert len(rows) == len(want)
    for index in range(len(header)):
        cells = [row[index] for row in want]
        present = [c for c in cells if c != ("", False)]
        literals = [text for text, _ in present if text not in MARKERS]
        kind = expected_type(literals)
        assert family(schema.field(index).type) == kind, literals
        for row, (literal, quoted) in zip(rows, cells, strict=True):
            null = (not literal and not quoted) or (literal in MARKERS and (kind != "string" or not literals))
            assert (row[index] is None) == null
            assert null or same(row[index], literal, kind), (row[index], literal, kind)


integers = st.integers(-(10**20), 10**20).map(str) | st.integers(-100, 100).map(str)
floats = st.floats(allow_nan=False, allow_infinity=False).map(repr)
money = st.decimals(-(10**9), 10**9, places=2).map(str)
odd_numbers = st.sampled_from(
    ["007", "+5", "-0", "1_000", "-0.0", "1e5", "1E+05", ".5", "5.", "1e400", "0x1F", " 1", "١"]
)
digits = st.from_regex(r"\A-?[0-9]{1,22}(\.[0-9]{1,22})?\Z")
plain = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)
naughty = st.sampled_from(
    ["NA", "NULL", "\\N", "", "yes", "t", "0", "1", "null", "None", "#", "-", "a,b", 'q"q', "x\ny"]
)
bools = st.sampled_from(["true", "false"]) | st.sampled_from(["True", "FALSE"])
dates = st.dates().map(str) | st.sampled_from(["2020-02-30", "2020-1-1", "0000-01-01"])
moments = st.datetimes().map(lambda t: t.isoformat(" "))
iso = st.datetimes().map(lambda t: t.isoformat("T", "seconds"))
zoned = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)).map(lambda t: t.isoformat())
local = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)).flatmap(
    lambda t: st.sampled_from(["Z", "+05:45", "-14:00", "+0100", "-03"]).map(lambda zone: t.isoformat() + zone)
)
clocks = st.times().map(str) | st.times().map(lambda t: t.isoformat("minutes"))
times = st.sampled_from(
    [moments, iso, zoned, local, clocks, st.times().map(str), moments | iso, iso | zoned, dates | iso]
)
column = st.sampled_from([integers, floats, money, digits, plain, bools, dates, naughty, odd_numbers]) | times
mixed = st.one_of(column, st.just(integers | floats), st.just(integers | money), st.just(money | odd_numbers))


@st.composite
def tables(draw: st.DrawFn) -> str:
    """CSV text: columns mostly of one kind, with markers, NULLs, quotes, with and without a last line end."""
    width, height = draw(st.integers(1, 4)), draw(st.integers(0, 12))
    noise = draw(st.sampled_from([st.nothing(), st.just("NA"), st.just(""), naughty, plain]))
    columns = [draw(mixed) for _ in range(width)]
    lines = [",".join(f"c{i}" for i in range(width))]
    for _ in range(height):
        cells = []
        for values in columns:
            literal = draw(values if draw(st.integers(0, 9)) else values | noise)
            must = bool(set(literal) & set(',"\n\r')) or draw(st.integers(0, 6)) == 0
            cells.append('"' + literal.replace('"', '""') + '"' if must else literal)
        lines.append(",".join(cells))
    return "\n".join(lines) + draw(st.sampled_from(["\n", ""]))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=tables(), kept=st.booleans())
def test_any_table(text: str, kept: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.encode())
    schema, rows = read(str(path), 1 << 20 if kept else 1)
    if reference(text)[1:] and text.endswith("\n") is False and text.rpartition("\n")[2] == "":
        return
    compare(text, schema, rows)


def read(path: str, batch_bytes: int, **options: Any) -> tuple[pa.Schema, list[list[Any]]]:
    """Both passes, with little memory or much. Timestamps beyond Python's microseconds are not used here."""
    file = local_file(path, "any.csv")
    assert file is not None
    reader = DelimitedReader(FilesConfig(path=path, delimiter=",", **options), batch_bytes)
    reader.alone = True
    assert list(reader.survey(file)) is not None
    rows: list[list[Any]] = []
    for batch in reader.batches(file):
        assert batch.schema == reader.schema()
        rows += [list(row) for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)]
    return reader.schema(), rows


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=tables(), windows=st.booleans())
def test_rows_that_are_like_the_head_are_the_same_as_rows_that_were_surveyed(
    text: str, windows: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 30)
    monkeypatch.setattr("wherry_source_files.formats.text.CHUNK", 30)
    monkeypatch.setattr("wherry_source_files.formats.scan._BLOCK", 20)
    path = tmp_path_factory.getbasetemp() / "like.csv"
    path.write_bytes((text.replace("\n", "\r\n") if windows else text).encode())
    found: list[Any] = []
    for worth in (0, 1 << 30):
        monkeypatch.setattr(delimited, "WORTH", worth)
        try:
            found.append(read(str(path), 1 << 20))
        except DataError as error:
            found.append(error.message)
    assert repr(found[0]) == repr(found[1])


PROVEN = {
    "a,b\n" + "1,x\n" * 20 + '123456789012345678,"x,\ny"\n': True,
    "a,b\n" + "1,x\n" * 20 + "1234567890123456789,x\n": False,
    "a,b\n" + "0.10,x\n" * 20 + "-1234567890123456.25,\n": True,
    "a,b\n" + "0.10,x\n" * 20 + "12345678901234567.25,\n": False,
    "a,b\n" + "0.10,\n" * 20 + "1.00,2\n": False,
    "a,b\n" + "0.5,1\n1.25,2\n" * 20 + "123456.123456,\n": True,
    "a,b\n" + "0.5,1\n1.25,2\n" * 20 + "0.1234567890123456,\n": False,
    "a,b\n" + "2024-02-29,true\n" * 20 + ",\n9999-12-31,false": True,
    "a,b\n" + "2024-02-29,true\n" * 20 + "2023-02-29,false": False,
    "a,b\n" + "2024-02-29,true\n" * 20 + "2024-02-28,1": False,
    "a,b\n" + "2024-01-01T00:00:00,x\n" * 20 + "2024-01-01T23:59:59.123456,x\n": True,
    "a,b\n" + "2024-01-01T00:00:00,x\n" * 20 + "2024-01-01T23:59:59.1234567,x\n": False,
    "a,b\n" + "2024-01-01T00:00:00,x\n" * 20 + "2024-01-01T24:00:00,x\n": False,
    "a,b\n" + "1,x\n" * 20 + "NA,y\n": False,
    "a,b\n" + "1,NA\n" * 20 + "2,y\n": False,
    "a,b\n" + "1,x\n" * 20 + "\n2,y\n": False,
}


def test_a_byte_that_no_text_has_is_told_of_before_a_row_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "WORTH", 0)
    (tmp_path / "t.csv").write_bytes(b"a,b\n" + b"1,x\n" * 300_000 + b"2,\xff\n")
    file = local_file(str(tmp_path / "t.csv"), "t.csv")
    assert file is not None
    reader = DelimitedReader(FilesConfig(path=file.path), 1 << 20)
    reader.alone = True
    with pytest.raises(DataError, match="row 300001, column b"):
        list(reader.survey(file))


@pytest.mark.parametrize("text", PROVEN)
def test_only_what_the_head_shows_is_not_surveyed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 40)
    monkeypatch.setattr("wherry_source_files.formats.text.CHUNK", 40)
    (tmp_path / "t.csv").write_text(text)
    file = local_file(str(tmp_path / "t.csv"), "t.csv")
    assert file is not None
    found = []
    for worth in (0, 1 << 30):
        monkeypatch.setattr(delimited, "WORTH", worth)
        reader = DelimitedReader(FilesConfig(path=file.path), 1 << 20)
        reader.alone = True
        seen = len(list(reader.survey(file)))
        rows = pa.Table.from_batches(reader.batches(file), reader.schema())
        found.append((rows.combine_chunks(), file.digest()))
        assert seen
        assert bool(reader._proven) is (PROVEN[text] and not worth)
    assert found[0] == found[1]


CASES: list[tuple[list[str], pa.DataType, list[Any]]] = [
    (["1", "2"], pa.int64(), [1, 2]),
    (["-5", "9223372036854775807"], pa.int64(), [-5, 2**63 - 1]),
    (["1", "9223372036854775808"], pa.decimal128(38, 0), [Decimal(1), Decimal(2**63)]),
    (["007", "1"], pa.string(), ["007", "1"]),
    (["+5"], pa.string(), ["+5"]),
    (["-0", "1"], pa.string(), ["-0", "1"]),
    (["1_000"], pa.string(), ["1_000"]),
    (["9" * 39], pa.string(), ["9" * 39]),
    (["1.50", "2.25"], pa.decimal128(18, 2), [Decimal("1.50"), Decimal("2.25")]),
    (["1", "1.5"], pa.float64(), [1.0, 1.5]),
    (["0.1", "0.12345678901234567890"], pa.decimal128(38, 20), [Decimal("0.1"), Decimal("0.12345678901234567890")]),
    (["9007199254740993", "0.5"], pa.decimal128(18, 1), [Decimal(2**53 + 1), Decimal("0.5")]),
    (["1e5", "2.5"], pa.float64(), [1e5, 2.5]),
    (["1e400", "1"], pa.string(), ["1e400", "1"]),
    (["5e-324", "1.7976931348623157e+308"], pa.float64(), [5e-324, 1.7976931348623157e308]),
    (["inf", "-inf", "1.5"], pa.float64(), [float("inf"), float("-inf"), 1.5]),
    (["NA", "1", "NULL", "\\N"], pa.int64(), [None, 1, None, None]),
    (["NA", "x"], pa.string(), ["NA", "x"]),
    (["NA", "NA"], pa.string(), [None, None]),
    (["true", "false"], pa.bool_(), [True, False]),
    (["true", "False"], pa.string(), ["true", "False"]),
    (["t", "f"], pa.string(), ["t", "f"]),
    (["yes", "no"], pa.string(), ["yes", "no"]),
    (["2020-02-29", "1900-01-01"], pa.date32(), [date(2020, 2, 29), date(1900, 1, 1)]),
    (["2019-02-29"], pa.string(), ["2019-02-29"]),
    (["0000-01-01"], pa.string(), ["0000-01-01"]),
    (["2020-01-01 10:00:00", "2020-01-01 10:00:00.25"], pa.timestamp("us"),
     [datetime(2020, 1, 1, 10), datetime(2020, 1, 1, 10, 0, 0, 250000)]),
    (["2020-01-01T10:00:00", "2020-01-01 10:00:00"], pa.string(), ["2020-01-01T10:00:00", "2020-01-01 10:00:00"]),
    (["2020-01-01 10:00", "2020-01-01 11:30"], pa.timestamp("us"),
     [datetime(2020, 1, 1, 10), datetime(2020, 1, 1, 11, 30)]),
    (["2016-12-31 23:59:60"], pa.string(), ["2016-12-31 23:59:60"]),
    (["2020-01-01T10:00:00Z", "2020-01-01T10:00:00"], pa.string(), ["2020-01-01T10:00:00Z", "2020-01-01T10:00:00"]),
    (["9999-12-31 23:59:59", "2020-01-01 00:00:00.123456789"], pa.string(),
     ["9999-12-31 23:59:59", "2020-01-01 00:00:00.123456789"]),
    (["0001-01-01T00:00:00+14:00"], pa.string(), ["0001-01-01T00:00:00+14:00"]),
    (["10:00:00.5", "23:59:59"], pa.time64("us"), [time(10, 0, 0, 500000), time(23, 59, 59)]),
    (["24:00:00"], pa.string(), ["24:00:00"]),
    (["10:00", "11:00:00"], pa.string(), ["10:00", "11:00:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("literals", "type", "values"), CASES, ids=lambda case: str(case)[:40])
def test_types(literals: list[str], type: pa.DataType, values: list[Any], write: Any, files: Any) -> None:
    read = files(write("t.csv", "n,c\n" + "".join(f"x{i},{x}\n" for i, x in enumerate(literals)))).read()
    assert read.schema.field("c").type == type
    assert [row["c"] for row in read.rows] == values


def test_instants_keep_the_moment(write: Any, files: Any) -> None:
    read = files(
        write("t.csv", "at\n2020-01-01T00:00:00+05:45\n2020-01-01T00:00:00Z\n2020-01-01T00:00:00-1400\n")
    ).read()
    assert read.schema.field("at").type == pa.timestamp("us", "UTC")
    assert [row["at"].isoformat() for row in read.rows] == [
        "2019-12-31T18:15:00+00:00", "2020-01-01T00:00:00+00:00", "2020-01-01T14:00:00+00:00",
    ]  # fmt: skip


def test_nanoseconds(write: Any, files: Any) -> None:
    read = files(write("t.csv", "at,t\n2020-01-01 00:00:00.123456789,10:00:00.123456789\n")).read()
    assert read.schema.types == [pa.timestamp("ns"), pa.time64("ns")]
    assert read.batches[0].column("at").cast(pa.int64()).to_pylist() == [1577836800123456789]
    assert read.batches[0].column("t").cast(pa.int64()).to_pylist() == [36000123456789]


def test_nan_stays_a_number(write: Any, files: Any) -> None:
    read = files(write("t.csv", "v\n1\nNaN\n2.5\n")).read()
    assert read.schema.field("v").type == pa.float64()
    assert str([row["v"] for row in read.rows]) == "[1.0, nan, 2.5]"


@pytest.mark.parametrize("late", ["x", "007", "1.5", "NA", "99999999999999999999", ""])
def test_the_last_row_of_a_long_file_counts(late: str, write: Any, files: Any) -> None:
    """The type is decided by the whole file, over many blocks and with little memory."""
    count = 60_000
    path = write("t.csv", "k,v\n" + "".join(f"{i},{i % 1000}\n" for i in range(count)) + f"{count},{late}\n")
    read = files(path, bytes=1 << 18).read()
    values = [row["v"] for row in read.rows]
    assert len(read.batches) > 5
    kind = {"x": "string", "007": "string", "1.5": "double", "NA": "int64", "": "int64"}.get(late, "decimal")
    assert family(read.schema.field("v").type) == kind
    last = {"NA": None, "": None, "1.5": 1.5, "99999999999999999999": Decimal("99999999999999999999")}.get(late, late)
    assert values[-1] == last
    assert [str(v) for v in values[:-1]] == [str(i % 1000) + (".0" if kind == "double" else "") for i in range(count)]


def test_nanoseconds_that_come_late(write: Any, files: Any) -> None:
    values = ["9999-12-31 23:59:59"] * 10_000 + ["2020-01-01 00:00:00.123456789"] * 10_000
    read = files(write("t.csv", "at,n\n" + "".join(f"{value},0\n" for value in values)), bytes=1 << 18).read()
    assert [row["at"] for row in read.rows] == values


def test_null_literals_of_the_user(write: Any, files: Any) -> None:
    path = write("t.csv", 'a,b\n1,-\n-,x\nNA,"-"\n,NA\n')
    read = files(path, null="-, n/a").read()
    assert read.rows == [
        {"a": "1", "b": None}, {"a": None, "b": "x"}, {"a": "NA", "b": "-"}, {"a": None, "b": "NA"},
    ]  # fmt: skip


def test_a_type_of_text_keeps_the_literals(write: Any, files: Any) -> None:
    read = files(write("t.csv", "zip,n\n1.50,NA\n2.5,3\n")).read(types={"zip": "text", "n": "text"})
    assert read.rows == [{"zip": "1.50", "n": "NA"}, {"zip": "2.5", "n": "3"}]
