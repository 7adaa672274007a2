"""One read plan at work: its splits run in lanes, its targets grow, and at the end its generation is published."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wherry.contracts.destination import Destination, Session
from wherry.contracts.loading import Applied, Counts, Entry, Target
from wherry.contracts.source import Run, Source
from wherry.contracts.values import Bookmark, JsonValue, Progress, ReadPlan, Selection, Split, Stream
from wherry.contracts.wire import from_json, to_json
from wherry.errors import HandOffRefused, StateError, StreamError
from wherry.pipeline import boundary
from wherry.pipeline import envelope as envelopes
from wherry.pipeline.budget import Budget
from wherry.pipeline.conform import Conformer
from wherry.pipeline.known import Known
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.names import REJECTED, SAMPLE, NameMap, beside, refuse_ours
from wherry.pipeline.outcome import StreamOutcome
from wherry.pipeline.rejects import MaxRejects, rejects_of
from wherry.pipeline.select import Choice
from wherry.pipeline.watch import Watch


@dataclass(slots=True, kw_only=True)
class Context:
    """What all lanes of a run share."""

    session: Session
    destination: Destination
    new_source: Callable[[], Source]
    identity: str
    schema: str
    names: NameMap
    budget: Budget
    events: Any
    stop: threading.Event
    watch: Watch
    commit_every: CommitEvery
    max_rejects: MaxRejects
    choices: dict[str, Choice]
    select: Callable[[Stream], Selection | None]
    load_id: bool = True
    run: Run = field(default_factory=Run)
    """What each lane's source is given, but for its share of the bytes."""
    published: set[str] = field(default_factory=set)
    """Streams that this run has rebuilt: what comes after adds to them."""
    unsettled: set[str] = field(default_factory=set)
    """Streams of `envelope.unsettled`."""
    separable: bool = False
    """`Source.separable`."""
    outcomes: dict[str, StreamOutcome] = field(default_factory=dict)


