"""Rows outside the window that was asked for, left out of what a function gave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from wherry.errors import UsageError
from wherry.functions.window import MOMENT

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a cursor: from `low` on, below `high`; texts of the user's, or values of the column. None: no bound.

    Rows without a cursor value are kept: they are neither old nor new.
    """

    cursor: str
    low: Any = None
    high: Any = None

    def __bool__(self) -> bool:
        return self.low is not None or self.high is not None

    def dicts(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows inside."""
        sample = next((row[self.cursor] for row in rows if row.get(self.cursor) is not None), None)
        if sample is None:
            return rows
        low, high = self._like(self.low, sample), self._like(self.high, sample)
        return [
            row
            for row in rows
            if (value := row.get(self.cursor)) is None
            or ((low is None or value >= low) and (high is None or value < high))
        ]

    def arrow(self, table: pa.Table) -> pa.Table:
        """The rows inside."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.cursor not in table.schema.names:
            return table
        column = table.column(self.cursor)
        for bound, keep in ((self.low, pc.greater_equal), (self.high, pc.less)):
            if bound is not None:
                value = pa.scalar(self._like(bound, _sample(column.type)), column.type)
                mask = pc.fill_null(keep(column, value), True)
                table, column = table.filter(mask), column.filter(mask)
        return table

    def _like(self, bound: Any, sample: Any) -> Any:
        """A text of the user's as a value of the column."""
        if not isinstance(bound, str):
            return bound
        if isinstance(sample, str):
            if MOMENT.fullmatch(sample) and not MOMENT.fullmatch(bound):
                raise UsageError(
                    f"{bound!r} is no time, and cursor {self.cursor} holds times", next="write it as the column has it"
                )
            return bound
        try:
            return _READ[type(sample)](bound, sample)
        except (KeyError, ValueError, ArithmeticError):
            raise UsageError(
                f"{bound!r} is no value of cursor {self.cursor}, which holds {type(sample).__name__}s",
                next="write it as the column has it",
            ) from None


def _moment(text: str, sample: datetime) -> datetime:
    found = datetime.fromisoformat(text)
    if sample.tzinfo is None:
        return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_READ: dict[type, Any] = {
    int: lambda text, _: int(text),
    float: lambda text, _: float(text),
    Decimal: lambda text, _: Decimal(text),
    datetime: _moment,
    date: lambda text, _: date.fromisoformat(text[:10]),
}


def _sample(type: pa.DataType) -> Any:
    """Some value of an Arrow type, to tell how a bound is to be read."""
    import pyarrow as pa

    if pa.types.is_timestamp(type):
        return datetime.combine(date.min, time.min, UTC if type.tz else None)
    if pa.types.is_date(type):
        return date.min
    if pa.types.is_decimal(type):
        return Decimal(0)
    return 0 if pa.types.is_integer(type) else 0.0 if pa.types.is_floating(type) else ""
