"""A whole run: discover → choose → plan → lanes → outcome. Reads as the table of contents of this folder."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from wherry.contracts.destination import Destination, Session
from wherry.contracts.source import Run, Source
from wherry.contracts.values import Progress, ReadPlan, Selection, Stream
from wherry.errors import StateError, TransientError, UsageError, WherryError
from wherry.failpoints import failpoint
from wherry.pipeline import envelope as envelopes
from wherry.pipeline.budget import Budget
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.lanes import Lanes, explain
from wherry.pipeline.names import SAMPLE, name_map
from wherry.pipeline.outcome import Outcome
from wherry.pipeline.patience import Patience, patiently
from wherry.pipeline.rejects import MaxRejects
from wherry.pipeline.replay import without_replays
from wherry.pipeline.select import Choice, Wishes, choose, matches, refuse_unheard
from wherry.pipeline.sides import at_destination, at_source
from wherry.pipeline.watch import Interrupt, Limits, Watch, within
from wherry.pipeline.work import Context, Work, outcome_of, schema_of, table_of

GONE = "its table is gone: rebuilt from empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run: what the command line and `wherry.yaml` say, beyond the connectors' own configuration."""

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
    yes: bool = False


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


def name_run(source: Source, connector: str, destination: Destination, settings: Settings) -> Names:
    """Names from the source alone, so that a changed password or a renamed warehouse keeps its bookmarks."""
    short, address = source.identity()
    word = slug(short)
    schema = destination.schema_for(settings.schema or word)
    return Names(pipeline=settings.pipeline or f"{connector}-{word}", schema=schema, identity=address)


