"""Where a read begins and ends: cursor values in bookmarks and arguments, and the highest one of some rows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from wherry.errors import DataError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS: dict[str, Any] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "decimal": (Decimal, str, Decimal),
    "uuid": (UUID, str, UUID),
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")


def stored(value: Any, where: str) -> Any:
    """A cursor value as JSON, from which `restored` makes an equal one of the same type."""
    if value is None or type(value) in (str, int, bool, float):
        return value
    for name, (kind, write, _) in _TEXTS.items():
        if isinstance(value, kind):
            return {name: write(value)}
    raise DataError(f"{where} holds a {type(value).__name__}, which cannot be a cursor", next="yield text or a number")


def restored(value: Any) -> Any:
    """The cursor value that `stored` was given."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, text),) = value.items()
        if name in _TEXTS:
            return _TEXTS[name][2](text)
    return value


def as_argument(value: Any, annotation: Any, where: str) -> Any:
    """A cursor value, or a text of the user's, as the type that the function asks for; as it came, if for none."""
    from pydantic import TypeAdapter, ValidationError

    if value is None or annotation is None:
        return value
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        pass
    try:
        return TypeAdapter(annotation).validate_python(str(value))
    except ValidationError:
        name = getattr(annotation, "__name__", annotation)
        raise UsageError(
            f"{where} {value!s:.80} is no {name}", next=f"write a {name}, or annotate {where} otherwise"
        ) from None


def earlier(value: Any, distance: float, where: str) -> Any:
    """The value so many units, or seconds of a time, before; a text has to hold a time."""
    if not distance or value is None:
        return value
    if isinstance(value, str) and MOMENT.fullmatch(value):
        moved = datetime.fromisoformat(value) - timedelta(seconds=distance)
        text = moved.date().isoformat() if len(value) == 10 else moved.isoformat()
        return text.replace("+00:00", "Z") if value.endswith("Z") else text
    if isinstance(value, datetime):
        return value - timedelta(seconds=distance)
    if isinstance(value, date):
        return value - timedelta(days=-(-distance // 86_400))
    if isinstance(value, (int, float, Decimal)):
        return value - type(value)(distance)  # type: ignore[operator]
    raise UsageError(f"{where} holds texts that are no times, so there is nothing to look back by", key="lookback")


class Highest:
    """The highest cursor value of the rows so far, and the last one."""

    def __init__(self, cursor: str, where: str) -> None:
        self._cursor, self._where = cursor, where
        self.value: Any = None

    def rows(self, rows: list[dict[str, Any]]) -> None:
        """Of dicts; those without a value count for nothing."""
        try:
            top = max(map(itemgetter(self._cursor), rows))
        except (KeyError, TypeError):
            top = self._max(row.get(self._cursor) for row in rows)
        self._raise(top)

    def arrow(self, table: pa.Table) -> None:
        """Of Arrow data."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._cursor not in table.schema.names:
            return
        top = pc.max(table.column(self._cursor))
        if pa.types.is_timestamp(top.type) and top.type.unit == "ns":  # Python's times end at microseconds
            top = top.cast(pa.utf8() if top.is_valid and top.value % 1000 else pa.timestamp("us", top.type.tz))
        self._raise(top.as_py())

    def _raise(self, top: Any) -> None:
        if top is not None:
            self.value = top if self.value is None else self._max((self.value, top))

    def _max(self, values: Iterable[Any]) -> Any:
        try:
            return max((value for value in values if value is not None), default=None)
        except TypeError:
            raise DataError(
                f"{self._where} holds values that cannot be compared with each other", column=self._cursor,
                next="yield one type; times all with a time zone, or all without",
            ) from None  # fmt: skip
