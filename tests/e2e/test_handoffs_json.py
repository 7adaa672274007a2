"""Hand-overs of JSON lines to DuckDB: the same table as the one that reading makes, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wherry.testing import HandOffRun, Wish, handed_and_read, handoff_differences
from wherry_destination_duckdb.destination import DuckDBDestination
from wherry_source_files.formats import json_rows, text
from wherry_source_files.source import FilesSource

FORM = "jsonl-file"
GOOD = {
    "int": ["0", "7", "-3", "null", "999999999999999", "-999999999999999", "8999999999999999"],
    "long": ["123456789012345678", "-999999999999999999", "0", "null"],
    "float": ["0.1", "1", "1.10", "-0.0", "-2.50", "1e5", "1E-7", "0e0", "-1.5e+22", "123456789012345", "null",
              "12345.678901", "94150.0", "0.000000000000001", "999999999999999e99", "12.3400"],
    "bool": ["true", "false", "null"],
    "text": ['"a"', '""', "null", '"2024-01-01"', '"2024-01-01T00:00:00Z"', '"é😀"', '"1"', '"NULL"', r'"\u00e9"',
             r'"\ud83d\ude00"', r'"\\\"\/\b\f\n\r\t\u0001"', '"}\\n{"', '"[null, {"', '"  "', "\"it's\"",
             '"\x7f\u2028"'],
}  # fmt: skip
ODD = {
    "int": ['"5"', '""', "1.0", "1.5", "1e2", "-0", "9007199254740993", "9223372036854775807", "9223372036854775808",
            "true", "[1]", "{}", '{"a": 1}', "NaN", "007", "+1", "0x1", "", "1 2", "nul"],
    "float": ['"1.5"', "0.30000000000000004", "1234567890.1234567", "12345678901234567", "1e400", "1e100", "-0",
              "-0e1", "NaN", "Infinity", "-Infinity", ".5", "1.", "1e", "true", "null1"],
    "bool": ["1", '"true"', "True", "[]"],
    "text": ["5", "true", '["a"]', '{"a": "b"}', r'"\u0000"', r'"\ud800"', r'"\ud83dx"', r'"\x41"', r'"\u00"', '"a\tb"',
             '"a', "'a'", '"a" "b"'],
}  # fmt: skip
LIKE = '{"x":1,"y":"a"}\n'
SHAPES = {
    "blank": b"\n", "spaces": b"  \n", "two": b'{"x":1,"y":"a"}{"x":2,"y":"b"}\n', "comment": b'{"x":1,"y":"a"}//\n',
    "new_key": b'{"x":1,"y":"a","z":1}\n', "null_key": b'{"x":1,"y":"a","z":null}\n', "other": b'{"x":1,"Y":"a"}\n',
    "order": b'{"y":"a","x":1}\n', "twice": b'{"x":1,"x":2,"y":"a"}\n', "comma": b'{"x":1,"y":"a",}\n',
    "array": b"[1]\n", "null": b"null\n", "wide": b'{ "x" : 1 , "y":"a" }\n', "key": b'{"\\u0078":1,"y":"a"}\n',
    "latin": b'{"x":1,"y":"\xe9"}\n', "half": b'{"x":1,"y":"\xed\xa0\x80"}\n', "long": b'{"x":1,"y":"\xc0\xaf"}\n',
    "nul": b'{"x":1,"y":"\0"}\n', "open": b'{"x":1,\n', "return": b'{"x":1,\r"y":"a"}\n', "empty": b"{}\n",
    "mark": b'\xef\xbb\xbf{"x":1}\n', "nested": b'{"x":{"x":1},"y":"a"}\n', "colon": b'{"x":1,"y"="a"}\n',
    "without_first": b'{"y":"a"}\n',
}  # fmt: skip
ENDS = {"without": b'{"x":1}\n', "cut": b'{"x":2,"y":"b"}', "returns": b'{"x":2,"y":"b"}\r\n{"x":3}\r\n'}
HEADS = {
    "mark": b"\xef\xbb\xbf", "empty_line": b"\n", "spaces": b" ", "key": b'{"":1}\n', "keys": b'{"Key":1,"key":2}\n',
    "list": b'{"z":[1]}\n', "mixed": b'{"x":"1"}\n',
}  # fmt: skip


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for files, each a stream; what is behind 200 bytes is behind the sample."""
    monkeypatch.setattr(json_rows, "SAMPLE_BYTES", 200)
    monkeypatch.setattr(text, "CHUNK", 200)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def both(path: Path, columns: tuple[str, ...] | None = None, **options: Any) -> tuple[HandOffRun, HandOffRun]:
    """(handed over, read); nothing differs."""

    def place(name: str) -> DuckDBDestination:
        return DuckDBDestination(DuckDBDestination.Config(path=str(path.parent / f"{path.stem} {name}.duckdb")))

    config = FilesSource.Config(path=str(path), **options)
    found = handed_and_read(lambda: FilesSource(config), place, connector="files", wish=Wish(columns=columns))
    assert not handoff_differences(*found)
    return found


