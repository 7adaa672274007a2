"""Hand-overs of files to DuckDB: the same table, types and counts as rows that were read, or none."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wherry.testing import HandOffRun, Wish, handed_and_read, run_sync
from wherry_destination_duckdb.destination import DuckDBDestination
from wherry_handoffs import same
from wherry_source_files.source import FilesSource


def both(path: Path, folder: Path, **wish: Any) -> tuple[HandOffRun, HandOffRun]:
    """(handed over, read)."""

    def place(name: str) -> DuckDBDestination:
        return DuckDBDestination(DuckDBDestination.Config(path=str(folder / f"{name}.duckdb")))

    return handed_and_read(lambda: FilesSource(FilesSource.Config(path=str(path))), place, wish=Wish(**wish))


def rows(count: int) -> pa.Table:
    """Every type that goes over, with nulls, ends and odd values."""
    texts = ["", None, "é😀\u2028", "a\0b", "NULL", '"', "\\N", "x" * 5000]
    floats = [0.0, -0.0, float("nan"), float("inf"), 5e-324, None, 0.1]
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "small": pa.array([None if i % 5 == 0 else i % 127 - 64 for i in range(count)], pa.int8()),
            "big": pa.array([2**64 - 1 - i for i in range(count)], pa.uint64()),
            "text": pa.array([texts[i % len(texts)] for i in range(count)]),
            "bytes": pa.array([bytes([i % 256, 0]) for i in range(count)]),
            "float": pa.array([floats[i % len(floats)] for i in range(count)]),
            "single": pa.array([floats[i % len(floats)] for i in range(count)], pa.float32()),
            "price": pa.array([decimal.Decimal(i - 3).scaleb(-2) for i in range(count)], pa.decimal128(20, 2)),
            "day": pa.array([dt.date(1, 1, 1) + dt.timedelta(i * 997) for i in range(count)]),
            "at": pa.array([dt.datetime(1969, 12, 31, 23, 59, 59, 999999 - i) for i in range(count)]),
            "zoned": pa.array([None if i % 3 else i for i in range(count)], pa.timestamp("us", "Europe/Berlin")),
            "fine": pa.array([i * 1001 for i in range(count)], pa.timestamp("ns")),
            "yes": pa.array([None if i % 4 == 0 else i % 2 == 0 for i in range(count)]),
        }
    )


def test_parquet_is_handed_over_and_the_table_is_the_same(tmp_path: Path) -> None:
    pq.write_table(rows(3000), tmp_path / "orders.parquet", row_group_size=700)
    found = same(both(tmp_path / "orders.parquet", tmp_path), "parquet-file")
    assert found.outcome.streams[0].counts["inserted"] == 3000


def test_columns_are_chosen_and_named_as_ever(tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2], "select": [3, 4], 'a"b; drop table x --': ["x", None], "_wherry_load_id": [5, 6]})
    pq.write_table(table, tmp_path / "odd.parquet")
    same(both(tmp_path / "odd.parquet", tmp_path), "parquet-file")
    (tmp_path / "less").mkdir()
    same(both(tmp_path / "odd.parquet", tmp_path / "less", columns=("*", "!select")), "parquet-file")


def test_files_of_a_folder_are_known_by_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "day=7"  # to some readers a column
    folder.mkdir(parents=True)
    for name, first in (("a", 0), ("b", 10)):
        pq.write_table(pa.table({"id": pa.array(range(first, first + 5), pa.int32())}), folder / f"{name}.parquet")
    found = same(both(tmp_path / "data", tmp_path), "parquet-file")
    (table,) = found.tables.values()
    assert set(table.column("_wherry_file").to_pylist()) == {"day=7/a.parquet", "day=7/b.parquet"}
    pq.write_table(pa.table({"id": pa.array([1, 2], pa.int32())}), folder / "a.parquet")
    found = same(both(tmp_path / "data", tmp_path), "parquet-file")
    assert [(s.counts["inserted"], s.counts["deleted"]) for s in found.outcome.streams] == [(2, 5)]


REFUSED = {
    "differ in their columns": {"a": {"x": pa.array([1])}, "b": {"x": pa.array(["t"])}},
    "other names": {"a": {"Key": [1], "key": [2]}},
    "gives its columns": {"a": {"": [1], "x": [2]}},
    "not take it": {"a": {"x": pa.array([b"\xff", b"ok"]).view(pa.string())}},
    "column 'x' is list": {"a": {"x": [[1], [2]]}},
    "column 'x' is null": {"a": {"x": pa.nulls(2)}},
    "column 'x' is time": {"a": {"x": pa.array([1], pa.time64("us"))}},
    "column 'x' is string": {"a": {"x": pa.array([b"0" * 16], pa.binary(16)).cast(pa.uuid())}},
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_could_become_another_table_is_read(why: str, tmp_path: Path) -> None:
    (tmp_path / "data" / "part").mkdir(parents=True)
    for name, columns in REFUSED[why].items():
        pq.write_table(pa.table(columns), tmp_path / "data" / "part" / f"{name}.parquet")
    found = same(both(tmp_path / "data", tmp_path), None, why)
    assert found.outcome.exit_code == (6 if why == "not take it" else 0)


def test_a_path_that_reads_like_a_pattern_names_one_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a[1].parquet")
    pq.write_table(pa.table({"id": [2]}), tmp_path / "a1.parquet")
    found = same(both(tmp_path / "a[1].parquet", tmp_path), None, "pattern")
    assert found.tables["a[1]"].column("id").to_pylist() == [1]


def test_a_table_with_another_type_keeps_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1", "2"]}), tmp_path / "t.parquet")
    both(tmp_path / "t.parquet", tmp_path)
    pq.write_table(pa.table({"id": pa.array([3, None], pa.int64())}), tmp_path / "t.parquet")
    same(both(tmp_path / "t.parquet", tmp_path), None, "in its table text")


def test_small_files_are_read_unless_asked_for(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1]}), tmp_path / "t.parquet")
    place = DuckDBDestination(DuckDBDestination.Config(path=str(tmp_path / "x.duckdb")))
    outcome = run_sync(lambda: FilesSource(FilesSource.Config(path=str(tmp_path / "t.parquet"))), place)
    assert outcome.streams[0].handed is None
