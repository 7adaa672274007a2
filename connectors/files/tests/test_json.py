"""JSON and JSON lines: every value as Python's own json module reads it, numbers digit by digit."""

from __future__ import annotations

import json
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wherry import KIND, DataError, JsonBlock, LineTemplate
from wherry_source_files.client import local_file
from wherry_source_files.config import FilesConfig
from wherry_source_files.formats.json_rows import JsonReader

Plain = Any


def plain(value: Plain) -> Plain:
    """A JSON value with exact numbers, and without keys whose value is null."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def back(value: Plain, field: pa.Field) -> Plain:
    """A value from Arrow as it was in JSON: JSON text parsed."""
    if value is None:
        return None
    if field.metadata and field.metadata.get(KIND) == b"json":
        return plain(json.loads(value, parse_float=Decimal))
    if pa.types.is_struct(field.type):
        return {f.name: back(value[f.name], f) for f in field.type if value[f.name] is not None}
    if pa.types.is_list(field.type):
        return [back(item, field.type.value_field) for item in value]
    return plain(value)


def rows_of(batches: list[pa.RecordBatch]) -> list[dict[str, Any]]:
    found = []
    for batch in batches:
        batch.validate(full=True)
        for row in batch.to_pylist():
            found.append({f.name: back(row[f.name], f) for f in batch.schema if row[f.name] is not None})
    return found


numbers = st.integers(-(10**25), 10**25) | st.integers(-100, 100) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["2020-01-01", "}{", "1e5", ", null"])
scalars = st.none() | st.booleans() | numbers | texts
keys = st.sampled_from("abcde") | st.text(st.characters(codec="utf-8"), max_size=3)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of mostly one shape, with a stray value here and there."""
    kinds = [st.integers(-5, 10**17), st.floats(-1e6, 1e6), st.booleans(), texts]
    kinds += [st.lists(st.integers(0, 9), max_size=2), st.fixed_dictionaries({}, optional={"p": texts, "q": numbers})]
    kinds += [st.lists(st.fixed_dictionaries({"x": st.integers(), "y": st.none() | texts}), max_size=2)]
    columns = {name: draw(st.sampled_from(kinds)) for name in draw(st.lists(keys, min_size=1, max_size=4, unique=True))}
    stray = draw(st.sampled_from([st.nothing(), st.none(), values]))
    row = st.fixed_dictionaries({}, optional={name: kind | stray for name, kind in columns.items()})
    return draw(st.lists(row, max_size=8))


