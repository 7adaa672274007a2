"""One read of one stream: bytes fetched ahead, rows and bookmarks in bulk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from wherry.contracts.values import OP, Batch, Bookmark, Mark, Selection
from wherry.errors import DataError
from wherry.http.ahead import Ahead
from wherry.http.bodies import not_json
from wherry.instants import marked
from wherry.json_rows import Parsed, Records, declared
from wherry.rest.fetch import Api, Fetched, Pages, Scope, windows_of
from wherry.rest.models import RestStream
from wherry.rest.moments import refuse_mixed
from wherry.rest.progress import BETWEEN, CURSOR, SEEN, Reached
from wherry.rest.rows import Repeats, Shaping, Ties, cursor_column
from wherry.rest.walk import no_records
from wherry.rest.window import Window

PAGES = 20
"""Pages parsed at once, at most."""
TOGETHER = 0.1
"""Seconds that a page waits for others to be parsed with."""


class Reading:
    """One read of a stream, from a bookmark on."""

    def __init__(self, api: Api, stream: RestStream, selection: Selection, bookmark: Bookmark | None) -> None:
        self._api, self._stream, self._selection = api, stream, selection
        incremental = stream.incremental if selection.cursor is not None or selection.start or selection.end else None
        self._known = bookmark if incremental is not None and selection.cursor is not None else None
        self._windows = windows_of(api, stream, selection, (self._known or {}).get(CURSOR))
        schema = declared(stream.schema) if stream.schema else None
        self._records = Records(
            stream.records, schema=schema, include_key=stream.include_key, flatten=stream.flatten,
            name=f"stream {stream.name}",
        )  # fmt: skip
        self._shaping = Shaping(stream)
        self._repeats = Repeats(stream)
        anew = stream.incremental is not None and stream.incremental.anew_after is not None
        self._ties = Ties() if anew and selection.mode in ("append", "replace") else None
        self._offered = selection.stream.schema
        self._many = stream.parent is not None or stream.for_each is not None
        self._ordered = bool(incremental and stream.incremental and stream.incremental.ordered and not self._many)
        self._reached = None
        if self._windows is not None and selection.cursor is not None:
            self._reached = Reached(self._windows.order, self._known, stream.name, selection.cursor)
        self._instants = False
        self._held_back = 0
        between = (self._known or {}).get(BETWEEN, {})
        self._pages = Pages(api, stream, between.get("parent", self._parents_since()))
        if between and self._reached is not None:
            self._pages.began = between["began"]
            if between["top"] is not None:
                self._reached.raise_to(self._reached.rank(between["top"]), between["top"])

    def _parents_since(self) -> Any:
        """From where on parents are asked for, if the stream goes by their cursor."""
        if self._stream.incremental is None or self._stream.incremental.parents is None:
            return None
        return (self._known or {}).get(CURSOR, self._selection.start)

    def items(self) -> Iterator[Batch | Mark]:
        """Batches and bookmarks."""
        run, pages = self._api.run, self._pages.windows(self._windows)
        room = run.bytes // 4 if self._selection.limit is None else 0  # a sample needs few pages
        fetched = Ahead(pages, lambda one: len(one.body or b""), room, self._stream.name)
        try:
            yield from self._grouped(fetched)
        finally:
            fetched.close()
        if self._held_back:
            run.log.warning(
                "stream %s: rows left to a later run, because their cursor is later than the beginning of this one: %s",
                self._stream.name, f"{self._held_back:,}",
            )  # fmt: skip
        if not run.stop.is_set() and self._reached is not None:
            yield Mark(bookmark=self._last())

    def _grouped(self, fetched: Ahead[Fetched]) -> Iterator[Batch | Mark]:
        """Pages of one window together, as many as are there; then what they were the last ones of."""
        group: list[Fetched] = []
        began = 0.0
        size, most = 0, max(1, self._api.run.bytes // 8)
        for one in fetched:
            over = one.body is None and one.scope.reached is None
            if group and (over or self._apart(one, group[0])):
                yield from self._batches(group)
                group, size = [], 0
            if over:
                yield from self._over(one.window)
                continue
            began = began if group else time.monotonic()
            group.append(one)
            size += len(one.body or b"")
            if size >= most or len(group) >= PAGES or not fetched.ready(began + TOGETHER):
                yield from self._batches(group)
                group, size = [], 0
        yield from self._batches(group)

    def _apart(self, one: Fetched, other: Fetched) -> bool:
        """Whether two pages are of different windows; or, where rows come again, of different queries."""
        queries = one.scope is not other.scope or one.query != other.query
        return one.window is not other.window or (self._ties is not None and queries)

    def _batches(self, group: list[Fetched]) -> Iterator[Batch | Mark]:
        """Rows of pages; between them where the last of the parents that were reached came."""
        last = max((n for n, one in enumerate(group) if one.body is None), default=None)
        if last is not None and self._reached is not None and self._selection.mode == "merge":
            yield from self._batches([one for one in group[:last] if one.body is not None])
            yield Mark(bookmark=self._between(group[last].scope.reached, self._reached))
            group = group[last:]
        pages = [one for one in group if one.body is not None]
        if pages:
            yield from self._parsed(pages)

    def _parsed(self, group: list[Fetched]) -> Iterator[Batch | Mark]:
        try:
            parsed = self._records.parse([one.body for one in group if one.body is not None])
        except DataError as error:
            wrong = (not_json(one.body, one.url) for one in group if one.body is not None)
            raise next(filter(None, wrong), error) from None
        if None in parsed.counts:
            raise no_records(f"stream {self._stream.name}", self._stream.records)
        self._repeats.see(parsed, group)
        path, rejected = self._selection.stream.path, parsed.rejected
        for rows in self._shaped(parsed, group):
            if rows.num_rows or rejected is not None:
                bookmark = self._reached.bookmark() if self._ordered and self._reached is not None else None
                rows = self._selected(rows)
                yield from self._announced(rows.schema)
                yield Batch(stream=path, data=rows, bookmark=bookmark, rejected=rejected)
                rejected = None

    def _selected(self, rows: Any) -> Any:
        """The columns that are wanted."""
        s = self._selection
        if s.columns is None:
            return rows
        wanted = {*s.columns, *s.key, s.cursor, OP}
        return rows.select([name for name in rows.schema.names if name in wanted])

    def _announced(self, found: pa.Schema) -> Iterator[Mark]:
        """A mark of what the columns that were offered did not tell; where none was offered, rows tell them all."""
        offered = self._offered.names
        if not offered:
            return
        new = [field for field in found if field.name != OP and field.name not in offered]
        wider = {f.name: f for f in found if f.name in offered and f.type != self._offered.field(f.name).type}
        if new or wider:
            self._offered = pa.schema([*(wider.get(field.name, field) for field in self._offered), *new])
            yield Mark(stream=replace(self._selection.stream, schema=self._offered))

    def _shaped(self, parsed: Parsed, group: list[Fetched]) -> Iterator[Any]:
        scopes = [one.scope for one in group]
        at = 0
        for rows in parsed.batches:
            rows = self._shaping.apply(rows, parsed.counts, scopes, at)
            at += rows.num_rows
            yield self._within(rows, group[0])

    def _within(self, rows: Any, page: Fetched) -> Any:
        """The rows of the window, none of them twice; takes note of how far they reach."""
        cursor = cursor_column(self._stream)
        if cursor is None or self._windows is None or cursor not in rows.schema.names:
            return rows
        ranks = self._windows.order.ranks(rows.column(cursor))
        if self._reached is not None:
            rows = self._told(rows, cursor, ranks)
        for bounds in (page.window, self._later()):
            mask = bounds.keep(ranks, self._stream.name, cursor)
            if mask is not None:
                before, rows, ranks = rows.num_rows, rows.filter(mask), filtered(ranks, mask)
                self._held_back += before - rows.num_rows if bounds is not page.window else 0
        if self._ties is not None:
            mask = self._ties.mask(rows, ranks, (page.scope, page.window), page.query)
            rows, ranks = rows.filter(mask), filtered(ranks, mask)
        if self._reached is not None:
            self._reached.see(rows.column(cursor), ranks)
        return rows

    def _later(self) -> Window:
        """What was there when the read began: appended rows that came later, in no order, would come again."""
        newest_first = self._stream.incremental is not None and self._stream.incremental.newest_first
        exact = self._ordered or (newest_first and not self._many) or self._selection.mode != "append"
        began = self._pages.began
        if exact or began is None or self._windows is None or not self._windows.timely:
            return Window()
        return Window(high=began + 1)

    def _told(self, rows: Any, cursor: str, ranks: Any) -> Any:
        """The rows, saying of texts that are compared as instants that they are; what is one stays one."""
        place = rows.schema.get_field_index(cursor)
        field = rows.schema.field(place)
        said = pa.types.is_string(field.type) and isinstance(ranks, pa.Array) and pa.types.is_integer(ranks.type)
        if self._instants and not said and len(ranks) - rows.column(cursor).null_count:
            raise refuse_mixed(ranks, self._stream.name, cursor)
        self._instants = self._instants or said
        return rows.set_column(place, marked(field), rows.column(place)) if said else rows

    def _over(self, window: Window) -> Iterator[Mark]:
        """A window is over: the highest value seen is a bookmark, not its end, where rows may still come to be."""
        if not window.last and self._reached is not None:
            yield Mark(bookmark=self._last())

    def _between(self, parent: Any, reached: Reached) -> Bookmark:
        """Where to go on among the parents: the bookmark of the read before stands until this one is over."""
        kept = {key: value for key, value in (self._known or {}).items() if key in (CURSOR, SEEN)}
        return {CURSOR: None, **kept, BETWEEN: {"parent": parent, "top": reached.literal, "began": self._pages.began}}

    def _last(self) -> Bookmark | None:
        """Where the next read begins: what is certain to have been seen, which of rows in no order is no more than
        what there was when the read began."""
        assert self._reached is not None
        assert self._windows is not None
        if self._pages.top is not None:
            self._reached.raise_to(*self._pages.top)
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


__all__ = ["Api", "Pages", "Reading", "Scope"]
