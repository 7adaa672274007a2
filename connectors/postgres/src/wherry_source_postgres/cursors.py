"""Incremental reading: what a bookmark says, where a read starts and ends, and in which order rows come.

A bookmark is {"cursor": column, "type": its stock type, "value": the server's text, "zone": of a time, "text": columns
kept as text, "origin": where the server was}. The upper bound is the greatest cursor value when the plan was made; rows
at the lower bound are read again, the pipeline drops those it knows. Rows whose cursor is NULL are read by each run,
before all others, unless they are left out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
from wherry import (
    SQL,
    DataError,
    Identifier,
    Literal,
    Part,
    Progress,
    Quoting,
    ReadPlan,
    Selection,
    Split,
    StateError,
    StreamError,
    UsageError,
)

from wherry_source_postgres.client import Client
from wherry_source_postgres.origin import Origin, moved, went_back
from wherry_source_postgres.queries import table, unfit, where
from wherry_source_postgres.types import BASE, INDEX, TYPE

_NUMBERS = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8", "oid"})
_TIMES = frozenset({"timestamptz", "timestamp", "date"})
_TEXTS = frozenset({"text", "varchar", "bpchar", "name"})
"""Compared byte by byte, as everyone after the server does: other collations may change under a bookmark."""
_OTHERS = frozenset({"uuid", "time", "xid8", "bytea"})
_SPANS = _NUMBERS - {"oid"} | _TIMES
"""Types that a look-back can be taken from."""
_ZONES = {"timestamptz": "UTC", "timestamp": "none"}
"""What a time's text is in: sessions are in UTC, a time without a zone is as the source wrote it."""
_ENDLESS = frozenset({"infinity", "-infinity", "Infinity", "-Infinity", "NaN"})
_AHEAD = {
    "timestamptz": SQL("{column} > now() + interval '1 hour'"),
    "timestamp": SQL("{column} > now() at time zone 'UTC' + interval '26 hours'"),
    "date": SQL("{column} > (now() at time zone 'UTC')::date + 1"),
}
_NULLS = {"exclude": "such rows are left out", "error": "the first such row ends the run"}
_SORTED_UNTIL = 200_000
"""Rows that the server may sort for us where no index gives the order."""

_MAX = SQL(
    "select {column}::text as value, {behind} as behind, {same} as same, {ahead} as ahead "
    "from {table}{where} order by {column} desc limit 1"
)
_THERE = SQL("select exists (select from {table}{where}) as there")
_UNFIT = SQL("select {columns} from {table}{where}")
_CANONICAL = SQL("select {value}::text as value")


def plan(client: Client, selection: Selection, known: Progress, here: Origin) -> ReadPlan | None:
    """The next window of a selection with a cursor; None when its rows can have no news. here: where the server is."""
    path = selection.stream.path
    bookmark = None if path in known.missing else known.bookmark
    check(selection, bookmark)
    if known.open is not None and path not in known.missing and resumable(known.open, selection):
        return known.open
    with client.snapshot():
        exact = canonical(client, selection)
        refuse_restored(client, exact, bookmark, here)
        until, ahead = upper(client, exact, bookmark)
        if until is None and bookmark is not None:
            if not reads_nulls(selection):
                return None
            until = bookmark["value"]
        detail = {"from": bookmark, "start": exact.start, "upper": until}
        text = _text(client, exact, bookmark, detail)
    stream = replace(selection.stream, ordered=_ordered(selection), notes=notes(selection, until, ahead))
    selection = replace(selection, stream=stream)
    split = Split(key=path, streams=(selection,), bookmark=bookmark, detail=detail | {"text": text})
    after = bookmark_at(selection, until, text, here)
    if bookmark is not None and {**after, "origin": None} == {**bookmark, "origin": None}:
        after = bookmark  # nothing new: it stays the same to the byte
    return ReadPlan(key=path, splits=(split,), after=after)


@dataclass(frozen=True, slots=True)
class Pass:
    """One SELECT of a read. text: columns read as text.  order: column to sort by.  bookmarks: may be taken."""

    bounds: tuple[Part, ...] = ()
    text: tuple[str, ...] = ()
    order: Part | None = None
    bookmarks: bool = False


