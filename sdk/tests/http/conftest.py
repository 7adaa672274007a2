"""A client on a server that is told what to say, with a clock that only moves when somebody waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wherry import NoAuth, Retry, Run
from wherry.http.client import Client
from wherry_clock import Hands
from wherry_web import Asked, Said, Web


@pytest.fixture
def hands() -> Hands:
    """The clock of the test's clients."""
    return Hands()


@pytest.fixture
def serve() -> Iterator[Callable[..., Web]]:
    """Starts servers, which end with the test."""
    begun: list[Web] = []

    def start(answer: Callable[[Asked], Said | None], **options: Any) -> Web:
        begun.append(Web(answer, **options).__enter__())
        return begun[-1]

    yield start
    for web in begun:
        web.__exit__()


@pytest.fixture
def client(hands: Hands) -> Iterator[Callable[..., Client]]:
    """Makes clients of a server or an address, closed with the test."""
    made: list[Client] = []

    def make(to: Web | str, **options: Any) -> Client:
        base = to if isinstance(to, str) else f"{to.url}/v1"
        told = {
            "auth": NoAuth(), "headers": {}, "params": {}, "rate_limit": None, "retry": Retry(), "on_response": (),
            "timeout": 5, "run": Run(), "name": "acme", "clock": hands.clock, **options,
        }  # fmt: skip
        made.append(Client(base_url=base, **told))
        return made[-1]

    yield make
    for found in made:
        found.close()
