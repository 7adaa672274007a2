"""A connector, synced into a destination in memory again and again."""

from __future__ import annotations

from typing import Any

from wherry import Source
from wherry.pipeline.select import Wishes
from wherry.testing import MemoryDestination, Store, run_sync


class Warehouse:
    """What a connector with this configuration brought; each `sync` is a run of its own."""

    def __init__(self, source: type[Source], **config: Any) -> None:
        self._source, self.config, self._store = source, config, Store()

    def sync(self, *streams: str, check: bool = True, full_refresh: bool = False) -> Any:
        """One run of these streams, or all; their errors are raised, unless `check` is false. Returns the outcome."""

        def new() -> Source:
            return self._source(self._source.Config.model_validate(self.config))

        wishes = Wishes(only=streams or ("*",), full_refresh=full_refresh)
        outcome = run_sync(new, MemoryDestination.of(self._store), wishes=wishes)
        for stream in outcome.streams if check else ():
            if stream.error is not None:
                raise stream.error
        assert not check or outcome.exit_code == 0, outcome
        return outcome

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of a table, in no order that means something."""
        (found,) = [key for key in self._store.now.tables if key[1] == table]
        return list(self._store.table(*found).to_pylist())

    def column(self, table: str, name: str) -> list[Any]:
        """The values of a column, in order."""
        return sorted(row[name] for row in self.rows(table))

    def by(self, table: str, key: str = "id") -> dict[Any, dict[str, Any]]:
        """Rows by their key, each key once."""
        rows = self.rows(table)
        found = {row[key]: row for row in rows}
        assert len(found) == len(rows), f"{table}: a key comes twice"
        return found
