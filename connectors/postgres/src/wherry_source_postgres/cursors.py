"""Incremental reading: what a bookmark says, where a read starts and ends, and in which order rows come.

A bookmark is {"cursor": column, "type": its stock type, "value": the server's text, "text": columns kept as text}.
The upper bound is the greatest cursor value when the plan was made; rows at the lower bound are read again, the
pipeline drops those it knows. Rows whose cursor is NULL are read by the first run, before all others, and never again.
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
from wherry_source_postgres.queries import table, unfit, where
from wherry_source_postgres.types import BASE, INDEX, TYPE

_NUMBERS = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8", "oid"})
_TIMES = frozenset({"timestamptz", "timestamp", "date"})
_TEXTS = frozenset({"text", "varchar", "bpchar", "name"})
"""Compared byte by byte, as everyone after the server does: other collations may change under a bookmark."""
_OTHERS = frozenset({"uuid", "time", "xid8"})
_ENDLESS = frozenset({"infinity", "-infinity", "Infinity", "-Infinity", "NaN"})
_SORTED_UNTIL = 200_000
"""Rows that the server may sort for us where no index gives the order."""

_MAX = SQL("select {column}::text as value, {behind} as behind from {table}{where} order by {column} desc limit 1")
_UNFIT = SQL("select {columns} from {table}{where}")
_CANONICAL = SQL("select {value}::text as value")


def plan(client: Client, selection: Selection, known: Progress) -> ReadPlan | None:
    """The next window of a selection with a cursor; None when its rows can have no news."""
    path = selection.stream.path
    bookmark = None if path in known.missing else known.bookmark
    _check(selection, bookmark)
    if known.open is not None and path not in known.missing and _resumable(known.open, selection):
        return known.open
    with client.snapshot():
        exact = _canonical(client, selection)
        upper = _upper(client, exact, bookmark)
        if upper is None and bookmark is not None:
            return None
        detail = {"from": bookmark, "start": exact.start, "upper": upper}
        text = _text(client, exact, bookmark, detail)
    stream = replace(selection.stream, ordered=_ordered(selection), notes=_notes(selection))
    selection = replace(selection, stream=stream)
    split = Split(key=path, streams=(selection,), bookmark=bookmark, detail=detail | {"text": text})
    return ReadPlan(key=path, splits=(split,), after=_bookmark(selection, upper, text))


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
    main = Pass(_window(selection, detail["upper"]), text, column if ordered else None, ordered)
    if bookmark is None:
        nulls = field(selection).nullable and selection.start is None
        first = [Pass((SQL("{column} is null")(column=column),), text)] if nulls else []
        return first + ([] if detail["upper"] is None else [main])
    if bookmark["value"] is None:
        return [main]
    value = literal(bookmark["value"], selection)
    if selection.lookback and bookmark == detail["from"]:
        return [_bounded(main, SQL(">="), column, _back(value, selection))]
    if set(known) == set(text):
        return [_bounded(main, SQL(">="), column, value)]
    # rows of the boundary come as they came before, so that the pipeline recognises them
    return [replace(_bounded(main, SQL("="), column, value), text=known), _bounded(main, SQL(">"), column, value)]


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


def _bookmark(selection: Selection, value: str | None, text: list[str]) -> dict[str, Any]:
    kept = {"text": sorted(text)} if text else {}
    return {"cursor": selection.cursor, "type": _base(selection), "value": value} | kept


def _check(selection: Selection, bookmark: Any) -> None:
    """The cursor is a column that can be one, and the one of the bookmark."""
    path, cursor = selection.stream.path, selection.cursor or ""
    next = f"--full-refresh reads it anew, or  wherry state reset  forgets the bookmark of {path}"
    if cursor not in selection.stream.schema.names:
        if bookmark is not None:
            raise StateError(f"{path} has no column {cursor} any more, which its bookmark is for", next=next)
        near = ", ".join(get_close_matches(cursor, selection.stream.schema.names)) or "wherry discover"
        raise UsageError(f"{path} has no column {cursor}", key="cursor", next=f"did you mean: {near}")
    base = _base(selection)
    if base not in _NUMBERS | _TIMES | _TEXTS | _OTHERS:
        type = (field(selection).metadata or {}).get(TYPE, b"this type").decode()
        raise UsageError(f"{path}.{cursor} cannot be a cursor: {type} has no lasting order", key="cursor")
    if selection.lookback and base not in _NUMBERS | _TIMES:
        raise UsageError(f"{path}.{cursor} is {base}: nothing to look back by", key="lookback")
    if bookmark is not None and (bookmark["cursor"], _family(bookmark["type"])) != (cursor, _family(base)):
        was = f"{bookmark['cursor']} ({bookmark['type']})"
        raise StateError(f"the bookmark of {path} is for {was}, the cursor is {cursor} ({base})", next=next)


def _family(base: str) -> str:
    """Types between which a cursor may be altered without moving its values."""
    if base in {"int2", "int4", "int8", "numeric"}:
        return "numeric"
    return "text" if base in {"text", "varchar"} else base


def _resumable(plan: ReadPlan, selection: Selection) -> bool:
    begun = plan.splits[0].streams[0] if plan.splits else None
    return begun is not None and plan.after is not None and begun.cursor == selection.cursor


def _canonical(client: Client, selection: Selection) -> Selection:
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


def _upper(client: Client, selection: Selection, bookmark: Any) -> str | None:
    """The greatest cursor value of the window; None if there is none, or none at or after the bookmark."""
    value, behind = _greatest(client, selection, bookmark, ())
    path, cursor = selection.stream.path, selection.cursor
    if behind:
        raise StateError(
            f"{path}.{cursor} ends at {value}, before its bookmark {bookmark['value']}: restored or made anew?",
            next=f"--full-refresh reads it anew, or  wherry state reset  forgets the bookmark of {path}",
        )
    if selection.end is not None:
        value, behind = _greatest(client, selection, bookmark, _until(selection))
    if value in _ENDLESS:
        raise DataError(
            f"{path}.{cursor} holds {value}: as a bookmark it would hide all later rows",
            column=cursor,
            next="choose another cursor, or leave such rows out with --where",
        )
    return None if behind else value


def _greatest(client: Client, selection: Selection, bookmark: Any, bounds: Sequence[Part]) -> tuple[str | None, bool]:
    column = column_of(selection)
    known = None if bookmark is None else bookmark["value"]
    behind: Part = SQL("false")
    if known is not None:
        behind = SQL("{column} < {known}")(column=column, known=literal(known, selection))
    sql = _MAX(
        column=column,
        behind=behind,
        table=table(selection),
        where=where(selection, [SQL("{column} is not null")(column=column), *bounds]),
    )
    found = client.fetch(sql.render(Quoting()), subject=selection.stream.path)
    return (found[0]["value"], found[0]["behind"]) if found else (None, False)


def _text(client: Client, selection: Selection, bookmark: Any, detail: dict[str, Any]) -> list[str]:
    """Columns that have to be text because a row of the window, or of an earlier one, asks for it."""
    schema, path = selection.stream.schema, selection.stream.path
    known = [] if bookmark is None else [n for n in bookmark.get("text", ()) if n in schema.names]
    asked = {n: unfit(schema.field(n)) for n in selection.columns or schema.names if n not in known}
    tests = {name: test for name, test in asked.items() if test is not None}
    found = set(known)
    split = Split(key=path, streams=(selection,), bookmark=bookmark, detail=detail | {"text": known})
    for part in passes(split) if tests else ():
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


def _notes(selection: Selection) -> tuple[str, ...]:
    """What a user should know about this cursor."""
    path, notes = selection.stream.path, list(selection.stream.notes)
    if field(selection).nullable:
        notes.append(f"{path}: rows whose {selection.cursor} is NULL are read by the first run only")
    if not _indexed(selection):
        notes.append(f"{path}: no index gives the order of {selection.cursor}; each run scans the table")
    return tuple(notes)


def _window(selection: Selection, upper: str | None) -> tuple[Part, ...]:
    column, bounds = column_of(selection), []
    if selection.start is not None:
        bounds.append(SQL("{column} >= {value}")(column=column, value=literal(selection.start, selection)))
    if upper is not None:
        bounds.append(SQL("{column} <= {value}")(column=column, value=literal(upper, selection)))
    return tuple(bounds)


def _until(selection: Selection) -> tuple[Part, ...]:
    end = literal(selection.end or "", selection)
    return (SQL("{column} < {end}")(column=column_of(selection), end=end),)


def _bounded(main: Pass, relation: SQL, column: Part, value: Part) -> Pass:
    bound = SQL("{column} {relation} {value}")(column=column, relation=relation, value=value)
    return replace(main, bounds=(bound, *main.bounds))


def _back(value: Part, selection: Selection) -> Part:
    base = _base(selection)
    amount: int | float = int(selection.lookback) if float(selection.lookback).is_integer() else selection.lookback
    if base in _NUMBERS:
        return SQL("{value} - {amount}")(value=value, amount=Literal(amount))
    back = SQL("({value} - make_interval(secs => {amount}))::{type}")
    return back(value=value, amount=Literal(amount), type=Identifier("pg_catalog", base))
