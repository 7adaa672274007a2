"""Streams whose columns nobody knows before their first row."""

from __future__ import annotations

import pyarrow as pa
from wherry.testing import MemoryDestination, MemorySource, MemoryStream, Store, run_sync


def test_a_keyed_stream_without_a_row_is_complete_and_gets_its_table_with_the_first_row() -> None:
    store = Store()

    def sync(table: pa.Table) -> object:
        stream = MemoryStream(name="things", tables=(table,), key=("id",), cursor="at")
        outcome = run_sync(lambda: MemorySource.of(stream), MemoryDestination.of(store))
        (found,) = outcome.streams
        return found.error or outcome.exit_code

    assert sync(pa.table({})) == 0
    assert not [key for key in store.now.tables if key[1] == "things"]
    assert sync(pa.table({"id": [1, 2], "at": [5, 6]})) == 0
    ((place, _),) = [key for key in store.now.tables if key[1] == "things"]
    assert store.table(place, "things").to_pydict() == {"id": [1, 2], "at": [5, 6]}
