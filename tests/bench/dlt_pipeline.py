"""Run by dlt's own interpreter: SOURCE (a database's URL or a file), TABLE, TARGET (a URL or a DuckDB file), STATE."""

import argparse
from pathlib import Path

import dlt

parser = argparse.ArgumentParser()
for name in ("source", "table", "target", "state"):
    parser.add_argument(name)
parser.add_argument("--step", default="copy")
parser.add_argument("--key", default="")
asked = parser.parse_args()
if asked.table:
    from dlt.sources.sql_database import sql_table

    kwargs: dict[str, object] = {"return_type": "arrow"}
    if asked.step != "merge":
        kwargs |= {"partition_on": "l_orderkey", "partition_num": 2}
    rows = sql_table(
        asked.source, table=asked.table, backend="connectorx", reflection_level="full_with_precision",
        chunk_size=200_000, backend_kwargs=kwargs,
    )  # fmt: skip
else:
    from dlt.sources.filesystem import filesystem, read_csv_duckdb, read_jsonl, read_parquet

    file = Path(asked.source)
    readers = {
        ".csv": lambda: read_csv_duckdb(chunk_size=200_000, use_pyarrow=True),
        ".jsonl": lambda: read_jsonl(chunksize=10_000),
        ".parquet": lambda: read_parquet(chunksize=200_000, use_pyarrow=True),
    }
    rows = filesystem(bucket_url=f"file://{file.parent}", file_glob=file.name) | readers[file.suffix]()
rows = rows.with_name("lineitem")
disposition: object = "replace"
if asked.step != "copy":
    rows.apply_hints(primary_key=asked.key.split(","))
if asked.step == "merge":
    disposition = {"disposition": "merge", "strategy": "delete-insert"}
if asked.target.startswith("postgresql://"):
    destination = dlt.destinations.postgres(asked.target.replace("@", ":x@", 1))  # it refuses one without a password
else:
    destination = dlt.destinations.duckdb(asked.target)
pipeline = dlt.pipeline("bench", destination=destination, dataset_name="bench", pipelines_dir=asked.state)
pipeline.run(rows, write_disposition=disposition, loader_file_format="parquet")
