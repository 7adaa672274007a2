"""One read of a stream: its function called with its arguments, its rows gathered, its bookmarks kept."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from wherry.contracts.source import Run
from wherry.contracts.values import Batch, Mark, Selection
from wherry.errors import SourceError
from wherry.functions.bounds import Bounds
from wherry.functions.collect import YIELD, Gather
from wherry.functions.declare import FILLED, Declared
from wherry.functions.settings import hints_of
from wherry.functions.typed import schema_of, typed
from wherry.functions.window import Highest, as_argument, earlier, restored, stored
from wherry.http.context import READING, Reading

if TYPE_CHECKING:
    import pyarrow as pa

    from wherry.contracts.config import ConnectorConfig

Guard = Callable[[Callable[[], Any]], Any]
"""Runs author's code, and explains what it raises."""


class Read:
    """Items of one split. streams: all of the source, by name.  bookmark: as an earlier read of this stream gave it.

    `{"since": value}` is the whole bookmark: the highest cursor value seen, or what the function put into a `Mark`.
    """

    def __init__(
        self, name: str, config: ConnectorConfig, run: Run, streams: Mapping[str, Declared], selection: Selection,
        bookmark: Any, guard: Guard,
    ) -> None:  # fmt: skip
        self._declared = streams[selection.stream.name]
        self._streams, self._selection, self._config, self._run, self._guard = streams, selection, config, run, guard
        self._keeps = selection.mode != "replace"
        self._left = selection.limit
        self._from = self._since = (bookmark or {}).get("since")
        self._own = False
        self._types = schema_of(self._declared)
        self._highest = (
            Highest(selection.cursor, f"{self._declared.name}.{selection.cursor}") if selection.cursor else None
        )
        self._context = copy_context()
        self._reading = Reading(run=run, name=name, stream=self._declared.name, closing=[])
        self._context.run(READING.set, self._reading)

    def items(self) -> Iterator[Batch | Mark]:
        """Rows, and marks; what the function opened is closed at the end."""
        try:
            yield from self._rows()
            if self._left != 0 and not self._run.stop.is_set():
                yield Mark(bookmark=self._bookmark(), complete=(self._selection.stream.path,))
        finally:
            for close in reversed(self._reading.closing):
                with contextlib.suppress(Exception):
                    close()

    def _rows(self) -> Iterator[Batch | Mark]:
        declared = self._declared
        bounds = self._bounds()
        for parent in self._parents(declared):
            for item in self._gathered(declared, self._arguments(declared, parent)):
                made = self._mark(item) if isinstance(item, Mark) else self._batch(item, bounds)
                if made is not None:
                    yield made
                if self._left == 0 or self._run.stop.is_set():
                    return

    def _parents(self, declared: Declared) -> Iterator[dict[str, Any] | None]:
        """Rows of the parent stream, each one; None once where there is no parent."""
        if declared.parent is None:
            yield None
            return
        above = self._streams[declared.parent]
        for grandparent in self._parents(above):
            for item in self._gathered(above, self._arguments(above, grandparent, whole=True)):
                if not isinstance(item, Mark):
                    data = item.data if isinstance(item, Batch) else item
                    yield from data if isinstance(data, list) else _table(data, above.name).to_pylist()

    def _gathered(self, declared: Declared, arguments: dict[str, Any]) -> Iterator[Any]:
        def step(action: Callable[[], Any]) -> Any:
            return self._guard(lambda: self._context.run(action))

        found = step(lambda: declared.function(**arguments))
        if found is None:
            return
        items = found if inspect.isgenerator(found) or hasattr(found, "__next__") else [found]
        try:
            yield from Gather(items, self._run.bytes // 4, step, f"stream {declared.name}")
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                step(close)

    # --- arguments

    def _arguments(self, declared: Declared, parent: Any, whole: bool = False) -> dict[str, Any]:
        """whole: rows are wanted as parents, from the beginning."""
        filled: dict[str, Any] = {"parent": parent, "run": self._run, "log": self._run.log, "until": None}
        if not whole:
            filled |= {"since": self._start(declared), "until": self._as(declared, "until", self._selection.end)}
        chosen = {name: filled.get(name) for name in declared.parameters if name in FILLED}
        for name in ("since", "until"):
            if chosen.get(name, 0) is None:
                default = declared.parameters[name].default
                chosen[name] = None if default is inspect.Parameter.empty else default
        return chosen | {name: getattr(self._config, name) for name in declared.parameters if name not in FILLED}

    def _start(self, declared: Declared) -> Any:
        where = f"{declared.name}.{self._selection.cursor}"
        value = earlier(restored(self._from), self._selection.lookback, where)
        return self._as(declared, "since", self._selection.start if value is None else value)

    def _as(self, declared: Declared, name: str, value: Any) -> Any:
        if name not in declared.parameters or value is None:
            return value
        hint = hints_of(declared).get(name)
        default = declared.parameters[name].default
        if hint is None and default not in (None, inspect.Parameter.empty) and isinstance(value, str):
            hint = type(default)
        return as_argument(value, hint, name)

    def _bounds(self) -> Bounds | None:
        """What the function is not asked to leave out itself, or may not."""
        cursor, known = self._selection.cursor, self._declared.parameters
        if cursor is None:
            return None
        low = None if "since" in known else earlier(restored(self._from), self._selection.lookback, cursor)
        return Bounds(cursor, low if low is not None else self._selection.start, self._selection.end) or None

    # --- rows

    def _batch(self, item: Any, bounds: Bounds | None) -> Batch | None:
        rejected, bookmark = None, None
        if isinstance(item, Batch):
            self._refuse_other(item.stream)
            rejected, bookmark, item = item.rejected, item.bookmark, item.data
            item = [item] if isinstance(item, dict) else item
        if self._types is not None:
            item = typed(item if isinstance(item, list) else _table(item, self._declared.name), self._types)
        data = self._dicts(item, bounds) if isinstance(item, list) else self._arrow(item, bounds)
        if bookmark is not None:
            self._own, self._since = True, bookmark
        if not len(data) and rejected is None and bookmark is None:
            return None
        middle = self._bookmark() if bookmark is not None or self._selection.stream.ordered else None
        return Batch(stream=self._selection.stream.path, data=data, bookmark=middle, rejected=rejected)

    def _dicts(self, rows: list[dict[str, Any]], bounds: Bounds | None) -> Any:
        if bounds:
            rows = bounds.dicts(rows)
        rows = self._cut(rows, len(rows))
        if self._highest and rows:
            self._highest.rows(rows)
        columns = self._selection.columns
        if columns is not None:
            rows = [{name: row[name] for name in columns if name in row} for row in rows]
        return rows

    def _arrow(self, item: Any, bounds: Bounds | None) -> pa.Table:
        table = _table(item, self._declared.name)
        if bounds:
            table = bounds.arrow(table)
        table = self._cut(table, table.num_rows)
        if self._highest:
            self._highest.arrow(table)
        columns = self._selection.columns
        return table if columns is None else table.select([name for name in columns if name in table.schema.names])

    def _cut(self, rows: Any, count: int) -> Any:
        if self._left is None:
            return rows
        kept = min(self._left, count)
        self._left -= kept
        return rows if kept == count else rows[:kept]

    def _mark(self, mark: Mark) -> Mark:
        if mark.bookmark is None:
            return mark
        self._own, self._since = True, mark.bookmark
        return Mark(
            bookmark=self._bookmark(),
            complete=mark.complete,
            truncate=mark.truncate,
            stream=mark.stream,
            parts=mark.parts,
            unchanged=mark.unchanged,
        )

    def _bookmark(self) -> dict[str, Any] | None:
        """What a later read goes on from; None where everything is read each time, or nothing was there."""
        if not self._keeps:
            return None
        if self._highest and not self._own and self._highest.value is not None:
            return {"since": stored(self._highest.value, f"{self._declared.name}.{self._selection.cursor}")}
        return None if self._since is None else {"since": self._since}

    def _refuse_other(self, stream: str) -> None:
        if stream != self._selection.stream.path:
            raise SourceError(
                f"stream {self._declared.name} yielded a Batch of {stream!r}", next="write a function for each stream"
            )


def _table(data: Any, stream: str) -> pa.Table:
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return pa.table(data)
    raise SourceError(f"stream {stream} yielded a {type(data).__name__}", next=YIELD)