class Work:
    """A plan in this run. Stored in the destination only when there is something to store, so that a run without
    changes writes nothing."""

    def __init__(self, plan: ReadPlan, known: Progress, context: Context):
        self.context = context
        self.resumed = bool(plan.id) and known.open is not None and known.open.id == plan.id
        self.plan = plan if self.resumed else replace(plan, id=uuid.uuid4().hex)
        self.read = self.rejected = 0
        self.generation: int | None = None
        self.lasting: JsonValue = known.bookmark
        self.began = time.monotonic()
        self._known = known
        self._planned = {s.stream.path for s in envelopes.streams_of(plan)}
        self._resumed: set[str] = set()
        self._lock = threading.Lock()
        self._doubts: dict[str, tuple[int, Entry]] = {}
        """By split key: the last load whose commit has not been answered, and what it was to record."""
        self._conformers: dict[str, Conformer] = {}
        self._appeared = self._appeared_before()
        self._rebuild: frozenset[str] = frozenset()
        self._dirty = self._unsettled()
        self._rebuild = self._rebuild_paths()
        self._rebuild |= self._made_anew()
        self._left_out = self._streams_left_out()
        self._sealed: dict[str, JsonValue] = self._starting_envelopes()
        self._shared = self._known_before()
        self._drawn: dict[str, dict[str, list[Any]]] = {}
        self.refused: set[str] = set()
        """Keys of splits that cannot be handed over, as it turned out."""
        done = known.done if self.resumed else frozenset()
        self.waiting = [s for s in self.plan.splits if s.key not in done]
        self._left = {s.key for s in self.waiting}
        self._undone = set(self._left)

    @property
    def streams(self) -> tuple[Selection, ...]:
        """The selections of its streams."""
        appeared = [s for path, s in self._appeared.items() if path not in self._planned]
        return (*envelopes.streams_of(self.plan), *appeared)

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of its plan key from before."""
        return not self.resumed and self._known == Progress()

    def adopt(self, other: Work) -> None:
        """Another work has done all there was to do, and it is committed."""
        self.generation, self.lasting = other.generation, other.lasting
        with self._lock:
            self._left, self._undone = set(), set()
        self.context.published |= self._rebuild
        self.context.unsettled -= self._rebuild

    @property
    def rebuilds(self) -> bool:
        """Whether its tables are made anew aside and published at the end."""
        return any(self.rebuilt(s) for s in self.streams)

    @property
    def complete(self) -> bool:
        """Whether every split is done, so that it may be published."""
        return not self._undone

    def alone(self, path: str) -> bool:
        """Whether one split holds all there is of the stream."""
        return sum(any(s.stream.path == path for s in split.streams) for split in self.plan.splits) == 1

    def refuse_uncovered(self) -> None:
        """Raise when a log goes on from a bookmark that never stood for one of its streams."""
        lasting = envelopes.open_(self._known.bookmark)
        covered = lasting.get("choice", {})
        for split in self.plan.splits:
            if self.resumed or split.bookmark is None or split.bookmark != lasting.get("source"):
                continue
            for selection in split.streams:
                path = selection.stream.path
                if selection.stream.changes and path not in covered:
                    raise StateError(
                        f"stream {path} is new in {self.plan.key}, whose bookmark stands for {', '.join(covered)}",
                        next=f"add --full-refresh to read all of them anew, or leave it out: --exclude {path}",
                    )

    def seal(self, bookmark: Bookmark, boundaries: dict[str, JsonValue], begun: bool = False) -> JsonValue:
        """The envelope for a bookmark of one of its splits. begun: rows of the split are loaded."""
        envelope = self._enveloped(bookmark, boundaries)
        if self._rebuild:
            envelope["rebuild"] = sorted(self._rebuild)
        if self._dirty:
            envelope["dirty"] = sorted(self._dirty)
        if self._appeared:
            envelope["appeared"] = [to_json(s) for s in self._appeared.values()]
        return envelope | ({"begun": True} if begun else {})

    def _enveloped(self, bookmark: Bookmark, boundaries: Mapping[str, JsonValue]) -> dict[str, Any]:
        """With what is known of streams that the bookmark stands for and this plan leaves out."""
        boundaries = {**self._left_out.get("boundary", {}), **boundaries}
        envelope = envelopes.seal(bookmark, boundaries, self.streams, self.context.identity)
        envelope["choice"] = self._left_out.get("choice", {}) | envelope["choice"]
        return envelope

    def appears(self, stream: Stream) -> Selection | None:
        """The selection of a stream that the plan did not have; None if it is not wanted."""
        with self._lock:
            path = stream.path
            if path not in self._appeared:
                selection = self.context.select(stream)
                if selection is None:
                    return None
                self._appeared[path] = selection
                self.context.outcomes.setdefault(path, outcome_of(selection, self.context))
                self.context.outcomes[path].begin()
            return self._appeared[path]

    def start(self) -> int:
        """Store the plan; returns its generation. Called before the first load; later calls change nothing."""
        with self._lock:
            if self.generation is None:
                splits = tuple(replace(s, bookmark=self._sealed[s.key]) for s in self.plan.splits)
                self.generation = self.context.session.start(replace(self.plan, splits=splits))
            return self.generation

    def envelope(self, split: Split) -> JsonValue:
        """What is known of a split: where its bookmark and its boundary stand."""
        return self._sealed[split.key]

    def shared(self, path: str) -> Known | None:
        """What all splits of a stream know together from before; None for a stream in one split."""
        return self._shared.get(path)

    def given_up(self, split: Split, drawn: dict[str, list[Any]]) -> None:
        """Take down which of these a load drew that was given up, or is in doubt: `resume` finds out."""
        self._drawn[split.key] = drawn

    def doubt(self, split: Split, load_id: int, entry: Entry) -> None:
        """Remember a load whose COMMIT is about to be sent: if the answer is lost, `resume` finds out what it did."""
        self._doubts[split.key] = load_id, entry

    def resume(self, split: Split) -> tuple[Split, bool]:
        """The split as the destination has it now, after a failure, and whether it is done."""
        found = self._resume(split)
        if split.key in self._doubts:
            load_id, entry = self._doubts[split.key]
            applied = self.context.session.applied(load_id)
            if applied is not None:
                counts = [c for name, c in entry.counts.items() if not name.endswith(beside("", REJECTED))]
                self.count(sum(c.read for c in counts), sum(c.rejected for c in counts))
                self.committed(split, entry, load_id, applied)
        return found

    def _resume(self, split: Split) -> tuple[Split, bool]:
        with self._lock:
            if self.generation is None:
                self._settle_drawn(split, self._sealed[split.key])
                return split, False
            self._resumed.add(split.key)
            seen = self.context.session.resume(self.plan)
            stored = {s.key: s.bookmark for s in seen.open.splits} if seen.open is not None else {}
            self._settle_drawn(split, stored.get(split.key, self._sealed[split.key]))
            if split.key in stored:
                self._sealed[split.key] = stored[split.key]
            bookmark = envelopes.open_(self._sealed[split.key]).get("source")
            return replace(split, bookmark=bookmark), seen.open is None or split.key in seen.done

    def read_instead(self, split: Split, form: str, why: HandOffRefused) -> None:
        """A hand-over was given up: what it made of a table that is built aside is forgotten, types included."""
        self.refused.add(split.key)
        path = split.streams[0].stream.path
        if not self.context.stop.is_set():  # an engine that was interrupted refuses too, and nothing is read
            text = f"{path}: not handed over as {form}, but read: {why.message}"
            self.context.events.message(level="info", text=text)
        with self._lock:
            self._conformers.pop(path, None)
            if self.generation is not None and self.rebuilds:
                self.plan, self.generation, self.resumed = replace(self.plan, id=uuid.uuid4().hex), None, False
                self._sealed = self._starting_envelopes()

    def handed(self, split: Split, form: str, done: bool) -> None:
        """Take down that a split was handed over."""
        path = split.streams[0].stream.path
        if done and path in self.context.outcomes:
            self.context.outcomes[path].handed = form

    def conformer(self, selection: Selection) -> Conformer:
        """The stream's way into its table, shared by the plan's lanes."""
        path = selection.stream.path
        with self._lock:
            if path not in self._conformers:
                target, session = self._target(selection), self.context.session
                with self.context.watch.at_destination(f"to describe the table of {path}"):
                    live = None if target.generation is None else session.schema(replace(target, generation=None))
                    found = session.schema(target)
                if found is not None:
                    target = replace(target, schema=found)
                self._conformers[path] = Conformer(
                    selection, target, self.context.destination, self.context.names, live
                )
            return self._conformers[path]

    def placed(self, target: Target) -> Target:
        """The target with the generation it goes to, once the plan has one."""
        if target.generation is None:
            return target
        return replace(target, generation=self.generation)

    def must_record(self, split: Split, changed: bool) -> bool:
        """Whether the end of this split has to be stored: not when nothing came and nothing is being built."""
        return changed or self.generation is not None or self.rebuilds or self._has_new_table(split)

    def committed(self, split: Split, entry: Entry, load_id: int, done: Mapping[str, Applied]) -> None:
        """Take down what a load did. done: by stream path."""
        self._doubts.pop(split.key, None)
        with self._lock:
            self._sealed[split.key] = entry.bookmark
        for name, counts in entry.counts.items():
            path = name.removesuffix(beside("", SAMPLE))
            if path.endswith(beside("", REJECTED)):  # counted with the stream itself
                continue
            applied = done.get(name)
            outcome = self.context.outcomes.get(path)
            numbers = {
                "read": counts.read, "boundary": counts.boundary, "mapped": counts.mapped, "rejected": counts.rejected,
                "bytes": counts.bytes, "staged": applied.staged if applied else 0,
                "inserted": applied.inserted if applied else 0, "updated": applied.updated if applied else 0,
                "deleted": applied.deleted if applied else 0,
            }  # fmt: skip
            if outcome is not None:
                outcome.add(numbers)
            self.context.events.load_committed(
                stream=path, load_id=load_id, counts=numbers, bookmark=envelopes.open_(entry.bookmark)["source"]
            )

    def unchanged(self, split: Split, envelope: JsonValue, counts: Mapping[str, Counts]) -> None:
        """Take down what was read of a split that brought nothing new."""
        with self._lock:
            self._sealed[split.key] = envelope  # the boundary rows it saw count when others make the plan publish
        for path, count in counts.items():
            if path in self.context.outcomes:
                self.context.outcomes[path].add({"read": count.read, "boundary": count.boundary})

    def leave(self, split: Split, came: bool) -> None:
        """Leave the tables as they are: the source says that nothing is new since the lasting bookmark, in any mode.

        What the plan may have begun is not gone on with. came: rows or bookmarks came beside that. StreamError: there
        is nothing that it could be said of.
        """
        if came or self.lasting is None or self._rebuild or len(self.plan.splits) > 1:
            raise StreamError(
                f"the source calls {split.key} unchanged, which has rows now, other splits, or a table made anew",
                next="report it to whoever maintains the connector",
            )
        with self._lock:
            self.generation, self.resumed = None, False

    def reached(self, split: Split, windows: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Take down which cursor values a finished split has read; not of one that began again in the middle."""
        with self._lock:
            for path, window in windows.items():
                if path in self.context.outcomes and window[1] is not None and split.key not in self._resumed:
                    self.context.outcomes[path].windows.append(window)

    def kept(self, selection: Selection) -> str | None:
        """The cursor's value at which the stream's bookmark stands, for people; None when it says none."""
        path, schema = selection.stream.path, selection.stream.schema
        if selection.cursor not in schema.names or self.rebuilt(selection):
            return None
        if not self._lock.acquire(timeout=1):  # a lane that was left holds it
            return None
        try:
            envelope = self._sealed[self.plan.splits[0].key] if len(self.plan.splits) == 1 else self.lasting
        finally:
            self._lock.release()
        stored = envelopes.open_(envelope).get("boundary", {}).get(path)
        return boundary.shown_top(stored, schema.field(selection.cursor).type) if stored else None

    def ended(self, split: Split, done: bool) -> bool:
        """Take down that a split is over, done or not; True for the last."""
        with self._lock:
            self._left.discard(split.key)
            if done:
                self._undone.discard(split.key)
            return not self._left

    def count(self, read: int, rejected: int) -> None:
        """Count rows of the run, read and rejected; less than none when their load was aborted."""
        with self._lock:
            self.read += read
            self.rejected += rejected

    def publish(self) -> None:
        """Swap the generation in and make the lasting bookmark; nothing to do for a plan that was never stored."""
        if self.generation is None and not self.resumed:
            return
        generation = self.start()
        last = self.plan.splits[-1]
        bookmark = self.plan.after
        if bookmark is None:
            bookmark = envelopes.open_(self._sealed[last.key]).get("source")
        opened = [envelopes.open_(self._sealed[s.key]) for s in self.plan.splits]
        before: dict[str, Any] = next((e["before"] for e in opened if "before" in e), {})
        parts = [*(e.get("boundary", {}) for e in opened), {path: boundary.old(b) for path, b in before.items()}]
        boundaries = {
            s.stream.path: boundary.merge([p.get(s.stream.path) for p in parts], s.lookback) for s in self.streams
        }
        self.lasting = self._enveloped(bookmark, boundaries)
        entry = Entry(bookmark=self.lasting, done=True)
        targets = [self.placed(self.conformer(s).target) for s in self.streams if self.rebuilt(s)]
        targets += [rejects for target in targets for rejects in self._rejects(target)]
        self.context.session.publish(self.plan, targets, generation, entry)
        self.context.published |= self._rebuild
        self.context.unsettled -= self._rebuild

    def _rejects(self, target: Target) -> list[Target]:
        """The table of rejected rows that is made anew with the target's own, if there are or were any."""
        rejects, session = rejects_of(target), self.context.session
        known = (session.schema(t) for t in (rejects, replace(rejects, generation=None)))
        return [rejects] if any(schema is not None for schema in known) else []

    def settle(self, split: Split) -> None:
        """End the plan where its one split stands; nothing to do where it has several, or nothing is committed."""
        envelope = envelopes.open_(self._sealed[split.key])
        if len(self.plan.splits) > 1 or self.rebuilds or self.generation is None or not envelope.get("begun"):
            return
        self.lasting = self._enveloped(envelope.get("source"), envelope.get("boundary", {}))
        self.context.session.publish(self.plan, [], self.generation, Entry(bookmark=self.lasting, done=True))

    def _streams_left_out(self) -> dict[str, dict[str, Any]]:
        """Choices and boundaries of streams that the bookmark stands for too, where a plan goes on without them."""
        if not self.context.separable or len(self.plan.splits) != 1 or self.plan.splits[0].bookmark is None:
            return {}
        before = envelopes.open_(self._known.bookmark)
        if not self.resumed and self.plan.splits[0].bookmark != before.get("source"):
            return {}
        mine = {s.stream.path for s in self.streams}
        parts = ("choice", "boundary")
        return {part: {k: v for k, v in before.get(part, {}).items() if k not in mine} for part in parts}

    def _starting_envelopes(self) -> dict[str, JsonValue]:
        if self.resumed and self._known.open is not None:
            stored = {s.key: s.bookmark for s in self._known.open.splits}  # a source may add splits when it goes on
            return {s.key: stored[s.key] if s.key in stored else self.seal(None, {}) for s in self.plan.splits}
        lasting = envelopes.open_(self._known.bookmark)
        found = {}
        for split in self.plan.splits:
            again = split.bookmark == lasting.get("source")
            known = {s.stream.path for s in split.streams if not self.rebuilt(s)} if again else set()
            boundaries = {p: b for p, b in lasting.get("boundary", {}).items() if p in known}
            if split.bookmark is None:  # no cursor value was ever seen: rows without one are all that is known
                boundaries = {p: {"nulls": b["nulls"]} for p, b in boundaries.items() if "nulls" in b}
            alone = {p: boundary.old(b) for p, b in boundaries.items() if self.alone(p)}
            before = {p: b for p, b in boundaries.items() if not self.alone(p)}
            found[split.key] = self.seal(split.bookmark, alone) | ({"before": before} if before else {})
        return found

    def _known_before(self) -> dict[str, Known]:
        """Rows that the splits of a stream know together, less those that some of them drew in an earlier run."""
        opened = [envelopes.open_(envelope) for envelope in self._sealed.values()]
        before = {path: stored for envelope in opened for path, stored in envelope.get("before", {}).items()}
        columns = {s.stream.path: s.stream.schema.names for s in self.streams}
        found = {path: Known(stored, columns.get(path, ())) for path, stored in before.items()}
        for path, known in found.items():
            for envelope in opened:
                known.without(boundary.used(envelope.get("boundary", {}).get(path) or {}))
        return found

    def _settle_drawn(self, split: Split, stored: JsonValue) -> None:
        """Rows that a load drew are known again, unless it was committed after all."""
        was, now = envelopes.open_(self._sealed[split.key]), envelopes.open_(stored)
        for path, drawn in self._drawn.pop(split.key, {}).items():
            parts = [e.get("boundary", {}).get(path) or {} for e in (was, now)]
            if len(boundary.used(parts[0])) == len(boundary.used(parts[1])):
                self._shared[path].give_back(drawn)

    def _appeared_before(self) -> dict[str, Selection]:
        """Streams that appeared in earlier runs of the same plan."""
        if not self.resumed or self._known.open is None:
            return {}
        told = [s for split in self._known.open.splits for s in envelopes.open_(split.bookmark).get("appeared", ())]
        selections = [from_json(Selection, s) for s in told]
        return {s.stream.path: s for s in selections}

    def _unsettled(self) -> frozenset[str]:
        """Append streams whose table holds rows of an unfinished plan that the source gave up."""
        if self.resumed and self._known.open is not None:
            return frozenset(envelopes.dirty(self._known.open))
        return frozenset(self.context.unsettled & {s.stream.path for s in self.streams})

    def _made_anew(self) -> frozenset[str]:
        """Those of them that are read from the beginning: what is there would come twice. Else the user decides."""
        if self.resumed:
            return frozenset()
        anew = self._dirty - {s.stream.path for s in self.streams if self.rebuilt(s)}
        later = {s.stream.path for split in self.plan.splits if split.bookmark is not None for s in split.streams}
        for path in sorted(anew & later):
            raise StateError(
                f"an unfinished run loaded rows of {path}, and the source cannot go on where it ended",
                next=f"add --full-refresh to rebuild the table of {path}",
            )
        return anew

    def _rebuild_paths(self) -> frozenset[str]:
        """Streams rebuilt whatever their mode; a resumed plan goes on as it was begun."""
        if self.resumed and self._known.open is not None:
            opened = envelopes.open_(self._known.open.splits[0].bookmark)
            return frozenset(opened.get("rebuild", ()))
        choices = self.context.choices
        paths = [s.stream.path for s in self.streams if s.stream.path not in self.context.published]
        return frozenset(path for path in paths if path in choices and choices[path].rebuild)

    def _building(self) -> int:
        """The generation of its tables; before it is started one that has no table."""
        known = self._known.generation if self.resumed else None
        return known if self.generation is None and known is not None else self.generation or -1

    def rebuilt(self, selection: Selection) -> bool:
        """Whether its table is made anew aside, so that readers see none of it until it is published."""
        return selection.mode == "replace" or selection.stream.path in self._rebuild

    def _has_new_table(self, split: Split) -> bool:
        return any(len(self.conformer(s).target.schema) == 0 for s in split.streams)

    def _target(self, selection: Selection) -> Target:
        import pyarrow as pa

        stream, names = selection.stream, self.context.names

        def column(name: str) -> str:
            return names.column(stream.path, name)

        return Target(
            stream=stream.path if selection.limit is None else beside(stream.path, SAMPLE),
            table=table_of(selection, names),
            schema=pa.schema([]),
            namespace=schema_of(stream, self.context.schema) if stream.namespace else None,
            mode=selection.mode,
            key=tuple(column(k) for k in selection.key) if selection.mode in ("merge", "history") else (),
            cursor=column(selection.cursor) if selection.cursor else None,
            part=column(stream.part) if stream.part else None,
            generation=self._building() if self.rebuilt(selection) else None,
            exclusive=self.alone(stream.path) or self.plan.ordered,
            changes=stream.changes,
            load_id=self.context.load_id,
        )


def outcome_of(selection: Selection, context: Context) -> StreamOutcome:
    """An outcome to be filled in."""
    return StreamOutcome(
        stream=selection.stream.path, table=table_of(selection, context.names), mode=selection.mode,
        cursor=selection.cursor, schema=schema_of(selection.stream, context.schema), key=selection.key,
    )  # fmt: skip


def table_of(selection: Selection, names: NameMap) -> str:
    """The table of a selection: recorded, or as the user asked, or the stream's own name; a sample has its own."""
    path = selection.stream.path
    refuse_ours(path)
    if selection.limit is not None:
        return (selection.table or names.table(path, selection.stream.name)) + SAMPLE
    return names.call(path, selection.table) if selection.table else names.table(path, selection.stream.name)


def schema_of(stream: Stream, main: str) -> str:
    """The destination's schema of a stream's table; `main` is that of the run."""
    return f"{main}__{stream.namespace}" if stream.namespace else main