def passes(split: Split) -> list[Pass]:
    """The SELECTs that make up a split with a cursor, one after the other in one snapshot."""
    bookmark, detail = split.bookmark, split.detail
    selection = replace(split.streams[0], start=detail["start"])
    known = tuple((bookmark or {}).get("text", ()))
    column, text = column_of(selection), tuple(sorted({*known, *detail["text"]}))
    ordered = selection.stream.ordered
    main = Pass(window(selection, detail["upper"]), text, column if ordered else None, ordered)
    fresh = bookmark == detail["from"] and reads_nulls(selection)
    empty = [Pass((SQL("{column} is null")(column=column),), text)] if fresh else []
    if bookmark is None or bookmark["value"] is None:
        return empty + ([] if detail["upper"] is None else [main])
    value = literal(bookmark["value"], selection)
    if selection.lookback:  # a bookmark before the one that this window began at would look back further than that did
        earlier = _bounded(_bounded(main, SQL("<"), column, value), SQL(">="), column, back(value, selection))
        return [*empty, replace(earlier, bookmarks=False), _bounded(main, SQL(">="), column, value)]
    if set(known) == set(text):
        return [*empty, _bounded(main, SQL(">="), column, value)]
    # rows of the boundary come as they came before, so that the pipeline recognises them
    boundary = replace(_bounded(main, SQL("="), column, value), text=known)
    return [*(replace(p, text=known) for p in empty), boundary, _bounded(main, SQL(">"), column, value)]


def bookmark_of(selection: Selection, schema: pa.Schema, last: pa.Scalar) -> dict[str, Any]:
    """The bookmark after a row whose cursor is `last`, read under `schema`."""
    wished, stream = wished_texts(selection), selection.stream
    text = [f.name for f in schema if f.type != stream.schema.field(f.name).type and f.name not in wished]
    return _bookmark(selection, server_text(last), text)


def wished_texts(selection: Selection) -> set[str]:
    """Columns the user wants as text, but for the cursor: they come as the server writes them."""
    return {n for n, type in selection.types.items() if type in {"text", "string"} and n != selection.cursor}


def server_text(value: pa.Scalar) -> str:
    """An Arrow value in the server's own notation."""
    python = value.as_py() if not pa.types.is_timestamp(value.type) else None
    if python is None:
        moment = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=value.value)
        return _short(moment.isoformat(" ")) + ("+00" if value.type.tz else "")
    if isinstance(python, dt.time):
        return _short(python.isoformat())
    if isinstance(python, bytes):
        return "\\x" + python.hex()
    if isinstance(python, Decimal):
        return f"{python:f}"
    return repr(python) if isinstance(python, float) else str(python)


def no_order(selection: Selection) -> DataError:
    """The cursor holds a value that would be kept as text, and text sorts otherwise."""
    path, cursor = selection.stream.path, selection.cursor or ""
    return DataError(
        f"{path}.{cursor} holds values that are no plain {_base(selection)} (infinity, NaN, too many digits)",
        column=cursor,
        next="choose another cursor, or leave such rows out with --where",
    )


def field(selection: Selection) -> pa.Field:
    """The column of the cursor."""
    return selection.stream.schema.field(selection.cursor)


def column_of(selection: Selection) -> Part:
    """The cursor column, with the collation it is compared in."""
    column = Identifier(selection.cursor or "")
    return SQL('{column} collate "C"')(column=column) if _base(selection) in _TEXTS else column


def literal(value: str, selection: Selection) -> Part:
    """A value of the cursor, typed."""
    return SQL("{value}::{type}")(value=Literal(value), type=Identifier("pg_catalog", _base(selection)))


def _short(moment: str) -> str:
    return moment.rstrip("0") if "." in moment else moment


def _base(selection: Selection) -> str:
    return str((field(selection).metadata or {}).get(BASE, b"").decode())


def bookmark_at(selection: Selection, value: str | None, text: list[str], here: Origin) -> dict[str, Any]:
    """The bookmark at a value of the cursor. here: where the server is."""
    return _bookmark(selection, value, text) | ({"origin": here} if here else {})


def _bookmark(selection: Selection, value: str | None, text: list[str]) -> dict[str, Any]:
    base = _base(selection)
    kept: dict[str, Any] = {"zone": _ZONES[base]} if base in _ZONES else {}
    return {"cursor": selection.cursor, "type": base, "value": value} | kept | ({"text": sorted(text)} if text else {})


def check(selection: Selection, bookmark: Any) -> None:
    """The cursor is a column that can be one, and the one of the bookmark."""
    path, cursor = selection.stream.path, selection.cursor or ""
    next = (
        f"add --full-refresh to rebuild the table of {path}, or  wherry state reset DEST {path}  to read it all again"
    )
    if cursor not in selection.stream.schema.names:
        if bookmark is not None:
            raise StateError(f"{path} has no column {cursor} any more, which its bookmark is for", next=next)
        near = ", ".join(get_close_matches(cursor, selection.stream.schema.names)) or "wherry discover"
        raise UsageError(f"{path} has no column {cursor}", key="cursor", next=f"did you mean: {near}")
    base = _base(selection)
    if base not in _NUMBERS | _TIMES | _TEXTS | _OTHERS:
        type = (field(selection).metadata or {}).get(TYPE, b"this type").decode()
        why = "its values start again after four billion transactions" if base == "xid" else "has no lasting order"
        raise UsageError(
            f"{path}.{cursor} cannot be a cursor: {type} {why}", key="cursor", next="choose another column"
        )
    if selection.lookback and base not in _SPANS:
        raise UsageError(f"{path}.{cursor} is {base}: nothing to look back by", key="lookback")
    if bookmark is not None and (bookmark["cursor"], _family(bookmark["type"])) != (cursor, _family(base)):
        was = f"{bookmark['cursor']} ({bookmark['type']})"
        raise StateError(f"the bookmark of {path} is for {was}, the cursor is {cursor} ({base})", next=next)


