"""Which rows one read of an incremental stream is about: where it begins, where it ends, in which steps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.values import Selection
from wherry.errors import UsageError
from wherry.rest.models import Incremental
from wherry.rest.moments import SECOND, Order, moment, refuse_mixed, seconds, unit
from wherry.rest.template import ABSENT


def lookback(incremental: Incremental | None) -> float:
    """Seconds (or units of a number) that are read again: as declared; else one unit, if the parameter is exclusive."""
    if incremental is None:
        return 0
    if incremental.lookback is not None:
        return seconds(incremental.lookback)
    return unit(incremental.format) if incremental.param is not None and incremental.param_is == "exclusive" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A part of the cursor's range. start, end: as the API writes them, ABSENT where there is no bound.

    low, high: ranks of the rows that are kept: from `low` on, before `high`; None: any.  last: none comes after it.
    """

    start: Any = ABSENT
    end: Any = ABSENT
    low: Any = None
    high: Any = None
    last: bool = True

    def keep(self, ranks: Any, stream: str, cursor: str) -> Any:
        """Mask over rows by the ranks of their cursor; rows without one are kept. None: all of them are."""
        if self.low is None and self.high is None:
            return None
        try:
            if isinstance(ranks, list):
                return pa.array([r is None or self._inside(r) for r in ranks], pa.bool_())
            mask = None
            for bound, compare in ((self.low, pc.greater_equal), (self.high, pc.less)):
                if bound is not None:
                    one = compare(ranks, pa.scalar(bound))
                    mask = one if mask is None else pc.and_kleene(mask, one)
            return pc.fill_null(mask, True)
        except (TypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError):
            raise refuse_mixed(ranks, stream, cursor) from None

    def _inside(self, rank: Any) -> bool:
        return (self.low is None or rank >= self.low) and (self.high is None or rank < self.high)


class Windows:
    """The windows of one read. start: of the manifest, its templates filled in.  known: the cursor of the bookmark."""

    def __init__(
        self, incremental: Incremental, selection: Selection, start: Any, known: Any,
        now: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self.order = Order(incremental.format)
        self._of = incremental
        self._given: dict[Any, Any] = {}
        """What was said for a rank, as it was said."""
        self._back = selection.lookback if selection.cursor else 0
        asked, begin = self._asked(selection.start, "start"), self._asked(start, "start")
        self._ceiling = self._asked(selection.end, "end")
        self.timely = self.order.of_time or any(moment(value) is not None for value in (known, start))
        """Whether ranks are instants."""
        self._floor = asked
        if known is not None:
            rank = self.order.rank(known)
            self._given[rank] = known
            self._low = self._earlier(rank)
            self._floor = self._low if asked is None else max(asked, self._low)
        else:
            self._low = begin if asked is None else asked
            if incremental.filter == "client" and asked is None:
                self._floor = begin
        self.until = self._ceiling
        if self.until is None and incremental.end_param is not None and self.timely:
            self.until = now()

    def __iter__(self) -> Iterator[Window]:
        step = self._step()
        low, first = self._low, True
        while step is not None and low is not None and self.until is not None and low + step < self.until:
            high = low + step
            yield self._window(low if first else self._earlier(low), self._floor if first else low, high, high, False)
            low, first = high, False
        yield self._window(
            low if first or low is None else self._earlier(low), self._floor if first else low, self.until,
            self._ceiling, True,
        )  # fmt: skip

    def behind(self, window: Window, value: Any) -> bool:
        """Whether a row with this cursor value lies before the window."""
        rank = None if value is None else self.order.rank(value)
        return window.low is not None and isinstance(rank, type(window.low)) and bool(rank < window.low)

    def anew(self, window: Window, value: Any) -> Window | None:
        """The window asked for from the row with this cursor value on; None: that would be the same request again."""
        rank = None if value is None else self.order.rank(value)
        if rank is None:
            return None
        self._given[rank] = value
        if self._of.param is not None and self._of.param_is == "exclusive" and isinstance(rank, (int, float)):
            rank -= int(unit(self._of.format) * SECOND) if self.timely else 1
        start = self._write(rank)
        return None if start == window.start else replace(window, start=start)

    def written(self, rank: Any) -> Any:
        """A rank as a bookmark keeps it."""
        return self.order.write(rank, "iso") if self.timely else rank

    def _step(self) -> int | float | None:
        if self._of.step is None:
            return None
        length = seconds(self._of.step)
        return int(length * SECOND) if self.timely else _number(length)

    def _window(self, start: Any, low: Any, end: Any, high: Any, last: bool) -> Window:
        return Window(start=self._write(start), end=self._write(end), low=low, high=high, last=last)

    def _write(self, rank: Any) -> Any:
        """A bound as the API reads it; as it came, where that is what it reads."""
        if rank is None:
            return ABSENT
        given = self._given.get(rank)
        natural = (
            (isinstance(given, int) and not isinstance(given, bool))
            if self._of.format in ("epoch_s", "epoch_ms")
            else self._of.format == "iso" and isinstance(given, str) and "T" in given
        )
        if given is not None and (self._of.format == "raw" or natural):
            return given
        return self.order.write(rank, self._of.format) if self.timely else rank

    def _earlier(self, rank: Any) -> Any:
        if not self._back or isinstance(rank, (str, bytes)):
            return rank
        return rank - (int(self._back * SECOND) if self.timely else _number(self._back))

    def _asked(self, value: Any, key: str) -> Any:
        """The rank of what a user or author gave as a bound; the text of a number is one, unless times are compared."""
        if value is None or value is ABSENT:
            return None
        rank = self.order.rank(value)
        if self.order.of_time and not isinstance(rank, int):
            raise UsageError(f"{key} {value!r} is no time", key=key, next="write 2024-01-31, or 2024-01-31T12:00:00Z")
        if isinstance(rank, str) and re.fullmatch(r"-?\d+(\.\d+)?", rank):
            rank = float(rank) if "." in rank else int(rank)
        self._given[rank] = value
        return rank


def _number(length: float) -> int | float:
    return int(length) if float(length).is_integer() else length


def parameters(incremental: Incremental | None, window: Window) -> Mapping[str, Any]:
    """The parameters that bound a request."""
    if incremental is None:
        return {}
    pairs = ((incremental.param, window.start), (incremental.end_param, window.end))
    return {name: value for name, value in pairs if name is not None and value is not ABSENT}
