"""Rejected rows once more: shown, dropped, or moved into their table after what was wrong with them is mended.

A replay is one load of a plan of its own, under the pipeline's lease and fence: rows leave `<table>__rejected` and come
into the table in one transaction. A row never replaces a version of its key that came later: the cursor says which is
later, else the load.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.destination import Destination, Session
from wherry.contracts.loading import Counts, Entry, Target
from wherry.contracts.values import KIND, LOAD_ID, OP, UNSET, Progress, ReadPlan, Selection, Split, Stream
from wherry.errors import StateError, UsageError
from wherry.pipeline import envelope as envelopes
from wherry.pipeline import raw, types
from wherry.pipeline.conform import SOURCE_NAME, Conformer, with_position
from wherry.pipeline.names import REJECTED, beside, name_map
from wherry.pipeline.rejects import SCHEMA, rejects_of, without

_OURS: dict[str, pa.DataType] = {OP: pa.int8(), UNSET: pa.list_(pa.int16())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A table of rejected rows. target: where the stream's own rows go; choice: how (`envelope.choice`)."""

    stream: str
    target: Target
    choice: Mapping[str, Any]

    @property
    def rejects(self) -> Target:
        """The table itself; rows are taken out of it by their id."""
        return replace(rejects_of(self.target), mode="append", key=(), part="id", generation=None)


@dataclass(slots=True, kw_only=True)
class Replayed:
    """What came of a replay, in rows. left: (column, reason) -> rows that still do not fit and stay.

    superseded: a later version of the key is in the table already; they go, except in history mode.
    undecided: nothing tells whether the version in the table is later; they stay.
    """

    moved: int = 0
    superseded: int = 0
    undecided: int = 0
    left: dict[tuple[str, str], int] = field(default_factory=dict)


def kept_rejects(session: Session, schema: str) -> list[Kept]:
    """The pipeline's tables of rejected rows that exist. schema: the session's."""
    end = beside("", REJECTED)
    names, choices = session.names, _choices(session)
    found = []
    for stream, column in sorted(names):
        path = stream.removesuffix(end)
        if column or path == stream:
            continue
        table = names[stream, ""].removesuffix(REJECTED)
        for namespace in _namespaces(path, schema):
            kept = Kept(stream=path, target=_target(path, table, namespace), choice=choices.get(path, {}))
            if session.schema(kept.rejects) is not None:
                found.append(kept)
                break
    return found


def rows(session: Session, kept: Kept, ids: Sequence[str] = ()) -> pa.Table:
    """Rejected rows in the order they came, `SCHEMA` and `_wherry_load_id`. ids: of these, or beginnings of them."""
    found = session.read(kept.rejects).read_all()
    for name in (f.name for f in SCHEMA if f.name not in found.schema.names):
        found = found.append_column(name, pa.nulls(found.num_rows, SCHEMA.field(name).type))
    found = found.select([*SCHEMA.names, LOAD_ID]).sort_by([(LOAD_ID, "ascending"), ("row", "ascending")])
    if not ids:
        return found
    known = found["id"].to_pylist()
    chosen = {_meant(id, known, kept.stream) for id in ids}
    return found.filter(pc.is_in(found["id"], value_set=pa.array(sorted(chosen), pa.utf8())))


def drop(session: Session, kept: Kept, chosen: pa.Table) -> int:
    """Delete rejected rows; how many."""
    return _move(session, kept, None, None, chosen["id"].drop_null().to_pylist())


def replay(
    session: Session, destination: Destination, kept: Kept, chosen: pa.Table, wanted: Mapping[str, str]
) -> Replayed:
    """Move those of the chosen rows that now fit. wanted: column -> type, for this time."""
    result = Replayed()
    conformer = _conformer(session, destination, kept, wanted)
    if not chosen.num_rows:
        return result
    chosen = chosen.filter(chosen["id"].is_valid())
    batch, chosen = _parsed(conformer, chosen, result)
    fitted, _ = conformer.conform(batch)
    unfit = {m.row: (m.column, m.reason) for m in conformer.unfit(fitted)}
    for why in unfit.values():
        result.left[why] = result.left.get(why, 0) + 1
    fitted, chosen = without(fitted, unfit), _kept_rows(chosen, unfit)
    target = conformer.target
    verdicts = _verdicts(session, target, fitted, chosen) if target.key else {}
    superseded = [row for row, verdict in verdicts.items() if verdict == "superseded"]
    result.superseded, result.undecided = len(superseded), len(verdicts) - len(superseded)
    result.moved = fitted.num_rows - len(verdicts)
    stay = [row for row in verdicts if row not in superseded or target.mode == "history"]
    ids = _kept_rows(chosen, stay)["id"].to_pylist()
    if ids:
        _move(session, kept, target, without(fitted, verdicts), ids)
    return result


