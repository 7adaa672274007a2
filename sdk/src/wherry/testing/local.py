"""The suite of a source that ships none: built from its class and a configuration, for `wherry test REFERENCE`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from typing import Any

import pytest

from wherry.contracts.source import Source
from wherry.testing.source_suite import SourceSuite

_CHOSEN: ContextVar[type[SourceSuite]] = ContextVar("wherry suite")


@contextmanager
def chosen(connector: type[Source], values: Any, streams: Sequence[str] = ("*",)) -> Iterator[None]:
    """Inside it, `suite()` is the suite of this class and configuration. streams: globs of those that are read."""
    token = _CHOSEN.set(_suite(_only(connector, streams), values))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def suite() -> type[SourceSuite]:
    """The suite that was chosen, for the module that pytest collects."""
    return _CHOSEN.get()


def _suite(source: type[Source], values: Any) -> type[SourceSuite]:
    class ReferenceSuite(SourceSuite):
        """Every promise of the contract, on what the user pointed at."""

        connector = source

        @pytest.fixture
        def config(self) -> Any:
            """As the command line has it."""
            return values

    return ReferenceSuite


def _only(source: type[Source], streams: Sequence[str]) -> type[Source]:
    """The source, as if it had no other streams."""
    if tuple(streams) in ((), ("*",)):
        return source

    def discover(self: Any, only: Sequence[str] = ("*",)) -> Any:
        for stream in source.discover(self, only):
            if any(fnmatchcase(stream.path, glob) or fnmatchcase(stream.name, glob) for glob in streams):
                yield stream

    return type(source.__name__, (source,), {"discover": discover, "__module__": source.__module__})
