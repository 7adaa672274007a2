"""A client on a server that is told what to say, with a clock that only moves when somebody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from wherry import NoAuth, Retry, Run
from wherry.http.client import Client
from wherry.http.waits import Clock
from wherry_web import Asked, Said, Web

START = 1_800_000_000.0
"""Of the injected clock: 2027-01-15 08:00:00 UTC."""


@dataclass
class Hands:
    """A clock whose hands move when somebody waits; the waits are kept."""

    passed: float = 0.0
    waited: list[float] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    @property
    def clock(self) -> Clock:
        """As the client takes it; chance is 0: a wait that was asked for is not lengthened, a pause is the longest."""
        return Clock(lambda: self.passed, lambda: START + self.passed, self._wait, lambda: 0.0)

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        if event.is_set():
            return True
        with self.lock:
            self.passed += seconds
            self.waited.append(seconds)
        return event.is_set()


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
