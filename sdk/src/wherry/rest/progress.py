"""How far a read has come: the highest cursor value, and what of it may be a bookmark."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.values import Bookmark
from wherry.http.values import Answer
from wherry.rest.moments import SECOND, Order, moment, refuse_mixed

CURSOR = "cursor"
SEEN = "seen"
"""The highest value of the last read, where the bookmark itself has to stand lower."""


BETWEEN = "between"
"""Of a read that is not over: the parent that comes next, and what `Reached` and the server's clock were."""


class Reached:
    """The highest cursor value of one read of a stream, by its meaning, and as the source wrote it."""

    def __init__(self, order: Order, known: Bookmark | None, stream: str, cursor: str) -> None:
        self._order, self._stream, self._cursor = order, stream, cursor
        self.literal: Any = None if known is None else known.get(CURSOR)
        self.top: Any = None if self.literal is None else order.rank(self.literal)

    def see(self, column: Any, ranks: Any) -> None:
        """Take note of rows: their cursor values, and the ranks of those."""
        try:
            if isinstance(ranks, list):
                present = [(r, i) for i, r in enumerate(ranks) if r is not None]
                if not present:
                    return
                rank, place = max(present)
            else:
                rank = pc.max(ranks).as_py()
                if rank is None:
                    return
                place = pc.index(ranks, pa.scalar(rank, ranks.type)).as_py()
            if self.top is None or rank > self.top:
                self.top, self.literal = rank, _literal(column[place])
        except (TypeError, pa.ArrowNotImplementedError):
            raise refuse_mixed(ranks, self._stream, self._cursor) from None

    def rank(self, literal: Any) -> Any:
        """What a value is compared by."""
        return self._order.rank(literal)

    def raise_to(self, rank: Any, literal: Any) -> None:
        """Everything below `rank` was read, whether there are rows or not."""
        if self.top is None or rank > self.top:
            self.top, self.literal = rank, literal

    def bookmark(self) -> Bookmark | None:
        """Where to go on, if rows came in order."""
        return None if self.literal is None else {CURSOR: self.literal}


def server_time(answer: Answer, now: int) -> int:
    """Nanoseconds since 1970 by the server's clock as it answered; by ours less a minute if it tells none.

    A clock that is a day off is none, and a date that comes out of a cache is not that of the answer.
    """
    try:
        at = moment(parsedate_to_datetime(answer.headers["date"]))
    except (KeyError, ValueError, TypeError):
        at = None
    right = at is not None and abs(at - now) < 86_400 * SECOND
    return at if right and at is not None else now - 60 * SECOND


def _literal(value: Any) -> Any:
    """An Arrow scalar as JSON keeps it, in full precision."""
    kind = value.type
    if pa.types.is_timestamp(kind):
        text = str(value.cast(pa.timestamp(kind.unit)).cast(pa.string()).as_py()).replace(" ", "T")
        while text.endswith("000") and "." in text:
            text = text[:-3].rstrip(".")
        return text + ("Z" if kind.tz else "")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return value.as_py()
    return str(value.as_py())