def _move(session: Session, kept: Kept, target: Target | None, moved: pa.RecordBatch | None, ids: Sequence[str]) -> int:
    """One load: these rows come into the target, the rejected ones of these ids go."""
    rejects = kept.rejects
    plan = ReadPlan(key=rejects.stream, splits=(Split(key="replay", streams=()),), id=uuid.uuid4().hex)
    session.start(plan)
    load = session.begin(plan, plan.splits[0])
    try:
        counts = {rejects.stream: Counts()}
        if target is not None and moved is not None and moved.num_rows:
            load.prepare(target)
            load.write(target.stream, with_position(moved, 0) if target.key else moved)
            counts[target.stream] = Counts(read=moved.num_rows, mapped=moved.num_rows, bytes=moved.nbytes)
        load.prepare(rejects)
        receipt = load.commit(Entry(done=True, counts=counts, parts={rejects.stream: tuple(ids)}))
    except BaseException:
        load.abort()
        raise
    session.set(plan.key, None)
    return receipt.applied[rejects.stream].deleted


def without_replays(session: Session) -> Mapping[str, Progress]:
    """The session's progress; plans of replays that were killed before they could say that they ended are dropped."""
    for key in [key for key in session.progress if key.endswith(beside("", REJECTED))]:
        session.set(key, None)
    return session.progress


def _choices(session: Session) -> dict[str, Mapping[str, Any]]:
    known = [e for progress in session.progress.values() for e in envelopes.all_of(progress)]
    return {path: choice for envelope in known for path, choice in envelope.get("choice", {}).items()}


def _namespaces(path: str, schema: str) -> Iterator[str | None]:
    """Where a stream's table may be: a path says its namespace, unless the stream's own name holds a dot."""
    parts = path.split(".")
    for place in range(1, len(parts)):
        yield f"{schema}__{'.'.join(parts[:place])}"
    yield None


def _target(path: str, table: str, namespace: str | None) -> Target:
    return Target(stream=path, table=table, namespace=namespace, schema=pa.schema([]))


def _meant(id: str, known: Sequence[str | None], stream: str) -> str:
    if id in known:
        return id
    found = [k for k in known if k is not None and k.startswith(id)]
    if len(found) == 1:
        return found[0]
    told = "no rejected row" if not found else f"{len(found)} rejected rows"
    raise UsageError(f"{told} of stream {stream} with the id {id!r}", next="wherry rejects show DEST STREAM lists them")


def _conformer(session: Session, destination: Destination, kept: Kept, wanted: Mapping[str, str]) -> Conformer:
    limits, choice, path = destination.capabilities, kept.choice, kept.stream
    schema = session.schema(kept.target)
    if schema is None or "mode" not in choice:
        missing = "its table is gone" if schema is None else "its mode is not known: it has no bookmark"
        raise StateError(f"stream {path}: {missing}", next="run the sync first")
    names = name_map(session.names, limits)
    keyed = choice["mode"] in ("merge", "history")
    columns = choice.get("columns")
    asked = {**choice.get("types", {}), **wanted}
    selection = Selection(
        stream=Stream(name=path, schema=pa.schema([])), mode=choice["mode"], types=asked,
        columns=None if columns is None else tuple(columns),
    )  # fmt: skip
    all_names = session.read(kept.target).schema.names
    cursor = choice.get("cursor")
    target = replace(
        kept.target, schema=schema, mode=choice["mode"] if keyed else "append", load_id=LOAD_ID in all_names,
        key=tuple(names.column(path, k) for k in choice.get("key", ())) if keyed else (),
        cursor=names.column(path, cursor) if cursor else None,
    )  # fmt: skip
    return Conformer(selection, target, destination, names)


