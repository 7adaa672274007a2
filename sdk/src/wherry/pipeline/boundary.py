"""Boundary rows: those at the bookmark's cursor value, read again by the next run and dropped here.

Kept beside the source's bookmark as a bounded multiset, row -> count, because equal keyless rows exist. A row is a
digest of each of its values, so that it is known again when a column came, went or changed its type; where that would
be too many, one digest of the whole row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.pipeline.cells import WIDTH, Cells, cells, numbers, rescale, unit, whole

LIMIT = 10_000
"""Rows remembered at most. Beyond it merge reads them again; append must not commit inside the tie."""
CELLS = 5_000
"""Values remembered at most, beyond it whole rows."""


class Boundary:
    """The boundary of one stream in one split: drops what was loaded before, remembers what the next run re-reads.

    cursor: column; lookback: distance below the highest cursor value that will be read again (seconds or units).
    stored: what `to_json` gave after an earlier load.  columns: those the source has now; of others it has none.
    """

    def __init__(
        self, cursor: str, lookback: float = 0, stored: dict[str, Any] | None = None, columns: Collection[str] = ()
    ):
        self.cursor = cursor
        self.lookback = lookback
        known = stored or {}
        self._names: list[str] | None = known.get("columns")
        """Of the known rows; None where only whole rows are known."""
        self._known = _known(known)
        self._columns = frozenset(columns)
        self._was_number = set(known.get("numbers", ()))
        self._numbers: set[str] = set()
        self._old_top: str | None = known.get("top")
        self._old_unit: str | None = known.get("unit")
        self._old: Any = None
        self._top: Any = None
        self._floor: Any = None
        self._rows: dict[Cells, tuple[Any, int]] = {}
        self._stored = stored
        self._type: pa.DataType | None = None
        self.overflow = bool(stored and stored.get("overflow"))

    def filter(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without the rows that an earlier load holds already; every row is remembered as far as needed."""
        if self.cursor not in batch.schema.names or batch.num_rows == 0:
            return batch
        if self._type is None:
            self._set_type(batch.schema.field(self.cursor).type)
        order = _order(batch.column(self.cursor))
        if self._old is None and self._old_top is not None:
            self._old = pa.scalar(self._old_top).cast(order.type).as_py()
        self._observe(batch, order)
        return self._drop_known(batch, order)

    def to_json(self, done: bool = True) -> dict[str, Any] | None:
        """What to keep in the envelope; None when no row was ever seen.

        done: the read is over. Before that, rows that an earlier load holds may still come, and stay known.
        """
        if self._top is None:
            return self._stored
        left, highest = Counter[Any](), self._top
        if not done and self._old is not None and (self.lookback or self._old == self._top):
            left, highest = +self._known, max(self._old, self._top)
        top: dict[str, Any] = {"top": str(highest), "type": type(highest).__name__}
        if self._type is not None and (counted := unit(self._type)):
            top["unit"] = counted
        if self.overflow:
            return top | {"overflow": True}
        if found := self._numbers | (self._was_number if left else set()):
            top["numbers"] = sorted(found)
        return top | _rows_json(Counter({row: n for row, (_, n) in self._rows.items()}) + left)

    def _set_type(self, cursor_type: pa.DataType) -> None:
        """The cursor's type is known; what was stored may count in another unit."""
        self._type, counted = cursor_type, unit(cursor_type)
        if self._old_top is not None and counted and self._old_unit and counted != self._old_unit:
            top = rescale(int(self._old_top), self._old_unit, counted)
            self._old_top = None if top is None else str(top)

    def window(self) -> tuple[str | None, str | None]:
        """(highest cursor value of earlier loads, highest of this one) for people; None: none was seen."""
        if self._type is None or self._top is None:
            return None, None
        return None if self._old_top is None else _show(self._old_top, self._type), _show(self._top, self._type)

    def _drop_known(self, batch: pa.RecordBatch, order: pa.Array) -> pa.RecordBatch:
        if not self._known or self._old_top is None:
            return batch
        old = pa.scalar(self._old, order.type)
        again = pc.less_equal(order, old) if self.lookback else pc.equal(order, old)
        candidates = pc.indices_nonzero(pc.fill_null(again, False)).to_pylist()
        known = self._recognised(frozenset(batch.schema.names))
        gone = set()
        for index, row in zip(candidates, cells(batch, candidates, self._was_number), strict=True):
            for mark in known.get(whole(row) if self._names is None else row, ()):
                if self._known[mark] > 0:
                    self._known[mark] -= 1
                    gone.add(index)
                    break
        if not gone:
            return batch
        return batch.take(pa.array([i for i in range(batch.num_rows) if i not in gone], pa.int64()))

    def _recognised(self, present: frozenset[str]) -> dict[Any, list[Any]]:
        """Known rows by what they look like now: without the columns that the source no longer has."""
        lost = frozenset(self._names or ()) - self._columns - present if self._columns else frozenset()
        found: dict[Any, list[Any]] = {}
        for mark in self._known:
            now = tuple((name, cell) for name, cell in mark if name not in lost) if lost else mark
            found.setdefault(now, []).append(mark)
        return found

    def _observe(self, batch: pa.RecordBatch, order: pa.Array) -> None:
        top = pc.max(order).as_py()
        if top is None:
            return
        if self._top is None or top > self._top:
            self._raise_top(top, batch.schema.field(self.cursor).type)
        if self.overflow:
            return
        near = pc.greater_equal(order, pa.scalar(self._floor, order.type))
        at = pc.indices_nonzero(pc.fill_null(near, False)).to_pylist()
        if sum(n for _, n in self._rows.values()) + len(at) > LIMIT:
            self.overflow, self._rows = True, {}
            return
        values = order.take(pa.array(at, pa.int64())).to_pylist()
        for row, value in zip(cells(batch, at), values, strict=True):
            self._rows[row] = (value, self._rows[row][1] + 1 if row in self._rows else 1)
        self._numbers = (self._numbers - set(batch.schema.names)) | numbers(batch.schema)

    def _raise_top(self, top: Any, cursor_type: pa.DataType) -> None:
        self._top = top
        self._floor = top - _distance(top, self.lookback, cursor_type) if self.lookback else top
        if not self.lookback:
            self.overflow, self._rows = False, {}
        self._rows = {h: (v, n) for h, (v, n) in self._rows.items() if v >= self._floor}


