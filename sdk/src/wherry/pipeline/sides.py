"""Which end an error came from, so that messages and exit codes say which side failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wherry.errors import DestinationError, LeaseError, WherryError


@contextmanager
def at_destination() -> Iterator[None]:
    """Marks errors that pass as the destination's."""
    try:
        yield
    except WherryError as error:
        error.side = "destination"  # type: ignore[attr-defined]
        raise


@contextmanager
def at_source() -> Iterator[None]:
    """Marks errors that pass as the source's."""
    try:
        yield
    except WherryError as error:
        error.side = "source"  # type: ignore[attr-defined]
        raise


def is_sources(error: WherryError) -> bool:
    """Whether the source is known to have raised it."""
    return getattr(error, "side", "") == "source"


def is_destinations(error: WherryError) -> bool:
    """Whether the destination raised it."""
    return isinstance(error, (DestinationError, LeaseError)) or getattr(error, "side", "source") == "destination"
