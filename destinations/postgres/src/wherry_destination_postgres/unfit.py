"""Values that the server cannot hold, found before they are sent."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as _compute
from wherry import DataError

pc: Any = _compute


class UnfitError(Exception):
    """column; row: in the slice that was looked at; reason: what is wrong; next: what to do."""

    def __init__(self, column: str, row: int, reason: str, next: str) -> None:
        super().__init__(reason)
        self.column = column
        self.row = row
        self.reason = reason
        self.next = next

    def as_data(self, start: int) -> DataError:
        """For people. start: rows before the slice."""
        row = start + self.row
        message = f"column {self.column}, row {row + 1}: {self.reason}, which the server cannot hold"
        return DataError(message, column=self.column, row=row, next=self.next)


def within(values: Any, low: int, high: int) -> bool:
    """Whether all integers lie between these two, nulls aside."""
    bounds = pc.min_max(values).as_py()
    return bounds["min"] is None or (low <= bounds["min"] and bounds["max"] <= high)


def check_range(name: str, values: Any, bounds: tuple[int, int]) -> None:
    """Raise `UnfitError` for the first day or microsecond of a column beyond what the server counts."""
    if within(values, *bounds):
        return
    row = pc.index(pc.or_(pc.less(values, bounds[0]), pc.greater(values, bounds[1])), True).as_py()
    reason = "a time before 4714 BC or after the year 5874897"
    raise UnfitError(name, row, reason, f"keep the column as text: --type {name}=text")
