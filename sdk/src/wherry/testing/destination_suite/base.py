"""What every part of the suite has: a config, a destination, a bench."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from wherry.contracts.destination import Destination
from wherry.sql.compose import SQL, Literal, Quoting
from wherry.testing.bench import Bench
from wherry.testing.suite import Suite


class DestinationBase(Suite):
    """connector: the class under test."""

    connector: ClassVar[type[Destination]]

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        """Configuration (JSON) for an empty place; override it. It must be good for several instances at once."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `config`")

    @pytest.fixture
    def destination(self, config: dict[str, Any]) -> Destination:
        """An instance of the connector."""
        return self.make(config)

    @pytest.fixture
    def bench(self, destination: Destination) -> Iterator[Bench]:
        """A pipeline on the destination."""
        bench = Bench(destination)
        yield bench
        bench.close()

    def make(self, config: dict[str, Any]) -> Destination:
        """One more instance."""
        return self.connector(self.connector.Config.model_validate(config))

    def tables(self, bench: Bench) -> set[str]:
        """Names of all tables in the bench's schema, where the destination runs SQL."""
        tables = SQL("select table_name from information_schema.tables where table_schema = {schema}")
        reader = bench.session.execute(tables.format(schema=Literal(bench.schema)).render(Quoting()))
        assert reader is not None
        return {str(name) for name in reader.read_all().column(0).to_pylist()}


def people(*rows: tuple[int, str | None]) -> pa.Table:
    """A table of id int64 and name text."""
    ids, names = [row[0] for row in rows], [row[1] for row in rows]
    return pa.table({"id": pa.array(ids, pa.int64()), "name": pa.array(names, pa.string())})
