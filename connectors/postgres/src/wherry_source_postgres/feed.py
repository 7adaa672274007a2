"""A bounded hand-over of byte blocks from the thread that receives them to the one that reads them."""

from __future__ import annotations

import threading
from collections import deque


class ClosedError(Exception):
    """The reader has gone; the sender should stop."""


class Feed:
    """Holds at most `depth` blocks. One thread puts and ends, another gets and closes."""

    def __init__(self, depth: int = 2) -> None:
        self._depth = depth
        self._blocks: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None

    def put(self, block: bytes) -> None:
        """Wait for room and hand over; raises `ClosedError` when nobody reads any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._blocks) < self._depth)
            if self._closed:
                raise ClosedError
            self._blocks.append(block)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """No more blocks, because of `error` if there is one."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def get(self, timeout: float) -> bytes | None:
        """The next block; b"" after the last; None if none came in `timeout` seconds. Raises the sender's error."""
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._ended, timeout)
            if self._blocks:
                block = self._blocks.popleft()
                self._changed.notify_all()
                return block
            if self._error is not None:
                raise self._error
            return b"" if self._ended else None

    def close(self) -> None:
        """The reader goes: drop what is there and wake the sender."""
        with self._changed:
            self._closed = True
            self._blocks.clear()
            self._changed.notify_all()
