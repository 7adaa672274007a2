"""A run's events as JSON, one object a line: what `--json` prints and what the run log keeps.

`events.schema.json` beside this file describes every line.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import IO, Any

from wherry.config.redact import Redactor
from wherry.errors import WherryError
from wherry.hookspecs import hookimpl


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


class Recorder:
    """Turns events into lines and hands them to `put`. Secrets are masked; a line holds one JSON object."""

    def __init__(self, redactor: Redactor | None = None, clock: Callable[[], datetime] = now) -> None:
        self._redactor = redactor or Redactor()
        self._clock = clock

    def put(self, event: str, line: str) -> None:
        """Keep one line, given without its end."""
        raise AttributeError(event)

    @hookimpl
    def run_started(
        self, run: int | None, pipeline: str, source: str, destination: str, schema: str, streams: list[dict[str, Any]]
    ) -> None:
        self._record(
            "run_started", run=run, pipeline=pipeline, source=source, destination=destination, schema=schema,
            streams=streams,
        )  # fmt: skip

    @hookimpl
    def batch_loaded(self, stream: str, rows: int, bytes: int) -> None:
        self._record("batch_loaded", stream=stream, rows=rows, bytes=bytes)

    @hookimpl
    def load_aborted(self, stream: str, rows: int) -> None:
        self._record("load_aborted", stream=stream, rows=rows)

    @hookimpl
    def load_committed(self, stream: str, load_id: int, counts: Mapping[str, int], bookmark: Any) -> None:
        self._record("load_committed", stream=stream, load_id=load_id, counts=counts, bookmark=bookmark)

    @hookimpl
    def schema_changed(
        self, stream: str, table: str, added: Mapping[str, str], widened: Mapping[str, tuple[str, str]]
    ) -> None:
        self._record("schema_changed", stream=stream, table=table, added=added, widened=widened)

    @hookimpl
    def rows_rejected(self, stream: str, rows: int, column: str, reason: str) -> None:
        self._record("rows_rejected", stream=stream, rows=rows, column=column, reason=reason)

    @hookimpl
    def stream_finished(
        self, stream: str, table: str, outcome: str, counts: Mapping[str, int], seconds: float,
        error: Mapping[str, Any] | None,
    ) -> None:  # fmt: skip
        self._record(
            "stream_finished", stream=stream, table=table, outcome=outcome, counts=counts, seconds=seconds, error=error
        )

    @hookimpl
    def waiting(self, seconds: float, side: str, what: str) -> None:
        self._record("waiting", seconds=seconds, side=side, what=what)

    @hookimpl
    def stalled(self, seconds: float, side: str, what: str, stacks: list[str]) -> None:
        self._record("stalled", seconds=seconds, side=side, what=what, stacks=stacks)

    @hookimpl
    def message(self, level: str, text: str) -> None:
        self._record("message", level=level, text=text)

    @hookimpl
    def run_finished(
        self, run: int | None, outcome: str, exit_code: int, seconds: float, totals: Mapping[str, int]
    ) -> None:
        self._record("run_finished", run=run, outcome=outcome, exit_code=exit_code, seconds=seconds, totals=totals)

    def error(self, error: WherryError, code: int | None = None) -> None:
        """The last line of a command that failed. code: the exit code, if it is not the error's own."""
        self._record(
            "error", code=error.exit_code if code is None else code, type=type(error).__name__, message=error.message,
            where=error.where, next=error.next,
        )  # fmt: skip

    def _record(self, event: str, **fields: Any) -> None:
        shown = self._redactor.json(_plain(fields))
        time = self._clock().isoformat(timespec="microseconds").replace("+00:00", "Z")
        self.put(event, json.dumps({"event": event, "time": time, **shown}))


class JsonWriter(Recorder):
    """Prints events on a stream, usually standard output, each as soon as it happens."""

    def __init__(self, stream: IO[str], redactor: Redactor | None = None, clock: Callable[[], datetime] = now) -> None:
        super().__init__(redactor, clock)
        self._stream = stream
        self._lock = threading.Lock()
        self._gone = False
        self.failed: OSError | None = None
        """Why not all lines could be written; a reader that went away is none."""

    def put(self, event: str, line: str) -> None:
        """Print one line. Neither a reader that has gone away nor a full disk ends the run."""
        with self._lock:
            if self._gone:
                return
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except BrokenPipeError:
                self._gone = True
            except OSError as error:
                self._gone, self.failed = True, error


def _plain(value: Any) -> Any:
    """The value as JSON has it: mappings and sequences of any kind, numbers that are not finite as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
