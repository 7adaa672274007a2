"""Waiting: what a server asks for in its headers, how long is waited without being told, and when that is too long."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from wherry.contracts.source import Run
from wherry.errors import LaterError, Stopped
from wherry.http.models import RateLimit

FIRST, LONGEST = 0.5, 30.0
"""Seconds of the first pause after a failure, and of the longest: each is twice the one before, less up to a half."""
SPOKEN = 5.0
"""Seconds of a wait of which people are told."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as the client sees it. wait: whether the event was set within so many seconds. chance: from 0 to 1."""

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    wait: Callable[[threading.Event, float], bool] = lambda event, seconds: event.wait(seconds)
    chance: Callable[[], float] = random.random

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, from 1."""
        longest = min(LONGEST, FIRST * 2 ** min(failures - 1, 10))
        return float(longest * (1 - self.chance() / 2))

    def later(self, seconds: float) -> float:
        """A wait that the server asked for, never shorter: so that not all who wait come at once."""
        return seconds + min(1.0, 0.1 * seconds) * self.chance()

    def moment(self, seconds: float) -> str:
        """When that is, for people: UTC."""
        try:
            return datetime.fromtimestamp(self.wall() + seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        except (OverflowError, ValueError, OSError):
            return "the year 9999"


def rest(run: Run, clock: Clock, seconds: float, why: str, usual: bool = False) -> None:
    """Wait; `Stopped` when the run is to stop meanwhile. why: what for, as people should read it. usual: no news."""
    if seconds >= SPOKEN and not usual:
        run.log.warning("%s: going on in %s", why, length(seconds))
    with run.resting(why, seconds):
        if clock.wait(run.stop, seconds):
            raise Stopped


def asked_for(headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds that `Retry-After` asks for: a number, or a date by the server's own clock if it tells; None: nothing.

    What is past, or negative, is 0. What cannot be read counts as not said. wall: our clock.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None:
        return max(0.0, seconds)
    moment = _date(text)
    return None if moment is None else max(0.0, moment - server_time(headers, wall))


def until_reset(limit: RateLimit, headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds until the server's own budget is full again, as its header says; None: it does not."""
    text = headers.get((limit.reset_header or "").lower(), "").strip()
    if not text:
        return None
    number = _number(text)
    if limit.reset == "seconds":
        return None if number is None else max(0.0, number)
    moment = number if limit.reset == "epoch_s" else _iso(text)
    return None if moment is None else max(0.0, moment - server_time(headers, wall))


def asks_to_pause(limit: RateLimit, headers: Mapping[str, str]) -> float:
    """Seconds that `pause_header` asks for now; 0: none."""
    seconds = _number(headers.get((limit.pause_header or "").lower(), "").strip())
    return max(0.0, seconds or 0.0)


def remaining(limit: RateLimit, headers: Mapping[str, str]) -> int | None:
    """Requests that the server still grants, as its header says."""
    number = _number(headers.get((limit.remaining_header or "").lower(), "").strip())
    return None if number is None else max(0, int(number))


def server_time(headers: Mapping[str, str], wall: float) -> float:
    """Seconds since 1970 by the server's clock, else by ours: a date it gives us is meant by its own."""
    moment = _date(headers.get("date", ""))
    return wall if moment is None else moment


def too_long(clock: Clock, seconds: float, most: float, why: str) -> LaterError:
    """A wait that would outlast the patience: nothing is asked for before its time."""
    return LaterError(
        f"{why}: it may be asked again in {length(seconds)}, at {clock.moment(seconds)}, and retry.max_seconds is "
        f"{most:g}",
        next=f"run it again after {clock.moment(seconds)}: it goes on from there",
    )  # fmt: skip


def length(seconds: float) -> str:
    """For people: 0.4 s, 12 s, 3 min, 5 h, 10 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _number(text: str) -> float | None:
    try:
        found = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _iso(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def seconds_of(duration: str | float) -> float:
    """Seconds of a `Duration`."""
    if not isinstance(duration, str):
        return float(duration)
    number = duration.rstrip("msdhw ")
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
    return float(number) * units[duration[len(number) :].strip()]