def _rows_json(rows: Counter[Any]) -> dict[str, Any]:
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


def _known(stored: dict[str, Any]) -> Counter[Any]:
    """The rows of `_rows_json`."""
    rows, names = stored.get("rows", {}), stored.get("columns")
    if names is None:
        return Counter(rows)
    found: Counter[Any] = Counter()
    for text, count in rows.items():
        parts = [text[i * WIDTH : (i + 1) * WIDTH] for i in range(len(names))]
        found[tuple((name, part) for name, part in zip(names, parts, strict=True) if part[0] != "-")] += count
    return found


def shown_top(stored: dict[str, Any], cursor_type: pa.DataType) -> str | None:
    """The highest cursor value of what `to_json` gave, for people."""
    known = Boundary("", stored=stored)
    known._set_type(cursor_type)
    return None if known._old_top is None else _show(known._old_top, cursor_type)


def old(stored: dict[str, Any]) -> dict[str, Any]:
    """A boundary that an earlier plan left, marked: a split that sees no row of it does not vouch for it."""
    return stored | {"old": True}


def merge(boundaries: list[dict[str, Any] | None], lookback: float = 0) -> dict[str, Any] | None:
    """One boundary for several finished splits of a stream: that of the highest cursor value.

    With a look-back rows of all splits are kept, since any of them may be read again.
    """
    known = [b for b in boundaries if b]
    if not known:
        return None
    fresh = [b for b in known if "old" not in b]
    if not fresh:
        return {k: v for k, v in known[0].items() if k != "old"}
    highest = max(_rank(b) for b in fresh)
    known = sorted((b for b in fresh if lookback or _rank(b) == highest), key=_rank, reverse=True)
    if any("rows" not in b for b in known):
        return {k: v for k, v in known[0].items() if k != "rows"} | {"overflow": True}
    rows = sum((_known(b) for b in known), Counter[Any]())
    plain = {k: v for k, v in known[0].items() if k not in ("rows", "columns")}
    return plain | _rows_json(rows)


def _rank(stored: dict[str, Any]) -> Any:
    """What a stored boundary's highest cursor value is compared by."""
    top = stored["top"]
    return top if stored["type"] == "str" else float(top) if stored["type"] == "float" else Decimal(top)


_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def _distance(top: Any, lookback: float, cursor_type: pa.DataType) -> Any:
    """The look-back in the units of `_order`."""
    if pa.types.is_date32(cursor_type):
        return -(-lookback // 86_400)
    if pa.types.is_timestamp(cursor_type) or pa.types.is_time(cursor_type):
        return int(lookback * _PER_SECOND[cursor_type.unit])
    return type(top)(lookback)


def _order(column: pa.Array) -> pa.Array:
    """The cursor column as something Python compares exactly: integers for times, text as it is."""
    t = column.type
    if pa.types.is_date32(t) or pa.types.is_time32(t):
        return column.cast(pa.int32()).cast(pa.int64())
    if pa.types.is_temporal(t):
        return column.cast(pa.int64())
    return column


def _show(value: Any, cursor_type: pa.DataType) -> str:
    """A cursor value in the units of `_order`, as people write it."""
    if not pa.types.is_temporal(cursor_type):
        return str(value)
    number = pa.scalar(int(value), pa.int32() if cursor_type.bit_width == 32 else pa.int64())
    if pa.types.is_timestamp(cursor_type) and cursor_type.tz is not None:
        return str(number.cast(pa.timestamp(cursor_type.unit)).cast(pa.utf8())) + "Z"
    return str(number.cast(cursor_type).cast(pa.utf8()))
