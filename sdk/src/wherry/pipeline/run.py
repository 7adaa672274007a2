"""A whole run: discover → choose → plan → lanes → outcome. Reads as the table of contents of this folder."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from wherry.contracts.destination import Destination, Session
from wherry.contracts.source import Run, Source
from wherry.contracts.values import Progress, ReadPlan, Selection, Stream
from wherry.errors import TransientError, WherryError
from wherry.failpoints import failpoint
from wherry.pipeline import envelope as envelopes
from wherry.pipeline.budget import Budget
from wherry.pipeline.handoff import handoffs
from wherry.pipeline.lanes import Lanes
from wherry.pipeline.names import SAMPLE, name_map
from wherry.pipeline.outcome import Outcome
from wherry.pipeline.patience import patiently
from wherry.pipeline.prepare import GONE, Names, Prepared, Settings, prepare, remembered_choices
from wherry.pipeline.replay import without_replays
from wherry.pipeline.select import Wishes, choose, matches, refuse_unheard
from wherry.pipeline.sides import at_destination, at_source
from wherry.pipeline.watch import Interrupt, Watch, within
from wherry.pipeline.work import Context, Work, outcome_of, schema_of, table_of


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
    given = planner.run = Run(
        stop=stop, memory=settings.memory, shared=settings.shared, folder=settings.folder, conceal=settings.conceal,
        resting=watch.resting, **handoffs(destination, settings),
    )  # fmt: skip
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
        prepared = prepare(streams, stored, names, settings, planner.separable)
        refuse_unheard([c.selection for c in prepared.choices], settings.wishes, planner.filters)
        context = _context(prepared, session, recorded, destination, new_source, events, watch, stop, settings, given)
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


def _context(
    prepared: Prepared, session: Session, recorded: Mapping[tuple[str, str], str], destination: Destination,
    new_source: Callable[[], Source], events: Any, watch: Watch, stop: threading.Event, settings: Settings,
    given: Run,
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
        select=select, load_id=settings.load_id, run=given, unsettled=set(prepared.unsettled),
        separable=prepared.separable,
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
