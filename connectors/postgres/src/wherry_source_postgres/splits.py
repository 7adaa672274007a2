"""Large tables in splits that are read side by side and see one snapshot, and what a later run may go on with.

Each split is one load. Tables in merge with a cursor are cut by ranges of their key, so that an interrupted run can be
gone on with: the splits that are left are read as they are now, and one more, the catch-up, reads of the others the
keys (what is gone goes) and the rows whose cursor has moved since. All other tables are cut by ctid where the server
can, and start over: nothing tells what has changed in the parts that were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from wherry import (
    SQL,
    Part,
    Progress,
    Quoting,
    ReadPlan,
    Selection,
    Split,
    StateError,
    StreamError,
    TransientError,
    UsageError,
    WherryError,
)

from wherry_source_postgres import cursors, ranges, rewrites
from wherry_source_postgres.client import Client
from wherry_source_postgres.config import PostgresConfig
from wherry_source_postgres.cursors import Pass
from wherry_source_postgres.origin import Origin
from wherry_source_postgres.queries import query_of, table, where
from wherry_source_postgres.ranges import Size

_ANY = SQL("select exists (select from {table}{where}) as there")
_CTID_SINCE = 140_000
"""The first server that reads a range of blocks without looking at the others."""


class Splits:
    """How the tables of one run are cut; holds the snapshot that their readers share, until `close`."""

    def __init__(self, config: PostgresConfig) -> None:
        self._config = config
        self._holder: Client | None = None
        self._snapshot = ""
        self._sizes: Mapping[str, Size] = {}

    def measure(self, client: Client, selections: Sequence[Selection]) -> None:
        """Ask how large these tables are, beside those that are known."""
        # of several hosts each connection may be to another one
        one_server = "," not in self._config.address()[0] and self._config.splits != 1
        wanted = [s for s in selections if s.limit is None and query_of(s) is None] if one_server else []
        self._sizes = {**self._sizes, **(ranges.sizes(client, wanted) if wanted else {})}

    def size(self, selection: Selection) -> Size | None:
        """Of a table that may be cut; None for all else."""
        return self._sizes.get(selection.stream.path)

    def number(self, selection: Selection, resumed: bool) -> int:
        """How many splits the table is read in. resumed: an interrupted run can be gone on with.

        Where it starts over, only as many as were asked for: rows of one split alone go straight into the table, or are
        handed over, and those of several are staged first.
        """
        size, wanted = self.size(selection), self._config.splits if resumed else self._config.splits or 1
        known = size is not None and size.version >= rewrites.SINCE
        return size.splits(wanted) if known and size is not None else 1

    @property
    def snapshot(self) -> str:
        """The name under which a session of the same server joins the snapshot."""
        if self._holder is None:
            self._holder = Client(self._config)
            self._snapshot = self._holder.export()
        return self._snapshot

    def shared(self) -> bool:
        """Whether the server lets a snapshot be shared; stand-ins for PostgreSQL may not."""
        try:
            return bool(self.snapshot)
        except TransientError:
            raise
        except WherryError:
            return False

    def close(self) -> None:
        """Let go of the snapshot: nobody joins it any more."""
        if self._holder is not None:
            self._holder.close()
        self._holder, self._snapshot = None, ""


def whole(client: Client, splits: Splits, selection: Selection, known: Progress) -> ReadPlan:
    """The plan of a table that is read as it is, from the beginning in each run: in splits only where it is replaced.

    An append that was killed between two splits would be made anew, without what earlier runs had added; and what is
    gone ends in history only by a read in one piece.
    """
    path = selection.stream.path
    try:
        parts = _parts(client, splits, selection) if selection.mode == "replace" else []
    except (StreamError, UsageError):  # of this table alone: its read says what is wrong
        parts = []
    if not parts:
        return ReadPlan(key=path, splits=(Split(key=path, streams=(selection,)),))
    note = f"read in {len(parts)} splits of one snapshot; without a cursor an interrupted run starts over"
    if known.open is not None and known.done:
        note += f", as this one does: {len(known.done)} of {len(known.open.splits)} splits were done"
    selection = _noted(selection, note)
    made = [
        Split(key=f"{path}/{n}", streams=(selection,), detail={"snapshot": splits.snapshot} | part)
        for n, part in enumerate(parts, 1)
    ]
    return ReadPlan(key=path, splits=tuple(made))


def _parts(client: Client, splits: Splits, selection: Selection) -> list[dict[str, Any]]:
    """Where a table without a cursor is cut; nothing where it is not."""
    path, number, size = selection.stream.path, splits.number(selection, resumed=False), splits.size(selection)
    column = ranges.key_of(selection)
    by_block = size is not None and size.version >= _CTID_SINCE
    if size is None or number < 2 or not (by_block or column) or not splits.shared():
        return []
    with client.snapshot(splits.snapshot):
        sql = _ANY(table=table(selection), where=where(selection, [])).render(Quoting())
        if not client.fetch(sql, subject=path)[0]["there"] or rewrites.happened(client, selection):
            return []  # its read says whether its rows are hidden
        if by_block:
            return [{"blocks": list(b)} for b in ranges.blocks(number, size)]
        assert column is not None
        cut = ranges.cut(client, selection, column, number, size)
        return [{"range": list(r), "column": column, "type": ranges.base_of(selection, column)} for r in cut]


def merged(client: Client, splits: Splits, selection: Selection, known: Progress, here: Origin) -> ReadPlan | None:
    """The plan of a large table in merge that has no bookmark yet; None where it is no matter of splits."""
    column, path = ranges.key_of(selection), selection.stream.path
    if selection.mode != "merge" or column is None:
        return None
    there = path not in known.missing
    if known.open is not None and there and is_cut(known.open):
        found = _gone_on_with(client, splits, selection, known.open, known.done, here)
        if found is not None:
            return found
    elif known.open is not None and there and cursors.resumable(known.open, selection):
        return None
    if known.bookmark is not None and there:
        return None
    size, number = splits.size(selection), splits.number(selection, resumed=True)
    if size is None or number < 2 or not splits.shared():
        return None
    cursors.check(selection, None)
    with client.snapshot(splits.snapshot):
        exact = cursors.canonical(client, selection)
        upper, ahead = cursors.upper(client, exact, None)
        if upper is None or rewrites.happened(client, exact):
            return None
        cut = ranges.cut(client, exact, column, number, size)
        text = cursors.texts(client, exact, (), [Pass(_scope(exact))])
    if len(cut) < 2:
        return None
    common = {
        "snapshot": splits.snapshot, "column": column, "type": ranges.base_of(exact, column), "start": exact.start,
        "end": exact.end, "text": text,
    }  # fmt: skip
    selection = _noted(
        replace(exact, stream=replace(exact.stream, notes=cursors.notes(exact, upper, ahead))),
        f"read in {len(cut)} splits of one snapshot by {column}; an interrupted run is gone on with: finished splits "
        f"are not read again, but for their keys and what has a later {exact.cursor}",
    )
    made = [
        Split(key=f"{path}/{n}", streams=(selection,), detail=common | {"range": list(r)}) for n, r in enumerate(cut, 1)
    ]
    return ReadPlan(key=path, splits=tuple(made), after=cursors.bookmark_at(exact, upper, text, here))


def is_cut(plan: ReadPlan) -> bool:
    """Whether a plan with a cursor is cut by ranges of its key."""
    return plan.after is not None and all("range" in (s.detail or {}) or _catches_up(s) for s in plan.splits)


def passes(split: Split) -> list[Pass]:
    """The SELECT of a split's rows."""
    detail, selection = split.detail, _bounded(split)
    text = tuple(detail.get("text", ()))
    if "blocks" in detail:
        return [Pass(ranges.in_blocks(*detail["blocks"]))]
    if _catches_up(split):
        return [Pass((_finished(detail), *_moved(selection, detail["since"]), *_scope(selection)), text)]
    scope = _scope(selection) if selection.mode == "merge" else ()
    return [Pass((ranges.within(detail["column"], detail["type"], detail["range"]), *scope), text)]


