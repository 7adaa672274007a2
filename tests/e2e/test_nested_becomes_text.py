"""A column that holds objects at first and texts later, in one load: each value is kept, as JSON or as the text."""

import json
from collections.abc import Iterator

import pyarrow as pa
import pytest
from wherry import Batch, ConnectorConfig, Source, Stream
from wherry.pipeline.select import Wish
from wherry.testing import run_sync
from wherry_destination_duckdb.destination import DuckDBDestination
from wherry_destination_postgres.destination import PostgresDestination

PIECES = [
    pa.table({"id": [1, 2], "a": [{"x": 1, "y": "it's"}, None]}),
    pa.table({"id": [3], "a": ["text"]}),
    pa.table({"id": [4], "a": [{"x": 2}]}),
    pa.table({"id": [5], "a": [[1, 2]]}),
]
EXPECTED = {1: {"x": 1, "y": "it's"}, 2: None, 3: "text", 4: {"x": 2}, 5: [1, 2]}


class Changing(Source):
    """Yields `PIECES`."""

    Config = ConnectorConfig

    def discover(self, only=("*",)):
        return [Stream(name="t", schema=PIECES[0].schema, primary_key=("id",))]

    def read(self, split) -> Iterator[Batch]:
        yield from (Batch(stream="t", data=piece) for piece in PIECES)


@pytest.mark.parametrize("mode", ["append", "merge", "replace", "history"])
@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_objects_that_become_texts_in_one_load(request, tmp_path, engine, mode):
    if engine == "duckdb":
        made = DuckDBDestination(DuckDBDestination.Config(path=str(tmp_path / "wh.duckdb")))
    else:
        url = request.getfixturevalue("postgres_database")
        made = PostgresDestination(PostgresDestination.Config.model_validate({"url": url}))
    outcome = run_sync(lambda: Changing(ConnectorConfig()), made, wish=Wish(mode=mode), schema="kit")
    assert outcome.exit_code == 0
    session = made.open("look", schema="kit", read_only=True)
    try:
        found = session.execute("select id, a from kit.t order by id").read_all().to_pylist()
    finally:
        session.close()
    assert {row["id"]: row["a"] if row["id"] in (2, 3) else json.loads(row["a"]) for row in found} == EXPECTED