@settings(max_examples=400, deadline=None)
@given(rows=tables(), form=st.sampled_from(["lines", "array", "pretty", "objects"]), ascii=st.booleans())
def test_any_rows(rows: list[Any], form: str, ascii: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / ("any.jsonl" if form == "lines" else "any.json")
    if form in ("array", "pretty"):
        text = json.dumps(rows, ensure_ascii=ascii, indent=2 if form == "pretty" else None)
    else:
        text = "\n".join(json.dumps(row, ensure_ascii=ascii, indent=1 if form == "objects" else None) for row in rows)
    path.write_text(text, "utf-8")
    file = local_file(str(path), path.name)
    assert file is not None
    reader = JsonReader(FilesConfig(path=str(path)), 1)
    assert list(reader.survey(file)) is not None
    batches = list(reader.batches(file))
    assert all(batch.schema.equals(reader.schema(), check_metadata=True) for batch in batches)
    assert rows_of(batches) == [plain(row) for row in rows]


CASES: list[tuple[list[str], pa.DataType, list[Any]]] = [
    (["1", "-0", "9223372036854775807"], pa.int64(), [1, 0, 2**63 - 1]),
    (["1", "9223372036854775808"], pa.decimal128(38, 0), [Decimal(1), Decimal(2**63)]),
    (["1", "1.0", "0.1"], pa.float64(), [1.0, 1.0, 0.1]),
    (["9007199254740993", "0.5"], pa.decimal128(18, 1), [Decimal("9007199254740993.0"), Decimal("0.5")]),
    (["0.8444218515250481", "1e-7"], pa.float64(), [0.8444218515250481, 1e-7]),
    (["0.12345678901234567890"], pa.decimal128(38, 20), [Decimal("0.12345678901234567890")]),
    (["1e400"], pa.string(), ["1e400"]),
    (["9" * 39], pa.string(), ["9" * 39]),
    (["NaN", "1.5"], pa.float64(), ["nan", "1.5"]),
    (['"2020-01-01"', '"2020-01-01T00:00:00Z"'], pa.string(), ["2020-01-01", "2020-01-01T00:00:00Z"]),
    (['"007"', "null", '""'], pa.string(), ["007", None, ""]),
    (["true", "false"], pa.bool_(), [True, False]),
    (["true", "1"], pa.string(), ["true", "1"]),
    (["1", '"x"', '{"b": [1.50]}'], pa.string(), ["1", '"x"', '{"b":[1.50]}']),
    (["{}"], pa.string(), ["{}"]),
    (["null"], pa.string(), [None]),
    (["[]", "[1, 2]"], pa.list_(pa.int64()), [[], [1, 2]]),
    (["[null, 1]"], pa.list_(pa.int64()), [[None, 1]]),
    (['[null, {"x": 1}]', '[{"x": 2}, null]'], pa.list_(pa.struct([("x", pa.int64())])),
     [[None, {"x": 1}], [{"x": 2}, None]]),
    (['{"x": 1}', '{"y": "a"}'], pa.struct([("x", pa.int64()), ("y", pa.string())]),
     [{"x": 1, "y": None}, {"x": None, "y": "a"}]),
    (['"\\ud83d\\ude00\\u0000"'], pa.string(), ["\U0001f600\0"]),
]  # fmt: skip


@pytest.mark.parametrize(("literals", "type", "values"), CASES, ids=lambda case: str(case)[:40])
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_types(literals: list[str], type: pa.DataType, values: list[Any], suffix: str, write: Any, files: Any) -> None:
    rows = ['{"v": ' + literal + "}" for literal in literals]
    text = "\n".join(rows) if suffix == "jsonl" else "[" + ", ".join(rows) + "]"
    read = files(write(f"t.{suffix}", text)).read()
    assert read.schema.field("v").type == type
    got = [row["v"] for row in read.rows]
    assert [str(v) for v in got] == [str(v) for v in values]


def test_json_text_is_marked(write: Any, files: Any) -> None:
    field = files(write("t.jsonl", '{"v": 1}\n{"v": "x"}\n')).read().schema.field("v")
    assert field.metadata == {KIND: b"json"}


@pytest.mark.parametrize("late", ["1.5", "12345678901234567.5", '"x"', "[1]", "9223372036854775808"])
def test_the_last_row_of_a_long_file_counts(late: str, write: Any, files: Any) -> None:
    count = 40_000
    path = write("t.jsonl", "".join(f'{{"v": {i + 10**16}}}\n' for i in range(count)) + f'{{"v": {late}}}\n')
    read = files(path, bytes=1 << 18).read()
    assert len(read.batches) > 5
    got = [back(row["v"], read.schema.field("v")) for row in read.rows]
    assert got[:-1] == [Decimal(i + 10**16) for i in range(count)]
    assert got[-1] == plain(json.loads(late, parse_float=Decimal))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": 1, "a": 2}\n', "row 2: key 'a' is given twice"),
        ('{"a": {"b": 1, "b": 2}}\n', "row 1: key 'b' is given twice"),
        ('{"a": "\\ud800"}\n', "row 1: a text holds half of a surrogate pair"),
        ('{"a": 1}\n\n{"a": }\n', "row 3: not JSON: expecting value at character 7"),
        ('{"a": 1}\n[1]\n', "row 2: not a JSON object"),
        ('{"a": 1}\nnull\n', "row 2: not a JSON object"),
        ('{"a": 1', "row 1: not JSON"),
        ('{"a": 1} x\n', "row 1: not JSON"),
        ('{"a": 01}\n', "row 1: not JSON"),
        ('{"a": ' + "[" * 101 + "]" * 101 + "}\n", "row 1: nested deeper than 100 levels"),
        ('{"a": ' * 100_000 + "1" + "}" * 100_000 + "\n", "row 1: nested deeper than 100 levels"),
        (b'{"a": "\xff"}\n', "row 1: not UTF-8"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_malformed_lines(content: Any, message: str, write: Any, files: Any) -> None:
    """A plan is made from the head of a file, where malformed rows may be, so discovery raises the same."""
    with pytest.raises(DataError) as caught:
        files(write("t.jsonl", content)).read()
    assert caught.value.message.startswith(f"file t.jsonl, {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"a": 1}, 2]', "element 2 is not a JSON object"),
        ('[{"a": 1}, "x"]', "element 2 is not a JSON object"),
        ('[{"a": 1}, [1]]', "element 2 is not a JSON object"),
        ('[{"a": 1} {"a": 2}]', "element 2 is not a JSON object"),
        ('[{"a": 1}', "element 2 is cut off"),
        ('[{"a": 1}, {"b": ', "element 2 is cut off"),
        ('{"a": "x', "element 1 is cut off"),
        ('[{"a": 1}]]', "element 2 has a bracket that nothing opens"),
        ('[{"a": 1},]', "element 2 is not a JSON object"),
        ('[{"a": 1},', "element 2 is cut off"),
        ('[{"a": 1}] x', "element 2 is not a JSON object"),
        ("5", "element 1 is not a JSON object"),
    ],
)
def test_malformed_documents(content: str, message: str, write: Any, files: Any) -> None:
    with pytest.raises(DataError, match=message):
        files(write("t.json", content)).read()


@pytest.mark.parametrize("content", ["", "[]", " [ ] \n", "\n"])
def test_empty_documents(content: str, write: Any, files: Any) -> None:
    read = files(write("t.json", content)).read()
    assert read.rows == []
    assert read.complete


def test_one_object_is_one_row(write: Any, files: Any) -> None:
    read = files(write("t.json", '{\n "data": [{"id": 1}, {"id": 2}]\n}\n')).read()
    assert read.rows == [{"data": [{"id": 1}, {"id": 2}]}]


def test_a_hundred_levels_are_kept(write: Any, files: Any) -> None:
    read = files(write("t.jsonl", '{"a": ' + "[" * 98 + "5" + "]" * 98 + "}\n")).read()
    value = read.rows[0]["a"]
    for _ in range(98):
        (value,) = value
    assert value == 5


def test_long_texts_and_brackets_in_texts(write: Any, files: Any) -> None:
    rows = [{"t": ']}[{"\\' * 300_000, "n": i} for i in range(3)]
    for name, text in (("t.json", json.dumps(rows)), ("u.jsonl", "\n".join(map(json.dumps, rows)))):
        assert files(write(name, text), bytes=1 << 18).read().rows == rows


def test_a_large_file_against_the_json_module(write: Any, files: Any) -> None:
    """Blocks of several pieces, parsed side by side, with values that change their kind on the way."""
    rows: list[dict[str, Any]] = [
        {"id": i + 10**17, "f": i / 7, "n": i if i < 90_000 else i + 0.5, "o": {"k": [i, i + 1], "t": f"é{i}\n"}}
        for i in range(100_000)
    ]
    rows[60_000]["late"] = "2024-01-01"
    rows[70_000]["o"] = None
    rows[80_000]["any"] = 1
    text = "\n".join(json.dumps(row, ensure_ascii=i % 2 == 0) for i, row in enumerate(rows))
    read = files(write("t.jsonl", text)).read()
    assert [str(type) for type in read.schema.types[:3]] == ["int64", "double", "double"]
    assert rows_of(read.batches) == [plain(row) for row in rows]


USUAL = st.builds(
    lambda n, x, t: f'{{"n":{n},"x":{x / 4},"t":{t}}}', st.integers(-9, 9), st.integers(-9, 9),
    st.sampled_from(["true", "false"]),
)  # fmt: skip
STRAYS = [
    "", " ", "{}", "null", "[1]", '{"n":1}', '{"t":true,"n":1}', '{"n":"1","x":1,"t":null}', '{"n":1.5}', '{"n":1}//',
    '{"n":1,"n":2}', '{"n":1}{"n":2}', '{"n":1,}', '{"n":-0,"x":-0,"t":true}', '{"n":12345678901234567,"x":2}',
    '{"n":99999999999999999999}', '{"n":1,"x":0.30000000000000004}', '{"n":1,"x":123456789012345.25}', '{"n":1',
    '{"n":1,"x":1e400}', '{"n":1,"x":NaN}', '{"n":1,"x":1e20}', '{"n":1,"x":[null,1]}', '{"n":1,"z":{"a":1}}',
    '{"n":1,"x":1,"t":"\\ud800"}', '{"n":1,"x":"a"}', '{"n":1,"x":1,"t":null}\r', '{ "n" : 1 }', '{"n":01}',
    '{"n":null,"x":null,"t":null}',
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(USUAL, min_size=4, max_size=12),
    strays=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(STRAYS)), max_size=2),
    end=st.sampled_from(["", "\n"]),
)
def test_templates_change_nothing(lines: Any, strays: Any, end: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "templates.jsonl"
    for at, stray in strays:
        lines.insert(at, stray)
    path.write_text("\n".join(lines) + end)
    assert _read_in_blocks(path, True) == _read_in_blocks(path, False)


def _read_in_blocks(path: Path, templates: bool) -> Any:
    """What comes of blocks of a line or two: schema and values, or the error."""
    file = local_file(str(path), path.name)
    assert file is not None
    reader = JsonReader(FilesConfig(path=str(path)), 1)
    reader._size = 60
    with nullcontext() if templates else mock.patch.object(LineTemplate, "of", return_value=None):
        try:
            list(reader.survey(file))
            batches = list(reader.batches(file))
        except DataError as error:
            return str(error)
    return str(reader.schema()), file.sha256, [str(row) for batch in batches for row in batch.to_pylist()]


def test_lines_like_those_before_are_looked_at_by_no_parser(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"n":{n},"x":{n / 4},"s":"\\u00e9{n}"}}\n' for n in range(20_000)))
    file = local_file(str(path), path.name)
    assert file is not None
    reader = JsonReader(FilesConfig(path=str(path)), 1 << 16)
    with mock.patch.object(JsonBlock, "shape", autospec=True, side_effect=JsonBlock.shape) as looked:
        assert len(list(reader.survey(file))) > 5
    assert looked.call_count == 1
    assert reader.schema().types == [pa.int64(), pa.float64(), pa.string()]
    with mock.patch.object(JsonBlock, "rows_fit_bulk", side_effect=AssertionError):
        rows = [row for batch in reader.batches(file) for row in batch.to_pylist()]
    assert rows == [{"n": n, "x": n / 4, "s": f"é{n}"} for n in range(20_000)]
