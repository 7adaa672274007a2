"""What came of a run: per stream and as a whole, with the exit code that follows."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from wherry.errors import LaterError, LeaseError, Stopped, WherryError
from wherry.pipeline.select import Choice

NUMBERS = ("read", "boundary", "mapped", "rejected", "staged", "inserted", "updated", "deleted", "bytes")


@dataclass(slots=True, kw_only=True)
class StreamOutcome:
    """One stream of a run. schema: where its table is. outcome: "waiting", "committed", "unchanged", "failed",
    "stopped"."""

    stream: str
    table: str
    mode: str
    cursor: str | None = None
    schema: str = ""
    key: tuple[str, ...] = ()
    outcome: str = "waiting"
    error: WherryError | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NUMBERS, 0))
    began: float | None = None
    seconds: float = 0
    windows: list[tuple[str | None, str | None]] = field(default_factory=list)
    """Of each split that was read by a cursor: highest value before (None: the first time) and now."""
    notes: tuple[str, ...] = ()
    """What the source said of it when the run was planned, one line each."""
    aside: bool = False
    """It failed or was stopped while its table was made anew: what was loaded is not in the table that readers see."""
    handed: str | None = None
    """The form in which its rows were handed over; None: they were read."""
    kept: str | None = None
    """Of a stream that failed: the cursor's value at which its bookmark stands."""

    def add(self, counts: dict[str, int]) -> None:
        """Add one load's numbers."""
        for name, number in counts.items():
            self.counts[name] += number

    def begin(self) -> None:
        """Its first split is taken up; later calls change nothing."""
        self.began = time.monotonic() if self.began is None else self.began

    def finish(self, outcome: str, error: WherryError | None = None) -> None:
        """The stream is over."""
        self.outcome, self.error = outcome, error
        self.seconds = 0 if self.began is None else time.monotonic() - self.began


@dataclass(slots=True, kw_only=True)
class Outcome:
    """A whole run. run: its number; None when the destination was never reached. choices: what was settled for each
    stream."""

    run: int | None
    pipeline: str
    schema: str
    streams: list[StreamOutcome]
    seconds: float
    signal: int | None = None
    limit: float | None = None
    """Seconds after which the run was to stop, if it was stopped for that."""
    left: bool = False
    """Threads were left in calls that do not return: the process has to end without waiting for them."""
    choices: list[Choice] = field(default_factory=list)

    @property
    def failed(self) -> list[StreamOutcome]:
        """Streams that failed."""
        return [s for s in self.streams if s.outcome == "failed"]

    @property
    def stopped(self) -> bool:
        """Whether it ended before all was done."""
        return self.signal is not None or any(s.outcome == "stopped" for s in self.streams)

    @property
    def exit_code(self) -> int:
        """0 only when everything asked for is committed; see the table of exit codes."""
        if not self.failed and self.signal is not None:
            return 128 + self.signal
        if not self.failed:
            return LaterError.exit_code if self.stopped else 0
        codes = sorted(_code(s.error) for s in self.failed)
        if LeaseError.exit_code in codes:  # taken over: nothing of this run may go on
            return LeaseError.exit_code
        if len(self.streams) > 1 and any(s.outcome in ("committed", "unchanged") for s in self.streams):
            return 5
        return codes[0]

    @property
    def word(self) -> str:
        """ "ok", "failed" or "stopped"."""
        if self.failed:
            return "failed"
        return "stopped" if self.stopped else "ok"

    def totals(self) -> dict[str, int]:
        """Numbers summed over the streams."""
        return {name: sum(s.counts[name] for s in self.streams) for name in NUMBERS}


def _code(error: WherryError | None) -> int:
    if error is None or isinstance(error, Stopped):
        return 1
    return error.exit_code
