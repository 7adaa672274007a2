"""Run a sync in this process, from values: for tests of connectors and of the pipeline itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from wherry.contracts.destination import Destination
from wherry.contracts.source import Source
from wherry.host.hooks import Events, Observer
from wherry.pipeline.outcome import Outcome
from wherry.pipeline.prepare import Settings, name_run
from wherry.pipeline.run import sync
from wherry.pipeline.select import Wish, Wishes


def run_sync(
    new_source: Callable[[], Source],
    destination: Destination,
    *,
    wish: Wish | None = None,
    wishes: Wishes | None = None,
    observers: tuple[Observer, ...] = (),
    stop: threading.Event | None = None,
    connector: str = "memory",
    full_refresh: bool = False,
    **settings: Any,
) -> Outcome:
    """One run, as `wherry sync` does it. wish: for every stream; settings: other fields of `Settings`."""
    settings = {"wishes": wishes or Wishes(common=wish or Wish(), full_refresh=full_refresh), **settings}
    made = Settings(**settings)
    source = new_source()
    names = name_run(source, connector, destination, made)
    events = Events(observers)
    labels = {"source": f"{connector} {source.identity()[1]}", "destination": destination.label()}
    outcome: Outcome | None = None
    try:
        outcome = sync(
            new_source, destination, names=names, settings=made, events=events,
            stop=stop or threading.Event(), labels=labels,
        )  # fmt: skip
        return outcome
    finally:
        _finished(events, outcome)
        events.close()


def _finished(events: Events, outcome: Outcome | None) -> None:
    if outcome is None:
        events.run_finished(run=None, outcome="failed", exit_code=1, seconds=0.0, totals={})
        return
    events.run_finished(
        run=outcome.run, outcome=outcome.word, exit_code=outcome.exit_code, seconds=outcome.seconds,
        totals=outcome.totals(),
    )  # fmt: skip
