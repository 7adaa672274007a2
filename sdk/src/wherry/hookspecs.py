"""Hooks: what a plugin may observe of a run. Progress view, `--json` writer and run log stand on these same specs.

A hook runs on the host's own event thread, never between a batch and its commit; one that raises or sleeps is
contained and reported. Arguments are plain values; take only those you need, by name. A plugin is a module listed
under the entry-point group `wherry.hooks`, its functions marked with `wherry.hookimpl`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("wherry")
hookimpl = pluggy.HookimplMarker("wherry")


@hookspec
def run_started(
    run: int | None, pipeline: str, source: str, destination: str, schema: str, streams: list[dict[str, Any]]
) -> None:
    """The plan is made. schema: of the tables.

    streams: objects with stream, schema, table, mode, key, cursor, row_estimate (of rows this run will read; None when
    only changes are read, or nobody knows), notes.
    """


@hookspec
def batch_loaded(stream: str, rows: int, bytes: int) -> None:
    """Rows were handed to the destination; not yet committed. No rows: a hand-over began, which counts them later."""


@hookspec
def load_aborted(stream: str, rows: int) -> None:
    """Rows handed over will not be committed: they are read again, in this run or the next."""


@hookspec
def load_committed(stream: str, load_id: int, counts: Mapping[str, int], bookmark: Any) -> None:
    """One stream's share of a commit. counts: read, boundary, mapped, rejected, staged, inserted, updated, deleted,
    bytes."""


@hookspec
def schema_changed(stream: str, table: str, added: Mapping[str, str], widened: Mapping[str, tuple[str, str]]) -> None:
    """A table's columns changed in mid-run. added: column -> type. widened: column -> (old, new)."""


@hookspec
def rows_rejected(stream: str, rows: int, column: str, reason: str) -> None:
    """Rows went to `<table>__rejected`."""


@hookspec
def stream_finished(
    stream: str,
    table: str,
    outcome: str,
    counts: Mapping[str, int],
    seconds: float,
    error: Mapping[str, Any] | None,
) -> None:
    """outcome: "committed", "unchanged", "failed", "stopped". error: why it failed, as `WherryError.to_json` has it."""


@hookspec
def waiting(seconds: float, side: str, what: str) -> None:
    """A sign of life: nothing has moved for so many seconds. side: "source" or "destination". what: is waited for."""


@hookspec
def stalled(seconds: float, side: str, what: str, stacks: list[str]) -> None:
    """Nothing has moved for so long that the run is given up. stacks: where each thread is, a line a frame."""


@hookspec
def message(level: str, text: str) -> None:
    """A line for people. level: "info", "warning"."""


@hookspec
def run_finished(run: int | None, outcome: str, exit_code: int, seconds: float, totals: Mapping[str, int]) -> None:
    """The run is over, whatever its outcome: "ok", "failed", "stopped"."""
