"""Whole runs, as `wherry sync` does them, into the reference destination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wherry.testing import MemoryDestination, Store, Wish, run_sync
from wherry_source_files.source import FilesSource


class Warehouse:
    """One destination, and the files that go there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store()

    def sync(self, path: Path | None = None, **wish: Any) -> Any:
        """One run."""

        def source() -> FilesSource:
            return FilesSource(FilesSource.Config(path=str(path or self.path)))

        return run_sync(source, MemoryDestination.of(self.store), wish=Wish(**wish), connector="files")

    def rows(self, table: str, schema: str = "data") -> list[tuple[Any, ...]]:
        """Values of the rows, `_wherry_file` among them, in order."""
        found = self.store.now.tables[schema, table]
        ours = {"_wherry_load_id", "_wherry_valid_from", "_wherry_valid_to", "_wherry_deleted_at"}
        rows = found.select([name for name in found.schema.names if name not in ours]).to_pylist()
        return sorted(tuple(row.values()) for row in rows)

    @property
    def bookmarks(self) -> dict[Any, Any]:
        return {key: row.bookmark for key, row in self.store.now.state.items()}


def outcomes(outcome: Any) -> dict[str, tuple[str, int]]:
    return {stream.stream: (stream.outcome, stream.counts["inserted"]) for stream in outcome.streams}


@pytest.fixture
def warehouse(write: Any) -> Warehouse:
    return Warehouse(write("orders.csv", "id,v\n1,x\n2,y\n").parent)


def test_a_folder_twice(warehouse: Warehouse, write: Any) -> None:
    write("events/1.csv", "id\n1\n")
    write("items.jsonl", '{"id": 1, "tags": ["a"]}\n')
    first = warehouse.sync()
    assert outcomes(first) == {"orders": ("committed", 2), "events": ("committed", 1), "items": ("committed", 1)}
    assert warehouse.rows("orders") == [(1, "x"), (2, "y")]
    assert warehouse.rows("events") == [(1, "events/1.csv")]
    before, tables = warehouse.bookmarks, dict(warehouse.store.now.tables)
    second = warehouse.sync()
    assert outcomes(second) == dict.fromkeys(("orders", "events", "items"), ("unchanged", 0))
    assert warehouse.bookmarks == before
    assert all(warehouse.store.now.tables[home] is table for home, table in tables.items())


def test_changed_files_in_a_folder(warehouse: Warehouse, write: Any) -> None:
    write("events/1.csv", "id\n1\n")
    write("events/2.csv", "id\n2\n3\n")
    warehouse.sync()
    write("orders.csv", "id,v\n5,changed\n")
    write("events/2.csv", "id\n7\n")
    write("events/3.csv", "id\n8\n")
    assert outcomes(warehouse.sync()) == {"orders": ("committed", 1), "events": ("committed", 2)}
    assert warehouse.rows("orders") == [(5, "changed")]
    assert warehouse.rows("events") == [(1, "events/1.csv"), (7, "events/2.csv"), (8, "events/3.csv")]


def test_one_broken_file_of_three(warehouse: Warehouse, write: Any) -> None:
    write("bad.csv", "a,b\n1\n")
    write("worse.json", "{")
    outcome = warehouse.sync()
    assert outcome.exit_code == 5
    assert {stream.stream for stream in outcome.failed} == {"bad", "worse"}
    assert warehouse.rows("orders") == [(1, "x"), (2, "y")]
    write("bad.csv", "a,b\n1,2\n")
    write("worse.json", '[{"a": 1}]')
    assert warehouse.sync().exit_code == 0
    assert warehouse.rows("bad") == [(1, 2)]
    assert warehouse.rows("worse") == [(1,)]


def test_a_broken_change_keeps_the_old_table(warehouse: Warehouse, write: Any) -> None:
    warehouse.sync()
    write("orders.csv", "id,v\n1,x,y\n")
    assert warehouse.sync().exit_code == 6
    assert warehouse.rows("orders") == [(1, "x"), (2, "y")]


