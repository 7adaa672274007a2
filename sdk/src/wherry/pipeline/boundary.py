"""Boundary rows: those at the bookmark's cursor value, read again by the next run and dropped here.

Kept beside the source's bookmark as a bounded multiset, row -> count, because equal keyless rows exist. A row is a
digest of each of its values, so that it is known again when a column came, went or changed its type; where that would
be too many, one digest of the whole row. Rows without a cursor value are remembered beside them, in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.values import Nulls
from wherry.errors import DataError, StreamError
from wherry.instants import instants, is_marked
from wherry.pipeline.cells import Cells, cells, numbers, unit
from wherry.pipeline.known import Known, known_rows, rows_json, text_of

LIMIT = 10_000
"""Rows remembered at most. Beyond it merge reads them again; append must not commit inside the tie."""

NULLS_NEXT = "leave them out: --null-cursor exclude; or choose another cursor, or merge: --mode merge --key COLUMN"


class Boundary:
    """The boundary of one stream in one split: drops what was loaded before, remembers what the next run re-reads.

    cursor: column; lookback: distance below the highest cursor value that will be read again (seconds or units).
    stored: what `to_json` gave after an earlier load.  columns: those the source has now; of others it has none.
    shared: rows that all splits of the stream together know from before.  nulls: as in `Selection`.
    keyless: rows that come twice stay there twice.
    """

    def __init__(
        self, cursor: str, lookback: float = 0, stored: dict[str, Any] | None = None, columns: Collection[str] = (),
        shared: Known | None = None, nulls: Nulls = "include", keyless: bool = False,
    ):  # fmt: skip
        self.cursor = cursor
        self.lookback = lookback
        self._known = Known(stored, columns)
        self._shared = shared
        self._used: Counter[Any] = known_rows((stored or {}).get("used", {}))
        self.drawn: list[Any] = []
        """Shared rows dropped since the last commit."""
        self._policy = nulls
        self._keyless = keyless
        self._seen = 0
        self._numbers: set[str] = set()
        self._top: Any = None
        self._floor: Any = None
        self._rows: dict[Cells, tuple[Any, int]] = {}
        self._nulls: Counter[Any] = Counter()
        self._stored = stored or {}
        self._type: pa.DataType | None = None
        self.overflow = bool(self._stored.get("overflow"))
        self.nulls_overflow = bool(self._stored.get("nulls", {}).get("overflow"))
        self.left_out = self.all_left_out = 0
        """Rows without a cursor value that were not kept: of the last batch, and of all."""
        self.unordered = False
        """A row came below one that was there before it."""
        self.gone: set[int] = set()
        """Positions in the last batch of the rows that were dropped."""

    def filter(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without the rows that an earlier load holds already; every row is remembered as far as needed.

        Raises `DataError` for a row without a cursor value where that is not wanted, `StreamError` for too many.
        """
        self.gone, self.left_out = set(), 0
        if batch.num_rows == 0:
            return batch
        if self.cursor in batch.schema.names:
            column = self._comparable(batch)
            if self._type is None:
                self._set_type(column.type)
            order = _order(column)
        else:
            order = pa.nulls(batch.num_rows, pa.int64())
        if order.null_count:
            self._settle_nulls(batch, pc.indices_nonzero(order.is_null()).to_pylist())
        self._observe(batch, order)
        self._seen += batch.num_rows
        return self._drop_known(batch, order)

    def _comparable(self, batch: pa.RecordBatch) -> pa.Array:
        """The cursor's values as they are compared: texts that say instants are instants."""
        field, column = batch.schema.field(self.cursor), batch.column(self.cursor)
        if not is_marked(field):
            return column
        found = instants(column)
        if found is None:
            raise DataError(f"a text in cursor {self.cursor} says no time", column=self.cursor, next="another cursor")
        return found

    def to_json(self, done: bool = True) -> dict[str, Any] | None:
        """What to keep in the envelope; None when no row was ever seen.

        done: the read is over. Before that, rows that an earlier load holds may still come, and stay known.
        """
        if self._top is None and not self._nulls and not self._used and not self.drawn and not self.nulls_overflow:
            return self._stored or None
        found = {k: v for k, v in self._stored.items() if k not in ("used", "nulls")}
        found = found if self._top is None else self._tie(done)
        used = self._used + Counter(self.drawn)
        parts = {"nulls": self._nulls_json(done), "used": rows_json(used) if used else None}
        return found | {name: part for name, part in parts.items() if part}

    def committed(self) -> None:
        """What was dropped so far is dropped for good."""
        self._used += Counter(self.drawn)
        self.drawn = []

    def window(self) -> tuple[str | None, str | None]:
        """(highest cursor value of earlier loads, highest of this one) for people; None: none was seen."""
        if self._type is None or self._top is None:
            return None, None
        return self._before(), _show(self._top, self._type)

    def reached(self) -> tuple[Any, pa.DataType] | None:
        """The highest cursor value of all, in the units of its type, and that type; None: none was seen."""
        return None if self._type is None or self._top is None else (self._top, self._type)

    def _before(self) -> str | None:
        known = self._known if self._shared is None or self._known.top is not None else self._shared
        return None if known.top is None or self._type is None else _show(known.top, self._type)

    def _tie(self, done: bool) -> dict[str, Any]:
        """The rows at the highest cursor value, or within the look-back of it."""
        left, highest, old = Counter[Any](), self._top, self._known.value(self._order_type())
        if not done and old is not None and (self.lookback or old == self._top):
            left, highest = +self._known.rows, max(old, self._top)
        top: dict[str, Any] = {"top": text_of(highest), "type": type(highest).__name__}
        if self._type is not None and (counted := unit(self._type)):
            top["unit"] = counted
        if self.overflow:
            return top | {"overflow": True}
        if found := self._numbers | (self._known.numbers if left else set()):
            top["numbers"] = sorted(found)
        return top | rows_json(Counter({row: n for row, (_, n) in self._rows.items()}) + left)

    def _nulls_json(self, done: bool) -> dict[str, Any] | None:
        """The rows without a cursor value; those known before, where none was read again."""
        if self.nulls_overflow:
            return {"overflow": True}
        if not self._nulls:
            return self._stored.get("nulls")
        return rows_json(self._nulls if done else self._nulls + +self._known.nulls)

    def _order_type(self) -> pa.DataType:
        assert self._type is not None
        return _order(pa.nulls(0, self._type)).type

    def _set_type(self, cursor_type: pa.DataType) -> None:
        self._type = cursor_type
        self._known.set_type(cursor_type)
        if self._shared is not None:
            self._shared.set_type(cursor_type)

    def _drop_known(self, batch: pa.RecordBatch, order: pa.Array) -> pa.RecordBatch:
        gone = self.gone
        self._known.draw(batch, order, self.lookback, gone)
        if self._shared is not None:
            self.drawn += self._shared.draw(batch, order, self.lookback, gone)
        if not gone:
            return batch
        return batch.take(pa.array([i for i in range(batch.num_rows) if i not in gone], pa.int64()))

    def _settle_nulls(self, batch: pa.RecordBatch, at: list[int]) -> None:
        """Rows at these positions have no cursor value."""
        if self._policy == "error":
            raise DataError(
                f"row {self._seen + at[0] + 1} has no value in its cursor {self.cursor}, so it is neither old nor new",
                column=self.cursor, row=self._seen + at[0], next=NULLS_NEXT,
            )  # fmt: skip
        if self._policy == "exclude":
            self.gone, self.left_out = set(at), len(at)
            self.all_left_out += len(at)
        elif not self.nulls_overflow and self._nulls.total() + len(at) <= LIMIT:
            self._nulls.update(cells(batch, at))
        elif self._keyless:
            raise StreamError(
                f"more than {LIMIT:,} rows have no value in cursor {self.cursor}, so a later run could not tell which "
                "of them it holds", key="cursor", next=NULLS_NEXT,
            )  # fmt: skip
        else:
            self.nulls_overflow, self._nulls = True, Counter()

    def _observe(self, batch: pa.RecordBatch, order: pa.Array) -> None:
        top = pc.max(order).as_py()
        if top is None:
            return
        self.unordered = self.unordered or self._falls(order)
        if self._top is None or top > self._top:
            self._raise_top(top)
        if self.overflow:
            return
        near = pc.greater_equal(order, _scalar(self._floor, order.type))
        at = pc.indices_nonzero(pc.fill_null(near, False)).to_pylist()
        if sum(n for _, n in self._rows.values()) + len(at) > LIMIT:
            self.overflow, self._rows = True, {}
            return
        values = order.take(pa.array(at, pa.int64())).to_pylist()
        for row, value in zip(cells(batch, at), values, strict=True):
            self._rows[row] = (value, self._rows[row][1] + 1 if row in self._rows else 1)
        self._numbers = (self._numbers - set(batch.schema.names)) | numbers(batch.schema)

    def _falls(self, order: pa.Array) -> bool:
        """Whether a value is lower than one before it."""
        values = order.drop_null() if order.null_count else order
        if self._top is not None and values[0].as_py() < self._top:
            return True
        return bool(pc.any(pc.less(values.slice(1), values.slice(0, len(values) - 1))).as_py())

    def _raise_top(self, top: Any) -> None:
        assert self._type is not None
        self._top = top
        back = self.lookback and not isinstance(top, (str, bytes))  # texts have no distance
        self._floor = top - _distance(top, self.lookback, self._type) if back else top
        if not self.lookback:
            self.overflow, self._rows = False, {}
        self._rows = {h: (v, n) for h, (v, n) in self._rows.items() if v >= self._floor}


