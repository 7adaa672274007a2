"""Time: what a run waits for, signs of life while nothing moves, and an end for what would hang for ever."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from wherry.errors import DestinationError, LaterError, SourceError, Stopped, WherryError
from wherry.pipeline.sides import at_destination

TICK = 0.25
"""Seconds between two looks."""
LONGEST = 600.0
"""Seconds that may pass between two signs of life, however long nothing has moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long things may take, in seconds; None: for ever.

    run: the run, which then stops at the last bookmark.  quiet: without any progress, before people are told what it
    waits for.  stall: without any progress, before the run is given up.  Once a run is to stop, for whatever reason:
    leave: before a source that yields nothing is left;  end: before lanes are left that have not ended.
    """

    run: float | None = None
    quiet: float = 10
    stall: float | None = 6 * 3600
    leave: float = 3
    end: float = 7


@dataclass(frozen=True, slots=True)
class _Wait:
    side: str
    what: str
    since: float
    until: float | None = None
    """Of a wait that the source has chosen: its end."""


class Interrupt(KeyboardInterrupt):
    """Raised in the main thread by a signal that asks the run to stop: ends what that thread waits for."""


class Watch:
    """Sees what each thread of a run waits for, from a thread of its own between `start` and `end`.

    left: threads were left in calls that do not return: the process has to end without waiting for them.
    give_up: ends the process at once; None: nobody may.  blocked: asks the destination who holds what it waits for.
    """

    def __init__(
        self, limits: Limits, events: Any, stop: threading.Event,
        give_up: Callable[[WherryError], None] | None = None,
    ) -> None:  # fmt: skip
        self.limits = limits
        self.left = False
        self.expired = False
        self.verdict: WherryError | None = None
        self.blocked: Callable[[], str] | None = None
        self._events = events
        self._stop = stop
        self._give_up = give_up
        self._began = time.monotonic()
        self._to_stop: float | None = None
        self._waits: dict[int, _Wait] = {}
        self._still = self._rested = 0.0
        self._due = limits.quiet
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()

    @contextmanager
    def waiting(self, side: str, what: str) -> Iterator[None]:
        """This thread waits for "source" or "destination" in the body; its beginning and its end are progress."""
        me = threading.get_ident()
        with self._lock:
            before = self._waits.get(me)
            self._waits[me] = _Wait(side, what, time.monotonic())
            self._still = self._rested = 0
        try:
            yield
        finally:
            with self._lock:
                self._still = self._rested = 0
                if before is None:
                    del self._waits[me]
                else:
                    self._waits[me] = before

    @contextmanager
    def resting(self, why: str, seconds: float) -> Iterator[None]:
        """A thread of a source waits on purpose for so long: people are told why, and it is no standstill."""
        me, now = threading.get_ident(), time.monotonic()
        with self._lock:
            before = self._waits.get(me)
            self._waits[me] = _Wait("source", why, now, now + seconds)
        try:
            yield
        finally:
            with self._lock:
                if before is None:
                    del self._waits[me]
                else:
                    self._waits[me] = before

    @contextmanager
    def at_destination(self, what: str) -> Iterator[None]:
        """As `waiting`, and errors that pass are marked as the destination's."""
        with self.waiting("destination", what), at_destination():
            yield

    @property
    def leaving(self) -> bool:
        """Whether a source that yields nothing is to be left now."""
        return self._stopping() >= self.limits.leave

    @property
    def ending(self) -> bool:
        """Whether lanes that have not ended are to be left now."""
        return self._stopping() >= self.limits.end

    def _stopping(self) -> float:
        """Seconds since the run is to stop; -1 while it is not."""
        if not self._stop.is_set():
            return -1
        if self._to_stop is None:
            self._to_stop = time.monotonic()
        return time.monotonic() - self._to_stop

    def _run(self) -> None:
        last = time.monotonic()
        while not self._over.wait(TICK):
            now = time.monotonic()
            self._look(min(now - last, 4 * TICK))  # a process that stood still itself has not been waiting
            last = now

    def _look(self, passed: float) -> None:
        limits = self.limits
        if limits.run is not None and time.monotonic() - self._began >= limits.run and not self._stop.is_set():
            self.expired = True
            self._events.message(level="warning", text="the time limit is reached: stopping at the last bookmark")
            self._stop.set()
        if self._stopping() >= limits.end + 2 and self._give_up is not None:
            self._give_up(self.verdict or (expired(limits.run) if self.expired else Stopped()))
        with self._lock:
            self._still += passed
            waits = sorted(self._waits.values(), key=lambda wait: (wait.until is None, wait.since))
            self._rested += passed if waits and waits[0].until is not None else 0
            still, stalled = self._still, self._still - self._rested
        if still < limits.quiet:
            self._due = limits.quiet
        if waits and still >= self._due:
            self._due = still + min(still, LONGEST)
            self._events.waiting(seconds=still, side=waits[0].side, what=waits[0].what + self._held(waits[0]))
        if waits and self.verdict is None and limits.stall is not None and stalled >= limits.stall:
            self._condemn(waits[0], stalled)

    def _held(self, wait: _Wait) -> str:
        """Who holds what is waited for, if the destination tells soon."""
        told: list[str] = []
        if wait.side == "destination" and self.blocked is not None:
            blocked = self.blocked
            within(2, lambda: told.append(blocked()))
        return f", {told[0]}" if told and told[0] else ""

    def _condemn(self, wait: _Wait, still: float) -> None:
        """Nothing will move any more: the side that is waited for has failed."""
        self.verdict = hangs(wait.side, wait.what, still)
        self._events.stalled(seconds=still, side=wait.side, what=wait.what, stacks=stacks())
        self._stop.set()


def hangs(side: str, what: str, seconds: float) -> WherryError:
    """The failure of the side that was waited for."""
    kind = SourceError if side == "source" else DestinationError
    awaited = f"the {side} {what}" if what.startswith("to ") else what
    error = kind(
        f"nothing has moved for {seconds:.0f} s while waiting for {awaited}; the run log has the stack of every thread",
        next=f"see what holds the {side}; if it only needs longer, raise --stall-timeout",
    )
    error.side = side
    return error


def expired(seconds: float | None) -> LaterError:
    """What a run is that reached its time limit."""
    return LaterError(
        f"the run reached its time limit of {seconds or 0:g} s", next="run it again: it goes on from there"
    )


def stacks() -> list[str]:
    """Where every thread is, a line a frame: files and code, no values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    told: list[str] = []
    for ident, frame in sys._current_frames().items():
        told.append(f"thread {names.get(ident, ident)}:")
        told += [
            f"  {entry.filename}:{entry.lineno} {entry.name}: {(entry.line or '').strip()}"
            for entry in traceback.extract_stack(frame)
        ]
    return told


def within(seconds: float, action: Callable[[], None]) -> bool:
    """Whether the action ended in time, on a thread of its own; what it raises is lost."""

    def run() -> None:
        try:
            action()
        except Exception:
            return

    thread = threading.Thread(target=run, name="last step", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
