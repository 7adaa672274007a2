"""What one would write by hand: pages by `requests`, twenty at a time to Arrow, appended to a DuckDB file."""

import re
import sys
from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.json as pj
import requests

text, time, number = pa.string(), pa.timestamp("us", "UTC"), pa.float64()
geo = pa.struct({"lat": number, "lon": number})
address = pa.struct({"street": text, "city": text, "zip": text, "geo": geo})
row = {"id": pa.int64(), "name": text, "email": text, "status": text, "amount": number, "active": pa.bool_()}
row |= {"created_at": time, "updated_at": time, "address": address, "tags": pa.list_(text), "notes": text}
options = pj.ParseOptions(
    explicit_schema=pa.schema({"data": pa.list_(pa.struct(row))}), unexpected_field_behavior="ignore"
)


def batches(url: str | None) -> Iterator[pa.RecordBatch]:
    session = requests.Session()
    pages: list[bytes] = []
    while url:
        pages.append(session.get(url).content)
        found = re.search(rb'"next":"([^"]*)"', pages[-1][-1000:])
        url = found[1].decode() if found else None
        if len(pages) == 20 or not url:
            size = pj.ReadOptions(block_size=max(map(len, pages)) + (1 << 20))
            for chunk in pj.read_json(pa.BufferReader(b"\n".join(pages)), size, options)["data"].chunks:
                yield pa.RecordBatch.from_struct_array(chunk.flatten())
            pages = []


rows = pa.RecordBatchReader.from_batches(pa.schema(row), batches(sys.argv[1]))
with duckdb.connect(sys.argv[2]) as db:
    db.execute("create schema bench; create table bench.items as select * from rows")