def _family(base: str) -> str:
    """Types between which a cursor may be altered without moving its values."""
    if base in {"int2", "int4", "int8", "numeric"}:
        return "numeric"
    return "text" if base in {"text", "varchar"} else base


def resumable(plan: ReadPlan, selection: Selection) -> bool:
    """Whether an open plan is gone on with. One that has not got anywhere is made anew: up to what there is now."""
    if len(plan.splits) != 1 or plan.after is None or "from" not in (plan.splits[0].detail or {}):
        return False
    (split,) = plan.splits
    return split.streams[0].cursor == selection.cursor and split.bookmark != split.detail.get("from")


def canonical(client: Client, selection: Selection) -> Selection:
    """`start` and `end` as the server writes them, so that "yesterday" means one day for the whole plan."""
    for key in ("start", "end"):
        value = getattr(selection, key)
        if value is not None:
            try:
                (row,) = client.fetch(_CANONICAL(value=literal(value, selection)).render(Quoting()))
            except StreamError as error:
                raise UsageError(f"{key} {value!r} is not a value of type {_base(selection)}", key=key) from error
            selection = replace(selection, **{key: row["value"]})
    return selection


def refuse_restored(client: Client, selection: Selection, bookmark: Any, here: Origin) -> None:
    """Raise when the server has gone back behind the bookmark; when it has another history, unless the bookmark's rows
    are there."""
    if not moved(client, selection, bookmark, here) or bookmark["value"] is None:
        return
    at = SQL("{column} = {value}")(column=column_of(selection), value=literal(bookmark["value"], selection))
    sql = _THERE(table=table(selection), where=where(selection, [at])).render(Quoting())
    if not client.fetch(sql, subject=selection.stream.path)[0]["there"]:
        path = selection.stream.path
        raise went_back(
            selection, f"the server was restored, or a stand-by took over (timeline {bookmark['origin']['timeline']} → "
            f"{here['timeline']}), and {path} has no row at its bookmark {bookmark['value']} any more",
        )  # fmt: skip


def upper(client: Client, selection: Selection, bookmark: Any) -> tuple[str | None, bool]:
    """The greatest cursor value of the window, and whether it lies ahead of the server's clock.

    None if there is none, or none at or after the bookmark.
    """
    value, behind, ahead = _greatest(client, selection, bookmark, ())
    path, cursor = selection.stream.path, selection.cursor
    if behind:
        raise went_back(
            selection,
            f"{path}.{cursor} ends at {value}, before its bookmark {bookmark['value']}: restored or made anew?",
        )
    if selection.end is not None:
        value, behind, ahead = _greatest(client, selection, bookmark, until(selection))
    if value in _ENDLESS:
        raise DataError(
            f"{path}.{cursor} holds {value}: as a bookmark it would hide all later rows",
            column=cursor,
            next="choose another cursor, or leave such rows out with --where",
        )
    return (None, False) if behind else (value, ahead)


def _greatest(
    client: Client, selection: Selection, bookmark: Any, bounds: Sequence[Part]
) -> tuple[str | None, bool, bool]:
    """(value, whether it lies before the bookmark, whether it lies ahead of the server's clock)."""
    column = column_of(selection)
    known = None if bookmark is None else bookmark["value"]
    behind: Part = SQL("false")
    same: Part = SQL("false")
    if known is not None:
        behind = SQL("{column} < {known}")(column=column, known=literal(known, selection))
        same = SQL("{column} = {known}")(column=column, known=literal(known, selection))
    sql = _MAX(
        column=column,
        behind=behind,
        same=same,
        ahead=_AHEAD[_base(selection)](column=column) if _base(selection) in _AHEAD else SQL("false"),
        table=table(selection),
        where=where(selection, [SQL("{column} is not null")(column=column), *bounds]),
    )
    found = client.fetch(sql.render(Quoting()), subject=selection.stream.path)
    if not found:
        return None, False, False
    (row,) = found
    return known if row["same"] else row["value"], row["behind"], row["ahead"]  # 1.0 is 1.00: the text stays


