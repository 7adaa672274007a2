"""Observers get events in order, and cannot harm or delay a run."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wherry import hookimpl
from wherry.host.hooks import Events, load_observers, observer
from wherry.host.registry import Registry
from wherry_distributions import write_distribution


class Recorder:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int]] = []
        self.messages: list[str] = []

    @hookimpl
    def batch_loaded(self, stream: str, rows: int) -> None:
        self.batches.append((stream, rows))

    @hookimpl
    def message(self, text: str) -> None:
        self.messages.append(text)


class Stranger:
    """Does something with each batch."""

    def __init__(self, action: Any) -> None:
        self.action = action

    @hookimpl
    def batch_loaded(self, rows: int) -> None:
        self.action(rows)


def run(*observers: Any, batches: int = 3, **options: Any) -> float:
    """Seconds that a run of some batches takes."""
    start = time.monotonic()
    events = Events(observers, **options)
    for number in range(batches):
        events.batch_loaded(stream="orders", rows=number, bytes=8)
    emitted = time.monotonic() - start
    events.close()
    return emitted


def test_every_event_arrives_in_order_before_close_returns() -> None:
    recorders = [Recorder(), Recorder()]
    run(*(observer(r, f"own {i}", builtin=True) for i, r in enumerate(recorders)), batches=5000, size=10)
    for recorder in recorders:
        assert recorder.batches == [("orders", number) for number in range(5000)]


def test_events_of_many_threads_all_arrive() -> None:
    recorder = Recorder()
    events = Events([observer(recorder, "own", builtin=True)])

    def emit(name: str) -> None:
        for number in range(500):
            events.batch_loaded(stream=name, rows=number, bytes=0)

    threads = [threading.Thread(target=emit, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events.close()
    for name in "abc":
        assert [rows for stream, rows in recorder.batches if stream == name] == list(range(500))


@pytest.mark.parametrize("error", [ValueError("no\nroom"), SystemExit(3)])
def test_a_hook_that_raises_is_reported_once_and_gets_the_later_events(error: BaseException) -> None:
    seen: list[int] = []

    def fail(rows: int) -> None:
        seen.append(rows)
        raise error

    own = Recorder()
    run(observer(own, "own", builtin=True), observer(Stranger(fail), "notify (acme 1.0)"))
    assert seen == [0, 1, 2]
    assert own.batches == [("orders", 0), ("orders", 1), ("orders", 2)]
    kind = type(error).__name__
    expected = f"hook plugin notify (acme 1.0) failed in batch_loaded: {kind}: {' '.join(str(error).split())}"
    assert own.messages == [f"{expected}; the run is not affected"]


def test_a_hook_that_sleeps_delays_neither_the_run_nor_the_others() -> None:
    own, freed = Recorder(), threading.Event()
    stranger = observer(Stranger(lambda rows: freed.wait(30)), "slow (acme 1.0)")
    start = time.monotonic()
    emitted = run(stranger, observer(own, "own", builtin=True), batches=100, size=10, grace=0.2)
    freed.set()
    assert emitted < 0.2
    assert time.monotonic() - start < 2
    assert len(own.batches) == 100
    assert own.messages == ["hook plugin slow (acme 1.0) was still busy at the end of the run and was left"]


def test_a_stranger_who_falls_behind_misses_events_and_that_is_said() -> None:
    own, gate, seen = Recorder(), threading.Event(), []

    def crawl(rows: int) -> None:
        gate.wait(10)
        seen.append(rows)

    events = Events([observer(Stranger(crawl), "slow"), observer(own, "own", builtin=True)], size=4)
    for number in range(50):
        events.batch_loaded(stream="orders", rows=number, bytes=8)
    gate.set()
    events.close()
    assert seen == sorted(set(seen))
    assert 4 <= len(seen) <= 6
    assert own.messages == [f"hook plugin slow was too slow and missed {50 - len(seen)} events"]


def test_an_event_is_checked_where_it_is_emitted() -> None:
    events = Events([])
    with pytest.raises(TypeError, match="hook batch_loaded takes exactly bytes, rows, stream"):
        events.batch_loaded(stream="orders", rows=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="there is no hook 'batch_lost'"):
        events.batch_lost  # noqa: B018


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def hook(path: Path, name: str, text: str) -> None:
    module = f"hook_{name}"
    write_distribution(path, f"acme-{name}", {"wherry.hooks": {name: module}}, {module: text})


def test_broken_hook_plugins_are_refused_with_their_reason_and_the_others_work(path: Path) -> None:
    hook(path, "argument", "import wherry\n@wherry.hookimpl\ndef batch_loaded(stream, colour): pass")
    hook(path, "endless", "while True: pass")
    hook(path, "exits", "raise SystemExit")
    hook(path, "fine", "import wherry\nseen = []\n@wherry.hookimpl\ndef batch_loaded(rows): seen.append(rows)")
    hook(path, "unknown", "import wherry\n@wherry.hookimpl\ndef batch_lost(stream): pass")
    write_distribution(path, "acme-newer", {"wherry.hooks.v2": {"newer": "hook_newer"}})
    observers, refused = load_observers(Registry.scan([str(path)]), seconds=1)
    reasons = {error.message.split()[1]: error.message for error in refused}
    assert [observer.name for observer in observers] == ["fine (acme-fine 1.0)"]
    assert sorted(reasons) == ["argument", "endless", "exits", "newer", "unknown"]
    assert "(acme-argument 1.0) could not be loaded: PluginValidationError" in reasons["argument"]
    assert "colour" in reasons["argument"]
    assert reasons["endless"].endswith("TimeoutError: its import took longer than 1 s")
    assert reasons["exits"].endswith("could not be loaded: SystemExit")
    assert "batch_lost" in reasons["unknown"]
    assert reasons["newer"].endswith("speaks contract 2, this wherry speaks 1: upgrade wherry")
    run(*observers)
    assert sys.modules["hook_fine"].seen == [0, 1, 2]


def test_an_endless_import_is_stopped_and_does_not_compete_with_the_run(path: Path) -> None:
    hook(path, "endless", "while True: pass")
    load_observers(Registry.scan([str(path)]), seconds=0.3)
    deadline = time.monotonic() + 5
    while any(thread.name == "hook import" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
