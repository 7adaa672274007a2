"""Hooks: observers of a run, each on its own thread behind its own queue, so that none can harm or delay the run.

Progress view, `--json` writer and run log are observers on the same specs as a stranger's; only for these does the
host wait until everything is written.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from wherry import hookspecs
from wherry.errors import PluginError
from wherry.host.load import find_object, guarded
from wherry.host.metadata import Plugin
from wherry.host.registry import Registry

T = TypeVar("T")
GRACE = 2.0
"""Seconds that a stranger's observer gets to finish at the end of a run."""
QUEUE = 10_000
"""Events that may wait for one observer."""
_SPECS = {
    name: frozenset(function.__annotations__) - {"return"}
    for name, function in vars(hookspecs).items()
    if hasattr(function, "wherry_spec")
}


@dataclass(frozen=True, slots=True)
class Observer:
    """A module or object with `hookimpl` functions, checked against the specs, under the name that messages use.

    builtin: part of the command line. It gets every event in order, if need be by making the run wait; a stranger
    whose queue is full misses events, and is reported.
    """

    name: str
    hooks: Mapping[str, Callable[..., Any]] = field(repr=False)
    builtin: bool = False


def observer(plugin: object, name: str, *, builtin: bool = False) -> Observer:
    """Check a plugin's hooks; pluggy's PluginValidationError if one takes an argument that its spec lacks."""
    manager = pluggy.PluginManager("wherry")  # one for each plugin: a refused one leaves nothing behind
    manager.add_hookspecs(hookspecs)
    manager.register(plugin, name)
    manager.check_pending()
    return Observer(name, {hook: getattr(manager.hook, hook) for hook in _SPECS if _implements(manager, hook)}, builtin)


def load_observer(plugin: Plugin, seconds: float = 5.0) -> Observer:
    """Import one hook plugin under guard and a time limit. PluginError: broken, too slow, or a wrong hook."""

    def find() -> Observer:
        return observer(find_object(plugin.value), f"{plugin.name} ({plugin.owner})")

    remedy = f"pip uninstall {plugin.distribution}"
    if plugin.problem:
        raise PluginError(f"hook {plugin.name} ({plugin.owner}) {plugin.problem}", next=plugin.remedy)
    return guarded(lambda: _within(seconds, find), f"hook {plugin.name} ({plugin.owner})", remedy)


def load_observers(registry: Registry, seconds: float = 5.0) -> tuple[list[Observer], list[PluginError]]:
    """All hook plugins that work, and why the others do not: a run goes on without those."""
    found: list[Observer] = []
    refused: list[PluginError] = []
    for plugin in registry.plugins:
        if plugin.kind == "hook":
            try:
                found.append(load_observer(plugin, seconds))
            except PluginError as error:
                refused.append(error)
    return found, refused


class Events:
    """Hands each event of a run to every observer that takes it: `events.batch_loaded(stream=…, rows=…, bytes=…)`.

    One method for each hook of `wherry.hookspecs`, keyword arguments only, callable from any thread, never raising
    for what an observer does. `close()` once, after `run_finished`.
    """

    if TYPE_CHECKING:
        run_started = staticmethod(hookspecs.run_started)
        batch_loaded = staticmethod(hookspecs.batch_loaded)
        load_aborted = staticmethod(hookspecs.load_aborted)
        load_committed = staticmethod(hookspecs.load_committed)
        schema_changed = staticmethod(hookspecs.schema_changed)
        rows_rejected = staticmethod(hookspecs.rows_rejected)
        stream_finished = staticmethod(hookspecs.stream_finished)
        waiting = staticmethod(hookspecs.waiting)
        stalled = staticmethod(hookspecs.stalled)
        message = staticmethod(hookspecs.message)
        run_finished = staticmethod(hookspecs.run_finished)

    def __init__(self, observers: Iterable[Observer] = (), *, grace: float = GRACE, size: int = QUEUE) -> None:
        self._grace = grace
        self._channels = [_Channel(observer, size, self._warn) for observer in observers]

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if hook not in _SPECS:
            raise AttributeError(f"there is no hook {hook!r}; those that are: {', '.join(sorted(_SPECS))}")

        def emit(**arguments: Any) -> None:
            if arguments.keys() != _SPECS[hook]:
                raise TypeError(f"hook {hook} takes exactly {', '.join(sorted(_SPECS[hook]))}")
            for channel in self._channels:
                channel.put(hook, arguments)

        return emit

    def close(self) -> None:
        """Let observers finish: strangers for the grace period all together, our own until all is written."""
        strangers = [channel for channel in self._channels if not channel.observer.builtin]
        deadline = time.monotonic() + self._grace
        for channel in strangers:
            channel.finish(deadline)
        for channel in self._channels:
            if channel.observer.builtin:
                channel.finish(None)
        self._channels = []

    def _warn(self, culprit: _Channel, text: str) -> None:
        for channel in self._channels:
            if channel is not culprit:
                channel.put("message", {"level": "warning", "text": text})


class _Channel:
    """One observer's queue and thread."""

    def __init__(self, observer: Observer, size: int, warn: Callable[[_Channel, str], None]) -> None:
        self.observer = observer
        self._warn = warn
        self._queue: queue.Queue[tuple[str, Mapping[str, Any]] | None] = queue.Queue(size)
        self._failed = False
        self._missed = 0
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"hook {observer.name}", daemon=True)
        self._thread.start()

    def put(self, hook: str, arguments: Mapping[str, Any]) -> None:
        if hook not in self.observer.hooks:
            return
        try:
            self._queue.put((hook, arguments), block=self.observer.builtin)
        except queue.Full:
            self._missed += 1

    def finish(self, deadline: float | None) -> None:
        """Wait for the queue to run dry, at most until `deadline` (monotonic seconds)."""
        if deadline is None:
            self._queue.put(None)
            self._thread.join()
            return
        while self._thread.is_alive() and time.monotonic() < deadline:
            try:
                self._queue.put(None, timeout=0.01)
                break
            except queue.Full:
                continue
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._abandoned = True
            self._warn(self, f"hook plugin {self.observer.name} was still busy at the end of the run and was left")
        elif self._missed:
            self._warn(self, f"hook plugin {self.observer.name} was too slow and missed {self._missed} events")

    def _run(self) -> None:
        while not self._abandoned:
            event = self._queue.get()
            if event is None:
                return
            hook, arguments = event
            try:
                self.observer.hooks[hook](**arguments)
            except BaseException as error:  # foreign code on its own thread: contain whatever it raises
                self._report(hook, error)

    def _report(self, hook: str, error: BaseException) -> None:
        if not self._failed:
            self._failed = True
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._warn(self, f"hook plugin {self.observer.name} failed in {hook}: {reason}; the run is not affected")


def _implements(manager: pluggy.PluginManager, hook: str) -> bool:
    return bool(getattr(manager.hook, hook).get_hookimpls())


def _within(seconds: float, action: Callable[[], T]) -> T:
    """The action's result from a thread of its own; TimeoutError when it takes longer, and the thread is stopped."""
    answer: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            answer.append(action())
        except BaseException as error:  # handed to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=work, name="hook import", daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not answer:
        import ctypes

        # An import that never ends would compete with the run for the interpreter: stop it at its next instruction.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
        raise TimeoutError(f"its import took longer than {seconds:g} s")
    return answer[0]
