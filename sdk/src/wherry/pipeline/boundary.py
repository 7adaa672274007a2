"""Boundary rows: those at the bookmark's cursor value, read again by the next run and dropped here.

Kept beside the source's bookmark as a bounded multiset, hash -> count, because equal keyless rows exist. A hash covers
the row's non-NULL columns by name, so a column that appears later does not change it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.values import OP, UNSET

LIMIT = 10_000
"""Rows remembered at most. Beyond it merge reads them again; append must not commit inside the tie."""


class Boundary:
    """The boundary of one stream in one split: drops what was loaded before, remembers what the next run re-reads.

    cursor: column; lookback: distance below the highest cursor value that will be read again (seconds or units).
    stored: what `to_json` gave after an earlier load.
    """

    def __init__(self, cursor: str, lookback: float = 0, stored: dict[str, Any] | None = None):
        self.cursor = cursor
        self.lookback = lookback
        self._known = Counter(stored["rows"]) if stored and "rows" in stored else Counter()
        self._old_top: str | None = stored.get("top") if stored else None
        self._top: Any = None
        self._floor: Any = None
        self._rows: dict[str, tuple[Any, int]] = {}
        self._stored = stored
        self._type: pa.DataType | None = None
        self.overflow = bool(stored and stored.get("overflow"))

    def filter(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without the rows that an earlier load holds already; every row is remembered as far as needed."""
        if self.cursor not in batch.schema.names or batch.num_rows == 0:
            return batch
        self._type = batch.schema.field(self.cursor).type
        order = _order(batch.column(self.cursor))
        self._observe(batch, order)
        return self._drop_known(batch, order)

    def to_json(self) -> dict[str, Any] | None:
        """What to keep in the envelope; None when no row was ever seen."""
        if self._top is None:
            return self._stored
        top = {"top": str(self._top), "type": type(self._top).__name__}
        if self.overflow:
            return top | {"overflow": True}
        return top | {"rows": {h: n for h, (_, n) in sorted(self._rows.items())}}

    def window(self) -> tuple[str | None, str | None]:
        """(highest cursor value of earlier loads, highest of this one) for people; None: none was seen."""
        if self._type is None or self._top is None:
            return None, None
        return None if self._old_top is None else _show(self._old_top, self._type), _show(self._top, self._type)

    def _drop_known(self, batch: pa.RecordBatch, order: pa.Array) -> pa.RecordBatch:
        if not self._known or self._old_top is None:
            return batch
        old_top = pa.scalar(self._old_top).cast(order.type)
        again = pc.less_equal(order, old_top) if self.lookback else pc.equal(order, old_top)
        candidates = pc.indices_nonzero(pc.fill_null(again, False)).to_pylist()
        gone = set()
        for index, digest in zip(candidates, _digests(batch, candidates), strict=True):
            if self._known[digest] > 0:
                self._known[digest] -= 1
                gone.add(index)
        if not gone:
            return batch
        return batch.take(pa.array([i for i in range(batch.num_rows) if i not in gone], pa.int64()))

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
        for digest, value in zip(_digests(batch, at), values, strict=True):
            self._rows[digest] = (value, self._rows[digest][1] + 1 if digest in self._rows else 1)

    def _raise_top(self, top: Any, cursor_type: pa.DataType) -> None:
        self._top = top
        self._floor = top - _distance(top, self.lookback, cursor_type) if self.lookback else top
        if not self.lookback:
            self.overflow, self._rows = False, {}
        self._rows = {h: (v, n) for h, (v, n) in self._rows.items() if v >= self._floor}


def merge(boundaries: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    """One boundary for several finished splits of a stream: that of the highest cursor value."""
    known = [b for b in boundaries if b]
    if not known:
        return None
    highest = max(_rank(b) for b in known)
    known = [b for b in known if _rank(b) == highest]
    if any("rows" not in b for b in known):
        return {k: v for k, v in known[0].items() if k != "rows"} | {"overflow": True}
    rows = sum((Counter(b["rows"]) for b in known), Counter[str]())
    return known[0] | {"rows": dict(sorted(rows.items()))}


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


def _digests(batch: pa.RecordBatch, indices: list[int]) -> list[str]:
    if not indices:
        return []
    names = sorted(n for n in batch.schema.names if n not in (OP, UNSET))
    rows = batch.select(names).take(pa.array(indices, pa.int64()))
    texts = [_texts(rows.column(i)) for i in range(len(names))]
    return [
        hashlib.blake2b(
            repr([(n, v) for n, v in zip(names, row, strict=True) if v is not None]).encode("utf-8", "surrogatepass"),
            digest_size=12,
        ).hexdigest()
        for row in zip(*texts, strict=True)
    ]


def _texts(column: pa.Array) -> list[Any]:
    if pa.types.is_temporal(column.type) and not pa.types.is_interval(column.type):
        return list(_order(column).to_pylist())
    return list(column.to_pylist())
