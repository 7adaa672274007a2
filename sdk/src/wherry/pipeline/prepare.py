"""What a run will do, before it does anything: its names, each stream's selection, which bookmarks still stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from wherry.contracts.destination import Destination
from wherry.contracts.source import Shared, Source
from wherry.contracts.values import Progress, Stream
from wherry.errors import StateError, UsageError
from wherry.pipeline import envelope as envelopes
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.patience import Patience
from wherry.pipeline.rejects import MaxRejects
from wherry.pipeline.select import Choice, Wishes, choose
from wherry.pipeline.watch import Limits

GONE = "its table is gone: rebuilt from empty"
REBUILT = "the table is rebuilt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run: what the command line and `wherry.yaml` say, beyond the connectors' own configuration.

    folder, conceal, shared: as in `Run`.
    """

    wishes: Wishes = field(default_factory=Wishes)
    schema: str | None = None
    pipeline: str | None = None
    memory: int = 512 << 20
    workers: int | None = None
    wait: float = 0
    fail_fast: bool = False
    max_rejects: MaxRejects = field(default_factory=MaxRejects)
    commit_every: CommitEvery = field(default_factory=CommitEvery)
    patience: Patience = field(default_factory=Patience)
    limits: Limits = field(default_factory=Limits)
    load_id: bool = True
    handoff: bool | None = None
    """Hand rows over as they are, where that can be: wherever (True), where it is worth it (None), never (False)."""
    yes: bool = False
    folder: Path | None = None
    conceal: Callable[[str], None] = lambda secret: None
    shared: Shared = field(default_factory=Shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a run is called: pipeline, schema of its tables, canonical address of its source."""

    pipeline: str
    schema: str
    identity: str


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A run that knows what it will do: shown by `wherry plan`, done by `sync`."""

    names: Names
    choices: list[Choice]
    progress: dict[str, Progress]
    hidden: dict[str, str]
    """Plan keys whose stored bookmark is not used, and why."""
    unsettled: set[str] = field(default_factory=set)
    """Streams of `envelope.unsettled`."""
    separable: bool = False
    """`Source.separable`."""


def name_run(source: Source, connector: str, destination: Destination, settings: Settings) -> Names:
    """Names from the source alone, so that a changed password or a renamed warehouse keeps its bookmarks."""
    short, address = source.identity()
    word = slug(short)
    schema = destination.schema_for(settings.schema or word)
    return Names(pipeline=settings.pipeline or f"{connector}-{word}", schema=schema, identity=address)


def slug(text: str) -> str:
    """A name that every engine takes as it is: lower-case letters, digits, underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "source"


def prepare(
    streams: Sequence[Stream], stored: Mapping[str, Progress], names: Names, settings: Settings, separable: bool = False
) -> Prepared:
    """Settle every stream's selection and check that stored bookmarks still stand for it.

    separable: the source can go on with some streams of a bookmark and begin others from nothing.
    """
    wishes = settings.wishes
    if wishes.limit is None:
        stored = _readable(stored, settings)
    else:
        stored = {key: known for key, known in stored.items() if envelopes.readable(known) is None}
    remembered = remembered_choices(stored)
    choices = [choose(s, wishes, remembered.get(s.path, {})) for s in streams]
    _refuse_losing_history(choices, remembered, settings)
    missing = {path for p in stored.values() for path in p.missing}
    hidden: dict[str, str] = {}
    for choice in choices:
        path = choice.selection.stream.path
        reason = _outdated(choice, remembered.get(path, {}), path in missing)
        if reason is not None:
            hidden[path] = reason
    if wishes.limit is not None:
        return Prepared(names=names, choices=choices, progress={}, hidden=hidden)
    asked = {c.selection.stream.path: envelopes.choice(c.selection) for c in choices}
    same = partial(_as_asked, asked)
    progress, anew = _apart(stored, hidden) if separable else _usable(stored, hidden, missing, same)
    _refuse_other_source(progress, names)
    final = [replace(c, rebuild=c.rebuild or c.selection.stream.path in anew) for c in choices]
    unsettled = {path for known in stored.values() for path in envelopes.unsettled(known)}
    return Prepared(
        names=names, choices=final, progress=progress, hidden=hidden, unsettled=unsettled, separable=separable
    )


def _readable(stored: Mapping[str, Progress], settings: Settings) -> dict[str, Progress]:
    """What can be read of what is stored: all of it, unless tables are to be made anew and nothing is asked."""
    found: dict[str, Progress] = {}
    for key, known in stored.items():
        reason = envelopes.readable(known)
        if reason is None:
            found[key] = known
        elif not (settings.wishes.full_refresh and settings.yes):
            newer = "pip install" in (reason.next or "")
            anew = "add --full-refresh --yes, with --mode, --key and --cursor as they were, to rebuild the table"
            raise StateError(
                f"bookmark of {key}: {reason.message}",
                next=reason.next if newer else f"{anew}; or wherry state reset DEST {key} to read it all into it",
            )
    return found


def _usable(
    stored: Mapping[str, Progress], hidden: Mapping[str, str], missing: Collection[str],
    same: Callable[[str, Progress], bool],
) -> tuple[dict[str, Progress], set[str]]:  # fmt: skip
    """Stored progress that may be built upon, and the streams to be made anew.

    A bookmark stands for all streams of its plan: when one of them cannot use it, all are read from the beginning. So
    that half a table never stands under an old bookmark, a table that is gone is built aside too; a run that did so
    before and was interrupted is gone on with, and so is a rebuild that was asked for, if it is asked for as before.
    same: whether the open plan has a stream as it was chosen now.
    """
    progress: dict[str, Progress] = {}
    anew: set[str] = set()
    for key, known in stored.items():
        paths = {path for envelope in envelopes.all_of(known) for path in envelope.get("choice", {})}
        mine = {path for path in hidden if path == key or path in paths}
        if not mine:
            progress[key] = known
            continue
        anew |= mine & set(missing) | (paths if len(paths) > 1 else set())
        again = all(hidden[path] == GONE or (hidden[path] == REBUILT and same(path, known)) for path in mine)
        if again and envelopes.rebuilding(known) >= (paths | mine):
            progress[key] = replace(known, bookmark=None, missing=frozenset())
    return progress, anew


def _as_asked(asked: Mapping[str, dict[str, Any]], path: str, known: Progress) -> bool:
    """Whether the open plan of a stream was made for the same choice."""
    splits = known.open.splits if known.open is not None else ()
    opened = [envelopes.open_(s.bookmark).get("choice", {}).get(path) for s in splits]
    return any(opened) and all(choice in (None, asked[path]) for choice in opened)


def _apart(stored: Mapping[str, Progress], hidden: Mapping[str, str]) -> tuple[dict[str, Progress], set[str]]:
    """The same where a bookmark goes on without those of its streams that cannot use it."""
    progress: dict[str, Progress] = {}
    anew: set[str] = set()
    for key, known in stored.items():
        paths = {path for envelope in envelopes.all_of(known) for path in envelope.get("choice", {})}
        mine = frozenset(path for path in hidden if path in paths)
        again = all(hidden[path] == GONE for path in mine) and envelopes.rebuilding(known) >= mine
        opened = known.open if again else None
        progress[key] = replace(known, open=opened, anew=mine, missing=frozenset()) if mine else known
        anew |= mine
    return progress, anew


def remembered_choices(stored: Mapping[str, Progress]) -> dict[str, dict[str, Any]]:
    """What earlier runs settled, by stream path: see `envelope.choice`."""
    found: dict[str, dict[str, Any]] = {}
    for progress in stored.values():
        for envelope in envelopes.all_of(progress) if envelopes.readable(progress) is None else ():
            for path, choice in envelope.get("choice", {}).items():
                found.setdefault(path, choice)
    return found


def _refuse_losing_history(
    choices: Sequence[Choice], remembered: Mapping[str, dict[str, Any]], settings: Settings
) -> None:
    for choice in choices:
        path = choice.selection.stream.path
        if settings.wishes.full_refresh and remembered.get(path, {}).get("mode") == "history" and not settings.yes:
            raise UsageError(
                f"--full-refresh would drop the history of stream {path}",
                key="full_refresh",
                next="add --yes if you mean it",
            )


def _outdated(choice: Choice, remembered: Mapping[str, Any], missing: bool) -> str | None:
    """Why the stored bookmark of a stream is of no use; None when it is. Raises where the user has to decide."""
    selection = choice.selection
    if choice.rebuild:
        return REBUILT
    if not remembered:
        return GONE if missing else None
    now = envelopes.choice(selection)
    differing = [
        n
        for n in ("columns", "where", "start", "incarnation", "mode", "cursor", "key")
        if now.get(n) != remembered.get(n)
    ]
    if not differing:
        return GONE if missing else None
    if missing:
        return f"{GONE}, {', '.join(differing)} changed"
    if selection.mode == "replace":
        return f"{', '.join(differing)} changed: read again"
    path, what = selection.stream.path, differing[0]
    if what == "incarnation":
        raise StateError(
            f"stream {path} was recreated or restored at the source, or has other items, since its bookmark was taken",
            next=f"add --full-refresh to rebuild the table, or wherry state reset DEST {path} to read it all into it",
        )
    raise StateError(
        f"the bookmark of stream {path} was taken with {what} {remembered.get(what)!r}, now it is {now.get(what)!r}",
        key=what, next=f"add --full-refresh to rebuild the table, or wherry state reset DEST {path}",
    )  # fmt: skip


def _refuse_other_source(stored: Mapping[str, Progress], names: Names) -> None:
    for key, progress in stored.items():
        for envelope in envelopes.all_of(progress):
            origin = envelope.get("from", names.identity)
            if origin != names.identity:
                where = f"pipeline {names.pipeline} in schema {names.schema}"
                raise StateError(
                    f"{where} holds {key} of {origin}, not of {names.identity}",
                    next="keep them apart: --pipeline NAME --schema NAME, or rebuild from this source: --full-refresh",
                )
