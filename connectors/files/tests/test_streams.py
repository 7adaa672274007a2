"""What becomes a stream, and how it is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from wherry import DataError, StreamError, UsageError

CSV = "a,b\n1,x\n"


def tree(write: Any, *names: str) -> Path:
    paths = [Path(write(name, CSV if ".csv" in name else '{"a": 1}\n')) for name in names]
    return next(folder for folder in paths[0].parents if folder.name == "data")


def test_folder(write: Any, files: Any) -> None:
    folder = tree(
        write, "orders.csv", "items.v2.jsonl", ".hidden.csv", "notes.txt", "README", "events/2024/01.csv",
        "events/02.csv", "events/.tmp/03.csv", ".git/x.csv", "empty/notes.txt",
    )  # fmt: skip
    streams = files(folder).streams()
    assert sorted(streams) == ["events", "items.v2", "orders"]
    assert {name: stream.part for name, stream in streams.items()} == {
        "events": "_wherry_file", "items.v2": None, "orders": None,
    }  # fmt: skip
    assert streams["events"].schema.names == ["a", "b", "_wherry_file"]
    read = files(folder).read(name="events")
    assert [row["_wherry_file"] for row in read.rows] == ["events/02.csv", "events/2024/01.csv"]


def test_equal_stems_stay_apart(write: Any, files: Any) -> None:
    folder = tree(write, "orders.csv", "orders.jsonl", "orders.csv.gz.csv", "items.csv", "items/1.csv")
    assert sorted(files(folder).streams()) == ["items", "items.csv", "orders.csv", "orders.csv.gz", "orders.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("orders-*.csv", "orders", ["orders-1.csv", "orders-2.csv"]),
        ("*.csv", "data", ["orders-1.csv", "orders-2.csv"]),
        ("*", "data", ["orders-1.csv", "orders-2.csv"]),
        ("**/*.csv", "data", ["deep/2024/sales.csv", "deep/2025/sales.csv", "orders-1.csv", "orders-2.csv"]),
        ("deep/*/sales.csv", "sales", ["2024/sales.csv", "2025/sales.csv"]),
        ("deep/*/*.csv", "deep", ["2024/sales.csv", "2025/sales.csv"]),
        ("orders-[12].csv", "orders", ["orders-1.csv", "orders-2.csv"]),
        ("orders-?.csv", "orders", ["orders-1.csv", "orders-2.csv"]),
    ],
)
def test_globs(pattern: str, name: str, found: list[str], write: Any, files: Any) -> None:
    folder = tree(write, "orders-1.csv", "orders-2.csv", "deep/2024/sales.csv", "deep/2025/sales.csv", "notes.txt")
    source = files(folder / pattern)
    assert list(source.streams()) == [name]
    assert sorted(row["_wherry_file"] for row in source.read().rows) == found


def test_globs_are_case_and_compression_blind_about_formats(write: Any, files: Any) -> None:
    folder = tree(write, "A.CSV", "b.csv")
    (folder / "A.CSV").write_text(CSV)
    assert sorted(files(folder).streams()) == ["A", "b"]


@pytest.mark.parametrize(
    ("path", "short"),
    [("orders.csv", "orders"), ("My Orders-2024.csv.gz", "my_orders_2024"), ("", "data"), ("*.csv", "data"),
     ("deep/x-*/a.csv", "deep"), ("later.parquet", "later")],
)  # fmt: skip
def test_identity(path: str, short: str, write: Any, files: Any) -> None:
    folder = tree(write, "orders.csv", "My Orders-2024.csv.gz", "deep/x-1/a.csv")
    assert files(folder / path).source().identity() == (short, str(folder / path))


def test_identity_is_the_same_from_anywhere(write: Any, files: Any, monkeypatch: Any) -> None:
    folder = tree(write, "orders.csv")
    wanted = files(folder / "orders.csv").source().identity()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder.parent))
    for path in (
        "orders.csv",
        "./orders.csv",
        "../data/orders.csv",
        "~/data/orders.csv",
        f"file://{folder}/orders.csv",
    ):
        assert files(path).source().identity() == wanted
        assert list(files(path).streams()) == ["orders"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("oders.csv", "no such file or folder"),
        ("empty", r"folder .*empty has no file to read; found notes\.txt"),
        ("x-*.csv", r"no file to read matches .*x-\*\.csv; found empty, notes\.txt, orders\.csv"),
        ("*.txt", r"no file to read matches .*; found notes\.txt"),
        ("notes.txt", r"cannot tell the format of notes\.txt"),
        ("no/such/*.csv", "found nothing"),
    ],
)
def test_nothing_to_read(path: str, message: str, write: Any, files: Any) -> None:
    folder = tree(write, "orders.csv", "notes.txt", "empty/notes.txt")
    with pytest.raises(UsageError, match=message) as caught:
        files(folder / path).streams()
    assert caught.value.next


def test_a_near_miss_is_suggested(write: Any, files: Any) -> None:
    with pytest.raises(UsageError) as caught:
        files(tree(write, "orders.csv") / "oders.csv").streams()
    assert caught.value.next == "did you mean orders.csv?"


def test_links(write: Any, files: Any) -> None:
    folder = tree(write, "real/orders.csv", "other/x.csv")
    (folder / "link.csv").symlink_to(folder / "real" / "orders.csv")
    (folder / "other" / "loop").symlink_to(folder)
    assert sorted(files(folder).streams()) == ["link", "other", "real"]
    assert len(files(folder).read(name="link").rows) == 1
    assert [row["_wherry_file"] for row in files(folder).read(name="other").rows] == ["other/x.csv"]
    (folder / "gone.csv").symlink_to(folder / "nowhere.csv")
    with pytest.raises(StreamError, match=r"gone\.csv is a link to a file that is gone"):
        files(folder / "gone.csv").streams()


def test_special_files_are_refused(tmp_path: Path, files: Any) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError, match="not a regular file"):
        files(tmp_path / "pipe.csv").streams()


def test_names_of_all_kinds(tmp_path: Path, files: Any) -> None:
    names = ['a"b; DROP TABLE x;--', "%s{}$1?", "line\nend", "x" * 240, "select", "ÄÖ \U0001f600"]
    for name in names:
        (tmp_path / f"{name}.csv").write_text(CSV)
    assert sorted(files(tmp_path).streams()) == sorted(names)


def test_a_file_name_that_is_no_text(tmp_path: Path, files: Any) -> None:
    (tmp_path / os.fsdecode(b"\xff.csv")).write_text(CSV)
    with pytest.raises(UsageError, match="is not UTF-8"):
        files(tmp_path).streams()


def test_discovery_looks_only_at_the_head(write: Any, files: Any) -> None:
    path = write("t.csv", "a,b\n" + "1,some text here\n" * 200_000 + '2,"never closed\n')
    stream = files(path).streams()["t"]
    assert stream.row_estimate is not None
    assert 150_000 < stream.row_estimate < 250_000
    assert [str(type) for type in stream.schema.types] == ["int64", "string"]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json"])
def test_discovery_of_rows_longer_than_the_sample(name: str, write: Any, files: Any) -> None:
    big = "x" * (3 << 20)
    text = f'a,b\n"{big}",1\n"{big}",2\n' if name == "t.csv" else "\n".join([f'{{"a": "{big}", "b": 1}}'] * 2)
    stream = files(write(name, text)).streams()["t"]
    assert [str(type) for type in stream.schema.types] == ["string", "int64"]


def test_only_what_is_asked_for_is_opened(write: Any, files: Any) -> None:
    folder = tree(write, "a.csv")
    write("b.json", "{ not json")
    assert [stream.name for stream in files(folder).source().discover(["a*"])] == ["a"]


def test_a_broken_file_does_not_hide_the_others(write: Any, files: Any) -> None:
    folder = tree(write, "a.csv", "z.csv")
    write("b.json", "{ not json")
    write("c.parquet", "PAR1")
    write("d.csv", b"a,b\n1,\xff\n")
    streams = files(folder).streams()
    assert sorted(streams) == ["a", "b", "c", "d", "z"]
    assert [len(stream.notes) for _, stream in sorted(streams.items())] == [0, 1, 1, 1, 0]
    for name in "bcd":
        with pytest.raises(DataError, match=f"file {name}"):
            files(folder).read(name=name)
    assert len(files(folder).read(name="z").rows) == 1
