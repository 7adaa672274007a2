"""Whom a stream is asked for, and its pages: parents and items, windows, requests. No row is looked at here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wherry.contracts.source import Run
from wherry.contracts.values import Selection, Stream
from wherry.http.paging import Step
from wherry.http.values import Request
from wherry.json_rows import MISSING, steps
from wherry.json_rows.paths import at
from wherry.rest import template
from wherry.rest.models import Manifest, RestStream
from wherry.rest.moments import Order
from wherry.rest.progress import server_time
from wherry.rest.requests import paging, request
from wherry.rest.rows import column
from wherry.rest.template import ABSENT, Values
from wherry.rest.walk import Complete, PageBody, Sender, Turn, objects, walk
from wherry.rest.window import Window, Windows, lookback, parameters

REMEMBERED = 100_000
"""Parents that are known again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A source at work. config: its values.  now: nanoseconds since 1970."""

    manifest: Manifest
    config: Mapping[str, Any]
    client: Sender
    run: Run
    now: Any

    def stream(self, name: str) -> RestStream:
        """A stream of the manifest."""
        return next(stream for stream in self.manifest.streams if stream.name == name)


@dataclass(frozen=True, slots=True)
class Scope:
    """For whom a stream is asked: a row of its parent, an item.

    reached: the cursor of a parent that comes after all that were there before it, where parents come in order.
    """

    parent: Mapping[str, Any] | None = None
    item: Any = ABSENT
    reached: Any = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page; without a body it says that the window is over, or what parents were reached."""

    body: bytes | None
    scope: Scope
    window: Window
    url: str = ""
    query: int = 0
    """Counts how often the scope was asked anew from its last row on."""


class Once:
    """Knows the last parents again: one that comes twice, because pages shift or ties are read anew, is asked once."""

    def __init__(self) -> None:
        self._known: dict[int, None] = {}

    def first(self, identity: Any) -> bool:
        """Whether it was not there before."""
        mark = hash(identity)
        if mark in self._known:
            return False
        self._known[mark] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return True


