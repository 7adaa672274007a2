"""What is done to the rows of a page beyond parsing: columns of the parent, nested cursors, deletes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.values import DELETE, OP, UPSERT
from wherry.errors import StreamError
from wherry.rest.models import Deleted, RestStream

if TYPE_CHECKING:
    from wherry.json_rows import Parsed
    from wherry.rest.fetch import Fetched, Scope


def column(path: str) -> str:
    """The column of a path in the record: a nested one is called as `flatten` would call it."""
    return path.replace(".", "__")


def cursor_column(stream: RestStream) -> str | None:
    """The column of a stream's cursor; that of its parent's, if it is one of those."""
    if stream.incremental is None:
        return None
    parents = stream.incremental.parents
    return column(stream.incremental.cursor) if parents is None else f"_{stream.parent}_{column(parents)}"


class Shaping:
    """Shapes batches of one stream."""

    def __init__(self, stream: RestStream) -> None:
        self._stream = stream
        own = stream.incremental if stream.incremental is not None and stream.incremental.parents is None else None
        paths = [*stream.primary_key, *([own.cursor] if own is not None else [])]
        self._lifted = () if stream.flatten else tuple(path for path in paths if "." in path)
        self._types: dict[str, pa.DataType] = {}

    def apply(self, rows: Any, counts: Sequence[int | None], scopes: Sequence[Scope], at: int) -> Any:
        """The batch with what belongs to it. counts, scopes: rows of each page, and for whom it was asked.

        at: rows of the pages that earlier batches had.
        """
        for path in self._lifted:
            found = _nested(rows, path.split("."))
            if found is not None:
                rows = rows.append_column(column(path), found)
        if self._stream.include_parent:
            rows = self._with_parent(rows, counts, scopes, at)
        if self._stream.deleted is not None:
            rows = rows.append_column(pa.field(OP, pa.int8(), nullable=False), _operations(rows, self._stream.deleted))
        return rows

    def _with_parent(self, rows: Any, counts: Sequence[int | None], scopes: Sequence[Scope], at: int) -> Any:
        from wherry.rest.fetch import included

        made = [included(self._stream, scope) for scope in scopes]
        places = pa.array([n for n, count in enumerate(counts) for _ in range(count or 0)], pa.int32())
        places = places.slice(at, rows.num_rows)
        for name in made[0]:
            values = [_plain(one[name]) for one in made]
            rows = rows.append_column(name, self._typed(name, values).take(places))
        return rows

    def _typed(self, name: str, values: list[Any]) -> pa.Array:
        """The values as a column whose type stays, once it is known; of several kinds, as text."""
        known = self._types.get(name)
        try:
            found = pa.array(values, known)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            found = pa.array([None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values])
        if not pa.types.is_null(found.type):
            self._types[name] = found.type
        return found


class Repeats:
    """Knows when a page has just the records of the page before it, whatever stands around them in the answer.

    That is an API which does not understand what asks it for the next page, and would go on for ever.
    """

    def __init__(self, stream: RestStream) -> None:
        self._name = stream.name
        incremental = stream.incremental
        self._asked_anew = incremental is not None and incremental.anew_after is not None
        self._before: tuple[Scope, Any, Any] | None = None

    def see(self, parsed: Parsed, pages: Sequence[Fetched]) -> None:
        """Take note of pages and their records; `StreamError` for a page that only repeats."""
        if self._asked_anew or not parsed.batches:  # rows that share a cursor value do come again then
            return
        table, at = pa.Table.from_batches(list(parsed.batches)), 0
        for page, count in zip(pages, parsed.counts, strict=True):
            rows, at = table.slice(at, count or 0), at + (count or 0)
            before, self._before = self._before, (page.scope, page.window, rows)
            if rows.num_rows and before is not None and _same(before, self._before):
                raise StreamError(
                    f"stream {self._name}: a page holds just what the page before it held: the pages go nowhere",
                    next="look at paginate: the server does not understand what asks for the next page",
                )


class Ties:
    """Drops rows that come again because a query began anew at the cursor value of the last one's last row."""

    def __init__(self) -> None:
        self._origin: Any = None
        self._query = 0
        self._rank: Any = None
        self._known: Counter[str] = Counter()
        self._left: Counter[str] = Counter()

    def mask(self, rows: Any, ranks: Any, origin: Any, query: int) -> pa.Array:
        """Which rows are new. origin: what the query is about; another one knows nothing of these."""
        if origin != self._origin:
            self._origin, self._query, self._rank, self._known, self._left = origin, query, None, Counter(), Counter()
        elif query != self._query:
            self._query, self._left = query, Counter(self._known)
        values = ranks if isinstance(ranks, list) else ranks.to_pylist()
        top = max((rank for rank in values if rank is not None), default=self._rank)
        kept = []
        for place, rank in enumerate(values):
            mark = str(rows.slice(place, 1).to_pylist()) if rank is not None and rank in (self._rank, top) else ""
            again = rank is not None and rank == self._rank and self._left[mark] > 0
            self._left[mark] -= again
            kept.append(not again)
            if rank is not None and rank == top and not again:
                self._known = self._known if top == self._rank else Counter()
                self._rank = top
                self._known[mark] += 1
        return pa.array(kept, pa.bool_())


def _same(before: tuple[Scope, Any, Any], now: tuple[Scope, Any, Any]) -> bool:
    return before[:2] == now[:2] and before[2].num_rows == now[2].num_rows and before[2].equals(now[2])


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (Mapping, list)) else value


def _nested(rows: Any, steps: list[str]) -> pa.Array | None:
    """The values of a field within structs; None if it is not there."""
    if steps[0] not in rows.schema.names:
        return None
    found = rows.column(steps[0])
    for step in steps[1:]:
        if not pa.types.is_struct(found.type) or found.type.get_field_index(step) < 0:
            return None
        found = pc.struct_field(found, step)
    return found


def _operations(rows: Any, deleted: Deleted) -> pa.Array:
    found = _nested(rows, deleted.path.split("."))
    if found is None:
        return pa.repeat(pa.scalar(UPSERT, pa.int8()), rows.num_rows)
    if deleted.exists:
        gone = found.is_valid()
    else:
        try:
            gone = pc.fill_null(pc.equal(found, pa.scalar(deleted.equals, found.type)), False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            text = deleted.equals if isinstance(deleted.equals, str) else json.dumps(deleted.equals)
            gone = pa.array([value is not None and str(value) == text for value in found.to_pylist()], pa.bool_())
    return pc.if_else(gone, pa.scalar(DELETE, pa.int8()), pa.scalar(UPSERT, pa.int8()))
