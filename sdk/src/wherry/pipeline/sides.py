"""Which end an error came from, so that messages and exit codes say which side failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wherry.errors import DestinationError, LeaseError, SourceError, TransientError, WherryError


@contextmanager
def at_destination() -> Iterator[None]:
    """Marks errors that pass as the destination's."""
    try:
        yield
    except WherryError as error:
        error.side = "destination"
        raise


@contextmanager
def at_source() -> Iterator[None]:
    """Marks errors that pass as the source's."""
    try:
        yield
    except WherryError as error:
        error.side = "source"
        raise


@contextmanager
def finally_failing() -> Iterator[None]:
    """Where nothing is tried again, an error that might have passed is the failure of its side."""
    try:
        yield
    except TransientError as error:
        raise given_up(error) from error


def given_up(error: TransientError, tried: str = "") -> WherryError:
    """What a transient error is when it did not pass: the failure of its side."""
    kind = DestinationError if is_destinations(error) else SourceError
    final = kind(error.message + tried, key=error.key, next=error.next or "run it again later", where=error.where)
    final.side = "destination" if kind is DestinationError else "source"
    return final


def is_sources(error: WherryError) -> bool:
    """Whether the source is known to have raised it."""
    return error.side == "source"


def is_destinations(error: WherryError) -> bool:
    """Whether the destination raised it."""
    return isinstance(error, (DestinationError, LeaseError)) or error.side == "destination"
