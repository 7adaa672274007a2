"""The ledger under the conformance suite."""

import sqlite3
from contextlib import closing

import pyarrow as pa
import pytest
from wherry.testing import SourceSuite

from ledger_source import SCHEMA, LedgerSource


class LedgerSuite(SourceSuite):
    connector = LedgerSource

    @pytest.fixture
    def config(self, tmp_path):
        config = {"path": str(tmp_path / "ledger.db")}
        self.execute(config, "create table entries (id integer primary key, changed integer, text text)")
        rows = [(n, n // 7, f"ü{n}" if n % 5 else None) for n in range(950)]
        self.execute(config, "insert into entries values (?, ?, ?)", rows)
        return config

    @pytest.fixture
    def broken(self, tmp_path):
        return {"path": str(tmp_path / "missing.db")}

    def execute(self, config, statement, rows=((),)):
        with closing(sqlite3.connect(config["path"])) as file, file:
            file.executemany(statement, rows)

    def expected(self, config, stream):
        with closing(sqlite3.connect(config["path"])) as file:
            columns = zip(*file.execute("select * from entries"), strict=True)
            return pa.table([list(column) for column in columns], schema=SCHEMA)

    def mutate(self, config):
        self.execute(config, "update entries set changed = 1000, text = 'new' where id < 3")
        self.execute(config, "insert into entries values (5000, 1001, 'more')")
