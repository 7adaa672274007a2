"""Advice on cursors: which columns could be one, and what is doubtful about one that was chosen.

Nothing is ever chosen here: a column's name says nothing about whether it rises with every change. What is proposed
has a type, a promise (not null) and an index that fit, and the user decides.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wherry.cli.style import Line
from wherry.cli.table import clean
from wherry.contracts.values import Selection

if TYPE_CHECKING:
    from wherry.pipeline.select import Choice, Wishes

INDEX = b"wherry:index"
"""Field metadata of a source: b"1" on a column that leads an index."""
SMALL = 100_000
"""Rows that are moved whole before anyone notices."""
SHOWN = 3
_DROPPED = {"--stream": 1, "--mode": 1, "--cursor": 1, "--key": 1, "--json": 0, "--quiet": 0, "--plan-only": 0,
            "--full-refresh": 0, "--debug": 0, "--yes": 0}  # fmt: skip
"""Options that a proposed command does not repeat, and how many values each has."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A stream that is read whole, and could be read by changes. cursors: column -> why it could be the cursor."""

    stream: str
    key: tuple[str, ...]
    cursors: Mapping[str, str]


def proposals(choices: Sequence[Choice], wishes: Wishes, rows: Mapping[str, int] | None = None) -> list[Proposal]:
    """For streams seen for the first time and replaced because nothing else was asked. rows: moved, by stream path."""
    found = []
    for choice in choices:
        selection = choice.selection
        stream = selection.stream
        size = (rows or {}).get(stream.path, stream.row_estimate)
        settled = choice.remembered or selection.mode != "replace" or selection.limit is not None
        if settled or wishes.wish(stream).mode is not None or stream.changes or not stream.primary_key:
            continue
        if size is not None and size < SMALL:
            continue
        cursors = {name: why for name, why in _candidates(selection) if _kept(selection, name)}
        if cursors and all(_kept(selection, name) for name in stream.primary_key):
            found.append(Proposal(stream.path, stream.primary_key, cursors))
    return found


def lines(found: Sequence[Proposal], how: Callable[[str, str], str]) -> list[Line]:
    """At most three proposals, each with what to do. how: (stream, cursor) -> a command."""
    shown: list[Line] = []
    for proposal in found[:SHOWN]:
        columns = [f"{clean(name)} ({why})" for name, why in proposal.cursors.items()]
        key = ", ".join(map(clean, proposal.key))
        which = "" if len(columns) == 1 else ", name the one that rises with every change"
        text = f"{clean(proposal.stream)} has key {key} and {' or '.join(columns)}. "
        shown.append([("! ", "warn"), (f"{text}To move only changes next time{which} (deletes are not seen):", "")])
        shown += [[("    " + clean(how(proposal.stream, cursor)), "accent")] for cursor in proposal.cursors]
    if len(found) > SHOWN:
        shown.append([(f"  and {len(found) - SHOWN:,} more streams like these", "dim")])
    return shown


def as_command(args: Sequence[str]) -> Callable[[str, str], str]:
    """How to accept, as the command line that was typed with a stream and its cursor behind. args: without `wherry`."""
    kept, skip = [], 0
    for argument in args:
        name, _, value = argument.partition("=")
        if skip:
            skip -= 1
        elif name in _DROPPED:
            skip = 0 if value else _DROPPED[name]
        else:
            kept.append(argument)
    base = shlex.join(["wherry", *kept])

    def command(stream: str, cursor: str) -> str:
        return f"{base} --stream {shlex.quote(glob.escape(stream))} --cursor {shlex.quote(cursor)}"

    return command


def as_setting(stream: str, cursor: str) -> str:
    """How to accept in `wherry.yaml`, under the pipeline."""
    import json  # a JSON text is a YAML text that needs no quoting of its own

    return f"streams: {json.dumps({glob.escape(stream): {'cursor': cursor}}, ensure_ascii=False)}"


def doubts(choices: Sequence[Choice], planned: Mapping[str, Sequence[str]] | None = None) -> list[Line]:
    """What is doubtful about how streams are synced, as far as the source tells.

    planned: what it said of a stream when the run was planned.
    """
    from wherry.pipeline.select import AGAIN, adds_again

    found: list[Line] = []
    for choice in choices:
        selection, stream = choice.selection, choice.selection.stream
        if adds_again(selection):
            found.append([("! ", "warn"), (f"{clean(stream.path)}: {AGAIN}", "")])
        if choice.remembered or not selection.cursor or selection.cursor not in stream.schema.names:
            continue
        notes = (planned or {}).get(stream.path, ())
        found += [[("! ", "warn"), (f"{clean(stream.path)}: {clean(note)}", "")] for note in notes]
        field, fields = stream.schema.field(selection.cursor), list(stream.schema)
        name = f"{clean(stream.path)}: cursor {clean(selection.cursor)}"
        said = [note for note in (*stream.notes, *notes) if selection.cursor in note]
        if field.nullable and any(not f.nullable for f in fields) and not any("null" in n.lower() for n in said):
            what = {"include": "are read again by each run", "exclude": "are left out", "error": "end the run"}
            advice = "; to leave them out: --null-cursor exclude" if selection.nulls == "include" else ""
            said_ = f"{name} may be null: rows without a value {what[selection.nulls]}{advice}"
            found.append([("! ", "warn"), (said_, "")])
        if not _indexed(field) and any(_indexed(f) for f in fields) and not any("index" in n for n in said):
            found.append([("! ", "warn"), (f"{name} has no index: every run scans the whole table; create one", "")])
    return found


def _candidates(selection: Selection) -> Iterator[tuple[str, str]]:
    """(column, why) of those that may rise with every change."""
    import pyarrow as pa

    from wherry.pipeline.types import show

    stream = selection.stream
    for field in stream.schema:
        vouched = field.name in stream.cursors
        plausible = (pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)) and _indexed(field)
        if (vouched or plausible) and not field.nullable and field.name not in stream.primary_key:
            facts = [show(field), "not null", *(["indexed"] if _indexed(field) else [])]
            yield field.name, ", ".join([*facts, *(["named by the source"] if vouched else [])])


def _indexed(field: Any) -> bool:
    return bool((field.metadata or {}).get(INDEX) == b"1")


def _kept(selection: Selection, column: str) -> bool:
    return selection.columns is None or column in selection.columns
