"""The envelope a destination keeps for a split: the source's bookmark, the boundary, what it covers, the choice made.

    {"v": 1, "source": <bookmark>, "from": <address>, "covers": <hash>, "boundary": {stream: ...},
     "choice": {stream: {mode, key, ...}}, "rebuild": [stream, ...], "appeared": [selection, ...], "begun": true}

`from` is the source's canonical address. Only in open plans stand `rebuild`: tables made anew aside in any mode;
`appeared`: selections of streams that the plan did not have; `before`: what splits of one stream know together;
`begun`: rows of the split were loaded; `dirty`: streams whose table holds rows of an earlier plan that was given up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from wherry.contracts.values import Bookmark, JsonValue, Progress, ReadPlan, Selection
from wherry.errors import StateError

VERSION = 1
_PARTS: dict[str, type] = {
    "v": int, "source": object, "from": str, "covers": str, "boundary": dict, "choice": dict, "rebuild": list,
    "appeared": list, "begun": bool, "dirty": list, "before": dict,
}  # fmt: skip


def covers(selections: Sequence[Selection], identity: str) -> str:
    """Hash of everything a bookmark depends on: two that differ do not stand for the same rows."""
    parts = [
        [s.stream.path, s.stream.incarnation, s.mode, s.cursor, list(s.key), list(s.columns or ()), s.where, s.start]
        for s in selections
    ]
    return hashlib.blake2b(json.dumps([identity, parts]).encode(), digest_size=12).hexdigest()


def choice(selection: Selection) -> dict[str, Any]:
    """What the user or the author settled for a stream, to be remembered with its bookmark."""
    fields = {
        "mode": selection.mode,
        "key": list(selection.key),
        "cursor": selection.cursor,
        "columns": list(selection.columns) if selection.columns is not None else None,
        "where": selection.where,
        "start": selection.start,
        "lookback": selection.lookback or None,
        "nulls": selection.nulls if selection.nulls != "include" else None,
        "table": selection.table,
        "types": dict(selection.types),
        "incarnation": selection.stream.incarnation,
    }
    return {name: value for name, value in fields.items() if value not in (None, [], {}, "")}


def seal(
    bookmark: Bookmark, boundaries: dict[str, JsonValue], selections: Sequence[Selection], identity: str
) -> dict[str, Any]:
    """The envelope for a bookmark that stands for these streams."""
    envelope: dict[str, Any] = {
        "v": VERSION,
        "source": bookmark,
        "from": identity,
        "covers": covers(selections, identity),
    }
    kept = {stream: boundary for stream, boundary in boundaries.items() if boundary}
    if kept:
        envelope["boundary"] = kept
    envelope["choice"] = {s.stream.path: choice(s) for s in selections}
    return envelope


def open_(envelope: JsonValue) -> dict[str, Any]:
    """The parts of an envelope; {} for None. Raises `StateError` for one from a newer Wherry or none at all."""
    if envelope is None:
        return {}
    version = envelope.get("v") if isinstance(envelope, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise StateError(
            f"a stored bookmark has format {version}, this wherry knows {VERSION}", next="pip install -U wherry"
        )
    if version != VERSION or not _whole(envelope):
        raise StateError("a stored bookmark cannot be read", next="wherry state reset DEST STREAM reads it all again")
    return cast(dict[str, Any], envelope)


def _whole(envelope: dict[str, Any]) -> bool:
    """Every part is there and of its kind, and no other: one that was overlooked would mean to begin from zero."""
    return all(name in envelope for name in ("source", "from", "covers", "choice")) and all(
        name in _PARTS and isinstance(part, _PARTS[name]) for name, part in envelope.items()
    )


def readable(progress: Progress) -> StateError | None:
    """Why nothing may be built upon what is stored; None if it can be read."""
    if progress.damaged:
        return StateError(f"what is stored cannot be read: {progress.damaged}")
    try:
        all_of(progress)
    except StateError as error:
        return error
    return None


def all_of(progress: Progress) -> list[dict[str, Any]]:
    """Every envelope of a plan key: the lasting one, and those of an open plan's splits."""
    splits = progress.open.splits if progress.open is not None else ()
    return [open_(e) for e in (progress.bookmark, *(s.bookmark for s in splits)) if e is not None]


def rebuilding(progress: Progress) -> set[str]:
    """Streams whose tables the open plan makes anew aside, in whatever mode."""
    splits = progress.open.splits if progress.open is not None else ()
    return {path for s in splits for path in open_(s.bookmark).get("rebuild", ())}


def dirty(plan: ReadPlan) -> set[str]:
    """Streams of an open plan whose table holds rows of an earlier one that was given up."""
    return {path for s in plan.splits for path in open_(s.bookmark).get("dirty", ())}


def unsettled(progress: Progress) -> set[str]:
    """Append streams whose table holds more than the lasting bookmark says: an unfinished plan loaded it.

    They are right when that plan is gone on with, and when they are made anew.
    """
    if progress.open is None:
        return set()
    loaded = [s for s in progress.open.splits if s.key in progress.done or open_(s.bookmark).get("begun")]
    paths = {s.stream.path for split in loaded for s in split.streams if s.mode == "append"}
    return (paths - rebuilding(progress)) | dirty(progress.open)


def unwrap(progress: Progress) -> Progress:
    """Progress with the source's own bookmarks in place of envelopes, and `covers` filled in."""
    envelope = open_(progress.bookmark)
    plan = progress.open
    if plan is not None:
        splits = tuple(replace(s, bookmark=open_(s.bookmark).get("source")) for s in plan.splits)
        plan = replace(plan, splits=splits)
    return replace(progress, bookmark=envelope.get("source"), open=plan, covers=envelope.get("covers", ""))


def streams_of(plan: ReadPlan) -> tuple[Selection, ...]:
    """Each stream's selection once, in the order of the splits."""
    found = {s.stream.path: s for split in plan.splits for s in split.streams}
    return tuple(found.values())
