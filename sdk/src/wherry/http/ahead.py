"""Pages fetched ahead: an iterator runs on a thread of its own, as far as the bytes in hand allow."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """The items of `source`, made on a thread while earlier ones are used. Close it, also after an error.

    size: bytes of an item.  room: bytes that may wait; one item may always wait, however large.
    """

    def __init__(self, source: Iterator[T], size: Callable[[T], int], room: int, name: str) -> None:
        self._source, self._size, self._room = source, size, room
        self._items: deque[tuple[T, int]] = deque()
        self._held = 0
        self._over = self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"ahead: {name}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        """The next item; what the source raised, where it raised it."""
        with self._changed:
            while not self._items and not self._over:
                self._changed.wait()
            if self._items:
                item, size = self._items.popleft()
                self._held -= size
                self._changed.notify_all()
                return item
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise StopIteration

    def ready(self, until: float = 0.0) -> bool:
        """Whether the next item is there, or comes until then (seconds of the monotonic clock)."""
        with self._changed:
            while not self._items and not self._over and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return bool(self._items)

    def close(self) -> None:
        """Stop making items; returns when the thread has ended, or is busy with a last request."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            for item in self._source:
                size = self._size(item)
                with self._changed:
                    while self._items and self._held + size > self._room and not self._closed:
                        self._changed.wait()
                    if self._closed:
                        return
                    self._items.append((item, size))
                    self._held += size
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            close = getattr(self._source, "close", None)
            if close is not None:
                with contextlib.suppress(Exception):
                    close()
            with self._changed:
                self._over = True
                self._changed.notify_all()
