"""A stranger's source: the entries of a ledger, kept in a SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
from pydantic import Field
from wherry import Batch, ConnectorConfig, Mark, Source, SourceError, Stream

SCHEMA = pa.schema([("id", pa.int64()), ("changed", pa.int64()), ("text", pa.string())])
QUERY = "select {} from entries where changed >= ? order by changed, id limit ?"


class LedgerConfig(ConnectorConfig):
    """Where the ledger is."""

    reference = "path"
    path: str = Field(description="the SQLite file")


class LedgerSource(Source):
    """Reads new and changed entries in the order of their changes."""

    Config = LedgerConfig

    def check(self):
        if not Path(self.config.path).is_file():
            raise SourceError(f"there is no ledger {self.config.path}", key="path", next="check the path")

    def discover(self, only=("*",)):
        return [Stream(name="entries", schema=SCHEMA, primary_key=("id",), cursor="changed", ordered=True)]

    def read(self, split):
        (selection,) = split.streams
        names = [name for name in SCHEMA.names if selection.columns is None or name in selection.columns]
        schema = pa.schema([SCHEMA.field(name) for name in names])
        start = (split.bookmark or {"changed": -1})["changed"]
        with closing(sqlite3.connect(f"file:{self.config.path}?mode=ro", uri=True)) as file:
            rows = file.execute(QUERY.format(", ".join(names)), [start, selection.limit or -1])
            while found := rows.fetchmany(100):
                batch = pa.RecordBatch.from_arrays([pa.array(c) for c in zip(*found, strict=True)], schema=schema)
                if selection.cursor:
                    start = found[-1][names.index("changed")]
                yield Batch(stream="entries", data=batch, bookmark={"changed": start} if selection.cursor else None)
                if self.run.stop.is_set():
                    return
        yield Mark(complete=() if split.bookmark else ("entries",))