def keys(split: Split) -> Pass | None:
    """The SELECT of the keys that a catch-up compares; None for all other splits."""
    if not _catches_up(split):
        return None
    return Pass((_finished(split.detail), *_scope(_bounded(split))), tuple(split.detail["text"]))


def _gone_on_with(
    client: Client, splits: Splits, selection: Selection, opened: ReadPlan, done: frozenset[str], here: Origin
) -> ReadPlan | None:
    """The rest of an interrupted plan under a snapshot of now; None if it is not worth it, or cannot be."""
    mine = [s for s in opened.splits if not _catches_up(s)]
    finished = [s for s in mine if s.key in done]
    detail = mine[0].detail
    after, column = opened.after or {}, detail["column"]
    same = (after["cursor"], column) == (selection.cursor, ranges.key_of(selection))
    if not finished or not same or detail["type"] != ranges.base_of(selection, column) or not splits.shared():
        return None
    exact = replace(selection, start=detail["start"], end=detail["end"])
    ended = {
        "ranges": [s.detail["range"] for s in finished], "since": after["value"], "present": sorted(done),
    }  # fmt: skip
    known = [n for n in after.get("text", ()) if n in selection.stream.schema.names]
    tries = sum("/catch-up-" in key for key in done) + 1
    common = {k: v for k, v in detail.items() if k != "range"} | {"snapshot": splits.snapshot}
    with client.snapshot(splits.snapshot):
        try:
            cursors.check(exact, after)
            cursors.refuse_restored(client, exact, after, here)
        except StateError:
            return None
        upper, ahead = cursors.upper(client, exact, None)
        rest = [replace(s, detail=common | {"range": s.detail["range"]}) for s in mine]
        catch_up = Split(key=f"{exact.stream.path}/catch-up-{tries}", streams=(exact,), detail=common | ended)
        open_parts = [
            part for s in (*rest, catch_up) if s.key not in done for part in passes(replace(s, streams=(exact,)))
        ]
        text = cursors.texts(client, exact, known, open_parts)
    exact = _noted(
        replace(exact, stream=replace(exact.stream, notes=cursors.notes(exact, upper, ahead))),
        f"{len(finished)} of {len(mine)} splits of an interrupted run are kept: of them keys are read, and rows with a "
        f"later {exact.cursor} than {after['value']}",
    )
    made = [replace(s, streams=(exact,), detail=s.detail | {"text": text}) for s in (*rest, catch_up)]
    return replace(opened, splits=tuple(made), after=cursors.bookmark_at(exact, upper, text, here))


