"""The progress view: drawn anew on a terminal, line by line elsewhere. An observer of the run like any other."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from wherry.cli import figures, layout
from wherry.cli.style import Line, look, write
from wherry.cli.table import clean
from wherry.cli.tally import Stream, Tally
from wherry.config.redact import Redactor
from wherry.hookspecs import hookimpl

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

FEW = 20
"""Up to so many streams, each that has nothing new gets a line of its own."""
MEASURED = 40
"""Streams that set the widths of columns: measuring ten thousand at every turn would take a processor."""
HEARTBEAT = 10.0
"""Seconds between signs of life where nothing can be drawn anew."""


class Progress:
    """Shows a run on a stream, usually standard error. Its methods may be called from any thread.

    live: draw lines anew (a terminal).  width: cells of a line; None: as wide as the terminal is, or no limit.
    """

    def __init__(
        self, stream: IO[str], *, color: bool = False, width: int | None = None, live: bool = False,
        redactor: Redactor | None = None, clock: Callable[[], float] = time.monotonic, heartbeat: float = HEARTBEAT,
    ) -> None:  # fmt: skip
        self._tally = Tally(clock)
        self._lock = threading.RLock()
        self._redactor = redactor or Redactor()
        self._rejects: set[tuple[str, str]] = set()
        self._opening = ""
        self._screen: _Live | _Lines = (
            _Live(stream, color, width, self.picture) if live else _Lines(stream, color, width, self._beat, heartbeat)
        )

    @classmethod
    def on(cls, stream: IO[str], redactor: Redactor | None = None) -> Progress:
        """As this stream and the environment allow."""
        seen = look(stream)
        width = None if seen.live else seen.width
        return cls(stream, color=seen.color, width=width, live=seen.live, redactor=redactor)

    def opening(self, text: str) -> None:
        """Say what goes on before the plan is made: it may take a while to connect, or to wait for another run."""
        with self._lock:
            self._tally.began, self._opening = self._tally.clock(), clean(self._redactor.redact(text))
        self._screen.start()

    @hookimpl
    def run_started(
        self, run: int | None, pipeline: str, source: str, destination: str, schema: str, streams: list[dict[str, Any]]
    ) -> None:
        with self._lock:
            self._opening = ""
            self._tally.start(self._redactor.json(streams))
        hide = self._redactor.redact
        self._print(*layout.header(hide(source), hide(destination), hide(schema), hide(pipeline), self._screen.width))
        for note in (note for told in streams for note in told["notes"]):
            self.message("warning", note)
        self._screen.start()

    @hookimpl
    def batch_loaded(self, stream: str, rows: int, bytes: int) -> None:
        with self._lock:
            self._tally.loaded(self._redactor.redact(stream), rows, bytes)

    @hookimpl
    def load_aborted(self, stream: str, rows: int) -> None:
        with self._lock:
            self._tally.aborted(self._redactor.redact(stream), rows)

    @hookimpl
    def load_committed(self, stream: str, counts: Mapping[str, int]) -> None:
        with self._lock:
            self._tally.committed(self._redactor.redact(stream), counts)

    @hookimpl
    def schema_changed(self, stream: str, added: Mapping[str, str], widened: Mapping[str, tuple[str, str]]) -> None:
        parts = [f"new column {name} ({kind})" for name, kind in added.items()]
        parts += [f"column {name} is now {new}, was {old}" for name, (old, new) in widened.items()]
        more = f" and {len(parts) - 5} more" if len(parts) > 5 else ""
        self.message("warning", f"{stream}: " + ", ".join(parts[:5]) + more)

    @hookimpl
    def rows_rejected(self, stream: str, rows: int, column: str, reason: str) -> None:
        if (stream, column) in self._rejects:  # once a column: the sum follows when the stream is done
            return
        self._rejects.add((stream, column))
        what = "a row was" if rows == 1 else f"{rows:,} rows were"
        self.message("warning", f"{stream}: {what} rejected: {reason}")

    @hookimpl
    def stream_finished(
        self, stream: str, outcome: str, counts: Mapping[str, int], seconds: float, error: Mapping[str, Any] | None
    ) -> None:
        with self._lock:
            path = self._redactor.redact(stream)
            done = self._tally.finished(path, outcome, counts, seconds, self._redactor.json(error))
            line = layout.row(done, self._columns([done]), self._tally.clock())
            told = outcome == "failed" and len(self._tally.streams) == 1  # the last words say why, and what to do
        if not told and (outcome != "unchanged" or len(self._tally.streams) <= FEW):
            self._print(line)

    @hookimpl
    def waiting(self, seconds: float, side: str, what: str) -> None:
        self.message("warning", f"nothing has moved for {figures.seconds(seconds)}, waiting for the {side}: {what}")

    @hookimpl
    def stalled(self, seconds: float, side: str) -> None:
        self.message("warning", f"nothing has moved for {figures.seconds(seconds)}, waiting for the {side}: given up")

    @hookimpl
    def message(self, level: str, text: str) -> None:
        text = clean(self._redactor.redact(text))
        self._print([("! ", "warn"), (text, "")] if level == "warning" else [("  " + text, "dim")])

    @hookimpl
    def run_finished(self) -> None:
        with self._lock:
            total, unchanged = len(self._tally.streams), len(self._tally.of("unchanged"))
        if unchanged and total > FEW:
            self._print([(f"  {unchanged:,} of {total:,} streams unchanged", "dim")])
        self.close()

    def close(self) -> None:
        """Leave the stream as it was found. Called again, it does nothing."""
        self._screen.stop()

    def _print(self, *lines: Line) -> None:
        """Never with the lock held: the screen has one of its own, and asks for the picture under it."""
        self._screen.print(list(lines))

    def _columns(self, shown: list[Stream]) -> layout.Columns:
        """Columns for what is shown and for a good part of what may follow, so that they rarely move."""
        streams = [*islice(self._tally.streams.values(), MEASURED), *shown]
        return layout.columns(streams, self._screen.width, self._screen.bars)

    def picture(self, height: int) -> list[Line]:
        """What is drawn anew: streams at work, then the next ones, as many as fit, and the sum."""
        with self._lock:
            tally = self._tally
            if self._opening:
                return [layout.opening(self._opening, tally.elapsed, self._screen.width)]
            running, waiting = tally.of("running"), tally.of("waiting")
            next = waiting if len(tally.streams) <= FEW else waiting[:2]
            several = len(tally.streams) > 1 or bool(tally.of("waiting"))
            room = max(1, height - 4 - several)
            shown = [*running, *next][:room]
            fit = self._columns(shown)
            lines = [layout.row(s, fit, tally.clock()) for s in shown]
            if more := len(running) + len(waiting) - len(shown):
                lines.append([(f"  … and {more:,} more", "dim")])
            if several:
                lines.append(layout.total(list(tally.streams.values()), tally.elapsed, self._screen.width))
            return lines

    def _beat(self) -> None:
        with self._lock:
            elapsed, streams = self._tally.elapsed, list(self._tally.streams.values())
            opening = layout.opening(self._opening, elapsed, None) if self._opening else None
            line = opening or layout.heartbeat(streams, elapsed)
        self._print(line)


class _Lines:
    """A stream that only takes lines; a sign of life every few seconds."""

    bars = False

    def __init__(
        self, stream: IO[str], color: bool, width: int | None, beat: Callable[[], None], seconds: float
    ) -> None:
        self.width = width
        self._stream, self._color = stream, color
        self._beat, self._seconds = beat, seconds
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
            self._thread.start()

    def print(self, lines: list[Line]) -> None:
        write(self._stream, lines, self._color)

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self._beat()


class _Live:
    """A terminal: lines that stay scroll up, below them a picture that is drawn anew."""

    bars = True

    def __init__(self, stream: IO[str], color: bool, width: int | None, picture: Callable[[int], list[Line]]) -> None:
        from rich.console import Console

        self._picture = picture
        self._live: Live | None = None
        self._console = Console(
            file=stream, force_terminal=True, no_color=not color, color_system="standard" if color else None,
            width=width, highlight=False, markup=False, emoji=False,
        )  # fmt: skip

    @property
    def width(self) -> int:
        return self._console.size.width

    def start(self) -> None:
        from rich.live import Live

        if self._live is not None:
            return
        self._live = Live(
            get_renderable=lambda: _text(self._picture(self._console.size.height)),
            console=self._console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,  # standard output may be a file
            redirect_stderr=self._console.file is sys.stderr,
        )
        self._live.start()

    def print(self, lines: list[Line]) -> None:
        for line in lines:
            self._console.print(_text([line]))

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()


def _text(lines: list[Line]) -> Text:
    from rich.text import Text

    text = Text(end="")
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for piece, style in line:
            text.append(piece, _RICH.get(style, ""))
    return text


_RICH = {"good": "green", "bad": "red", "warn": "yellow", "dim": "dim", "accent": "cyan", "bold": "bold"}
