"""Rows that earlier loads hold, known again by the digests of their values; and how they are written down."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.pipeline.cells import WIDTH, cells, rescale, unit, whole

CELLS = 5_000
"""Values written down at most; beyond it one digest a row."""


class Known:
    """Rows that earlier loads hold: a multiset, the highest cursor value among them, and those without a value.

    Lanes that read ranges of one stream draw on the same ones, so that a row counts once for all of them.
    stored: what `Boundary.to_json` gave.  columns: those the source has now; of others it has none.
    """

    def __init__(self, stored: dict[str, Any] | None, columns: Collection[str] = ()):
        known = stored or {}
        self.top: str | None = known.get("top")
        self._unit: str | None = known.get("unit")
        self.numbers = set(known.get("numbers", ()))
        self.rows = known_rows(known)
        self.nulls = known_rows(known.get("nulls", {}))
        self._whole = {"rows" in part and "columns" not in part for part in (known, known.get("nulls", {}))}
        self._columns = frozenset(columns)
        self._typed = False
        self._lock = threading.Lock()

    def without(self, used: Collection[Any]) -> None:
        """Take away rows that were drawn before."""
        for mark in used:
            self._known_of(mark).subtract([mark])

    def set_type(self, cursor_type: pa.DataType) -> None:
        """The cursor's type is known; what was stored may count in another unit."""
        counted = unit(cursor_type)
        if self._typed or self.top is None or not counted or not self._unit or counted == self._unit:
            self._typed = True
            return
        top, self._typed = rescale(int(self.top), self._unit, counted), True
        self.top = None if top is None else str(top)

    def value(self, type: pa.DataType) -> Any:
        """The highest cursor value, in Python; None: there is none."""
        return None if self.top is None else value_of(self.top, type).as_py()

    def draw(self, batch: pa.RecordBatch, order: pa.Array, lookback: float, gone: set[int]) -> list[Any]:
        """Add to `gone` the indices of known rows, each as often as it is known; the marks drawn."""
        with self._lock:
            again = pc.fill_null(self._again(order, lookback), bool(self.nulls))
            candidates = [i for i in pc.indices_nonzero(again).to_pylist() if i not in gone]
            if not candidates or not (self.rows or self.nulls):
                return []
            empty = order.is_null().take(pa.array(candidates, pa.int64())).to_pylist()
            found, drawn = cells(batch, candidates, self.numbers), []
            present = frozenset(batch.schema.names)
            looks = {part: self._recognised(part, present) for part in set(empty)}
            for index, row, null in zip(candidates, found, empty, strict=True):
                known = self.nulls if null else self.rows
                marks = [*looks[null].get(row, ()), *(looks[null].get(whole(row), ()) if True in self._whole else ())]
                mark = next((m for m in marks if known[m] > 0), None)
                if mark is not None:
                    known[mark] -= 1
                    gone.add(index)
                    drawn.append(mark)
            return drawn

    def give_back(self, drawn: Collection[Any]) -> None:
        """Rows whose load was aborted are known as before."""
        with self._lock:
            for mark in drawn:
                self._known_of(mark).update([mark])

    def _known_of(self, mark: Any) -> Counter[Any]:
        return self.nulls if mark in self.nulls else self.rows

    def _again(self, order: pa.Array, lookback: float) -> pa.Array:
        """Which rows lie where known ones do; NULL for rows without a cursor value."""
        if self.top is None or order.null_count == len(order):
            return pc.if_else(order.is_null(), pa.scalar(None, pa.bool_()), False)
        old = value_of(self.top, order.type)
        return pc.less_equal(order, old) if lookback else pc.equal(order, old)

    def _recognised(self, null: bool, present: frozenset[str]) -> dict[Any, list[Any]]:
        """Known rows by what they look like now: without the columns that the source no longer has."""
        known = self.nulls if null else self.rows
        names = {name for mark in known if not isinstance(mark, str) for name, _ in mark}
        lost = names - self._columns - present if self._columns else set()
        found: dict[Any, list[Any]] = {}
        for mark in known:
            now = tuple((name, cell) for name, cell in mark if name not in lost) if lost else mark
            found.setdefault(now, []).append(mark)
        return found


def rows_json(rows: Counter[Any]) -> dict[str, Any]:
    """`columns` and `rows`, a row being its cells side by side; without columns whole rows."""
    if any(isinstance(row, str) for row in rows):
        marks = Counter[str]()
        for row, count in rows.items():
            marks[row if isinstance(row, str) else whole(row)] += count
        return {"rows": dict(sorted(marks.items()))}
    names = sorted({name for row in rows for name, _ in row})
    if len(names) * len(rows) > CELLS:
        return {"rows": dict(sorted((whole(row), n) for row, n in rows.items()))}
    found = {"".join(dict(row).get(name, "-" * WIDTH) for name in names): n for row, n in rows.items()}
    return {"columns": names, "rows": dict(sorted(found.items()))}


def known_rows(stored: dict[str, Any]) -> Counter[Any]:
    """The rows of `_rows_json`."""
    rows, names = stored.get("rows", {}), stored.get("columns")
    if names is None:
        return Counter(rows)
    found: Counter[Any] = Counter()
    for text, count in rows.items():
        parts = [text[i * WIDTH : (i + 1) * WIDTH] for i in range(len(names))]
        found[tuple((name, part) for name, part in zip(names, parts, strict=True) if part[0] != "-")] += count
    return found


def text_of(value: Any) -> str:
    """A cursor value as it is stored; bytes in hex."""
    return value.hex() if isinstance(value, bytes) else str(value)


def value_of(text: str, type: pa.DataType) -> Any:
    """The scalar of what `_text` gave."""
    return pa.scalar(bytes.fromhex(text), type) if pa.types.is_binary(type) else pa.scalar(text).cast(type)