def shown_top(stored: dict[str, Any], cursor_type: pa.DataType) -> str | None:
    """The highest cursor value of what `to_json` gave, for people."""
    known = Known(stored)
    known.set_type(cursor_type)
    return None if known.top is None else _show(known.top, cursor_type)


def stored_top(stored: dict[str, Any], cursor_type: pa.DataType) -> Any:
    """The same in the units of the cursor's type, as `Boundary.reached` has it."""
    known = Known(stored)
    known.set_type(cursor_type)
    return known.value(_order(pa.nulls(0, cursor_type)).type)


def used(stored: dict[str, Any]) -> list[Any]:
    """Rows of the shared ones that a split has drawn for good."""
    return list(known_rows(stored.get("used", {})).elements())


def old(stored: dict[str, Any]) -> dict[str, Any]:
    """A boundary that an earlier plan left, marked: a split that sees no row of it does not vouch for it."""
    return stored | {"old": True}


def merge(boundaries: list[dict[str, Any] | None], lookback: float = 0) -> dict[str, Any] | None:
    """One boundary for several finished splits of a stream: that of the highest cursor value.

    With a look-back rows of all splits are kept, since any of them may be read again. Where no split saw a row with
    a cursor value, or none without, what an earlier plan left stands.
    """
    known = [b for b in boundaries if b]
    if not known:
        return None
    fresh = [b for b in known if "old" not in b]
    before = next(({k: v for k, v in b.items() if k != "old"} for b in known if "old" in b), {})
    if not fresh:
        return before
    nulls = [b["nulls"] for b in fresh if "nulls" in b] or [b["nulls"] for b in (before,) if "nulls" in b]
    tie = _merged_ties([b for b in fresh if "top" in b], lookback) or {k: v for k, v in before.items() if k != "nulls"}
    if any("overflow" in n for n in nulls):
        return tie | {"nulls": {"overflow": True}}
    joined = sum((known_rows(n) for n in nulls), Counter[Any]())
    return (tie | ({"nulls": rows_json(joined)} if joined else {})) or None