class Pages:
    """Asks for the pages of a stream, one after the other."""

    def __init__(self, api: Api, stream: RestStream, since: Any = None) -> None:
        self._api, self._stream = api, stream
        self._since = since
        """The cursor of the first parent that is wanted; None: all of them are."""
        incremental = stream.incremental
        self._by = (Order(incremental.format), incremental.parents) if incremental and incremental.parents else None
        self.top: tuple[Any, Any] | None = None
        """How far the parents reach, where the stream goes by their cursor: rank and value."""
        self.began: int | None = None
        """Nanoseconds by the server's clock when it was asked first."""
        self._asked = 0
        """The same by ours."""
        self._windows: Windows | None = None

    def windows(self, windows: Windows | None) -> Iterator[Fetched]:
        """All pages; after those of a window a mark that it is over, where windows may be told apart."""
        outer = list(windows) if windows is not None else [Window()]
        self._windows = windows
        try:
            if self._stream.parent is None:
                for window in outer:
                    for scope in self.scopes():
                        yield from self._pages(scope, window)
                    yield Fetched(None, Scope(), window)
            else:
                for scope in self.scopes():
                    if scope.reached is not None:
                        yield Fetched(None, scope, outer[-1])
                    for window in outer:
                        yield from self._pages(scope, window)
        except Complete:
            return

    def scopes(self) -> Iterator[Scope]:
        """Each row of the parent with each item."""
        for parent, reached in self._in_order():
            for item in self._items():
                yield Scope(parent, item, reached)
                reached = None

    def _items(self) -> Iterator[Any]:
        given = self._stream.for_each
        if given is None:
            yield ABSENT
            return
        found = template.rendered(given, Values(config=self._api.config))
        yield from found if isinstance(found, (list, tuple)) else [found]

    def _in_order(self) -> Iterator[tuple[Mapping[str, Any] | None, Any]]:
        """Parents, each with its cursor if that is higher than any before it, and they come in its order."""
        cursor = ordered_by(self._api.manifest, self._stream)
        if cursor is None:
            yield from ((parent, None) for parent in self._parents())
            return
        order, path = cursor
        first = top = None if self._since is None else order.rank(self._since)
        orderly = True
        for parent in self._parents():
            value = at(parent, steps(path))
            rank = None if value is MISSING or value is None else order.rank(value)
            if rank is not None and first is not None and rank < first:
                continue
            if rank is None or top is None or rank == top:
                yield parent, None
            elif rank > top:
                yield parent, value if orderly else None
            else:
                orderly = False  # the API does not keep what the manifest says
                yield parent, None
            top = rank if rank is not None and (top is None or rank > top) else top

    def _parents(self) -> Iterator[Mapping[str, Any] | None]:
        if self._stream.parent is None:
            yield None
            return
        parent = self._api.stream(self._stream.parent)
        pages = Pages(self._api, parent)
        windows, once = from_windows(self._api, parent, self._since), Once()
        for fetched in pages.windows(windows):
            self.began = self.began or pages.began
            if fetched.body is not None:
                for row in objects(fetched.body, parent.records):
                    if self._wanted(row) and once.first(self._identity(parent, row, fetched.scope)):
                        yield {**row, **included(parent, fetched.scope)}

    def _identity(self, parent: RestStream, row: Mapping[str, Any], scope: Scope) -> Any:
        """What makes a row of the parent one: its key; where the stream goes by its cursor, that too."""
        paths = [*parent.primary_key, *([self._by[1]] if self._by is not None else [])]
        told = [str(at(row, steps(path))) for path in paths] if parent.primary_key else [str(row)]
        return scope.item, tuple(told)

    def _wanted(self, parent: Mapping[str, Any]) -> bool:
        """Whether a parent is new or changed, where the stream goes by that; takes note of how far parents reach."""
        if self._by is None:
            return True
        order, path = self._by
        value = at(parent, steps(path))
        if value is MISSING or value is None:
            return True
        rank = order.rank(value)
        if self.top is None or rank > self.top[0]:
            self.top = (rank, value)
        return self._since is None or bool(rank >= order.rank(self._since))

    def _pages(self, scope: Scope, window: Window) -> Iterator[Fetched]:
        api, stream, asked = self._api, self._stream, window
        query = turned = 0

        def ask(step: Step) -> Request:
            nonlocal query
            query = turned
            self._asked = self._asked or api.now()
            values = Values(config=api.config, parent=scope.parent, item=scope.item, start=asked.start, end=asked.end)
            return request(api.manifest, stream, values, parameters(stream.incremental, asked), step)

        turning = stream.incremental is not None and (stream.incremental.newest_first or stream.incremental.anew_after)

        def turn(body: PageBody, rows: int) -> Turn:
            nonlocal asked, turned
            asked, what = self._turn(asked, body, rows)
            turned += what == "anew"
            return what

        answers = walk(
            api.client, ask, paging(api.manifest, stream, api.config), records=stream.records, name=stream.name,
            rules=stream.on_response, stop=api.run.stop, turn=turn if turning else None,
        )  # fmt: skip
        for answer in answers:
            if self.began is None:
                now = api.now()
                self.began = server_time(answer, now) - (now - self._asked)
            yield Fetched(answer.body, scope, window, answer.url, query)

    def _turn(self, asked: Window, body: PageBody, rows: int) -> tuple[Window, Turn]:
        """What to ask for after a page that is not the last: the next one; from its last row on; nothing more."""
        incremental, windows = self._stream.incremental, self._windows
        if incremental is None or windows is None or not (incremental.newest_first or incremental.anew_after):
            return asked, "on"
        last = body.last(incremental.cursor)
        if incremental.newest_first:
            return asked, "end" if windows.behind(asked, last) else "on"
        later = windows.anew(asked, last) if rows >= (incremental.anew_after or 0) else None
        return (asked, "on") if later is None else (later, "anew")


def ordered_by(manifest: Manifest, stream: RestStream) -> tuple[Order, str] | None:
    """The cursor in whose order the rows of a stream's parent come; None: in no order."""
    if stream.parent is None:
        return None
    parent = next(one for one in manifest.streams if one.name == stream.parent)
    incremental = parent.incremental
    if incremental is None or not incremental.ordered or parent.parent is not None or parent.for_each is not None:
        return None
    return Order(incremental.format), incremental.cursor


def from_windows(api: Api, stream: RestStream, since: Any) -> Windows | None:
    """The windows of a stream that is read for its children, from a cursor value on."""
    back = lookback(stream.incremental)
    return windows_of(api, stream, Selection(stream=_bare(stream), cursor="", lookback=back), since)


def windows_of(api: Api, stream: RestStream, selection: Selection, known: Any) -> Windows | None:
    """The windows of a read; None for a stream that is always read whole."""
    incremental = stream.incremental
    if incremental is None:
        return None
    start = template.rendered(incremental.start, Values(config=api.config))
    return Windows(incremental, selection, start, known, api.now)


def included(stream: RestStream, scope: Scope) -> dict[str, Any]:
    """The fields of the parent that a row of the stream carries."""
    if not stream.include_parent:
        return {}
    values = Values(parent=scope.parent)
    prefix = f"_{stream.parent}_"
    return {prefix + column(field): values.find("parent", field) for field in stream.include_parent}


def _bare(stream: RestStream) -> Stream:
    return Stream(name=stream.name, schema=pa.schema([]))
