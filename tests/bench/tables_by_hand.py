"""What a loop over tables costs by hand: one connection, COPY TO STDOUT of each, pyarrow.csv, DuckDB.

    python tests/bench/tables_by_hand.py URL FILE

The types are known beforehand. Each table is committed by itself, as it has to be when the next one may fail.
"""

import asyncio
import io
import sys

import asyncpg
import duckdb
import pyarrow as pa
import pyarrow.csv as csv

TYPES = {
    "id": pa.int64(), "a": pa.int32(), "b": pa.string(), "c": pa.timestamp("us", "UTC"), "d": pa.decimal128(12, 2),
    "e": pa.bool_(),
}  # fmt: skip
NAMES = csv.ReadOptions(column_names=list(TYPES))
VALUES = csv.ConvertOptions(
    column_types=TYPES, true_values=["t"], false_values=["f"], null_values=[""], strings_can_be_null=True,
    quoted_strings_can_be_null=False,
)  # fmt: skip


async def main(url: str, file: str) -> None:
    session = await asyncpg.connect(url)
    found = await session.fetch("select tablename from pg_tables where schemaname = 'public' order by 1")
    database = duckdb.connect(file)
    database.execute("create schema bench")
    for (name,) in found:
        block = io.BytesIO()
        await session.copy_from_table(name, output=block, format="csv")
        block.seek(0)
        rows = csv.read_csv(block, read_options=NAMES, convert_options=VALUES)
        database.register("rows", rows)
        database.execute(f'create table bench."{name}" as select * from rows')
    database.close()
    await session.close()


asyncio.run(main(*sys.argv[1:]))