def _merged_ties(known: list[dict[str, Any]], lookback: float) -> dict[str, Any]:
    if not known:
        return {}
    highest = max(_rank(b) for b in known)
    known = sorted((b for b in known if lookback or _rank(b) == highest), key=_rank, reverse=True)
    plain = {k: v for k, v in known[0].items() if k not in ("rows", "columns", "nulls", "used")}
    if any("rows" not in b for b in known):
        return plain | {"overflow": True}
    return plain | rows_json(sum((known_rows(b) for b in known), Counter[Any]()))


def _rank(stored: dict[str, Any]) -> Any:
    """What a stored boundary's highest cursor value is compared by."""
    top = stored["top"]
    return top if stored["type"] in ("str", "bytes") else float(top) if stored["type"] == "float" else Decimal(top)


def _scalar(value: Any, type: pa.DataType) -> Any:
    """A scalar of the type; a whole number below what the type holds becomes the lowest that it does."""
    if pa.types.is_integer(type) and isinstance(value, int):
        lowest = 0 if pa.types.is_unsigned_integer(type) else -(2 ** (type.bit_width - 1))
        value = max(value, lowest)
    return pa.scalar(value, type)


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
        return value.hex() if isinstance(value, bytes) else str(value)
    number = pa.scalar(int(value), pa.int32() if cursor_type.bit_width == 32 else pa.int64())
    if pa.types.is_timestamp(cursor_type) and cursor_type.tz is not None:
        text = str(number.cast(pa.timestamp(cursor_type.unit)).cast(pa.utf8()))
        return (text.rstrip("0").rstrip(".") if cursor_type.unit == "ns" else text) + "Z"
    return str(number.cast(cursor_type).cast(pa.utf8()))
