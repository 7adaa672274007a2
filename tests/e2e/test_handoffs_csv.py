"""Hand-overs of CSV files to DuckDB: the same table as the one that reading makes, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wherry.testing import HandOffRun, handed_and_read, handoff_differences
from wherry_destination_duckdb.destination import DuckDBDestination
from wherry_source_files.formats import delimited, scan, text
from wherry_source_files.source import FilesSource

FORM = "csv-file"
GOOD = {
    "int": ["0", "7", "-3", "9223372036854775807", "-9223372036854775808", ""],
    "decimal": ["0.10", "1.25", "-3.00", "1234567890123456.78"],
    "wide": ["-1234567890123456789012345678.0000000001", "0.1234567890"],
    "float": ["1e-05", "0.1", "1.25", "-3.5", "1e+20", "10.0", "3", "nan", "inf", "-0.0", "", "0.30000000000000004"],
    "date": ["2024-01-31", "0001-01-01", "9999-12-31", ""],
    "timestamp": ["2024-01-31 00:00:00", "2024-01-31 23:59:59.5", "2024-02-29 00:00:00.50",
                  "9999-12-31 23:59:59.999999", ""],
    "iso": ["2024-01-31T00:00:00", "0001-01-01T23:59:59.000001"],
    "bool": ["true", "false", ""],
    "text": ["a", '"x,y"', '""', "", "NULL", "NA", '"é\n😀"', '"a""b"', "\\N", "1", 'in"side', "  a  ", "#",
             '" x"', '"x "', '"\"\"x\"\" y"', '",\n1,a\n"', '5"', "a'b", '" \n"'],
}  # fmt: skip
FIRST = {name: literals[0] for name, literals in GOOD.items()}
ODD = {
    "int": ["007", "+5", " 5", "5 ", "1_000", "0x1F", "1.0", "-0", "1e2", "9223372036854775808", "NA", '""', "x",
            '"5"', "--5", "5\t", "9" * 40],
    "decimal": ["1.2", "1.250", "3", ".50", "-0.00", "99999999999999999.99", "1e2", "NULL", '"1.25"', "-.50", "01.25"],
    "float": ["+inf", "NaN", "Infinity", "1e400", "1e5", "007.5", "2.50", "0x1p3"],
    "date": ["2024-1-2", "10000-01-01", "0000-01-01", "infinity", "0044-03-15 (BC)", "2024/01/02", "epoch",
             "2024-02-30", "2023-02-29", "2024-01-02 00:00:00", '"2024-01-02"', "2024-04-31"],
    "timestamp": ["2024-01-02T00:00:00", "2024-01-02 00:00:00Z", "2024-01-02 00:00",
                  "10000-01-01 00:00:00", "2024-01-02 24:00:00", "2024-01-02 00:00:00.1234567", "2024-01-02"],
    "iso": ["2024-01-02 00:00:00", "2024-01-02T00:00:00+01:00", "2024-01-02T00:00:60"],
    "bool": ["True", "TRUE", "yes", "t", "1", '"true"'],
    "text": ['a "b', 'a" b', ' "b"', '"b" ', '"b"c'],
}  # fmt: skip
SHAPES = {
    "a_field_more": b"1,2,\n", "fields_more": b"1,2,3\n", "a_field_less": b"1\n", "blank_before_quote": b'1, "x"\n',
    "blank_after_quote": b'1,"x" \n', "text_after_quote": b'1,"x"y\n', "unclosed": b'1,"x\n', "carriage": b"1,x\r\n",
    "nul": b"1,\0\n", "latin": b"1,\xff\n", "in_quotes": b'1,"x,2\n\n3,y"\n',
}  # fmt: skip
HEADS = {
    "mark": b"\xef\xbb\xbfx,y\n", "empty_line": b"\nx,y\n", "quoted": b'"x\n1",y\n', "one": b"x\n", "blank": b"x,y\n\n",
}  # fmt: skip


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for files, each a stream; what is behind 200 bytes is behind the sample, and far more than one block."""
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 200)
    monkeypatch.setattr(text, "CHUNK", 200)
    monkeypatch.setattr(scan, "_BLOCK", 61)
    monkeypatch.setattr(delimited, "WORTH", 0)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def both(path: Path, **options: Any) -> tuple[HandOffRun, HandOffRun]:
    """(handed over, read); nothing differs."""

    def place(name: str) -> DuckDBDestination:
        return DuckDBDestination(DuckDBDestination.Config(path=str(path.parent / f"{path.stem} {name}.duckdb")))

    config = FilesSource.Config(path=str(path), **options)
    found = handed_and_read(lambda: FilesSource(config), place, connector="files")
    assert not handoff_differences(*found)
    return found


