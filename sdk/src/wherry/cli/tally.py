"""What a run has done so far, stream by stream, added up from its events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Stream:
    """One stream. committed, pending: rows; pending ones were handed over and are not safe yet.

    state: "waiting", "running", or the outcome. estimate: rows to expect, None: unknown.
    """

    name: str
    table: str = ""
    mode: str = ""
    estimate: int | None = None
    state: str = "waiting"
    committed: int = 0
    pending: int = 0
    bytes: int = 0
    pending_bytes: int = 0
    boundary: int = 0
    rejected: int = 0
    began: float = 0
    seconds: float = 0
    error: str = ""

    @property
    def done(self) -> bool:
        """Whether it is over, one way or the other."""
        return self.state not in ("waiting", "running")

    @property
    def rows(self) -> int:
        """Rows on either side of the commit."""
        return self.committed + self.pending

    @property
    def size(self) -> int:
        """Bytes on either side of the commit."""
        return self.bytes + self.pending_bytes

    def settle(self, rows: int) -> None:
        """So many pending rows are committed, or will never be."""
        left = max(0, self.pending - rows)
        self.pending_bytes = self.pending_bytes * left // self.pending if self.pending else 0
        self.pending = left


@dataclass(slots=True)
class Tally:
    """A run: its streams by path, in the order in which they were announced or appeared."""

    clock: Callable[[], float] = time.monotonic
    began: float = 0
    streams: dict[str, Stream] = field(default_factory=dict)

    def start(self, streams: list[dict[str, Any]]) -> None:
        """The plan is known."""
        self.began = self.clock()
        for told in streams:
            self.streams[told["stream"]] = Stream(
                told["stream"], f"{told['schema']}.{told['table']}", told["mode"], told["row_estimate"]
            )

    def loaded(self, path: str, rows: int, bytes: int) -> Stream:
        """Rows were handed over."""
        stream = self._running(path)
        stream.pending += rows
        stream.pending_bytes += bytes
        return stream

    def aborted(self, path: str, rows: int) -> None:
        """Rows that were handed over are not wanted any more."""
        self._running(path).settle(rows)

    def committed(self, path: str, counts: Mapping[str, int]) -> None:
        """Rows are safe. What goes to a stream's table of rejected rows is counted with the stream itself."""
        if path not in self.streams and path.endswith("__rejected"):
            return
        stream = self._running(path)
        stream.committed += counts["staged"]
        stream.bytes += counts["bytes"]
        stream.settle(counts["mapped"] - counts["rejected"])

    def finished(
        self, path: str, outcome: str, counts: Mapping[str, int], seconds: float, error: Mapping[str, Any] | None
    ) -> Stream:
        """The stream is over: its numbers are those of the outcome."""
        stream = self.streams.setdefault(path, Stream(path))
        stream.state, stream.seconds = outcome, seconds
        stream.committed, stream.bytes = counts["staged"], counts["bytes"]
        stream.boundary, stream.rejected = counts["boundary"], counts["rejected"]
        stream.pending = stream.pending_bytes = 0
        stream.error = str(error["message"]) if error else ""
        return stream

    def of(self, *states: str) -> list[Stream]:
        """The streams in one of these states."""
        return [stream for stream in self.streams.values() if stream.state in states]

    @property
    def elapsed(self) -> float:
        """Seconds since the plan was known."""
        return self.clock() - self.began

    def _running(self, path: str) -> Stream:
        stream = self.streams.setdefault(path, Stream(path))
        if stream.state != "running":  # also after its end: a plan may ask to go on
            stream.state, stream.began = "running", self.clock()
        return stream
