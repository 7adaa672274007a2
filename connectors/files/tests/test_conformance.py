"""The conformance suite of sources, on a folder: a CSV file, a Parquet file, and a sub-folder of JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wherry.testing import SourceSuite
from wherry_source_files.source import FilesSource


class TestFiles(SourceSuite):
    connector = FilesSource
    promises = Path(__file__).with_name("promises.json")

    @pytest.fixture
    def config(self, tmp_path: Path) -> dict[str, Any]:
        folder = tmp_path / "data"
        (folder / "events").mkdir(parents=True)
        write(folder, 2, 500)
        return {"path": str(folder)}

    @pytest.fixture
    def broken(self, tmp_path: Path) -> dict[str, Any]:
        return {"path": str(tmp_path / "missing.csv")}

    def mutate(self, config: dict[str, Any]) -> None:
        write(Path(config["path"]), 3, 700)

    def expected(self, config: dict[str, Any], stream: str) -> pa.Table | None:
        folder = Path(config["path"])
        if stream != "events":
            return pq.read_table(folder / "orders.parquet")
        files = sorted(folder.glob("events/*"))
        lines = [(json.loads(line), f"events/{f.name}") for f in files for line in f.read_text().splitlines()]
        return pa.Table.from_pylist([row | {"_wherry_file": name} for row, name in lines])


def write(folder: Path, files: int, rows: int) -> None:
    """The same rows as CSV and as Parquet, and files of events."""
    table = pa.table(
        {"id": pa.array(range(rows), pa.int64()), "name": [f"ü, {n}" if n % 9 else None for n in range(rows)]}
    )
    pq.write_table(table, folder / "orders.parquet", row_group_size=100)
    text = [f'{n},"ü, {n}"' if n % 9 else f"{n}," for n in range(rows)]
    (folder / "people.csv").write_text("\n".join(["id,name", *text, ""]))
    for number in range(files):
        lines = [json.dumps({"n": number * 100 + n, "tags": ["a", None][: n % 3]}) for n in range(100 + files)]
        (folder / "events" / f"{number}.jsonl").write_text("\n".join([*lines, ""]))
