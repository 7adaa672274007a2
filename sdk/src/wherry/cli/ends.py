"""Opening and closing connectors around one command that is no run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from wherry.cli.connect import End, new_destination, open_source
from wherry.cli.table import clean
from wherry.errors import DestinationError, LeaseError, TransientError, UsageError, WherryError

if TYPE_CHECKING:
    from wherry.contracts.destination import Session
    from wherry.contracts.source import Source
    from wherry.contracts.values import Stream
    from wherry.pipeline.select import Wishes


@contextmanager
def reading(end: End) -> Iterator[Source]:
    """A source for this thread, stopped and closed at the end. What it raises belongs under `end.errors()`."""
    source = open_source(end)
    try:
        yield source
    finally:
        source.run.stop.set()
        source.close()


@contextmanager
def errors_of(end: End) -> Iterator[None]:
    """As `End.errors`; what might pass by itself counts as the destination's failure when it is one's."""
    try:
        yield
    except WherryError as error:
        cause: BaseException | None = error.__cause__
        if isinstance(error, LeaseError) and not _waits():
            error.next = "run this again when that has ended"
        if end.kind == "destination" and isinstance(error, TransientError):
            cause, error = error, DestinationError(error.message, key=error.key, next=error.next, where=error.where)
        raise end.explain(error) from cause


def _waits() -> bool:
    """Whether the command at hand has the option --wait."""
    context = click.get_current_context(silent=True)
    return context is None or any(param.name == "wait" for param in context.command.params)


@contextmanager
def holding(end: End, pipeline: str, schema: str, *, read_only: bool = True, wait: float = 0) -> Iterator[Session]:
    """A session of the destination, closed at the end. What it raises in the body belongs under `errors_of(end)`."""
    destination = new_destination(end)
    destination.tell = lambda text: click.echo(f"! {clean(text)}", err=True)
    with errors_of(end):
        session = destination.open(pipeline, schema=schema, read_only=read_only, wait=wait)
    try:
        yield session
    except BaseException:
        session.close("failed")
        raise
    with errors_of(end):
        session.close()


def discovered(end: End, source: Source, wishes: Wishes) -> list[Stream]:
    """The streams that are meant; UsageError with near names for a glob that means none."""
    with end.errors():
        found = list(source.discover(wishes.only))
        if not found and "*" not in wishes.only:
            found = list(source.discover())  # so that near names can be told
        if not found:
            raise UsageError("it offers no streams", next="check what it points at, and that its user may read there")
    return wishes.wanted(found)
