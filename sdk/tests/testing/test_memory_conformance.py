"""The kit's first user: the reference destination."""

from __future__ import annotations

from typing import Any

import pytest
from wherry.testing import DestinationSuite, MemoryDestination, Store

MORTAL = "a process takes its memory with it"


class TestMemoryDestination(DestinationSuite):
    connector = MemoryDestination
    waivers = {
        "test_killed_at_each_moment": MORTAL,
        "test_killed_at_a_random_instant": MORTAL,
        "test_the_lease_is_held_by_a_living_process_only": MORTAL,
        "test_a_stopped_process_loses_nothing": MORTAL,
    }

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        return {"store": Store()}
