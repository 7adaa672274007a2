"""Every format with every compression gives the same rows; Arrow's own formats keep their types."""

from __future__ import annotations

import gzip
import io
import json
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from wherry import KIND, DataError
from wherry_source_files.formats.text import Utf8Reader

ROWS = [{"id": i, "name": f"näme {i}", "score": i / 4, "ok": i % 2 == 0} for i in range(5000)]
TABLE = pa.Table.from_pylist(ROWS)


def as_text(format: str) -> str:
    if format in ("csv", "tsv"):
        sign = "," if format == "csv" else "\t"
        lines = [sign.join(["id", "name", "score", "ok"])]
        return "\n".join(lines + [sign.join([str(v).lower() for v in row.values()]) for row in ROWS]) + "\n"
    return json.dumps(ROWS) if format == "json" else "\n".join(map(json.dumps, ROWS)) + "\n"


def arrow(path: Path, stream: bool, compression: Any = None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(path, TABLE.schema, options=options) as writer:
        writer.write_table(TABLE, max_chunksize=1000)


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
@pytest.mark.parametrize("format", ["csv", "tsv", "json", "jsonl", "ndjson"])
@pytest.mark.parametrize("bytes", [1 << 18, 64 << 20])
def test_text(format: str, compression: str, bytes: int, write: Any, files: Any) -> None:
    content = as_text(format).encode()
    if compression == ".gz":  # two members, as after `cat a.gz b.gz`
        content = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
    elif compression:
        content = pa.compress(content, "zstd", asbytes=True)
    read = files(write(f"t.{format}{compression}", content), bytes=bytes).read()
    assert read.rows == ROWS


@pytest.mark.parametrize("compression", ["gz", "zst"])
@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_cut_off_compressed_file(format: str, compression: str, write: Any, files: Any) -> None:
    content = as_text(format).encode()
    packed = gzip.compress(content) if compression == "gz" else pa.compress(content, "zstd", asbytes=True)
    with pytest.raises(DataError, match="is not a complete"):
        files(write(f"t.{format}.{compression}", packed[:-20])).read()


@pytest.mark.parametrize("form", ["parquet", "gzip parquet", "arrow file", "arrow stream", "feather", "feather 1"])
@pytest.mark.parametrize("bytes", [1 << 18, 64 << 20])
def test_columnar(form: str, bytes: int, tmp_path: Path, files: Any) -> None:
    path = tmp_path / f"t.{'parquet' if 'parquet' in form else 'feather' if 'feather' in form else 'arrow'}"
    match form:
        case "parquet" | "gzip parquet":
            pq.write_table(TABLE, path, row_group_size=1500, compression="gzip" if "gzip" in form else "snappy")
        case "arrow file" | "arrow stream":
            arrow(path, form == "arrow stream", "zstd" if form == "arrow file" else None)
        case "feather":
            feather.write_feather(TABLE, str(path), compression="lz4")
        case "feather 1":
            arrow(path, stream=False)
    read = files(path, bytes=bytes).read()
    assert read.rows == ROWS
    assert read.schema == TABLE.schema
    assert all(batch.nbytes <= bytes // 2 for batch in read.batches)
    some = files(path, bytes=bytes).read(columns=("name",))
    assert some.rows == [{"name": row["name"]} for row in ROWS]


def test_extension_types_and_dictionaries(tmp_path: Path, files: Any) -> None:
    ids = [uuid.uuid4() for _ in range(3)]
    table = pa.table(
        {
            "u": pa.array([ids[0].bytes, None, ids[2].bytes], pa.uuid()),
            "j": pa.array(['{"a":1}', None, "3"], pa.json_()),
            "d": pa.array(["x", "y", None]).dictionary_encode(),
            "a.b": pa.array([1, 2, 3], pa.uint8()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    with pa.ipc.new_stream(tmp_path / "t.arrow", table.schema) as writer:
        writer.write_table(table)
    for name in ("t.parquet", "t.arrow"):
        read = files(tmp_path / name).read()
        assert [field.metadata for field in read.schema] == [{KIND: b"uuid"}, {KIND: b"json"}, None, None]
        assert read.rows == [
            {"u": str(ids[0]), "j": '{"a":1}', "d": "x", "a.b": 1},
            {"u": None, "j": None, "d": "y", "a.b": 2},
            {"u": str(ids[2]), "j": "3", "d": None, "a.b": 3},
        ]


@pytest.mark.parametrize(
    ("values", "unit"),
    [([10**18 + 1, -5, None], "ns"), ([datetime(9999, 1, 1), datetime(1, 1, 1), None], "us")],
)
def test_old_parquet_times_do_not_wrap(values: list[Any], unit: Any, tmp_path: Path, files: Any) -> None:
    column = pa.array(values, pa.timestamp(unit))
    pq.write_table(pa.table({"t": column}), tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    read = files(tmp_path / "t.parquet").read()
    assert read.batches[0].column("t").equals(column)


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.feather"])
def test_damaged_files(name: str, write: Any, files: Any) -> None:
    with pytest.raises(DataError, match=f"file {name} is not a whole"):
        files(write(name, b"ARROW1\0\0 not really")).read()


def test_two_columns_of_one_name(tmp_path: Path, files: Any) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="two columns named 'a'"):
        files(tmp_path / "t.parquet").read()


@pytest.mark.parametrize("limit", [1, 7, 2500, 4999, 5000, 9999])
@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "csv.gz", "parquet", "arrow"])
def test_limit(limit: int, suffix: str, tmp_path: Path, files: Any) -> None:
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        pq.write_table(TABLE, path)
    elif suffix == "arrow":
        arrow(path, stream=True)
    else:
        content = as_text(suffix.partition(".")[0]).encode()
        path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    read = files(path, bytes=1 << 18).read(limit=limit)
    assert read.rows == ROWS[:limit]
    assert read.bookmarks == []


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_a_limit_spares_the_rest_of_the_file(suffix: str, write: Any, files: Any) -> None:
    """What comes much later, malformed rows included, is not looked at; a number on the way is exact."""
    lines = [f'{{"id": {i}, "n": {10**20 + i if i == 2 else 0.5}}}' for i in range(50_000)]
    content = {
        "csv": "id,n\n" + "".join(f"{i},{10**20 + i if i == 2 else 0.5}\n" for i in range(50_000)) + "1,2,3\n",
        "jsonl": "\n".join([*lines, "{"]),
        "json": "[" + ",\n".join(lines) + ", 5]",
    }[suffix]
    read = files(write(f"t.{suffix}", content), bytes=1 << 18).read(limit=3)
    assert [(row["id"], str(row["n"])) for row in read.rows] == [(0, "0.5"), (1, "0.5"), (2, f"{10**20 + 2}.0")]


@pytest.mark.parametrize("size", range(1, 9))
def test_a_sample_ends_with_a_whole_character(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry_source_files.formats.text.CHUNK", size)
    whole = "aü€😀."
    reader = Utf8Reader(io.BytesIO(whole.encode()), "t.csv", "utf-8", limit=size)
    found = reader.read().decode()
    assert (found, reader.cut, reader.read()) == (whole.encode()[:size].decode(errors="ignore"), True, b"")
