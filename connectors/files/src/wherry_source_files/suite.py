"""The conformance suite of files: a CSV file, a Parquet file, and a sub-folder of JSON lines."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wherry.testing import SourceSuite

from wherry_source_files.source import FilesSource


class FilesSuite(SourceSuite):
    """A folder."""

    connector = FilesSource

    @pytest.fixture
    def config(self, tmp_path: Path) -> dict[str, Any]:
        """Two files of events, 400 rows in the others."""
        (tmp_path / "events").mkdir()
        return self.mutate({"path": str(tmp_path)}, 2)

    @pytest.fixture
    def broken(self, tmp_path: Path) -> dict[str, Any]:
        """A file that is missing."""
        return {"path": str(tmp_path / "missing.csv")}

    def mutate(self, config: dict[str, Any], files: int = 3) -> dict[str, Any]:
        names = [None if n % 9 else f"ü, {n}" for n in range(files * 200)]
        table = pa.table({"id": pa.array(range(len(names)), pa.int64()), "name": pa.array(names, pa.string())})
        pq.write_table(table, Path(config["path"], "orders.parquet"), row_group_size=100)
        lines = [f"{n}," if name is None else f'{n},"{name}"' for n, name in enumerate(names)]
        Path(config["path"], "people.csv").write_text("\n".join(["id,name", *lines, ""]))
        for f in range(files):
            lines = [json.dumps({"n": f * 100 + n, "tags": ["a", None][: n % 3]}) for n in range(100 + files)]
            Path(config["path"], f"events/{f}.jsonl").write_text("\n".join(lines))
        return config

    def expected(self, config: dict[str, Any], stream: str) -> pa.Table:
        folder = Path(config["path"])
        if stream != "events":
            return pq.read_table(folder / "orders.parquet")  # the CSV file has the same rows
        files = [(file, f"events/{file.name}") for file in folder.glob("events/*")]
        lines = [json.loads(line) | {"_wherry_file": name} for f, name in files for line in f.read_text().splitlines()]
        return pa.Table.from_pylist(lines)
