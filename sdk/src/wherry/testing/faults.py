"""Fault switches: a value that a test shares with connectors, to make them fail, hang or crawl at a named point."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

Action = Exception | Callable[[threading.Event], object]
"""An exception to raise, or what to do with the stop event in hand: see `hang` and `slow`."""


@dataclass
class Faults:
    """`faults.arm("read", TransientError("..."), at=3)` makes the third read fail, and every other one pass.

    points of a source: check, discover, plan, read (before each item, counted over all splits and instances), hand over
    (before each piece).
    points of a destination: open, start, prepare, write, take, before commit, after commit (the rows are in, the answer
    is lost: in doubt), before publish, after publish.
    """

    seen: Counter[str] = field(default_factory=Counter)
    """How often each point was passed."""
    _armed: dict[str, list[tuple[range, Action]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, point: str, action: Action, *, at: int = 1, times: int = 1) -> Faults:
        """Do `action` at the `at`-th to the `at + times - 1`-th passing of the point, counted from now on."""
        with self._lock:
            first = self.seen[point] + at
            self._armed.setdefault(point, []).append((range(first, first + times), action))
        return self

    def hit(self, point: str, stop: threading.Event | None = None) -> None:
        """Called by the connector at the point."""
        with self._lock:
            self.seen[point] += 1
            count = self.seen[point]
            actions = [action for when, action in self._armed.get(point, ()) if count in when]
        for action in actions:
            if isinstance(action, Exception):
                raise action
            action(stop or threading.Event())


def hang(stop: threading.Event) -> None:
    """Do nothing until the run is told to stop."""
    stop.wait()


def slow(seconds: float) -> Callable[[threading.Event], object]:
    """An action that takes its time."""
    return lambda stop: stop.wait(seconds)
