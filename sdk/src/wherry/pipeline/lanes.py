"""Lanes in threads: each takes the next split, with a source of its own, and tries again what may pass by itself."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TypeVar

from wherry.contracts.source import Source
from wherry.contracts.values import Split
from wherry.errors import (
    HandOffRefused,
    LeaseError,
    SourceError,
    Stopped,
    StreamError,
    TransientError,
    WherryError,
)
from wherry.failpoints import failpoint
from wherry.limits import exhausted
from wherry.pipeline.gather import Gathered, in_groups
from wherry.pipeline.handoff import form_of
from wherry.pipeline.lane import Lane
from wherry.pipeline.patience import Patience, Tries
from wherry.pipeline.watch import Interrupt
from wherry.pipeline.work import Context, Work

log = logging.getLogger("wherry")
T = TypeVar("T")
_Unit = tuple[Work, list[Split]]


class Lanes:
    """Runs the splits of some works, `count` at a time. A failed stream does not stop the others."""

    def __init__(self, context: Context, works: Sequence[Work], count: int, fail_fast: bool, patience: Patience):
        self._context = context
        groups = [] if fail_fast else in_groups(works, count)  # the first failure has to be seen when it happens
        grouped = {id(work) for group in groups for work in group}
        apart = [_units(work) for work in works if id(work) not in grouped]
        turns: list[Sequence[_Unit | list[Work]]] = [*apart, *([group] for group in groups)]
        self._queue = deque(_in_turn(turns))
        self._count = max(1, min(count, len(self._queue)))
        self._fail_fast = fail_fast
        self._patience = patience
        self._works = works
        self._failed: dict[int, WherryError] = {}
        self._finished: set[int] = set()
        self._broken: WherryError | None = None
        """What ended a lane itself."""
        context.budget.divide(self._count)
        self._lock = threading.Lock()
        self._running = self._count
        self._over = threading.Event()

    def run(self) -> None:
        """Work until all splits are done, failed or stopped. Signals are served meanwhile. Raises what ended a lane."""
        threads = [threading.Thread(target=self._lane, name=f"lane {i}", daemon=True) for i in range(self._count)]
        try:
            for thread in threads:
                thread.start()
            self._await()
        except BaseException:  # a thread that this machine does not grant, an interrupt that nobody turned into a stop
            self._context.stop.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join(timeout=10)
            raise
        if self._broken is not None:
            raise self._broken

    def _await(self) -> None:
        """Until all have ended, or the run is to stop and they do not.

        Threads are not joined: a join that a signal's exception ends takes the thread for dead (Python 3.11, 3.12).
        """
        while not self._over.is_set():
            try:
                self._over.wait(timeout=0.25)
            except Interrupt:
                self._context.stop.set()
            if self._context.watch.ending:
                self._leave()
                return

    def _leave(self) -> None:
        """Lanes that are in calls which do not return are left: what they hold is committed whole, or not at all."""
        self._context.watch.left = True
        for work in self._works:
            self._finish(work, stopped=True)

    def _lane(self) -> None:
        source: Source | None = None
        try:
            while (unit := self._next()) is not None:
                if isinstance(unit, list):
                    source = self._together(unit, source)
                    failpoint("K15")
                    continue
                work, splits = unit
                for split in splits:
                    source = self._one(work, split, source)
                if not splits:  # all splits were done by an earlier run
                    self._guard(work, lambda work=work: self._publish(work))
                    self._finish(work)
                failpoint("K15")
        except BaseException as error:  # no work answers for it: what is left undone must not pass for unchanged
            self._broken = explain(error)
            self._broken.__cause__ = error
            self._context.stop.set()
        finally:
            if not self._context.watch.left:  # else a thread may still be in it
                _close(source)
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._over.set()

    def _together(self, works: list[Work], source: Source | None) -> Source | None:
        """Works that are committed together, some at a time; those that cannot be are done one by one."""
        holder = _Holder(source, self._context)
        while works:
            taken, works = self._gathered(works, holder)
            for work in taken:
                (split,) = work.plan.splits
                holder.source = self._one(work, split, holder.source)
        return holder.source

    def _gathered(self, works: list[Work], holder: _Holder) -> tuple[list[Work], list[Work]]:
        """Commit what can be gathered of the first works; those among them that are left over, and the others."""
        stop, done, rest = self._context.stop, set[int](), []
        with contextlib.ExitStack() as closing:
            try:
                gathering = self._context.session.gather(len(works))
                if gathering is None:
                    return works, []
                closing.callback(gathering.close)
                group = Gathered(self._context, gathering)
                for number, work in enumerate(works):
                    if group.full:
                        works, rest = works[:number], works[number:]
                        break
                    if not stop.is_set():
                        self._read_into(group, work, holder)
                for work in [] if stop.is_set() or self._context.watch.left else group.commit():
                    self._finish(work)
                    done.add(id(work))
            except BaseException:  # none of them is committed, or nobody knows: each is done by itself, and says so
                log.debug("not committed together", exc_info=True)
        return [work for work in works if id(work) not in done], rest

    def _read_into(self, group: Gathered, work: Work, holder: _Holder) -> None:
        """Read a work; what goes wrong shows when it is done by itself."""
        for selection in work.streams:
            self._context.outcomes[selection.stream.path].begin()
        try:
            group.read(work, holder.get)
        except BaseException as error:
            log.debug("not gathered", exc_info=True)
            if isinstance(error, TransientError):
                holder.drop()

    def _next(self) -> _Unit | list[Work] | None:
        with self._lock:
            return self._queue.popleft() if self._queue else None

    def _one(self, work: Work, split: Split, source: Source | None) -> Source | None:
        """One split to its end; returns the source if it can be used again."""
        for selection in work.streams:
            if (outcome := self._context.outcomes.get(selection.stream.path)) is not None:
                outcome.begin()
        holder = _Holder(source, self._context)
        done = False
        if not self._context.stop.is_set() and id(work) not in self._failed:
            done = self._guard(work, lambda: self._persist(work, split, holder))
        if work.ended(split, done):
            if work.complete and id(work) not in self._failed:
                self._guard(work, lambda: self._publish(work))
            self._finish(work, stopped=not work.complete)
        return holder.source

    def _guard(self, work: Work, step: object) -> bool:
        """Run a step of a work; an error fails the work alone, except where it concerns the whole run."""
        try:
            return step() is not False  # type: ignore[operator]
        except BaseException as error:  # also a connector's SystemExit: it must not pass for success
            log.debug("lane failed", exc_info=True)
            explained = explain(error)
            if explained is not error:
                explained.__cause__ = error
            with self._lock:
                self._failed.setdefault(id(work), explained)
            if self._fail_fast or isinstance(explained, LeaseError):
                self._context.stop.set()
            return False

    def _publish(self, work: Work) -> None:
        """Publish, again and again while errors are transient: it first reads whether it already happened."""
        tries = self._tries()
        while True:
            try:
                with self._context.watch.at_destination("to publish " + ", ".join(s.stream.path for s in work.streams)):
                    work.publish()
                return
            except TransientError as error:
                if not tries.again(error):
                    raise Stopped from error

    def _tries(self) -> Tries:
        return Tries(self._patience, self._context.events, self._context.stop)

    def _persist(self, work: Work, split: Split, holder: _Holder) -> bool:
        """Run the split, again and again while errors are transient and the patience lasts."""
        tries, done = self._tries(), False
        while True:
            try:
                if tries.count:
                    before = split.bookmark
                    with self._context.watch.at_destination("to say where the bookmark stands"):
                        split, done = work.resume(split)
                    if split.bookmark != before:
                        tries.progressed()
                return done or self._attempt(work, split, holder)
            except TransientError as error:
                holder.drop()
                if not tries.again(error):
                    return False

    def _attempt(self, work: Work, split: Split, holder: _Holder) -> bool:
        """Hand the split over where that can be, else, or where it turns out that it cannot, read it."""
        form = form_of(work, split, holder.get())
        if form is not None:
            try:
                done = Lane(work, split, work.envelope(split), holder.get(), form).run()
            except HandOffRefused as error:
                work.read_instead(split, form, error)
            except WherryError:
                if not self._context.stop.is_set():
                    raise
                return False  # its statement was interrupted
            else:
                work.handed(split, form, done)
                return done
        return Lane(work, split, work.envelope(split), holder.get()).run()

    def _finish(self, work: Work, stopped: bool = False) -> None:
        with self._lock:
            if id(work) in self._finished:
                return
            self._finished.add(id(work))
        error = self._failed.get(id(work))
        if error is None and stopped:  # a run that is given up has failed, also where it heard that it is to stop
            error = self._context.watch.verdict
        for selection in work.streams:
            outcome = self._context.outcomes.get(selection.stream.path)
            if outcome is None:
                continue
            if error is not None:
                word, outcome.kept = "failed", work.kept(selection)
            elif stopped:
                word = "stopped"
            else:
                word = "committed" if work.generation is not None else "unchanged"
            outcome.aside = word in ("failed", "stopped") and work.rebuilt(selection)
            outcome.finish(word, error)
            self._context.events.stream_finished(
                stream=outcome.stream, table=outcome.table, outcome=word, counts=outcome.counts,
                seconds=outcome.seconds, error=None if error is None else error.to_json(),
            )  # fmt: skip


class _Holder:
    """A lane's source: made when needed, dropped after an error."""

    def __init__(self, source: Source | None, context: Context):
        self.source = source
        self._context = context

    def get(self) -> Source:
        if self.source is None:
            self.source = self._context.new_source()
            context, budget = self._context, self._context.budget
            self.source.run = replace(context.run, stop=context.stop, bytes=budget.share, memory=budget.memory)
        return self.source

    def drop(self) -> None:
        if not self._context.watch.left:
            _close(self.source)
        self.source = None


def explain(error: BaseException) -> WherryError:
    """Any error as one we can show. What is not a `WherryError` is the connector's bug, or this machine's limit."""
    if isinstance(error, WherryError):
        return error
    if (local := exhausted(error)) is not None:
        return local
    if isinstance(error, NotImplementedError):
        return StreamError(str(error) or "not supported by the connector")
    return SourceError(
        f"the connector failed unexpectedly: {type(error).__name__}: {error}", next="run it with --debug and report it"
    )


def _units(work: Work) -> list[_Unit]:
    if work.plan.ordered or not work.waiting:
        return [(work, work.waiting)]
    return [(work, [split]) for split in work.waiting]


def _in_turn(units: Sequence[Sequence[T]]) -> Iterator[T]:
    """The first of each work, then the second of each: a work of many splits does not keep the others waiting."""
    for round in zip_longest(*units):
        yield from (unit for unit in round if unit is not None)


def _close(source: Source | None) -> None:
    if source is not None:
        with contextlib.suppress(Exception):
            source.close()


__all__ = ["Lanes", "Patience", "Stopped", "explain"]
