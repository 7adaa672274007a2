"""Sources that are closed when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wherry_source_postgres.config import PostgresConfig
from wherry_source_postgres.source import PostgresSource


@pytest.fixture
def source_of() -> Iterator[Callable[..., PostgresSource]]:
    made: list[PostgresSource] = []

    def make(url: str | None = None, **keys: Any) -> PostgresSource:
        given = keys if url is None else keys | {"url": url}
        made.append(PostgresSource(PostgresConfig.model_validate(given)))
        return made[-1]

    yield make
    for source in made:
        source.close()
