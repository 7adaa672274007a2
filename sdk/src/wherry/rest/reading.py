"""One read of one stream: parents and items, windows, pages; bytes fetched ahead, rows and bookmarks in bulk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wherry.contracts.source import Run
from wherry.contracts.values import Batch, Bookmark, Mark, Selection
from wherry.http.ahead import Ahead
from wherry.http.client import Client
from wherry.http.paging import Step
from wherry.http.values import Request
from wherry.instants import marked
from wherry.json_rows import MISSING, Parsed, Records, declared, steps
from wherry.json_rows.paths import at
from wherry.rest import template
from wherry.rest.models import Manifest, RestStream
from wherry.rest.moments import Order, refuse_mixed
from wherry.rest.progress import BETWEEN, CURSOR, SEEN, Reached, server_time
from wherry.rest.requests import paging, request
from wherry.rest.rows import Shaping, column
from wherry.rest.template import ABSENT, Values
from wherry.rest.walk import Complete, PageBody, Turn, no_records, objects, walk
from wherry.rest.window import SETTLED, Window, Windows, lookback, parameters

PAGES = 20
"""Pages parsed at once, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A source at work. config: its values.  now: nanoseconds since 1970."""

    manifest: Manifest
    config: Mapping[str, Any]
    client: Client
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


class Pages:
    """Asks for the pages of a stream, one after the other."""

    def __init__(self, api: Api, stream: RestStream, since: Any = None) -> None:
        self._api, self._stream = api, stream
        self._since = since
        """The cursor of the first parent that is wanted; None: all of them are."""
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
        cursor = ordered_by(self._api, self._stream)
        if cursor is None:
            yield from ((parent, None) for parent in self._parents())
            return
        order, path = cursor
        first = top = None if self._since is None else order.rank(self._since)
        orderly = True
        for parent in self._parents():
            value = at(parent, steps(path))
            rank = None if value is MISSING or value is None else order.rank(value)
            if rank is None or top is None or rank == top:
                yield parent, None
            elif rank > top:
                yield parent, value if orderly else None
            else:
                orderly = False  # the API does not keep what the manifest says
                if first is None or rank >= first:
                    yield parent, None
            top = rank if rank is not None and (top is None or rank > top) else top

    def _parents(self) -> Iterator[Mapping[str, Any] | None]:
        if self._stream.parent is None:
            yield None
            return
        parent = self._api.stream(self._stream.parent)
        pages = Pages(self._api, parent)
        windows = from_windows(self._api, parent, self._since)
        for fetched in pages.windows(windows):
            self.began = self.began or pages.began
            if fetched.body is not None:
                for row in objects(fetched.body, parent.records):
                    yield {**row, **included(parent, fetched.scope)}

    def _pages(self, scope: Scope, window: Window) -> Iterator[Fetched]:
        api, stream, asked = self._api, self._stream, window

        def ask(step: Step) -> Request:
            self._asked = self._asked or api.now()
            values = Values(config=api.config, parent=scope.parent, item=scope.item, start=asked.start, end=asked.end)
            return request(api.manifest, stream, values, parameters(stream.incremental, asked), step)

        def turn(body: PageBody, rows: int) -> Turn:
            nonlocal asked
            asked, what = self._turn(asked, body, rows)
            return what

        answers = walk(
            api.client, ask, paging(api.manifest, stream, api.config), records=stream.records, name=stream.name,
            rules=stream.on_response, stop=api.run.stop, turn=turn,
        )  # fmt: skip
        for answer in answers:
            if self.began is None:
                now = api.now()
                self.began = server_time(answer, now) - (now - self._asked)
            yield Fetched(answer.body, scope, window)

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


def ordered_by(api: Api, stream: RestStream) -> tuple[Order, str] | None:
    """The cursor in whose order the rows of a stream's parent come; None: in no order."""
    if stream.parent is None:
        return None
    parent = api.stream(stream.parent)
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


