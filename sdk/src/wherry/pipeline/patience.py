"""What may pass by itself is tried again: how long, how often, and what is said of it meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from wherry.errors import Stopped, TransientError
from wherry.pipeline.sides import given_up

T = TypeVar("T")
QUIET = 5.0
"""Seconds that a first contact may take again and again before anything is said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long transient errors are borne without any progress. contacts: tries at the start to reach a host."""

    attempts: int = 9
    seconds: float = 120
    longest_wait: float = 30
    contacts: int = 5


class Tries:
    """The tries of one piece of work, with growing, jittered waits between them. count: those that have failed."""

    def __init__(self, patience: Patience, events: Any, stop: threading.Event, quiet: float = 0) -> None:
        self._patience = patience
        self._events = events
        self._stop = stop
        self._quiet = quiet
        self._waits: Generator[float, Any, None] | None
        self.progressed()
        self.count = 0

    def progressed(self) -> None:
        """Something was achieved since the last failure, which counts as the first again."""
        self.count, self._began, self._waits = 1, time.monotonic(), None

    def again(self, error: TransientError, attempts: int | None = None) -> bool:
        """Wait before trying again; False when the run was stopped meanwhile. Raises when the patience is over."""
        import backoff  # with asyncio behind it, which a run without failures may do without

        self.count += 1
        if self._waits is None:
            self._waits = backoff.expo(factor=0.2, max_value=self._patience.longest_wait)
            next(self._waits)
        wait = max(error.retry_after or 0, backoff.full_jitter(next(self._waits)))
        passed = time.monotonic() + wait - self._began
        if self.count >= (attempts or self._patience.attempts) or passed > self._patience.seconds:
            raise given_up(error, f" (tried {self.count} times)") from error
        if passed > self._quiet:
            self._events.message(level="warning", text=f"{error.message}; trying again in {wait:.1f} s")
        return not self._stop.wait(wait)


def patiently(
    step: Callable[[], T], side: Callable[[], AbstractContextManager[None]], patience: Patience, events: Any,
    stop: threading.Event,
) -> T:  # fmt: skip
    """What the step returns, at last; for what a run does before there are lanes. side: marks errors as one side's.

    A host that is not there may be mistyped (the error's key says host): then a few tries have to do.
    """
    tries = Tries(patience, events, stop, QUIET)
    while True:
        try:
            with side():
                return step()
        except TransientError as error:
            if not tries.again(error, min(patience.contacts, patience.attempts) if error.key == "host" else None):
                raise Stopped from error