def write(path: Path, first: str, literals: list[str], space: str = "") -> None:
    lines = [f'{{"x":{space}{literal},{space}"y":{space}"a"}}' for literal in [first] * 100 + literals]
    path.write_text("\n".join(lines) + "\n")


def ends(run: HandOffRun) -> dict[str, str]:
    return {stream.stream: stream.outcome for stream in run.outcome.streams}


def test_literals_that_say_what_their_column_is(data: Path) -> None:
    for kind, literals in GOOD.items():
        write(data / f"{kind}.jsonl", literals[0], literals)
        write(data / f"{kind}_spaced.jsonl", literals[0], literals, " ")
    handed, _ = both(data)
    assert set(handed.handed.values()) == {FORM}, handed.said
    types = {kind: str(handed.tables[kind].schema.field("x").type) for kind in GOOD}
    assert types == {"int": "int64", "long": "int64", "float": "double", "bool": "bool", "text": "string"}
    texts = handed.tables["text"].column("x").to_pylist()[100:]
    assert texts[3:5] == ["2024-01-01", "2024-01-01T00:00:00Z"]
    assert texts[8:12] == ["é", "😀", '\\"/\b\f\n\r\t\x01', "}\n{"]


def test_literals_behind_the_sample_that_make_another_type(data: Path) -> None:
    for kind, literals in ODD.items():
        for number, literal in enumerate(literals):
            write(data / f"{kind}_{number}.jsonl", GOOD[kind][0], [literal])
    handed, read = both(data)
    kept = {name: form for name, form in handed.handed.items() if form is not None}
    assert not kept, [(name, ODD[name.rpartition("_")[0]][int(name.rpartition("_")[2])]) for name in kept]
    assert ends(handed) == ends(read)


def test_lines_on_which_readers_differ(data: Path) -> None:
    for name, line in SHAPES.items():
        (data / f"{name}.jsonl").write_bytes((LIKE * 100).encode() + line + (LIKE * 3).encode())
    for name, end in ENDS.items():
        (data / f"end_{name}.jsonl").write_bytes((LIKE * 100).encode() + end)
    (data / "end_half.jsonl").write_bytes((LIKE * 100).encode() + b'{"x":1')
    handed, read = both(data)
    assert {name for name, form in handed.handed.items() if form} == {f"end_{name}" for name in ENDS}, handed.said
    assert ends(handed) == ends(read)
    assert len(handed.tables["end_returns"]) == 102


def test_heads_and_settings_that_only_we_understand(data: Path) -> None:
    for name, head in HEADS.items():
        (data / f"{name}.jsonl").write_bytes(head + (LIKE * 100).encode())
    (data / "utf_16.jsonl").write_bytes((LIKE * 100).encode("utf-16"))
    handed, _ = both(data)
    assert {name for name, form in handed.handed.items() if form} == set(), handed.said
    write(data / "set.jsonl", "1", ["2"])
    assert both(data / "set.jsonl", encoding="latin-1")[0].handed == {"set": None}


def test_keys_are_named_as_ever(data: Path) -> None:
    row = '{"id":1,"select":2.5,"a\'b; --":"x","é€":true,"_wherry_load_id":5,"a.b":"","%s":null}\n'
    (data / "odd.jsonl").write_text(row * 100 + row.replace("null", '"y"'))
    assert both(data / "odd.jsonl")[0].handed == {"odd": None}  # a column without a value in the sample
    (data / "names.jsonl").write_text(row * 100)
    handed, _ = both(data / "names.jsonl")
    assert handed.handed == {"names": FORM}, handed.said
    assert both(data / "names.jsonl", columns=("a.b", "é€"))[0].handed == {"names": FORM}


def test_an_engine_of_little_memory_reads_nothing_itself(data: Path) -> None:
    write(data / "small.jsonl", "1", ["2"])
    config = FilesSource.Config(path=str(data))

    def place(name: str) -> DuckDBDestination:
        return DuckDBDestination(DuckDBDestination.Config(path=str(data / f"{name}.duckdb"), memory_limit="90MB"))

    handed, read = handed_and_read(lambda: FilesSource(config), place, connector="files")
    assert handed.handed == {"small": None}
    assert "of memory is little" in " ".join(handed.said)
    assert not handoff_differences(handed, read)