def slug(text: str) -> str:
    """A name that every engine takes as it is: lower-case letters, digits, underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "source"


def sync(
    new_source: Callable[[], Source],
    destination: Destination,
    *,
    names: Names,
    settings: Settings,
    events: Any,
    stop: threading.Event,
    labels: Mapping[str, str],
    give_up: Callable[[WherryError], None] | None = None,
) -> Outcome:
    """Move everything asked for. Raises only what concerns the whole run; a stream's failure is in the outcome.

    labels: "source" and "destination" as people should read them.  give_up: ends the process when a call outside of the
    lanes does not return although the run is to stop.
    """
    began = time.monotonic()
    watch = Watch(settings.limits, events, stop, give_up)
    planner = new_source()
    planner.run = Run(stop=stop, memory=settings.memory)
    destination.tell = lambda text: events.message(level="warning", text=text)
    destination.memory = settings.memory // 2  # a quarter is the lanes' byte budget, the rest for what is in flight
    session: Session | None = None
    word = "failed"
    watch.start()
    try:
        contact = partial(patiently, patience=settings.patience, events=events, stop=stop)
        with watch.waiting("source", "its streams"):
            offered = contact(lambda: _offered(planner, settings.wishes), at_source)
        streams = settings.wishes.wanted(offered)
        # whoever asked to wait for another run is not held up by it
        with contextlib.nullcontext() if settings.wait else watch.waiting("destination", "to be opened"):
            opened = contact(
                lambda: destination.open(names.pipeline, schema=names.schema, wait=settings.wait), at_destination
            )
            session = opened
            watch.blocked = session.blocked
            stored, recorded = contact(lambda: (without_replays(opened), opened.names), at_destination)
        failpoint("K01")
        prepared = prepare(streams, stored, names, settings)
        refuse_unheard([c.selection for c in prepared.choices], settings.wishes, planner.filters)
        context = _context(prepared, session, recorded, destination, new_source, events, watch, stop, settings)
        _announce(context, prepared, session, labels)
        _miss(context, stored, {s.path for s in offered}, settings.wishes)
        _work(planner, context, prepared, settings)
        outcome = _outcome(context, names, time.monotonic() - began)
        word = outcome.word
        return outcome
    finally:
        _let_go(planner, watch)
        if session is not None:
            _close(session, "stopped" if stop.is_set() and word == "ok" else word, watch, events)
        watch.end()


def _outcome(context: Context, names: Names, seconds: float) -> Outcome:
    watch = context.watch
    return Outcome(
        run=context.session.lease.epoch, pipeline=names.pipeline, schema=names.schema,
        streams=list(context.outcomes.values()), seconds=seconds, choices=list(context.choices.values()),
        left=watch.left, limit=watch.limits.run if watch.expired else None,
    )  # fmt: skip


def _let_go(planner: Source, watch: Watch) -> None:
    """Close the source; what was committed stands, whatever it says now."""
    if watch.left:
        within(1, planner.close)
        return
    with contextlib.suppress(Exception):
        planner.close()


def _offered(planner: Source, wishes: Wishes) -> list[Stream]:
    """What the source offers of what is asked for; all of it if a name means none, so that near ones can be told."""
    found = list(planner.discover(wishes.only))
    missing = "*" not in wishes.only and not all(any(matches(s, glob) for s in found) for glob in wishes.only)
    return list(planner.discover()) if missing else found


def _close(session: Session, word: str, watch: Watch, events: Any) -> None:
    """Give the lease back. When the run has failed already, that is what the user should hear of.

    What was asked for is committed by now: a server that cannot be reached is no failure, but the next run may wait.
    """
    if watch.left:  # what does not answer would not answer now
        within(1, lambda: session.close(word))
        return
    try:
        with watch.waiting("destination", "to be closed"):
            session.close(word)
    except TransientError as error:
        if word == "ok":
            events.message(level="warning", text=f"all is committed, but the lease was not given back: {error.message}")
    except WherryError:
        if word == "ok":
            raise


def prepare(streams: Sequence[Stream], stored: Mapping[str, Progress], names: Names, settings: Settings) -> Prepared:
    """Settle every stream's selection and check that stored bookmarks still stand for it."""
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
    progress, anew = _usable(stored, hidden, missing)
    _refuse_other_source(progress, names)
    final = [replace(c, rebuild=c.rebuild or c.selection.stream.path in anew) for c in choices]
    unsettled = {path for known in stored.values() for path in envelopes.unsettled(known)}
    return Prepared(names=names, choices=final, progress=progress, hidden=hidden, unsettled=unsettled)


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
    stored: Mapping[str, Progress], hidden: Mapping[str, str], missing: Collection[str]
) -> tuple[dict[str, Progress], set[str]]:
    """Stored progress that may be built upon, and the streams to be made anew.

    A bookmark stands for all streams of its plan: when one of them cannot use it, all are read from the beginning. So
    that half a table never stands under an old bookmark, a table that is gone is built aside too; a run that did so
    before and was interrupted is gone on with.
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
        if all(hidden[path] == GONE for path in mine) and envelopes.rebuilding(known) >= (paths | mine):
            progress[key] = replace(known, bookmark=None, missing=frozenset())
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
        return "the table is rebuilt"
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
            f"stream {path} was recreated or restored at the source since its bookmark was taken",
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


def _context(
    prepared: Prepared, session: Session, recorded: Mapping[tuple[str, str], str], destination: Destination,
    new_source: Callable[[], Source], events: Any, watch: Watch, stop: threading.Event, settings: Settings,
) -> Context:  # fmt: skip
    limits = destination.capabilities
    by_path = {c.selection.stream.path: c for c in prepared.choices}

    def select(stream: Stream) -> Selection | None:
        """The selection for a stream that appears in mid-read."""
        if not settings.wishes.wants(stream):
            return None
        by_path[stream.path] = choose(stream, settings.wishes, {})
        return by_path[stream.path].selection

    return Context(
        session=session, destination=destination, new_source=new_source, identity=prepared.names.identity,
        schema=prepared.names.schema, events=events, stop=stop, watch=watch, commit_every=settings.commit_every,
        names=name_map(recorded, limits),
        budget=Budget(settings.memory // 4, 1, settings.memory), max_rejects=settings.max_rejects, choices=by_path,
        select=select, load_id=settings.load_id, unsettled=set(prepared.unsettled),
    )  # fmt: skip


def _announce(context: Context, prepared: Prepared, session: Session, labels: Mapping[str, str]) -> None:
    told = []
    for choice in prepared.choices:
        s = choice.selection
        table = table_of(s, context.names)
        schema = schema_of(s.stream, context.schema)
        context.outcomes[s.stream.path] = outcome_of(s, context)
        whole = s.mode == "replace" or not prepared.progress
        told.append({
            "stream": s.stream.path, "schema": schema, "table": table, "mode": s.mode, "key": list(s.key),
            "cursor": s.cursor, "row_estimate": s.stream.row_estimate if whole else None,
            "notes": list(s.stream.notes),
        })  # fmt: skip
        reason = prepared.hidden.get(s.stream.path)
        if reason is not None and reason.startswith(GONE):
            context.events.message(level="warning", text=f"{s.stream.path}: {reason}")
    context.events.run_started(
        run=session.lease.epoch, pipeline=prepared.names.pipeline, source=labels["source"],
        destination=labels["destination"], schema=prepared.names.schema, streams=told,
    )  # fmt: skip


def _miss(context: Context, stored: Mapping[str, Progress], offered: set[str], wishes: Wishes) -> None:
    """Say which streams the source offers no more: their tables stay as they are."""
    alone = remembered_choices(stored).keys() & stored.keys()  # others may appear in mid-read
    lost = [path for path in alone if path not in offered and wishes.wants(_named(path))]
    if lost and wishes.limit is None:
        shown = ", ".join(sorted(lost)[:5]) + (f" and {len(lost) - 5:,} more" if len(lost) > 5 else "")
        text = f"no longer offered by the source, so their tables stay as they are: {shown}"
        context.events.message(level="warning", text=f"{text}; to forget one: wherry state reset DEST STREAM")


def _named(path: str) -> Stream:
    import pyarrow as pa

    namespace, _, name = path.rpartition(".")
    return Stream(name=name, namespace=namespace or None, schema=pa.schema([]))


def _work(planner: Source, context: Context, prepared: Prepared, settings: Settings) -> None:
    """Plan and read; streams without a plan have nothing new."""
    try:
        _rounds(planner, context, prepared, settings)
    except Interrupt:  # outside of the lanes, which serve it themselves
        context.stop.set()
    for path, outcome in context.outcomes.items():
        if outcome.outcome == "waiting":
            outcome.finish("stopped" if context.stop.is_set() else "unchanged")
            context.events.stream_finished(
                stream=path, table=outcome.table, outcome=outcome.outcome, counts=outcome.counts, seconds=0.0,
                error=None,
            )  # fmt: skip


def _rounds(planner: Source, context: Context, prepared: Prepared, settings: Settings) -> None:
    """Plan and read until no plan asks to be called again."""
    selections = [c.selection for c in prepared.choices]
    progress = dict(prepared.progress)
    while selections and not context.stop.is_set():
        bare = {key: envelopes.unwrap(p) for key, p in progress.items()}
        plans = _plans(planner, selections, bare, context, settings)
        works = [_make(plan, progress, context, settings) for plan in plans]
        for work in works:
            work.refuse_uncovered()
            _note(context, work)
        if works:
            count = min(settings.workers or 4, context.destination.capabilities.loads)
            Lanes(context, works, count, settings.fail_fast, settings.patience).run()
        if settings.wishes.limit is not None:
            for key in [work.plan.key for work in works]:
                forget = partial(context.session.set, key, None)
                patiently(forget, at_destination, settings.patience, context.events, context.stop)
        again = [w for w in works if w.plan.again and all(_fine(context, s) for s in w.streams)]
        selections = [s for w in again for s in w.streams]
        progress = {w.plan.key: Progress(bookmark=w.lasting) for w in again}


def _plans(
    planner: Source, selections: Sequence[Selection], known: Mapping[str, Progress], context: Context,
    settings: Settings,
) -> list[ReadPlan]:  # fmt: skip
    def plan() -> list[ReadPlan]:
        return list(planner.plan(selections, known))

    with context.watch.waiting("source", "its read plans"):
        return patiently(plan, at_source, settings.patience, context.events, context.stop)


def _note(context: Context, work: Work) -> None:
    """Take down what the source said when it planned, beyond what it had said of the stream before."""
    for selection in work.streams:
        path = selection.stream.path
        if path in context.outcomes and path in context.choices:
            known = context.choices[path].selection.stream.notes
            context.outcomes[path].notes = tuple(note for note in selection.stream.notes if note not in known)


def _make(plan: ReadPlan, progress: Mapping[str, Progress], context: Context, settings: Settings) -> Work:
    known = progress.get(plan.key, Progress())
    if settings.wishes.limit is not None:
        plan, known = replace(plan, key=plan.key + SAMPLE), Progress()
    return Work(plan, known, context)


def _fine(context: Context, selection: Selection) -> bool:
    outcome = context.outcomes.get(selection.stream.path)
    return outcome is None or outcome.outcome in ("committed", "unchanged")


__all__ = ["Names", "Outcome", "Prepared", "Settings", "WherryError", "explain", "name_run", "prepare", "sync"]
