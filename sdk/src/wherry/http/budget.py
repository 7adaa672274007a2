"""What all lanes of a run together may ask of one host: so many requests, so many at once, and none while it rests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from wherry.contracts.source import Run
from wherry.errors import SourceError, WherryError
from wherry.http import waits
from wherry.http.models import RateLimit
from wherry.http.waits import Clock

_TICK = 0.02
"""Seconds between two looks for a place among those who ask at once."""
CONTACTS = 5
"""Tries to reach a host that has never answered: its name may be mistyped."""
_OWN = "rate_limit"
LOST = 3
"""Requests given up in a row after which it is the host that is taken for ill, not a path."""


@dataclass(slots=True)
class Asked:
    """A request. seen: the latest moment at which the server may have counted it: its answer's, if that came soon."""

    seen: float
    began: float


class Budget:
    """One host, for all lanes. A failing host is asked by one lane at a time, with growing pauses that all keep.

    After a request that was given up the next one has a single try; after some of them nobody waits for the host any
    more: it is asked once in each pause.
    """

    def __init__(self, host: str, limit: RateLimit | None, clock: Clock) -> None:
        self._host = host
        self._limit = limit or RateLimit()
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: list[Asked] = []
        self._active: set[int] = set()
        self._open_at = 0.0
        self._why = ""
        self._left: int | None = None
        self._window: str | None = None
        self._full_at = 0.0
        self._failures = 0
        self._failing_since: float | None = None
        self._failed_at = 0.0
        self._reason = ""
        self._reached = False
        self._lost = 0

    @contextmanager
    def place(self, run: Run, most: float) -> Iterator[Asked]:
        """Wait until a request may be sent; it counts as under way in the body.

        most: `retry.max_seconds`. LaterError: the wait would be longer. SourceError: nobody waits for it any more.
        """
        asked = self._enter(run, most)
        try:
            yield asked
        finally:
            with self._lock:
                self._active.discard(id(asked))
                asked.seen = min(asked.seen, self._clock.now())

    def _enter(self, run: Run, most: float) -> Asked:
        while True:
            with self._lock:
                now = self._clock.now()
                wait, why = self._wait(now)
                if wait <= 0 and len(self._active) < self._room():
                    return self._begin(now)
                gone = self._gone(now) if wait > 0 else None
            if gone is not None:
                raise gone
            if wait > most:
                raise waits.too_long(self._clock, wait, most, why)
            why, usual = why or f"waiting for other requests to {self._host}", why.startswith(_OWN)
            waits.rest(run, self._clock, wait if wait > 0 else _TICK, why, usual)

    def _begin(self, now: float) -> Asked:
        if self._left is not None:
            self._left -= 1
        asked = Asked(now + self._per, now)
        if self._limit.requests is not None:
            self._asked = [other for other in self._asked if other.seen > now - self._per] + [asked]
        self._active.add(id(asked))
        return asked

    def _room(self) -> float:
        if self._failures:
            return 1
        return float("inf") if self._limit.concurrency is None else int(self._limit.concurrency)

    @property
    def _per(self) -> float:
        return waits.seconds_of(self._limit.per)

    def _wait(self, now: float) -> tuple[float, str]:
        """Seconds until another request may be sent, as far as is known, and why."""
        found = [(self._open_at - now, self._why)]
        if self._left is not None:
            if now >= self._full_at:
                self._left = None
            elif self._left <= 0:
                found.append((self._full_at - now, f"{self._host} grants no more requests"))
        if (requests := self._limit.requests) is not None:
            seen = sorted(other.seen for other in self._asked)
            if len(seen) >= int(requests):
                why = f"{_OWN} allows {requests} requests in {waits.length(self._per)}"
                found.append((seen[-int(requests)] + self._per - now, why))
        return max(found)

    def _gone(self, now: float) -> WherryError | None:
        """The failure of a host that nobody waits for any more."""
        if self._failing_since is None or self._lost < LOST:
            return None
        return SourceError(
            f"{self._host} has failed for {waits.length(now - self._failing_since)}: {self._reason}",
            next="see what is wrong there",
        )

    def answered(self, headers: Mapping[str, str]) -> None:
        """The host is well; what its answer says of its own budget holds from now on."""
        with self._lock:
            self._failures, self._failing_since, self._lost, self._reached = 0, None, 0, True
            self._heed(headers)

    def given_up(self) -> None:
        """A request was given up for good."""
        with self._lock:
            self._lost += 1

    def paused(self, seconds: float, why: str, headers: Mapping[str, str]) -> None:
        """The host asked for a pause: nobody asks it before that."""
        with self._lock:
            self._reached = True
            self._heed(headers)
            self._shut(seconds, why)

    def failed(self, asked: Asked, why: str, reached: bool) -> bool:
        """The host failed: all wait, longer each time. False: it is not to be tried again for this request.

        Failures of requests that were under way together count as one. reached: something answered.
        """
        with self._lock:
            now = self._clock.now()
            self._reached |= reached
            self._reason = why
            if self._failing_since is None:
                self._failing_since = now
            if not self._failures or asked.began >= self._failed_at:
                self._failures += 1
                self._failed_at = now
                self._shut(self._clock.pause(self._failures), why)
            return not self._lost and (self._reached or self._failures < CONTACTS)

    def _shut(self, seconds: float, why: str) -> None:
        until = self._clock.now() + seconds
        if until > self._open_at:
            self._open_at, self._why = until, why

    def _heed(self, headers: Mapping[str, str]) -> None:
        limit, wall = self._limit, self._clock.wall()
        if limit.pause_header and (pause := waits.asks_to_pause(limit, headers)):
            self._shut(self._clock.later(pause), f"{self._host} asks for a pause")
        left = waits.remaining(limit, headers) if limit.remaining_header else None
        reset = waits.until_reset(limit, headers, wall) if left is not None else None
        if left is not None and reset is not None:
            left -= max(0, len(self._active) - 1)  # others under way may not be counted yet
            window = None if limit.reset == "seconds" else headers.get((limit.reset_header or "").lower())
            if window is not None and window == self._window and self._left is not None:
                left = min(left, self._left)  # an answer that others have overtaken tells of more than there is
            self._left, self._window = left, window
            self._full_at = self._clock.now() + self._clock.later(reset)

    def heed(self, other: Budget) -> None:
        """Take over the limit of another one where there is none."""
        with self._lock:
            if self._limit == RateLimit():
                self._limit = other._limit

    def wait(self) -> float:
        """Seconds until the next request may be sent, as far as is known."""
        with self._lock:
            return max(0.0, self._wait(self._clock.now())[0])


def budget_of(run: Run, host: str, make: Callable[[], Budget]) -> Budget:
    """The budget of a host in this run, with the limit of the first who has one."""
    mine = make()
    found = run.shared.get(("http budget", host), lambda: mine)
    found.heed(mine)
    return found
