"""What every part of the suite has: a config, sources, and what the author knows of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from wherry.contracts.source import Source
from wherry.http.context import send_through
from wherry.testing.reading import Whole, read, select, small
from wherry.testing.recording import Tape
from wherry.testing.suite import Suite, does_not_apply
from wherry.testing.tapes import tape_of

Make = Callable[[], Source]
PIECE = 1
"""Bytes that a recorded source is asked to aim at: each page for itself, so that bookmarks do not depend on time."""


class SourceBase(Suite):
    """connector: the class under test.  where: stream path -> (filter, how many rows it leaves), if it filters.

    recording: the file that holds the connector's HTTP traffic, by default `tests/recordings/NAME.json`. Where there is
    one, nothing is sent; `pytest --wherry-record` (or `wherry test --record`) writes it.
    """

    connector: ClassVar[type[Source]]
    recording: ClassVar[Path | None] = None
    where: ClassVar[dict[str, tuple[str, int]]] = {}

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        """Configuration of the connector; override it."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `config`")

    @pytest.fixture
    def broken(self) -> dict[str, Any]:
        """Configuration of something that is not there: a file, a server; override it."""
        does_not_apply("no fixture `broken`")

    def expected(self, config: dict[str, Any], stream: str) -> pa.Table | None:
        """The stream's rows, read in another way than the connector's; None: not known."""
        return None

    def mutate(self, config: dict[str, Any]) -> Any:
        """Change what is read: insert and update rows. `expected` tells of the changed rows from then on."""
        does_not_apply("no method `mutate`")

    @pytest.fixture
    def make(self, config: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Make]:
        """Makes instances, asked for small batches; they are closed at the end of the test."""
        made: list[Source] = []
        tape = self.taped(request, config)

        def new() -> Source:
            source = self.connector(self.connector.Config.model_validate(config))
            made.append(small(source) if tape is None else small(source, PIECE))
            if tape is not None:
                send_through(source.run, tape.wrap)
            return source

        yield new
        for source in made:
            source.close()
        if tape is not None:
            tape.save()

    def taped(self, request: pytest.FixtureRequest, config: Any) -> Tape | None:
        """The recording that requests go through, if there is one, or one is to be made."""
        return tape_of(request.config, self.recording, self.connector, config)

    @pytest.fixture
    def whole(self, make: Make) -> Whole:
        """Everything, read once."""
        source = make()
        return read(source, select(source))
