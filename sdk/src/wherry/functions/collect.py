"""What a function yields, gathered: thousands of dicts a batch, everything else as it comes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from wherry.contracts.values import Batch, Mark
from wherry.errors import SourceError

ROWS = 5_000
"""Dicts in a batch at most: more fall out of the CPU's cache before they become Arrow."""
SECONDS = 1.0
"""A batch is not held back for longer."""
_STEP = 0.1
"""Seconds that taking one handful should need at most."""
_SMALL = 1 << 12
"""Bytes below which a list is always of so many dicts, however long they take: for tests that are to repeat."""
_FEW = 50
_DICT = frozenset({dict})
YIELD = "yield dicts, lists of dicts, Arrow data, pages, a Batch or a Mark"

Gathered = list[dict[str, Any]] | Batch | Mark | Any


class Gather:
    """Iterates over gathered items: lists of dicts, or whatever else the function yields, in order.

    bytes: size that a list should not exceed by much.  step: calls the function that it is given; the author's code
    runs inside it, and nowhere else.  where: for messages.
    """

    def __init__(self, items: Iterable[Any], bytes: int, step: Callable[[Callable[[], Any]], Any], where: str) -> None:
        self._where = where
        self._items = iter(items)
        self._bytes = max(bytes, 1)
        self._step = step
        self._handful = 1
        self._rows: list[dict[str, Any]] = []
        self._size = 0

    def __iter__(self) -> Iterator[Gathered]:
        over = False
        while not over:
            began = time.monotonic()
            while not over and self._wants_more(began):
                taken: list[Any] = []
                try:
                    over = self._take(taken)
                except BaseException:
                    yield from self._sorted(taken)  # what came before the failure did come
                    yield from self._flush()
                    raise
                yield from self._sorted(taken)
            yield from self._flush()

    def _wants_more(self, began: float) -> bool:
        full = len(self._rows) >= ROWS or self._size >= self._bytes
        return not full and time.monotonic() - began < SECONDS

    def _take(self, taken: list[Any]) -> bool:
        """Some more items; True when there are no others. How many, goes by how long it takes."""
        began, collecting = time.monotonic(), self._handful > 1 and gc.isenabled()
        if collecting:  # it would look at all dicts that are held, again and again; whoever waits for pages may let it
            gc.disable()
        try:
            self._step(lambda: taken.extend(islice(self._items, self._handful)))
        finally:
            if collecting:
                gc.enable()
        seconds, asked = time.monotonic() - began, self._handful
        simple = taken and type(taken[-1]) is dict
        if self._bytes < _SMALL:
            self._handful = _FEW if simple else 1
        else:
            self._handful = min(asked * 2, 1_024) if simple and seconds < _STEP else 1
        return len(taken) < asked

    def _sorted(self, taken: list[Any]) -> Iterator[Gathered]:
        if taken and set(map(type, taken)) == _DICT:
            self._add(taken)
            return
        for item in taken:
            if isinstance(item, dict):
                self._add([item])
            elif isinstance(item, (list, tuple)) and all(isinstance(row, dict) for row in item):
                self._add(item)
                if not self._wants_more(time.monotonic()):
                    yield from self._flush()
            elif isinstance(item, (list, tuple, str, bytes, int, float, type(None))):
                raise SourceError(f"{self._where} yielded {_what(item)}", next=YIELD)
            else:
                yield from self._flush()
                yield item

    def _add(self, rows: Any) -> None:
        if rows:
            self._size += len(rows) * len(repr(rows[-1]))
            self._rows.extend(rows)

    def _flush(self) -> Iterator[list[dict[str, Any]]]:
        if self._rows:
            rows, self._rows, self._size = self._rows, [], 0
            yield rows


def _what(item: Any) -> str:
    if isinstance(item, (list, tuple)):
        inner = next(type(row).__name__ for row in item if not isinstance(row, dict))
        return f"a {type(item).__name__} that holds a {inner}"
    return "None" if item is None else f"a {type(item).__name__}"
