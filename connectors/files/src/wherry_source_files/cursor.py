"""A cursor on one file: which rows are new, by the highest value that the bookmark remembers."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from wherry import Selection, StateError, UsageError

_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Cursor:
    """Keeps rows from the remembered value on (inclusive) and within the selection's bounds; remembers the highest.

    known: {"type", "value"} as `to_json` gave it. Values are kept as text, in full precision.
    """

    def __init__(self, selection: Selection, type: pa.DataType, known: dict[str, str] | None) -> None:
        self.column = str(selection.cursor)
        self._selection = selection
        self._type = type
        self._family = _family(type)
        if self._family is None:
            raise UsageError(
                f"column {self.column} ({type}) cannot be a cursor",
                key="cursor",
                next="choose a column of numbers, dates, times with a date, or text",
            )
        self._known = known
        self._highest: Any = None
        self._was: Any = None
        self._end: Any = None
        """The highest value in the file, also of rows that are not read."""
        self._from = self._lower(known)
        self._until = self._scalar(selection.end, "end") if selection.end is not None else None

    def keep(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows to load; those without a cursor value are among them each time, the pipeline knows them again."""
        self._see_end(rows.column(self.column))
        if self._from is not None:
            rows = rows.filter(pc.fill_null(pc.greater_equal(rows.column(self.column), self._from), True))
        if self._until is not None:
            rows = rows.filter(pc.fill_null(pc.less(rows.column(self.column), self._until), True))
        self._see(rows.column(self.column))
        return rows

    def refuse_older(self, file: str) -> None:
        """Raise when the file, read to its end, has rows, but none as late as the bookmark: it is not what it was."""
        if self._known is None or self._end is None or not pc.less(self._end, self._was).as_py():
            return
        raise StateError(
            f"file {file}: {self.column} ends at {self._end.cast(pa.string()).as_py()}, before its bookmark "
            f"{self._known['value']}: an older file, or another one",
            key="cursor",
            next=self._ways_on(),
        )

    def to_json(self) -> dict[str, str] | None:
        """The highest value so far."""
        if self._highest is None:
            return self._known
        return {"type": str(self._type), "value": self._highest.cast(pa.string()).as_py()}

    def _ways_on(self) -> str:
        path = self._selection.stream.path
        again = f"wherry state reset DEST {path}  to read it all again into it"
        return f"add --full-refresh to rebuild the table of {path}, or  {again}"

    def _see_end(self, column: pa.Array) -> None:
        top = pc.max(column)
        if top.is_valid and (self._end is None or pc.greater(top, self._end).as_py()):
            self._end = top

    def _see(self, column: pa.Array) -> None:
        top = pc.max(column)
        if top.is_valid and (self._highest is None or pc.greater(top, self._highest).as_py()):
            self._highest = top

    def _lower(self, known: dict[str, str] | None) -> Any:
        start = self._selection.start
        if known is None:
            return self._scalar(start, "start") if start is not None else None
        try:
            if _family_of_name(known["type"]) != self._family:
                raise pa.ArrowInvalid
            value = pa.scalar(known["value"]).cast(self._type)
        except pa.ArrowInvalid:
            raise StateError(
                f"cursor {self.column} is {self._type} now and was {known['type']}",
                key="cursor",
                next=self._ways_on(),
            ) from None
        self._highest = self._was = value
        return self._back(value)

    def _back(self, value: Any) -> Any:
        """Less the look-back: seconds, or units of a number."""
        distance = self._selection.lookback
        if not distance:
            return value
        if self._family == "text":
            raise UsageError(f"cursor {self.column} is text: a look-back has no meaning", key="lookback")
        if self._family in ("timestamp", "instant"):
            ticks = math.ceil(distance * _TICKS[self._type.unit])
            return pc.subtract(value, pa.scalar(ticks, pa.duration(self._type.unit)))
        known = value.as_py()
        if self._family == "date":
            return pa.scalar(known - timedelta(days=math.ceil(distance / 86400)), self._type)
        moved = known - (math.ceil(distance) if isinstance(known, int) else type(known)(str(distance)))
        return pa.scalar(max(moved, 0) if pa.types.is_unsigned_integer(self._type) else moved, self._type)

    def _scalar(self, text: str, key: str) -> Any:
        try:
            return pa.scalar(text).cast(self._type)
        except pa.ArrowInvalid:
            raise UsageError(
                f"{key} {text!r} is no value of column {self.column} ({self._type})", key=key,
                next=f"give --{key} in the form that wherry preview shows of {self.column}",
            ) from None  # fmt: skip


def _family(type: pa.DataType) -> str | None:
    if pa.types.is_integer(type) or pa.types.is_decimal(type) or pa.types.is_floating(type):
        return "number"
    if pa.types.is_timestamp(type):
        return "instant" if type.tz else "timestamp"
    if pa.types.is_date(type):
        return "date"
    return "text" if type == pa.string() or type == pa.large_string() else None


def _family_of_name(name: str) -> str:
    for start, family in (("timestamp", "instant" if "tz=" in name else "timestamp"), ("date", "date")):
        if name.startswith(start):
            return family
    return "text" if "string" in name else "number"