def _catches_up(split: Split) -> bool:
    return "present" in (split.detail or {})


def _bounded(split: Split) -> Selection:
    detail = split.detail
    return replace(split.streams[0], start=detail.get("start"), end=detail.get("end"))


def _finished(detail: Mapping[str, Any]) -> Part:
    return ranges.any_of(detail["column"], detail["type"], detail["ranges"])


def _scope(selection: Selection) -> tuple[Part, ...]:
    """What rows of the selection there are at all: its bounds of the cursor, and whether it has one."""
    bounds = [*cursors.window(selection, None), *(cursors.until(selection) if selection.end is not None else ())]
    if not cursors.reads_nulls(selection):
        bounds.append(SQL("{column} is not null")(column=cursors.column_of(selection)))
    elif selection.end is not None:
        bounds = [SQL("({all} or {column} is null)")(all=bounds[0], column=cursors.column_of(selection))]
    return tuple(bounds)


def _moved(selection: Selection, since: str | None) -> tuple[Part, ...]:
    """Rows that came or changed after the splits were read, as far as the cursor tells; and those without one."""
    if since is None:
        return ()
    column, value = cursors.column_of(selection), cursors.literal(since, selection)
    if selection.lookback:
        value = cursors.back(value, selection)
    later = SQL("{column} >= {value}")(column=column, value=value)
    return (SQL("({later} or {column} is null)")(later=later, column=column),)


def _noted(selection: Selection, *notes: str) -> Selection:
    return replace(selection, stream=replace(selection.stream, notes=(*selection.stream.notes, *notes)))