def _text(client: Client, selection: Selection, bookmark: Any, detail: dict[str, Any]) -> list[str]:
    """Columns that have to be text because a row of the window, or of an earlier one, asks for it."""
    schema, path = selection.stream.schema, selection.stream.path
    known = [] if bookmark is None else [n for n in bookmark.get("text", ()) if n in schema.names]
    split = Split(key=path, streams=(selection,), bookmark=bookmark, detail=detail | {"text": known})
    return texts(client, selection, known, passes(split))


def texts(client: Client, selection: Selection, known: Sequence[str], parts: Sequence[Pass]) -> list[str]:
    """Columns that have to be text because a row of these parts asks for it, and those known before."""
    schema, path = selection.stream.schema, selection.stream.path
    asked = {n: unfit(schema.field(n)) for n in selection.columns or schema.names if n not in known}
    tests = {name: test for name, test in asked.items() if test is not None}
    found = set(known)
    for part in parts if tests else ():
        columns = [SQL("coalesce(bool_or({test}), false)")(test=test) for test in tests.values()]
        sql = _UNFIT(columns=columns, table=table(selection), where=where(selection, part.bounds)).render(Quoting())
        (row,) = client.fetch(sql, subject=path)
        found |= {name for name, unfits in zip(tests, row.values(), strict=True) if unfits}
    if selection.cursor in found:
        raise no_order(selection)
    return sorted(found)


def _ordered(selection: Selection) -> bool:
    estimate = selection.stream.row_estimate
    small = estimate is not None and estimate <= _SORTED_UNTIL
    return small or _indexed(selection)


def _indexed(selection: Selection) -> bool:
    """Whether an index gives the cursor's order; one in another collation does not."""
    return (field(selection).metadata or {}).get(INDEX) == b"1" and _base(selection) not in _TEXTS


def reads_nulls(selection: Selection) -> bool:
    """Whether rows are read that have no value in the cursor."""
    return field(selection).nullable and selection.start is None and selection.nulls != "exclude"


def notes(selection: Selection, upper: str | None, ahead: bool) -> tuple[str, ...]:
    """What a user should know about this cursor, one line each. upper: its greatest value; ahead: of the clock."""
    notes, cursor, base = list(selection.stream.notes), selection.cursor, _base(selection)
    if field(selection).nullable and selection.nulls == "include" and selection.start is None:
        notes.append(
            f"{cursor} may be NULL: such rows are read again by each run; make it NOT NULL, or --null-cursor exclude"
        )
    elif field(selection).nullable:
        notes.append(f"{cursor} may be NULL: " + _NULLS["error" if selection.nulls == "error" else "exclude"])
    if not _indexed(selection):
        own = ' collate "C"' if base in _TEXTS else ""
        notes.append(f"no index gives the order of {cursor}: each run scans the table; create index on ({cursor}{own})")
    if base == "time":
        notes.append(
            f"{cursor} is a time of day: after midnight it starts again, and rows are missed; take a timestamp"
        )
    if base == "timestamp" and selection.lookback < 3600:
        notes.append(f"{cursor} has no zone: if it is local time, an hour comes twice in autumn; then --lookback 1h")
    if base == "uuid" and upper is not None and upper[14] not in "67":
        notes.append(f"{cursor} is not a UUID of version 6 or 7: later rows may sort before the bookmark and be missed")
    if ahead:
        notes.append(
            f"{cursor} reaches {upper}, ahead of the server's clock: rows that come with an earlier value are missed; "
            "correct it, or leave such rows out: --where"
        )
    return tuple(notes)


def window(selection: Selection, upper: str | None) -> tuple[Part, ...]:
    """From the user's `start` up to a value of the cursor, that included; None: to the end."""
    column, bounds = column_of(selection), []
    if selection.start is not None:
        bounds.append(SQL("{column} >= {value}")(column=column, value=literal(selection.start, selection)))
    if upper is not None:
        bounds.append(SQL("{column} <= {value}")(column=column, value=literal(upper, selection)))
    return tuple(bounds)


def until(selection: Selection) -> tuple[Part, ...]:
    """Up to the user's `end`, that excluded."""
    end = literal(selection.end or "", selection)
    return (SQL("{column} < {end}")(column=column_of(selection), end=end),)


def _bounded(main: Pass, relation: SQL, column: Part, value: Part) -> Pass:
    bound = SQL("{column} {relation} {value}")(column=column, relation=relation, value=value)
    return replace(main, bounds=(bound, *main.bounds))


def back(value: Part, selection: Selection) -> Part:
    """The value of the cursor that lies the look-back before `value`."""
    base = _base(selection)
    amount: int | float = int(selection.lookback) if float(selection.lookback).is_integer() else selection.lookback
    if base in _NUMBERS:
        return SQL("{value} - {amount}")(value=value, amount=Literal(amount))
    before = SQL("({value} - make_interval(secs => {amount}))::{type}")
    return before(value=value, amount=Literal(amount), type=Identifier("pg_catalog", base))
