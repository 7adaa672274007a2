"""One byte budget for all lanes: a reader waits here when the writers are behind."""

from __future__ import annotations

import re
import threading

from wherry.errors import UsageError

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*$", re.I)


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


def parse_size(text: str) -> int:
    """Bytes from "256MB", "1GiB", "64k" (powers of 1024 throughout)."""
    match = _SIZE.match(text)
    if not match:
        raise UsageError(f"memory: {text!r} is not a size", next="write it like 256MB or 1GB")
    number, unit, _ = match.groups()
    return int(float(number) * 1024 ** " kmgt".index(unit.lower() or " "))


def show_size(size: float) -> str:
    """Bytes for people: "612 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("bytes", "kB", "MB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
