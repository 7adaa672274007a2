"""A clock for clients of HTTP whose hands move only when somebody waits."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from wherry.http.waits import Clock

START = 1_800_000_000.0
"""Where it starts: 2027-01-15 08:00:00 UTC."""


@dataclass
class Hands:
    """passed: seconds since the start. waited: each wait, in order."""

    passed: float = 0.0
    waited: list[float] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    @property
    def clock(self) -> Clock:
        """As the client takes it; chance is 0: a wait that was asked for is not lengthened, a pause is the longest."""
        return Clock(lambda: self.passed, lambda: START + self.passed, self._wait, lambda: 0.0)

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        if event.is_set():
            return True
        with self.lock:
            self.passed += seconds
            self.waited.append(seconds)
        return event.is_set()
