"""Cursor values by their meaning: a text that says an instant is that instant, however it is written.

A moment is a number of nanoseconds since 1970 in UTC, as a Python int; other values are compared as they are. Times
without a zone count as UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.errors import StreamError
from wherry.instants import instants

SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"\s*(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9})\d*)?\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?)?\s*"
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TICKS = {"s": SECOND, "ms": 10**6, "us": 10**3, "ns": 1}
_WRITTEN = {"epoch_s": SECOND, "epoch_ms": 10**6}


def moment(value: Any) -> int | None:
    """Nanoseconds of an ISO text, date or datetime; None for anything else."""
    if isinstance(value, datetime):
        known = value if value.tzinfo else value.replace(tzinfo=UTC)
        return _nanoseconds(known)
    if isinstance(value, date):
        return _nanoseconds(datetime(value.year, value.month, value.day, tzinfo=UTC))
    match = _ISO.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    zone = (match[4] or "Z").upper().replace("UTC", "Z")
    zone = "+00:00" if zone == "Z" else f"{zone}:00" if len(zone) == 3 else zone
    try:
        known = datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}{zone}")
    except ValueError:
        return None
    return _nanoseconds(known) + int((match[3] or "").ljust(9, "0"))


def seconds(text: Any) -> float:
    """A duration of a manifest in seconds: 90, "90s", "5m"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(text))
    assert match is not None
    return float(match[1]) * _UNITS[match[2] or "s"]


class Order:
    """How the cursor values of one stream are compared. format: of `Incremental`; it says what a number counts.

    rank: of a value, comparable with every other rank of the stream.
    """

    def __init__(self, format: str) -> None:
        self._ticks = _WRITTEN.get(format)
        self.of_time = format != "raw"

    def rank(self, value: Any) -> Any:
        """What a value is compared by: nanoseconds where it is a time, else itself."""
        found = moment(value)
        if found is not None:
            return found
        if self._ticks is not None and isinstance(value, (str, int, float, Decimal)):
            try:
                return int(Decimal(str(value)) * self._ticks)
            except ArithmeticError:
                return value
        return value

    def ranks(self, column: Any) -> Any:
        """The ranks of an Arrow column, as an array; as a list where no Arrow type holds them all."""
        t = column.type
        if pa.types.is_timestamp(t) or pa.types.is_date(t):
            found = _cast(column, pa.timestamp("ns", "UTC"))
            return column.to_pylist() if found is None else found.cast(pa.int64())
        if pa.types.is_string(t):
            found = instants(column)
            if found is not None:
                return found.cast(pa.int64())
            ranks = [self.rank(v) for v in column.to_pylist()]
            return column if all(r is None or isinstance(r, str) for r in ranks) else ranks
        if pa.types.is_null(t) or self._ticks is None:
            return column
        if pa.types.is_integer(t):
            try:
                return pc.multiply_checked(column.cast(pa.int64()), self._ticks)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                pass
        return [self.rank(v) for v in column.to_pylist()]

    def write(self, rank: Any, format: str) -> Any:
        """The rank of a time as the API wants to read it; `raw` says it as `iso`."""
        if not isinstance(rank, int):
            return rank
        if format in _WRITTEN:
            return rank // _WRITTEN[format]
        at = _EPOCH + timedelta(microseconds=rank // 1000)
        if format == "iso_date":
            return at.date().isoformat()
        if format not in ("iso", "raw"):
            return at.strftime(format)
        digits = f"{rank % SECOND:09d}"
        while digits.endswith("000"):
            digits = digits[:-3]
        return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{digits}" if digits else "") + "Z"


def unit(format: str) -> float:
    """Seconds of one unit of a format: what an exclusive parameter may miss. 1 for the numbers of `raw`."""
    if format in ("iso_date", "epoch_ms"):
        return 86400.0 if format == "iso_date" else 0.001
    if "%" in format and not any(sign in format for sign in ("%S", "%s", "%T", "%X", "%c", "%f")):
        return 60.0 if "%M" in format else 3600.0 if "%H" in format else 86400.0
    return 1.0


def _nanoseconds(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86400 + since.seconds) * SECOND + since.microseconds * 1000


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def refuse_mixed(values: Any, stream: str, cursor: str) -> StreamError:
    """The error for cursor values that cannot be compared."""
    return StreamError(
        f"stream {stream}: cursor {cursor} holds values of several kinds, which have no order", key="cursor",
        next="choose another cursor, or read the stream whole: leave incremental out",
    )  # fmt: skip