def _parsed(conformer: Conformer, chosen: pa.Table, result: Replayed) -> tuple[pa.RecordBatch, pa.Table]:
    """The rows that `raw` tells, in the types they shall have, and the rejected rows they are."""
    objects: list[dict[str, Any]] = []
    bad: dict[int, tuple[str, str]] = {}
    for row, text in enumerate(chosen["raw"].to_pylist()):
        try:
            objects.append(raw.loads(text or ""))
        except ValueError:
            objects.append({})
            bad[row] = ("raw", "not a JSON object")
    fields = _fields(conformer, objects)
    for column in fields:
        for row in _unreadable([o.get(column.name) for o in objects], column.type):
            bad.setdefault(row, (column.name, f"column {column.name!r}: not a {types.show(column)}"))
    for why in bad.values():
        result.left[why] = result.left.get(why, 0) + 1
    good = [o for row, o in enumerate(objects) if row not in bad]
    if any(OP in o for o in good):
        conformer.target = replace(conformer.target, changes=True)
    columns = [raw.parse([o.get(f.name) for o in good], f.type) for f in fields]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields)), _kept_rows(chosen, bad)


def _fields(conformer: Conformer, objects: Sequence[Mapping[str, Any]]) -> list[pa.Field]:
    """Each column in the type asked for, else in the table's, else as text."""
    table = {(f.metadata or {}).get(SOURCE_NAME, f.name.encode()).decode(): f for f in _sourced(conformer)}
    asked = {c: types.parse(t, c) for c, t in conformer.selection.types.items()}
    found = []
    for name in dict.fromkeys(name for row in objects for name in row):
        if name in _OURS:
            found.append(pa.field(name, _OURS[name]))
            continue
        known = asked.get(name) or table.get(name) or pa.field(name, pa.utf8())
        kind = (known.metadata or {}).get(KIND)
        found.append(pa.field(name, known.type, metadata=None if kind is None else {KIND: kind}))
    return found


def _sourced(conformer: Conformer) -> Iterator[pa.Field]:
    """The table's columns with the source's name of each."""
    for f in conformer.target.schema:
        source = conformer.source_of(f.name)
        yield f.with_metadata({**(f.metadata or {}), SOURCE_NAME: source.encode()})


def _unreadable(values: Sequence[Any], to: pa.DataType) -> list[int]:
    """Positions of values that are not of the type."""
    try:
        raw.parse(values, to)
    except (pa.ArrowException, ValueError, TypeError, KeyError, OverflowError):
        if len(values) == 1:
            return [0]
        middle = len(values) // 2
        return _unreadable(values[:middle], to) + [middle + row for row in _unreadable(values[middle:], to)]
    return []


def _kept_rows(chosen: pa.Table, gone: Mapping[int, Any] | Sequence[int]) -> pa.Table:
    return chosen.take(pa.array([row for row in range(chosen.num_rows) if row not in gone], pa.int64()))


def _verdicts(session: Session, target: Target, rows: pa.RecordBatch, chosen: pa.Table) -> dict[int, str]:
    """Rows that may not come into the table: "superseded" by a later version, or "undecided"."""
    mine = _keys(rows, target)
    versions = _versions(session, target, set(mine), rows)
    cursors = rows.column(target.cursor).to_pylist() if target.cursor in rows.schema.names else [None] * rows.num_rows
    found = {}
    for row, (key, cursor, load) in enumerate(zip(mine, cursors, chosen[LOAD_ID].to_pylist(), strict=True)):
        if key in versions:
            later = _later(versions[key], (cursor, load))
            if later is not False:
                found[row] = "superseded" if later else "undecided"
    return found


def _later(there: tuple[Any, Any], mine: tuple[Any, Any]) -> bool | None:
    """Whether what is in the table is later than the row, by cursor, else by load; None: not to be known."""
    for one, other in zip(there, mine, strict=True):
        if one is not None and other is not None and one != other:
            return bool(one > other)
    return None


def _versions(
    session: Session, target: Target, wanted: set[tuple[Any, ...]], rows: pa.RecordBatch
) -> dict[tuple[Any, ...], tuple[Any, Any]]:
    """key -> the latest (cursor, load id) that the table has of it."""
    found: dict[tuple[Any, ...], tuple[Any, Any]] = {}
    first = rows.column(target.key[0])
    for batch in session.read(target):
        there = batch.column(target.key[0])
        batch = batch.filter(pc.is_in(there, value_set=first.cast(there.type)))
        for place, key in enumerate(_keys(batch, target)):
            if key in wanted:
                version = tuple(
                    batch.column(n)[place].as_py() if n in batch.schema.names else None
                    for n in (target.cursor, LOAD_ID)
                )
                known = found.get(key)
                if known is None or _later((version[0], version[1]), known):
                    found[key] = (version[0], version[1])
    return found


def _keys(rows: pa.RecordBatch, target: Target) -> list[tuple[Any, ...]]:
    return list(zip(*(rows.column(k).to_pylist() for k in target.key), strict=True))
