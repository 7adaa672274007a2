"""Small new tables, several in one transaction of the destination: to begin, load and publish each by itself costs far
more than its rows do.

Each plan goes through a lane of its own, as always, but into a session that keeps what it is given (`Gathering`); when
all are read, that is committed, and only then anybody hears of it. Whatever goes wrong on the way (a table that is
there already, a row that is rejected, a source that fails) leaves the plan to its ordinary way, from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Any

from wherry.contracts.destination import Gathering, Session
from wherry.contracts.source import Source
from wherry.contracts.values import Bookmark, JsonValue, Progress
from wherry.errors import NotGatheredError
from wherry.pipeline.lane import Lane
from wherry.pipeline.work import Context, Work, outcome_of

ROWS, MOST, BYTES = 5_000, 50, 8 << 20
"""What a small table has at most; how many are committed together, and how many bytes of rows."""


def is_small(work: Work) -> bool:
    """Whether the plan may be gathered: one new table, replaced, whose rows are known to be few."""
    if len(work.plan.splits) != 1 or not work.is_new or not work.context.run.least_handoff:
        return False
    (split,) = work.plan.splits
    if len(split.streams) != 1 or split.bookmark is not None or work.plan.after is not None or work.plan.again:
        return False
    (selection,) = split.streams
    stream, estimate = selection.stream, selection.stream.row_estimate
    plain = selection.mode == "replace" and selection.limit is None and not stream.changes and stream.part is None
    return plain and estimate is not None and estimate <= ROWS


def in_groups(works: Sequence[Work], count: int) -> list[list[Work]]:
    """The small ones, so many together that each of `count` lanes has some; none where the destination has no way.

    Each lane's first group is larger than that of the lane before: they commit one after the other, and while one does
    the others should read, from early on.
    """
    if not works or type(works[0].context.session).gather is Session.gather:
        return []
    small = [work for work in works if is_small(work)]
    size = min(MOST, -(-len(small) // max(1, count)))
    sizes = chain((max(2, -(-size * n // count)) for n in range(1, count)), repeat(size))
    waiting = iter(small)
    return list(iter(lambda: list(islice(waiting, next(sizes))), [])) if size > 1 else []


class Gathered:
    """Plans of one group that are read and not committed yet."""

    def __init__(self, context: Context, gathering: Gathering) -> None:
        self._context = context
        self._gathering = gathering
        self._read: list[tuple[Work, Work, _Later]] = []

    @property
    def full(self) -> bool:
        """Whether no more should wait."""
        return self._gathering.size >= min(BYTES, self._context.budget.share)

    def read(self, work: Work, source: Callable[[], Source]) -> bool:
        """Read a plan; False when it has to take its ordinary way. Raises what ended it."""
        later = _Later()
        outcomes = {s.stream.path: outcome_of(s, self._context) for s in work.streams}
        context = replace(
            self._context, session=self._gathering, events=later, outcomes=outcomes, published=set(), unsettled=set()
        )
        twin = _Twin(replace(work.plan, id=""), Progress(), context)
        (split,) = twin.plan.splits
        try:
            if not Lane(twin, split, twin.envelope(split), source()).run():
                return False
            twin.publish()
        except BaseException:
            self._gathering.drop(work.plan.key)
            raise
        self._read.append((work, twin, later))
        return True

    def commit(self) -> Iterator[Work]:
        """Commit what was read; then each of the plans, as it is told. Raises when nothing was committed."""
        paths = [s.stream.path for work, _, _ in self._read for s in work.streams]
        with self._context.watch.at_destination("to commit " + ", ".join(paths[:3])):
            self._gathering.commit()
        for work, twin, later in self._read:
            for path, outcome in twin.context.outcomes.items():
                self._context.outcomes[path].add(outcome.counts)
            work.adopt(twin)
            later.tell(self._context.events)
            yield work


class _Twin(Work):
    """A plan in a session that keeps what it is given."""

    def seal(self, bookmark: Bookmark, boundaries: dict[str, JsonValue], begun: bool = False) -> JsonValue:
        if bookmark is not None:  # which the source would hear of before anything is committed
            raise NotGatheredError(f"plan {self.plan.key} reads up to a bookmark of its own")
        return super().seal(bookmark, boundaries, begun)


class _Later:
    """Events that are told when what they tell of is true."""

    def __init__(self) -> None:
        self._told: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, hook: str) -> Callable[..., None]:
        return lambda **arguments: self._told.append((hook, arguments))

    def tell(self, events: Any) -> None:
        """To whom it concerns."""
        for hook, arguments in self._told:
            getattr(events, hook)(**arguments)
