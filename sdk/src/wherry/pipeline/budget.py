"""One byte budget for all lanes: a reader waits here when the writers are behind."""

from __future__ import annotations

import threading


class Budget:
    """`total` bytes shared by `lanes` lanes, each sure of an equal minimum share, so that none starves."""

    def __init__(self, total: int, lanes: int, memory: int | None = None):
        """memory: bytes that the whole run is granted, of which the budget is a part."""
        self.total = total
        self.memory = total if memory is None else memory
        self._free = total
        self._held: dict[object, int] = {}
        self._changed = threading.Condition()
        self.divide(lanes)

    def divide(self, lanes: int) -> None:
        """Between so many lanes from now on."""
        self.share = max(1, self.total // (2 * max(1, lanes)))

    def acquire(self, lane: object, size: int, stop: threading.Event) -> bool:
        """Wait until `size` bytes are the lane's; False when `stop` was set meanwhile.

        A batch larger than the whole budget passes when the lane holds nothing else.
        """
        with self._changed:
            while not self._fits(lane, size):
                if stop.is_set():
                    return False
                self._changed.wait(0.2)
            self._free -= size
            if size:
                self._held[lane] = self._held.get(lane, 0) + size
            return True

    def release(self, lane: object, size: int) -> None:
        """Give bytes back."""
        with self._changed:
            self._free += size
            left = self._held.pop(lane, 0) - size
            if left > 0:
                self._held[lane] = left
            self._changed.notify_all()

    def _fits(self, lane: object, size: int) -> bool:
        held = self._held.get(lane, 0)
        return held == 0 or self._free >= size or held + size <= self.share