def write(path: Path, first: str, literals: list[str]) -> None:
    lines = ["x,y", *[f"{first},a"] * 100, *[f"{literal},b" for literal in literals]]
    path.write_text("\n".join(lines) + "\n")


def test_literals_that_print_as_they_are_written(data: Path) -> None:
    for kind, literals in GOOD.items():
        write(data / f"{kind}.csv", FIRST[kind], literals)
    handed, _ = both(data)
    assert handed.handed == dict.fromkeys(GOOD, FORM), handed.said
    types = {kind: str(handed.tables[kind].schema.field("x").type) for kind in GOOD}
    assert types == {
        "int": "int64", "decimal": "decimal128(18, 2)", "wide": "decimal128(38, 10)", "float": "double",
        "date": "date32[day]", "timestamp": "timestamp[us]", "iso": "timestamp[us]", "bool": "bool", "text": "string",
    }  # fmt: skip
    texts = handed.tables["text"].column("x").to_pylist()[100:]
    assert texts == ["a", "x,y", "", None, "NULL", "NA", "é\n😀", 'a"b', "\\N", "1", 'in"side', "  a  ", "#",
                     " x", "x ", '"x" y', ",\n1,a\n", '5"', "a'b", " \n"]  # fmt: skip


def test_literals_behind_the_sample_that_make_another_type(data: Path) -> None:
    for kind, literals in ODD.items():
        for number, literal in enumerate(literals):
            write(data / f"{kind}_{number}.csv", FIRST[kind], [literal])
    handed, _ = both(data)
    kept = {name: form for name, form in handed.handed.items() if form is not None}
    assert not kept, [(name, ODD[name.rpartition("_")[0]][int(name.rpartition("_")[2])]) for name in kept]


def test_rows_on_which_readers_differ(data: Path) -> None:
    for name, row in SHAPES.items():
        (data / f"{name}.csv").write_bytes(b"x,y\n" + b"1,a\n" * 100 + row + b"2,b\n" * 3)
    handed, read = both(data)
    assert {name for name, form in handed.handed.items() if form} == {"in_quotes"}, handed.said
    ends = [{s.stream: s.outcome for s in run.outcome.streams} for run in (handed, read)]
    assert ends[0] == ends[1]


def test_heads_and_settings_that_only_we_understand(data: Path) -> None:
    for name, head in HEADS.items():
        (data / f"{name}.csv").write_bytes(head + (b"1\n" if name == "one" else b"1,a\n") * 100)
    handed, _ = both(data)
    assert {name for name, form in handed.handed.items() if form} == set(), handed.said
    write(data / "set.csv", "1", ["2"])
    assert both(data / "set.csv", null="-")[0].handed == {"set": None}
    write(data / "unset.csv", "1", ["2"])
    assert both(data / "unset.csv")[0].handed == {"unset": FORM}


def test_without_a_header_and_with_another_delimiter(data: Path) -> None:
    (data / "bare.tsv").write_text("1\ta\n" * 100 + "2\t\n")
    (data / "semi.csv").write_text('id;"a name"\n' + "1;b\n" * 100 + '2;";"\n')
    assert both(data / "bare.tsv", header=False)[0].handed == {"bare": FORM}
    assert both(data / "semi.csv")[0].handed == {"semi": FORM}