class Reading:
    """One read of a stream, from a bookmark on."""

    def __init__(self, api: Api, stream: RestStream, selection: Selection, bookmark: Bookmark | None) -> None:
        self._api, self._stream, self._selection = api, stream, selection
        incremental = stream.incremental if selection.cursor is not None or selection.start or selection.end else None
        self._known = bookmark if incremental is not None and selection.cursor is not None else None
        self._windows = windows_of(api, stream, selection, (self._known or {}).get(CURSOR)) or (
            windows_of(api, stream, selection, None)
        )
        schema = declared(stream.schema) if stream.schema else None
        self._records = Records(
            stream.records, schema=schema, include_key=stream.include_key, flatten=stream.flatten,
            name=f"stream {stream.name}",
        )  # fmt: skip
        self._shaping = Shaping(stream)
        self._many = stream.parent is not None or stream.for_each is not None
        self._ordered = bool(incremental and stream.incremental and stream.incremental.ordered and not self._many)
        self._reached = None
        if self._windows is not None and selection.cursor is not None:
            self._reached = Reached(self._windows.order, self._known, stream.name, selection.cursor)
        self._instants = False
        between = (self._known or {}).get(BETWEEN, {})
        self._pages = Pages(api, stream, between.get("parent"))
        if between and self._reached is not None:
            self._pages.began = between["began"]
            if between["top"] is not None:
                self._reached.raise_to(self._reached.rank(between["top"]), between["top"])

    def items(self) -> Iterator[Batch | Mark]:
        """Batches and bookmarks."""
        run, pages = self._api.run, self._pages.windows(self._windows)
        fetched = Ahead(pages, lambda one: len(one.body or b""), run.bytes // 4, self._stream.name)
        try:
            yield from self._grouped(fetched)
        finally:
            fetched.close()
        if not run.stop.is_set() and self._reached is not None:
            yield Mark(bookmark=self._last())

    def _grouped(self, fetched: Ahead[Fetched]) -> Iterator[Batch | Mark]:
        """Pages of one window together, as many as are there."""
        group: list[Fetched] = []
        size, most = 0, max(1, self._api.run.bytes // 8)
        for one in fetched:
            if one.body is None or (group and one.window is not group[0].window):
                yield from self._batches(group)
                group, size = [], 0
            if one.body is None:
                yield from self._over(one)
                continue
            group.append(one)
            size += len(one.body)
            if size >= most or len(group) >= PAGES or not fetched.ready():
                yield from self._batches(group)
                group, size = [], 0
        yield from self._batches(group)

    def _batches(self, group: list[Fetched]) -> Iterator[Batch]:
        if not group:
            return
        parsed = self._records.parse([one.body for one in group if one.body is not None])
        if None in parsed.counts:
            raise no_records(f"stream {self._stream.name}", self._stream.records)
        path, rejected = self._selection.stream.path, parsed.rejected
        for rows in self._shaped(parsed, group):
            if rows.num_rows or rejected is not None:
                bookmark = self._reached.bookmark() if self._ordered and self._reached is not None else None
                yield Batch(stream=path, data=rows, bookmark=bookmark, rejected=rejected)
                rejected = None

    def _shaped(self, parsed: Parsed, group: list[Fetched]) -> Iterator[Any]:
        scopes = [one.scope for one in group]
        at = 0
        for rows in parsed.batches:
            rows = self._shaping.apply(rows, parsed.counts, scopes, at)
            at += rows.num_rows
            yield self._within(rows, group[0].window)

    def _within(self, rows: Any, window: Window) -> Any:
        """The rows of the window; takes note of how far they reach."""
        cursor = self._selection.cursor
        if cursor is None or self._windows is None or cursor not in rows.schema.names:
            return rows
        ranks = self._windows.order.ranks(rows.column(cursor))
        rows = self._told(rows, cursor, ranks)
        mask = window.keep(ranks, self._stream.name, cursor)
        if mask is not None:
            rows = rows.filter(mask)
            ranks = filtered(ranks, mask)
        if self._reached is not None:
            self._reached.see(rows.column(cursor), ranks)
        return rows

    def _told(self, rows: Any, cursor: str, ranks: Any) -> Any:
        """The rows, saying of texts that are compared as instants that they are; what is one stays one."""
        place = rows.schema.get_field_index(cursor)
        field = rows.schema.field(place)
        said = pa.types.is_string(field.type) and isinstance(ranks, pa.Array) and pa.types.is_integer(ranks.type)
        if self._instants and not said and len(ranks) - rows.column(cursor).null_count:
            raise refuse_mixed(ranks, self._stream.name, cursor)
        self._instants = self._instants or said
        return rows.set_column(place, marked(field), rows.column(place)) if said else rows

    def _over(self, one: Fetched) -> Iterator[Mark]:
        """A window is over: its end is a bookmark, once it lies back far enough."""
        window, reached, windows = one.window, self._reached, self._windows
        if one.scope.reached is not None:
            if reached is not None and self._selection.mode == "merge":
                yield Mark(bookmark=self._between(one.scope.reached, reached))
            return
        if window.last or reached is None or windows is None:
            return
        if not windows.timely or window.high <= min(self._api.now(), self._pages.began or 0) - SETTLED:
            reached.raise_to(window.high, windows.written(window.high))
        yield Mark(bookmark=reached.bookmark())

    def _between(self, parent: Any, reached: Reached) -> Bookmark:
        """Where to go on among the parents: the bookmark of the read before stands until this one is over."""
        kept = {key: value for key, value in (self._known or {}).items() if key in (CURSOR, SEEN)}
        return {CURSOR: None, **kept, BETWEEN: {"parent": parent, "top": reached.literal, "began": self._pages.began}}

    def _last(self) -> Bookmark | None:
        """Where the next read begins: what is certain to have been seen, which of rows in no order is no more than
        what there was when the read began."""
        assert self._reached is not None
        assert self._windows is not None
        top, began = self._reached.top, self._pages.began
        found = self._reached.bookmark()
        if self._ordered or found is None or top is None:
            return found
        incremental = self._stream.incremental
        if self._windows.timely:
            if began is None or top <= began or (incremental and incremental.newest_first and not self._many):
                return found
            known = (self._known or {}).get(CURSOR)
            before = None if known is None else self._windows.order.rank(known)
            return self._known if before is not None and before > began else {CURSOR: self._windows.written(began)}
        if self._many and self._selection.mode != "append":
            low = (self._known or {}).get(SEEN, (self._known or {}).get(CURSOR))
            return {CURSOR: low, SEEN: found[CURSOR]} if low != found[CURSOR] else found
        return found


def filtered(ranks: Any, mask: Any) -> Any:
    """Those of the rows that a mask keeps."""
    if isinstance(ranks, list):
        return [rank for rank, kept in zip(ranks, mask.to_pylist(), strict=True) if kept]
    return ranks.filter(mask)


def _bare(stream: RestStream) -> Any:
    import pyarrow as pa

    from wherry.contracts.values import Stream

    return Stream(name=stream.name, schema=pa.schema([]))
