"""Whose requests these are: the read that a function's requests belong to, and what a run's requests go through.

`wherry.pages` stands in an author's function, which is given no client: the read that calls the function says here
which run it is. The conformance kit records and replays a connector's traffic through `adapter`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wherry.contracts.source import Run
from wherry.errors import SourceError

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter

    Wrap = Callable[[BaseAdapter], BaseAdapter]

_WRAP = "wherry.http.adapter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One read of one stream. name: of the connector, for messages, and under which its lanes share what they share.

    closing: functions to be called when the read is over; whoever opens something for the read adds one.
    """

    run: Run
    name: str
    stream: str
    closing: list[Callable[[], Any]]


READING: ContextVar[Reading] = ContextVar("wherry reading")
"""Set around each step of a function that is read as a stream, and nowhere else."""


def reading() -> Reading:
    """The read that this code is called by; `SourceError` where there is none."""
    found = READING.get(None)
    if found is None:
        raise SourceError(
            "wherry.pages was called outside a read", next="call it in a function that @wherry.stream decorates"
        )
    return found


def adapter(run: Run, own: BaseAdapter) -> BaseAdapter:
    """What a session's requests go through: `own`, unless this run's traffic is recorded or replayed."""
    wrap: Wrap | None = run.shared.get(_WRAP, lambda: None)
    return own if wrap is None else wrap(own)


def send_through(run: Run, wrap: Wrap) -> None:
    """From now on all requests of the run go through what `wrap` makes of each session's own adapter."""
    run.shared.get(_WRAP, lambda: wrap)