def test_a_file_that_becomes_empty_becomes_an_empty_table(warehouse: Warehouse, write: Any) -> None:
    warehouse.sync()
    write("orders.csv", "id,v\n")
    assert warehouse.sync().exit_code == 0
    assert warehouse.rows("orders") == []


def test_new_files_widen_the_table(warehouse: Warehouse, write: Any) -> None:
    write("events/1.csv", "id,amount\n1,5\n")
    warehouse.sync()
    write("events/2.csv", "id,amount,note\n007,99999999999999999999,new\n")
    assert warehouse.sync().exit_code == 0
    found = [tuple(map(str, row)) for row in warehouse.rows("events")]
    names = warehouse.store.now.tables["data", "events"].schema.names
    by_name = [dict(zip([n for n in names if n != "_wherry_load_id"], row, strict=True)) for row in found]
    assert [(row["id"], row["amount"], row["note"]) for row in by_name] == [
        ("007", "99999999999999999999", "new"), ("1", "5", "None"),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["merge", "history", "append", "replace"])
def test_modes_of_one_file(mode: Any, warehouse: Warehouse, write: Any) -> None:
    wish: dict[str, Any] = {"mode": mode} | ({"key": ("id",)} if mode in ("merge", "history") else {})
    if mode == "append":
        wish["cursor"] = "id"
    assert warehouse.sync(**wish).exit_code == 0
    write("orders.csv", "id,v\n2,new\n3,z\n" if mode != "append" else "id,v\n1,x\n2,y\n3,z\n")
    assert warehouse.sync(**wish).exit_code == 0
    want: dict[str, list[tuple[Any, ...]]] = {
        "merge": [(1, "x"), (2, "new"), (3, "z")],
        "history": [(1, "x"), (2, "new"), (2, "y"), (3, "z")],
        "append": [(1, "x"), (2, "y"), (3, "z")],
        "replace": [(2, "new"), (3, "z")],
    }
    assert warehouse.rows("orders") == want[mode]
    before = warehouse.bookmarks
    assert outcomes(warehouse.sync(**wish)) == {"orders": ("unchanged", 0)}
    assert warehouse.bookmarks == before


def test_a_dropped_table_comes_back(warehouse: Warehouse, write: Any) -> None:
    write("events/1.csv", "id\n1\n")
    warehouse.sync()
    for table in ("orders", "events"):
        warehouse.store.drop("data", table)
    assert warehouse.sync().exit_code == 0
    assert warehouse.rows("orders") == [(1, "x"), (2, "y")]
    assert warehouse.rows("events") == [(1, "events/1.csv")]


def test_a_glob_and_a_single_file(warehouse: Warehouse, write: Any) -> None:
    write("orders-2.csv", "id,v\n3,z\n")
    outcome = warehouse.sync(warehouse.path / "orders*.csv")
    assert warehouse.rows("orders") == [(1, "x", "orders.csv"), (2, "y", "orders.csv"), (3, "z", "orders-2.csv")]
    assert outcome.schema == "data"
    assert warehouse.sync(warehouse.path / "orders-2.csv").schema == "orders_2"
    assert warehouse.rows("orders-2", "orders_2") == [(3, "z")]


def test_columns_and_types(warehouse: Warehouse, write: Any) -> None:
    write("orders.csv", "id,v,zip\n1,x,1.50\n")
    warehouse.sync(columns=("id", "zip"), types={"zip": "text"})
    assert warehouse.rows("orders") == [(1, "1.50")]


def test_the_file_column_keeps_its_name(warehouse: Warehouse, write: Any) -> None:
    """Also when only some columns are wanted: a changed file's rows are found by it."""
    write("events/1.csv", "id,v\n1,x\n")
    write("events/2.csv", "id,v\n2,y\n")
    for _ in range(2):
        warehouse.sync(columns=("id",))
    write("events/1.csv", "id,v\n7,z\n")
    warehouse.sync(columns=("id",))
    found = warehouse.store.now.tables["data", "events"]
    assert set(found.schema.names) == {"id", "_wherry_file", "_wherry_load_id"}
    assert warehouse.rows("events") == [(2, "events/2.csv"), (7, "events/1.csv")]
