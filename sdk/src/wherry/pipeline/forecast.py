"""What a run would do, found out without changing anything: `wherry plan`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pyarrow as pa

from wherry.contracts.destination import Destination, Session
from wherry.contracts.loading import Target
from wherry.contracts.source import Source
from wherry.contracts.values import Bookmark, Progress, ReadPlan, Selection, Stream
from wherry.pipeline import envelope as envelopes
from wherry.pipeline.conform import Change, Conformer
from wherry.pipeline.handoff import handoffs, offered
from wherry.pipeline.names import NameMap, name_map
from wherry.pipeline.prepare import GONE, Names, Prepared, Settings, prepare
from wherry.pipeline.select import AGAIN, Choice, adds_again, refuse_unheard
from wherry.pipeline.sides import at_destination, at_source
from wherry.pipeline.work import schema_of, table_of

Fate = Literal["created", "kept", "rebuilt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What would become of one stream.

    fate: of its table; "rebuilt": made anew aside and put in its place at once.  added: columns and their types.
    widened: column -> (old type, new type).  reads: which rows, in words.  lower, upper: bounds of the cursor, as the
    source writes them.  bookmark: the source's own, if it is used; without: why there is none.  destroys: what goes.
    handoff: the form in which rows go to the destination as they are; None: they are read.
    """

    stream: str
    schema: str
    table: str
    fate: Fate
    mode: str
    key: tuple[str, ...]
    cursor: str | None
    reads: str
    lower: str | None = None
    upper: str | None = None
    bookmark: Bookmark | None = None
    without: str | None = None
    row_estimate: int | None = None
    added: Mapping[str, str] = field(default_factory=dict)
    widened: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    destroys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    handoff: str | None = None


@dataclass(frozen=True, slots=True)
class _Planned:
    """A read plan and the stream's selection in it, which may know more than the one that was asked for."""

    plan: ReadPlan
    selection: Selection


def forecast(
    source: Source, destination: Destination, session: Session, streams: Sequence[Stream], names: Names,
    settings: Settings,
) -> list[Outlook]:  # fmt: skip
    """What `sync` would do with these streams. session: a read-only one."""
    with at_destination():
        stored, recorded = dict(session.progress), dict(session.names)
    prepared = prepare(streams, stored, names, settings, source.separable)
    selections = [choice.selection for choice in prepared.choices]
    refuse_unheard(selections, settings.wishes, source.filters)
    bare = {key: envelopes.unwrap(progress) for key, progress in prepared.progress.items()}
    source.run = replace(source.run, **handoffs(destination, settings))
    with at_source():
        planned = _by_stream(source.plan(selections, bare))
    limits = destination.capabilities
    tables = name_map(recorded, limits)
    found = []
    for choice in prepared.choices:
        path = choice.selection.stream.path
        table = _Table(choice.selection, destination, session, tables, names.schema, (path, "") in recorded)
        outlook = _outlook(choice, planned.get(path), table, prepared, bare)
        found.append(replace(outlook, handoff=_handoff(source, planned.get(path), table)))
    return found


def _handoff(source: Source, planned: _Planned | None, table: _Table) -> str | None:
    if planned is None or table.unlike is not None:
        return None
    path = planned.selection.stream.path
    splits = [split for split in planned.plan.splits if any(s.stream.path == path for s in split.streams)]
    with at_source():
        return offered(source, splits[0]) if len(splits) == 1 else None


def _by_stream(plans: Iterable[ReadPlan]) -> dict[str, _Planned]:
    return {s.stream.path: _Planned(plan, s) for plan in plans for s in envelopes.streams_of(plan)}


class _Table:
    """The table of a stream as it is, and what its columns would become."""

    def __init__(
        self, selection: Selection, destination: Destination, session: Session, tables: NameMap, main: str, ours: bool
    ) -> None:
        stream = selection.stream
        self.ours = ours
        self.schema, self.name = schema_of(stream, main), table_of(selection, tables)
        target = Target(
            stream=stream.path, table=self.name, schema=pa.schema([]), mode=selection.mode,
            namespace=self.schema if stream.namespace else None,
        )  # fmt: skip
        with at_destination():
            before = session.schema(target)
        self.exists = before is not None
        conformer = Conformer(selection, replace(target, schema=before or target.schema), destination, tables)
        self.unlike = conformer.not_as_it_is(stream.schema)
        self.change: Change | None = conformer.announce(stream.schema, firm=True) if len(stream.schema) else None
        self.columns = len(conformer.target.schema)


