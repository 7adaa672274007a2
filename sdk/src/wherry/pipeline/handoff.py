"""Hand-overs: rows that go to the destination in a form that both ends know, and are not read in between.

Source and destination name forms; nothing here knows what they are. A hand-over is one load: it is committed whole, by
the same commit as rows that were read, or it is given up and the split is read.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wherry.contracts.destination import Destination
from wherry.contracts.source import Source
from wherry.contracts.values import Split
from wherry.pipeline import envelope as envelopes
from wherry.pipeline.watch import TICK

if TYPE_CHECKING:
    from wherry.pipeline.prepare import Settings
    from wherry.pipeline.work import Work

WORTH = 32 << 20
"""Bytes of a stream from which on a hand-over saves more time than it takes to arrange."""


def offered(source: Source, split: Split) -> str | None:
    """The form in which a split may be handed over: only where nothing on the way needs its values."""
    if not source.run.handoffs or len(split.streams) != 1:
        return None
    wanted = split.streams[0]
    plain = wanted.mode in ("append", "replace") and not (wanted.cursor or wanted.types or wanted.stream.changes)
    if not plain or wanted.limit is not None:
        return None
    form = source.handoff(split)
    return form if form in source.run.handoffs else None


def form_of(work: Work, split: Split, source: Source) -> str | None:
    """The form in which this attempt at a split is handed over; None: it is read."""
    begun = envelopes.open_(work.envelope(split)).get("begun")
    alone = all(work.alone(s.stream.path) for s in split.streams) and not work.plan.ordered
    if begun or not alone or split.key in work.refused:
        return None
    return offered(source, split)


@contextmanager
def interruptible(stop: threading.Event, interrupt: Callable[[], None]) -> Iterator[None]:
    """While the body waits for one long statement, a thread calls `interrupt` once the run is to stop."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(TICK):
            if stop.is_set():
                with contextlib.suppress(Exception):
                    interrupt()

    thread = threading.Thread(target=watch, name="interrupt", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def handoffs(destination: Destination, settings: Settings) -> dict[str, Any]:
    """What `Run` says of hand-overs."""
    if settings.handoff is False:
        return {}
    forms = frozenset(destination.capabilities.handoffs)
    return {"handoffs": forms, "least_handoff": 0 if settings.handoff else WORTH}
