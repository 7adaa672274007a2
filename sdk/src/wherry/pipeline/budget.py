"""One byte budget for all lanes: a reader waits here when the writers are behind."""

from __future__ import annotations

import threading


class Budget:
    """`total` bytes shared by `lanes` lanes, each sure of an equal minimum share, so that none starves."""

    def __init__(self, total: int, lanes: int):
        self.total = total
        self.share = max(1, total // (2 * max(1, lanes)))
        self._free = total
        self._held: dict[object, int] = {}
        self._changed = threading.Condition()

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
            self._held[lane] = self._held.get(lane, 0) + size
            return True

    def release(self, lane: object, size: int) -> None:
        """Give bytes back."""
        with self._changed:
            self._free += size
            self._held[lane] -= size
            self._changed.notify_all()

    def _fits(self, lane: object, size: int) -> bool:
        held = self._held.get(lane, 0)
        return held == 0 or self._free >= size or held + size <= self.share