def _outlook(
    choice: Choice, planned: _Planned | None, table: _Table, prepared: Prepared, bare: Mapping[str, Progress]
) -> Outlook:
    selection = choice.selection
    path = selection.stream.path
    known = bare.get(planned.plan.key if planned else path, Progress())
    resumed = planned is not None and known.open is not None and planned.plan.id == known.open.id != ""
    rebuilt = selection.mode == "replace" or choice.rebuild
    asked = rebuilt and not prepared.hidden.get(path, "").startswith(GONE)
    used = known.bookmark if not rebuilt and selection.limit is None else None
    lower, upper = _bounds(selection, used, planned)
    return Outlook(
        stream=path, schema=table.schema, table=table.name, mode=selection.mode, key=selection.key,
        fate="created" if not table.exists else "rebuilt" if rebuilt and planned else "kept",
        cursor=selection.cursor, reads=_reads(selection, used, planned, known if resumed else None),
        lower=lower, upper=upper, bookmark=used,
        without=None if used is not None or asked else prepared.hidden.get(path, "none yet"),
        row_estimate=selection.stream.row_estimate,
        added=table.change.added if table.change and table.exists else {},
        widened=table.change.widened if table.change and table.exists else {},
        destroys=tuple(_destroys(choice, table, planned)),
        notes=tuple(_notes(selection, planned, table)),
    )  # fmt: skip


def _lag(selection: Selection) -> str:
    """What becomes of rows that are committed late, behind the cursor."""
    cursor, lookback = selection.cursor, selection.lookback
    if not lookback:
        return f"rows that are committed late, with an earlier {cursor}, are not seen: --lookback reads so much again"
    timed = cursor in selection.stream.schema.names and _is_time(selection.stream.schema.field(cursor).type)
    return f"rows that are committed up to {lookback:.15g}{' s' if timed else ''} behind the last {cursor} are seen"


def _is_time(type: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(type) or pa.types.is_date(type))


def _reads(selection: Selection, used: Bookmark | None, planned: _Planned | None, resumed: Progress | None) -> str:
    if selection.limit is not None:
        return f"the first {selection.limit:,} rows"
    if planned is None:
        return "nothing: no news"
    if resumed is not None and resumed.open is not None:
        return f"the rest of an unfinished run: {len(resumed.done)} of {len(resumed.open.splits)} parts are done"
    lower, upper = _bounds(selection, used, planned)
    if selection.cursor and (lower or upper):
        parts = [f"from {lower}" if lower else "all", f"up to {upper}" if upper else ""]
        return f"{selection.cursor} " + " ".join(filter(None, parts))
    return "what is new" if used is not None else "all rows"


def _bounds(selection: Selection, used: Bookmark | None, planned: _Planned | None) -> tuple[str | None, str | None]:
    """(first cursor value, last one), as the source writes them; None: open, or not to be known."""
    if not selection.cursor:
        return None, None
    lower = _value(used, selection.cursor) or selection.start
    return lower, selection.end or (_value(planned.plan.after, selection.cursor) if planned else None)


def _value(bookmark: Bookmark | None, cursor: str) -> str | None:
    """The cursor's value in a bookmark: under "value", under the cursor's name, or the bookmark itself."""
    value = bookmark.get("value", bookmark.get(cursor)) if isinstance(bookmark, dict) else bookmark
    return str(value) if isinstance(value, (str, int, float)) else None


def _destroys(choice: Choice, table: _Table, planned: _Planned | None) -> Iterable[str]:
    if not table.exists or planned is None or choice.selection.limit is not None:
        return
    if choice.rebuild and choice.selection.mode == "history":
        yield f"the history in {table.schema}.{table.name}"
    elif choice.rebuild:
        yield f"the rows of {table.schema}.{table.name}, and forgets the bookmark"
    elif choice.selection.mode == "replace":
        yield f"the rows of {table.schema}.{table.name}, when the new ones are complete"


def _notes(selection: Selection, planned: _Planned | None, table: _Table) -> Iterable[str]:
    if table.exists and not table.ours and selection.limit is None:
        yield f"{table.schema}.{table.name} was not written by this pipeline: the run refuses it unless it was adopted"
    if selection.mode in ("merge", "append") and not selection.stream.changes and selection.limit is None:
        yield "deletes are not seen" if selection.mode == "merge" else "updates and deletes are not seen"
    if adds_again(selection):
        yield AGAIN
    if selection.cursor and selection.mode != "replace" and not selection.stream.changes and selection.limit is None:
        yield _lag(selection)
    known = planned.selection.stream.notes if planned else ()
    yield from dict.fromkeys((*selection.stream.notes, *known))
