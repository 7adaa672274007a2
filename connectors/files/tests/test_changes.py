"""What is read again when files change, and what a bookmark is good for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wherry import (
    Mark,
    Progress,
    ReadPlan,
    Run,
    Split,
    StateError,
    StreamError,
    TransientError,
    UsageError,
)

ONE, TWO, THREE = "a,b\n1,x\n2,y\n", "a,b\n3,z\n", "a,b\n4,w\n5,v\n"


def touch(path: Path, ahead: int = 10) -> None:
    now = os.stat(path)
    os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns + ahead * 10**9))


def test_a_file_is_read_once(write: Any, files: Any) -> None:
    path = write("t.csv", ONE)
    bookmark = files(path).read().bookmarks[-1]
    entry = bookmark["files"]["t.csv"]
    assert (entry["size"], entry["mtime_ns"]) == (len(ONE), path.stat().st_mtime_ns)
    assert files(path).plan(bookmark) == []
    touch(path)
    assert files(path).plan(bookmark) == []


@pytest.mark.parametrize("content", [TWO, ONE.replace("1", "7"), ""])
def test_a_changed_file_is_read_whole(content: str, write: Any, files: Any) -> None:
    path = write("t.csv", ONE)
    bookmark = files(path).read().bookmarks[-1]
    write("t.csv", content)
    touch(path)
    read = files(path).read(bookmark)
    assert [str(row["a"]) for row in read.rows] == [line[0] for line in content.split("\n")[1:-1]]
    assert files(path).plan(read.bookmarks[-1]) == []


def test_a_file_that_is_read_in_another_way_is_read_again(write: Any, files: Any) -> None:
    path = write("t.csv", "a;b\n1;M\u00fcller\n".encode("cp1252"))
    cyrillic = files(path, encoding="cp1251").read()
    bookmark = cyrillic.bookmarks[-1]
    assert [row["b"] for row in cyrillic.rows] == ["M\u044cller"]
    assert files(path, encoding="cp1251").plan(bookmark) == []
    again = files(path, encoding="cp1252").read(bookmark)
    assert [row["b"] for row in again.rows] == ["M\u00fcller"]
    assert files(path, encoding="cp1252").plan(again.bookmarks[-1]) == []
    assert files(path, encoding="cp1252", null="M\u00fcller").read(again.bookmarks[-1]).rows == [{"a": 1, "b": None}]


def test_files_of_a_folder_that_are_read_in_another_way_replace_their_rows(write: Any, files: Any) -> None:
    for name in ("in/p.csv", "in/q.csv"):
        write(name, "a|b,c\n1|2,3\n")
    folder = write("in/r.csv", "a|b,c\n").parent
    bookmark = files(folder / "*.csv").read().bookmarks[-1]
    again = files(folder / "*.csv", delimiter="pipe").read(bookmark)
    assert [row["b,c"] for row in again.rows] == ["2,3", "2,3"]
    assert [name for parts in again.parts for names in parts.values() for name in names] == ["p.csv", "q.csv", "r.csv"]


def test_same_size_and_time_is_believed(write: Any, files: Any) -> None:
    path = write("t.csv", ONE)
    bookmark = files(path).read().bookmarks[-1]
    before = os.stat(path)
    write("t.csv", ONE.replace("1", "7"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files(path).plan(bookmark) == []


def test_many_files(write: Any, files: Any) -> None:
    """New files append; a changed one takes its earlier rows away; a touched or removed one changes nothing."""
    folder = write("one.csv", ONE).parent
    write("two.csv", TWO)
    source = files(folder / "*.csv")
    first = source.read()
    assert [(row["a"], row["_wherry_file"]) for row in first.rows] == [(1, "one.csv"), (2, "one.csv"), (3, "two.csv")]
    assert first.parts == []
    assert [sorted(b["files"]) for b in first.bookmarks] == [["one.csv"], ["one.csv", "two.csv"]]
    known = first.bookmarks[-1]

    touch(folder / "one.csv")
    (folder / "two.csv").unlink()
    assert source.plan(known) == []

    write("three.csv", THREE)
    write("one.csv", "a,b\n9,changed\n")
    second = source.read(known)
    assert [(row["a"], row["_wherry_file"]) for row in second.rows] == [
        (9, "one.csv"), (4, "three.csv"), (5, "three.csv"),
    ]  # fmt: skip
    assert second.parts == [{"data": ("one.csv",)}]
    kinds = [type(item).__name__ + str(bool(getattr(item, "parts", None))) for item in second.items]
    assert kinds.index("MarkTrue") < kinds.index("BatchFalse")
    assert sorted(second.bookmarks[-1]["files"]) == ["one.csv", "three.csv", "two.csv"]
    assert source.plan(second.bookmarks[-1]) == []

    write("two.csv", TWO)
    assert source.plan(second.bookmarks[-1]) == []


def test_many_files_in_replace_mode(write: Any, files: Any) -> None:
    folder = write("one.csv", ONE).parent
    write("two.csv", TWO)
    source = files(folder / "*.csv")
    known = source.read(mode="replace").bookmarks[-1]
    assert source.plan(known, mode="replace") == []
    (folder / "one.csv").unlink()
    read = source.read(known, mode="replace")
    assert [row["a"] for row in read.rows] == [3]
    assert list(read.bookmarks[-1]["files"]) == ["two.csv"]
    assert read.parts == []


def test_merge_reads_changed_files_whole_and_takes_nothing_away(write: Any, files: Any) -> None:
    folder = write("one.csv", ONE).parent
    source = files(folder / "*.csv")
    known = source.read(mode="merge", key=("a",)).bookmarks[-1]
    write("one.csv", "a,b\n2,new\n6,q\n")
    read = source.read(known, mode="merge", key=("a",))
    assert [(row["a"], row["b"]) for row in read.rows] == [(2, "new"), (6, "q")]
    assert read.parts == []


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_resume_from_every_bookmark_gives_exactly_the_rest(mode: str, write: Any, files: Any) -> None:
    for number in range(5):
        folder = write(f"{number}.csv", "a\n" + "".join(f"{number * 10 + i}\n" for i in range(number + 1))).parent
    source = files(folder / "*.csv")
    whole = source.read(mode=mode)
    assert len(whole.bookmarks) == 5
    seen: list[Any] = []
    for item in whole.items:
        if isinstance(item, Mark) and item.bookmark is not None:
            rest = source.resume(item.bookmark, mode=mode)
            assert seen + rest.rows == whole.rows
            if rest.bookmarks:
                assert rest.bookmarks[-1] == whole.bookmarks[-1]
        elif not isinstance(item, Mark):
            seen += item.data.to_pylist()


def test_a_rebuild_that_goes_on_after_files_changed(write: Any, files: Any) -> None:
    folder = write("1.csv", "a\n1\n").parent
    for number in "234":
        write(f"{number}.csv", f"a\n{number}\n")
    source = files(folder / "*.csv")
    third = source.read(mode="replace").bookmarks[2]
    write("1.csv", "a\n7\n")
    (folder / "2.csv").unlink()
    rest = source.resume(third, mode="replace")
    assert [(row["a"], row["_wherry_file"]) for row in rest.rows] == [(7, "1.csv"), (4, "4.csv")]
    assert rest.parts == [{"data": ("2.csv",)}, {"data": ("1.csv",)}]
    assert sorted(rest.bookmarks[-1]["files"]) == ["1.csv", "3.csv", "4.csv"]

    path = write("one.csv", ONE)
    known = files(path).read().bookmarks[-1]
    assert [item for item in files(path).resume(known).items if item != Mark(complete=("one",))] == []
    write("one.csv", TWO)
    again = files(path).resume(known)
    assert again.items[0] == Mark(truncate=("one",))
    assert [row["a"] for row in again.rows] == [3]


def test_one_schema_for_all_new_files(write: Any, files: Any) -> None:
    write("1.csv", "a,n\n1,NA\n")
    write("2.csv", "a,m\n1.5,x\n")
    folder = write("3.csv", "n\nword\n").parent
    read = files(folder / "*.csv").read()
    assert len([item for item in read.items if isinstance(item, Mark) and item.stream]) == 1
    assert read.schema == pa.schema(
        [("a", pa.float64()), ("n", pa.string()), ("m", pa.string()), ("_wherry_file", pa.string())]
    )
    assert [(row["a"], row.get("n"), row.get("m")) for row in read.rows[:2]] == [(1.0, "NA", None), (1.5, None, "x")]


def test_files_of_several_formats(write: Any, files: Any) -> None:
    write("x/1.csv", "a\n1\n")
    write("x/2.jsonl", '{"a": "t"}\n')
    folder = write("x/3.csv", "a\n2\n").parent.parent
    read = files(folder).read(name="x")
    assert [row["a"] for row in read.rows] == [1, "t", 2]
    assert len([item for item in read.items if isinstance(item, Mark) and item.stream]) == 3


def test_a_dropped_table_is_read_anew(write: Any, files: Any) -> None:
    source = files(write("t.csv", ONE))
    known = source.read().bookmarks[-1]
    progress = Progress(bookmark=known, missing=frozenset({"t"}))
    (plan,) = source.source().plan([source.selection()], {"t": progress})
    assert plan.splits[0].bookmark is None


def test_an_open_plan_is_resumed_in_append_and_begun_anew_in_replace(write: Any, files: Any) -> None:
    folder = write("one.csv", ONE).parent
    source = files(folder / "*.csv")
    for mode in ("append", "replace"):
        selection = source.selection(mode=mode)
        split = Split(key="data", streams=(selection,), bookmark={"files": {}})
        begun = ReadPlan(key="data", splits=(split,), id="p1")
        (plan,) = source.source().plan([selection], {"data": Progress(open=begun)})
        assert (plan is begun) == (mode == "append")


def grow_while_reading(path: Path, source: Any, split: Split) -> None:
    for item in source.read(split):
        assert item.bookmark is None
        if not isinstance(item, Mark):
            with open(path, "a") as file:
                file.write("6,late\n")


@pytest.mark.parametrize("bytes", [1 << 18, 1 << 20])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json", "parquet"])
def test_a_file_that_changes_while_it_is_read(bytes: int, suffix: str, write: Any, files: Any) -> None:
    """No bookmark is given for it, so nothing of it is committed."""
    path = write(f"t.{suffix}", contents(suffix))
    source = files(path, bytes=bytes)
    split = source.plan()[0].splits[0]
    with pytest.raises(TransientError, match=rf"t\.{suffix} changed while it was read"):
        grow_while_reading(path, source.source(), split)


def test_a_file_that_changes_after_it_is_in_memory(write: Any, files: Any) -> None:
    """The rows are those of the content that the bookmark remembers; the next run sees the change."""
    path = write("t.csv", ONE)
    source = files(path)
    split = source.plan()[0].splits[0]
    items = []
    for item in source.source().read(split):
        items.append(item)
        if not isinstance(item, Mark):
            write("t.csv", ONE + "3,z\n")
    assert sum(item.data.num_rows for item in items if not isinstance(item, Mark)) == 2
    known = items[-2].bookmark
    assert known["files"]["t.csv"]["size"] == len(ONE)
    assert len(source.read(known).rows) == 3


def contents(suffix: str) -> bytes:
    rows = [{"a": i, "b": "x" * 20} for i in range(20_000)]
    table = pa.Table.from_pylist(rows)
    if suffix == "parquet":
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        return bytes(sink.getvalue())
    import json

    lines = [json.dumps(row) for row in rows]
    if suffix == "csv":
        return ("a,b\n" + "".join(f"{row['a']},{row['b']}\n" for row in rows)).encode()
    return ("\n".join(lines) if suffix == "jsonl" else "[" + ",".join(lines) + "]").encode()


def test_a_file_that_vanishes(write: Any, files: Any) -> None:
    path = write("t.csv", ONE)
    source = files(path)
    split = source.plan()[0].splits[0]
    path.unlink()
    with pytest.raises(UsageError, match="no such file"):
        list(source.source().read(split))
    folder = write("u.csv", ONE).parent
    write("v.csv", ONE)
    split = files(folder).plan(name="v")[0].splits[0]
    (folder / "v.csv").unlink()
    with pytest.raises(StreamError, match="stream v: its file is gone"):
        list(files(folder).source().read(split))


@pytest.mark.skipif(os.geteuid() != 0, reason="switches to another user to be refused")
def test_a_file_without_permission(write: Any, files: Any) -> None:
    path = write("t.csv", ONE)
    path.chmod(0o000)
    for folder in list(path.parents)[:-1]:
        folder.chmod(0o755) if folder.owner() == "root" and "pytest" in str(folder) else None
    os.seteuid(65534)
    try:
        with pytest.raises(StreamError, match="permission denied"):
            files(path).streams()
    finally:
        os.seteuid(0)


def test_stop_ends_a_read_without_completeness(write: Any, files: Any) -> None:
    source = files(write("t.csv", contents("csv").decode()), bytes=1 << 18)
    split = source.plan()[0].splits[0]
    running = source.source()
    items = []
    for item in running.read(split):
        items.append(item)
        if not isinstance(item, Mark):
            running.run.stop.set()
    assert 0 < sum(not isinstance(item, Mark) for item in items) < 5
    assert all(item.bookmark is None and not getattr(item, "complete", ()) for item in items)


def test_stop_during_the_first_pass(write: Any, files: Any) -> None:
    source = files(write("t.csv", contents("csv").decode()), bytes=1 << 18)
    split = source.plan()[0].splits[0]
    running = source.source()
    running.run = Run(bytes=1 << 18)
    running.run.stop.set()
    assert all(item == Mark() for item in running.read(split))


class TestCursor:
    """A cursor on one file: rows from the highest value on are read again."""

    BEFORE = "id,at,v\n1,2024-01-01 00:00:00.000001,x\n2,2024-01-01 00:00:00.000002,y\n"
    AFTER = BEFORE + "3,2024-01-01 00:00:00.000002,z\n4,2024-01-01 00:00:00.000003,w\n"

    @pytest.mark.parametrize(("cursor", "rows"), [("id", [2, 3, 4]), ("at", [2, 3, 4]), ("v", [2, 3])])
    def test_only_the_rest(self, cursor: str, rows: list[int], write: Any, files: Any) -> None:
        path = write("t.csv", self.BEFORE)
        settings = {"mode": "append", "cursor": cursor}
        first = files(path).read(**settings)
        assert [row["id"] for row in first.rows] == [1, 2]
        known = first.bookmarks[-1]
        assert files(path).plan(known, **settings) == []
        write("t.csv", self.AFTER)
        assert [row["id"] for row in files(path).read(known, **settings).rows] == rows

    @pytest.mark.parametrize(
        ("type", "values"),
        [
            ("int64", ["9007199254740993", "9007199254740994"]),
            ("decimal128(38, 2)", ["12345678901234567890.11", "12345678901234567890.12"]),
            ("double", ["0.1", "0.30000000000000004"]),
            ("date32[day]", ["2024-01-01", "2024-01-02"]),
            ("timestamp[us, tz=UTC]", ["2024-01-01T00:00:00.000001Z", "2024-01-01T00:00:00.000002Z"]),
            ("timestamp[ns]", ["2024-01-01T00:00:00.000000001", "2024-01-01T00:00:00.000000002"]),
            ("string", ["a", "b"]),
        ],
    )
    def test_full_precision(self, type: str, values: list[str], write: Any, files: Any) -> None:
        settings = {"mode": "append", "cursor": "c"}
        low, high = values
        path = write("t.csv", f"c,n\n{low},1\n{high},2\n")
        first = files(path).read(**settings)
        assert str(first.schema.field("c").type) == type
        write("t.csv", f"c,n\n{low},1\n{high},2\n{high},3\n{low},4\n")
        again = files(path).resume(first.bookmarks[-1], **settings)
        assert again.batches[0].column("n").to_pylist() == [2, 3]

    def test_look_back_and_bounds(self, write: Any, files: Any) -> None:
        path = write("t.csv", "id,n\n" + "".join(f"{i},{i}\n" for i in range(10)))
        settings = {"mode": "merge", "key": ("n",), "cursor": "id"}
        first = files(path).read(start="2", end="8", **settings)
        assert [row["n"] for row in first.rows] == [2, 3, 4, 5, 6, 7]
        again = files(path).read(first.bookmarks[-1], lookback=2, **settings)
        assert [row["n"] for row in again.rows] == [5, 6, 7, 8, 9]
        assert files(path).plan(again.bookmarks[-1], **settings) == []
        with pytest.raises(UsageError, match="end 'x' is no value of column id"):
            files(path).read(end="x", **settings)

    def test_rows_without_a_value(self, write: Any, files: Any) -> None:
        path = write("t.csv", "id,n\n1,1\n,2\n")
        settings = {"mode": "append", "cursor": "id"}
        known = files(path).read(**settings).bookmarks[-1]
        write("t.csv", "id,n\n1,1\n,2\n,3\n0,4\n")
        assert [row["n"] for row in files(path).read(known, **settings).rows] == [1, 2, 3]

    def test_another_type_than_before(self, write: Any, files: Any) -> None:
        path = write("t.csv", "id\n1\n")
        known = files(path).read(mode="append", cursor="id").bookmarks[-1]
        write("t.csv", "id\n1\nx7\n")
        with pytest.raises(StateError, match="cursor id is string now and was int64"):
            files(path).read(known, mode="append", cursor="id")

    def test_what_cannot_be_a_cursor(self, write: Any, files: Any) -> None:
        path = write("t.csv", "ok,at\ntrue,10:00\n")
        for column in ("ok", "at"):
            with pytest.raises(UsageError, match=f"column {column} .* cannot be a cursor"):
                files(path).read(mode="append", cursor=column)

    def test_not_with_many_files(self, write: Any, files: Any) -> None:
        folder = write("one.csv", ONE).parent
        with pytest.raises(UsageError, match="known by file, not by cursor a"):
            files(folder / "*.csv").plan(mode="append", cursor="a")

    def test_append_of_a_changed_file_needs_one(self, write: Any, files: Any) -> None:
        path = write("t.csv", ONE)
        known = files(path).read(mode="append").bookmarks[-1]
        assert files(path).plan(known, mode="append") == []
        write("t.csv", ONE + "3,z\n")
        with pytest.raises(UsageError, match="would add its earlier rows twice"):
            files(path).plan(known, mode="append")


def test_check_opens_each_stream(write: Any, files: Any) -> None:
    folder = write("one.csv", ONE).parent
    files(folder).source().check()
    (folder / "one.csv").unlink()
    with pytest.raises(UsageError, match="has no file to read"):
        files(folder).source().check()
