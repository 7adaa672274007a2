"""Pages fetched ahead: in order, within bounds, with the source's own errors, and no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from wherry.http.ahead import Ahead


def test_items_come_in_order_and_then_it_ends() -> None:
    ahead = Ahead(iter(range(50)), lambda item: 1, 5, "x")
    assert list(ahead) == list(range(50))
    assert list(ahead) == []


def test_no_more_waits_than_there_is_room_for() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for n in range(20):
            made.append(n)
            yield n

    ahead = Ahead(source(), lambda item: 10, 30, "x")
    for taken in range(20):
        _until(made, min(20, taken + 4))
        assert len(made) <= taken + 4  # three wait, one is in hand
        assert next(ahead) == taken
    ahead.close()


def test_one_item_may_wait_however_large() -> None:
    assert list(Ahead(iter([1, 2, 3]), lambda item: 10**9, 0, "x")) == [1, 2, 3]


def test_what_the_source_raises_comes_after_what_it_gave() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    ahead = Ahead(source(), lambda item: 1, 100, "x")
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)
    with pytest.raises(StopIteration):
        next(ahead)


def test_closing_ends_the_thread_and_the_source() -> None:
    ended = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            ended.set()

    ahead = Ahead(source(), lambda item: 1, 10, "closing")
    assert next(ahead) == 0
    ahead.close()
    assert ended.is_set()
    assert not [t for t in threading.enumerate() if t.name == "ahead: closing"]


def test_it_says_whether_an_item_is_there() -> None:
    go = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        go.wait(5)
        yield 2

    ahead = Ahead(source(), lambda item: 1, 10, "x")
    assert ahead.ready(time.monotonic() + 5)
    assert next(ahead) == 1
    assert not ahead.ready()
    go.set()
    assert ahead.ready(time.monotonic() + 5)
    assert list(ahead) == [2]


def _until(made: list[int], count: int) -> None:
    deadline = time.monotonic() + 5
    while len(made) < count and time.monotonic() < deadline:
        time.sleep(0.001)
