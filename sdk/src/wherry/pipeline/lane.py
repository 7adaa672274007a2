"""A lane: read → count → conform (rejects split off) → write → commit, for one split, until it is done.

Extraction runs on the reader's thread, loading on this one. A load commits only at a bookmark or at the end of the
split; rows, bytes and seconds since the last commit choose which bookmark.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wherry.contracts.destination import Load
from wherry.contracts.loading import Counts, Entry, Receipt
from wherry.contracts.source import Source
from wherry.contracts.values import Bookmark, JsonValue, Mark, Piece, Selection, Split
from wherry.errors import DataError, HandOffRefused, StreamError
from wherry.failpoints import failpoint
from wherry.pipeline import envelope as envelopes
from wherry.pipeline.boundary import LIMIT, Boundary
from wherry.pipeline.clocks import doubts
from wherry.pipeline.conform import Conformer, refit, with_position
from wherry.pipeline.handoff import interruptible
from wherry.pipeline.names import REJECTED, beside
from wherry.pipeline.reader import End, Handed, Reader, Rows
from wherry.pipeline.rejects import Rejects, rejects_of
from wherry.pipeline.sides import at_destination

if TYPE_CHECKING:
    from wherry.pipeline.work import Work

POSITIONED = ("merge", "history")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitEvery:
    """A load commits at the first bookmark after so many rows, bytes or seconds."""

    rows: int = 500_000
    bytes: int = 128 << 20
    seconds: float = 10

    def due(self, rows: int, size: int, since: float) -> bool:
        """Whether a bookmark that comes now is taken."""
        return rows >= self.rows or size >= self.bytes or time.monotonic() - since >= self.seconds


@dataclass(slots=True)
class _Lane:
    """One stream in this lane: its boundary, position and what this load did so far."""

    conformer: Conformer
    boundary: Boundary | None
    schema: Any
    ordered: bool = False
    position: int = 0
    prepared: int = -1
    target: Any = None
    """As the load was last prepared for it."""
    counts: Counts = field(default_factory=Counts)
    rejects: int = 0
    """Rows that the open load rejects; `refused`: the last of them."""
    refused: Rejects | None = None
    total: int = 0
    handed: int = 0
    """Rows that the open load holds."""
    keys: int = 0
    """Keys that were compared with what earlier splits loaded."""

    @property
    def name(self) -> str:
        """What the destination calls the stream: a sample is not the stream itself."""
        return self.conformer.target.stream


class Lane:
    """One attempt at one split. `run` returns True when the split is done, False when it was stopped.

    form: its rows are handed over in this form, in one load.
    """

    def __init__(self, work: Work, split: Split, start: JsonValue, source: Source, form: str | None = None):
        self.work = work
        self.split = split
        self.source = source
        self._form = form
        self._start = envelopes.open_(start)
        self._bookmark: Bookmark = split.bookmark
        self._at_bookmark = True
        self._sealed: JsonValue = start
        self._load: Load | None = None
        self._streams: dict[str, _Lane] = {}
        self._parts: dict[str, tuple[str, ...]] = {}
        self._complete: set[str] = set()
        self._unwanted: set[str] = set()
        self._rejected = self._read = 0
        """Of what no load has committed yet."""
        self._changed = self._unchanged = False
        self._rows = self._bytes = 0
        self._since = time.monotonic()
        self._begun = 0
        self._commits = 0
        for selection in split.streams:
            self._add(selection)
        self._whole = form is not None or any(s.mode == "history" and self._is_whole(s) for s in split.streams)

    def run(self) -> bool:
        """Move the split's rows; raises whatever ended it, with nothing uncommitted left behind."""
        context = self.work.context
        reader = Reader(self.source, self.split, context.budget, context.stop, context.watch, self._form)
        for path in self._streams if self._form else ():  # counted late: whoever watches hears that it began
            context.events.batch_loaded(stream=path, rows=0, bytes=0)
        try:
            for item in reader.items(self._idle):
                if isinstance(item, End):
                    return self._end(item, reader)
                if isinstance(item, (Rows, Handed)):
                    try:
                        self._rows_read(item) if isinstance(item, Rows) else self._take(item.piece)
                    finally:
                        reader.done(item)
                    if self._sampled():
                        return self._end(End(), reader)
                else:
                    self._marked(item, reader)
                    self._idle()
            raise StreamError("the read ended without saying so")
        finally:
            known = {p: lane.boundary for p, lane in self._streams.items() if lane.boundary is not None}
            self.work.given_up(self.split, {p: b.drawn for p, b in known.items() if b.drawn})
            if self._load is not None:
                self._load.abort()
                self._report_abort()
            reader.close()

    def _idle(self) -> None:
        """The source has nothing just now; no progress in the eyes of the watch."""
        if self._load is not None:
            with at_destination():
                self._load.idle()

    def _end(self, end: End, reader: Reader) -> bool:
        if end.error is not None or end.stopped:
            if self._at_bookmark and self._changed and not self._whole and self._may_end_here():
                self._commit(reader, done=False)  # also of a source that failed after it
            if end.error is not None:
                raise end.error
            return False
        if self._unchanged:
            self.work.leave(self.split, came=self._changed or self._read + self._commits > 0)
            return True
        self._complete |= {s.stream.path for s in self.split.streams if self._is_whole(s)}
        if self.work.must_record(self.split, self._changed or self._whole):  # a whole read without rows ends all keys
            self._refuse_overflow()
            self._commit(reader, done=True)
        else:
            counts = {path: lane.counts for path, lane in self._streams.items()}
            self.work.unchanged(self.split, self._seal(done=True), counts)
        known = {p: lane.boundary for p, lane in self._streams.items() if lane.boundary is not None}
        self.work.reached(self.split, {path: boundary.window() for path, boundary in known.items()})
        for path, boundary in known.items():
            for doubt in doubts(
                self._streams[path].conformer.selection, boundary, self.work.context.session.lease.since
            ):
                self.work.context.events.message(level="warning", text=f"{path}: {doubt}")
        return True

    def _add(self, selection: Selection) -> _Lane:
        path = selection.stream.path
        stored = self._start.get("boundary", {}).get(path)
        shared = self.work.shared(path) if path in self._start.get("before", {}) else None
        lane = _Lane(
            conformer=self.work.conformer(selection), boundary=_boundary(selection, stored, shared),
            schema=selection.stream.schema, ordered=selection.stream.ordered,
        )  # fmt: skip
        self._streams[path] = lane
        return lane

    def _is_whole(self, selection: Selection) -> bool:
        """Whether the end of this split's read shows every key there is, so that absent ones are gone."""
        return _is_snapshot(selection) and self.work.alone(selection.stream.path)

    def _stream(self, path: str) -> _Lane:
        if path not in self._streams:
            raise StreamError(f"the source sent rows of {path!r}, which it did not announce")
        return self._streams[path]

    def _marked(self, mark: Mark, reader: Reader) -> None:
        self._unchanged = self._unchanged or mark.unchanged
        if mark.stream is not None:
            self._announced(mark)
        for path in mark.truncate:
            lane = self._stream(path)
            with self._at_destination(f"to empty {path}"):
                self._prepare(path, lane).truncate(lane.name)
            lane.counts = replace(lane.counts, read=0, boundary=0, mapped=0, rejected=0)
            lane.boundary = _boundary(lane.conformer.selection)  # what was known is not there any more
            self._changed, self._at_bookmark = True, False
        for path, parts in mark.parts.items():
            lane = self._stream(path)
            self._parts[lane.name] = (*self._parts.get(lane.name, ()), *parts)
            with self._at_destination(f"to prepare {path}"):
                self._prepare(path, lane)
            self._changed, self._at_bookmark = True, False
        self._complete |= set(mark.complete)
        if mark.bookmark is not None:
            self._take_bookmark(mark.bookmark, reader)

    def _announced(self, mark: Mark) -> None:
        assert mark.stream is not None
        path = mark.stream.path
        if path in self._streams:
            lane = self._streams[path]
            lane.schema = mark.stream.schema
            lane.conformer.schema = mark.stream.schema
            if self._form and (why := lane.conformer.not_as_it_is(lane.schema)):
                raise HandOffRefused(why)
            self._report_change(path, lane, lane.conformer.announce(lane.schema, firm=self._form is not None))
        elif (selection := self.work.appears(mark.stream)) is not None:
            self._add(selection)
        else:
            self._unwanted.add(path)

    def _take_bookmark(self, bookmark: Bookmark, reader: Reader) -> None:
        self._changed = self._changed or bookmark != self._bookmark
        self._bookmark, self._at_bookmark = bookmark, True
        if self._whole or not self._changed:
            return
        policy = self.work.context.commit_every
        if policy.due(self._rows, self._bytes, self._since) and self._may_end_here():
            self._commit(reader, done=False)

    def _may_end_here(self) -> bool:
        """Whether a bookmark in mid-read stands for all rows before it: not inside a tie too large to remember in
        append, and not when rows came out of the order that the source promised."""
        known = [(s.ordered, s.boundary) for s in self._streams.values() if s.boundary is not None]
        return not self._overflowing() and not any(boundary.unordered and ordered for ordered, boundary in known)

    def _overflowing(self) -> bool:
        """Too many equal cursor values to remember: in append no commit may fall inside such a tie."""
        return any(
            s.boundary is not None and s.boundary.overflow and s.conformer.target.mode == "append"
            for s in self._streams.values()
        )

    def _refuse_overflow(self) -> None:
        if self._overflowing():
            selection = next(s for s in self.split.streams if s.cursor)
            self._settle()
            where = "lie within the look-back of" if selection.lookback else "share the last value of"
            less = "a shorter look-back" if selection.lookback else "a finer cursor"
            raise StreamError(
                f"stream {selection.stream.path}: more than {LIMIT:,} rows {where} cursor {selection.cursor!r}, "
                "so a later run could not tell which of them it holds",
                key="cursor",
                next=f"choose {less}, or merge: --mode merge --key COLUMN",
            )

    def _rows_read(self, item: Rows) -> None:
        if item.stream in self._unwanted:
            return
        lane = self._stream(item.stream)
        failpoint("K02")
        if item.present:
            self._keys_read(item, lane)
            return
        limit = lane.conformer.selection.limit
        batch = item.data if limit is None else item.data.slice(0, limit - lane.total)
        self._begun = self._begun or time.time_ns() // 1000
        first = lane.total
        lane.total += batch.num_rows
        kept = self._new_rows(lane, batch)
        gone = lane.boundary.gone if lane.boundary is not None else ()
        table, limit_ = lane.conformer.target.table, self.work.context.max_rejects
        rejects = Rejects(item.stream, table, limit_, first=first, gone=gone, before=self.work.rejected)
        rejects.add_parsed(item.rejected)
        conformed, change = rejects.conform(lane.conformer, kept)
        self._report_change(item.stream, lane, change)
        parsed = 0 if item.rejected is None else item.rejected.num_rows
        left_out = lane.boundary.left_out if lane.boundary is not None else 0
        counts = lane.counts
        lane.counts = replace(
            counts,
            read=counts.read + batch.num_rows - left_out + parsed,
            boundary=counts.boundary + batch.num_rows - left_out - kept.num_rows,
            mapped=counts.mapped + kept.num_rows + parsed,
            rejected=counts.rejected + rejects.count,
            bytes=counts.bytes + conformed.nbytes,
        )
        self._rejected += rejects.count
        self._read += batch.num_rows + parsed
        self.work.count(batch.num_rows + parsed, rejects.count)
        if conformed.num_rows or rejects.count:
            with self._at_destination(f"to take rows of {item.stream}"):
                self._write(item.stream, lane, conformed, rejects)

    def _keys_read(self, item: Rows, lane: _Lane) -> None:
        """Keys that still exist where earlier splits have read: they are no rows, and counted apart."""
        keys, change = lane.conformer.conform(item.data)
        self._report_change(item.stream, lane, change)
        with self._at_destination(f"to compare keys of {item.stream}"):
            load = self._prepare(item.stream, lane)
            load.present(lane.name, keys.select(list(lane.target.key)), item.present)
        lane.keys += keys.num_rows
        self._changed, self._at_bookmark = True, False

    def _take(self, piece: Piece) -> None:
        """Rows that go on as they are; counted by the source, else by the destination."""
        path, context = piece.stream, self.work.context
        lane = self._stream(path)
        failpoint("K02")
        self._begun = self._begun or time.time_ns() // 1000
        with self._at_destination(f"to take rows of {path}"):
            load = self._prepare(path, lane)
            with nullcontext() if piece.unchanged is None else interruptible(context.stop, load.interrupt):
                taken = load.take(lane.name, self._form or "", piece)
        if piece.unchanged is not None:
            piece.unchanged()
        rows, counts = taken if piece.rows is None else piece.rows, lane.counts
        lane.counts = replace(
            counts, read=counts.read + rows, mapped=counts.mapped + rows, bytes=counts.bytes + piece.size
        )
        lane.total, lane.handed = lane.total + rows, lane.handed + rows
        self._read, self._rows, self._bytes = self._read + rows, self._rows + rows, self._bytes + piece.size
        self.work.count(rows, 0)
        self._changed, self._at_bookmark = True, False
        context.events.batch_loaded(stream=path, rows=rows, bytes=piece.size)

    def _settle(self) -> None:
        """Give up what is not committed, and with it the plan: what is committed stands under its bookmark, so that the
        next run plans anew, up to a value that may be another one by then."""
        if self._load is not None:
            self._load.abort()
            self._report_abort()
            self._load = None
        with self._at_destination("to keep the bookmark"):
            self.work.settle(self.split)

    def _new_rows(self, lane: _Lane, batch: Any) -> Any:
        """The batch without rows that an earlier load holds."""
        if lane.boundary is None:
            return batch
        try:
            return lane.boundary.filter(batch)
        except (DataError, StreamError) as error:
            error.message = f"stream {lane.conformer.selection.stream.path}: {error.message}"
            error.args = (error.message,)
            raise

    def _sampled(self) -> bool:
        """Whether every stream has the few rows that were asked for: the rest is not worth reading."""
        limits = ((lane.conformer.selection.limit, lane.total) for lane in self._streams.values())
        return all(limit is not None and total >= limit for limit, total in limits)

    def _write(self, path: str, lane: _Lane, rows: Any, rejects: Rejects) -> None:
        load = self._prepare(path, lane)
        target = lane.conformer.target
        if rows.num_rows:
            if target.mode in POSITIONED:
                rows = with_position(rows, lane.position)
                lane.position += rows.num_rows
            load.write(lane.name, refit(rows, lane.target.schema))
        if rejects.count:
            self._write_rejects(path, lane, load, rejects)
        self._changed, self._at_bookmark = True, False
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        lane.handed += rows.num_rows
        self.work.context.events.batch_loaded(stream=path, rows=rows.num_rows, bytes=rows.nbytes)

    def _write_rejects(self, path: str, lane: _Lane, load: Load, rejects: Rejects) -> None:
        target = rejects_of(lane.target)
        if not lane.rejects:
            load.prepare(target)
            if self._ends_keys(lane):
                load.truncate(target.stream)
        load.write(target.stream, rejects.rows(target, load.id, lane.rejects))
        lane.rejects += rejects.count
        lane.refused = rejects
        for (column, reason), rows in rejects.reasons.items():
            self.work.context.events.rows_rejected(stream=path, rows=rows, column=column, reason=reason)

    def _ends_keys(self, lane: _Lane) -> bool:
        """Whether this load is all there is of a history: rows rejected earlier are rejected again, or gone."""
        return lane.conformer.target.mode == "history" and self._is_whole(lane.conformer.selection)

    def _drop_rejects(self, lane: _Lane, load: Load) -> None:
        target = rejects_of(lane.target)
        if not lane.rejects and self._ends_keys(lane) and self.work.context.session.schema(target) is not None:
            load.prepare(target)
            load.truncate(target.stream)

    def _judge(self) -> None:
        """Raise when the rows rejected so far are more of the rows read than may be."""
        read, rejected, limit = self.work.read, self.work.rejected, self.work.context.max_rejects
        refused = next((lane.refused for lane in self._streams.values() if lane.refused is not None), None)
        if refused is None or limit.allows(rejected, read):
            return
        option = f"--max-rejects {max(1, -(-rejected * 100 // read))}%"
        raise refused.refusal(option, f" ({rejected} of {read} rows rejected, more than {limit.percent:g} %)")

    def _open_load(self) -> Load:
        if self._load is None:
            self.work.start()
            self._load = self.work.context.session.begin(self.work.plan, self.split)
            for lane in self._streams.values():
                lane.prepared = -1
        return self._load

    def _prepare(self, path: str, lane: _Lane) -> Load:
        load = self._open_load()
        version = lane.conformer.version  # first: a target that another lane grows meanwhile is only newer
        if lane.prepared < version:
            lane.target = self.work.placed(lane.conformer.target)
            load.prepare(lane.target)
            lane.prepared = version
        return load

    def _at_destination(self, what: str) -> AbstractContextManager[None]:
        return self.work.context.watch.at_destination(what)

    def _report_change(self, path: str, lane: _Lane, change: Any) -> None:
        if change is not None:
            self.work.context.events.schema_changed(
                stream=path, table=lane.conformer.target.table, added=change.added, widened=change.widened
            )

    def _report_abort(self) -> None:
        self.work.count(-self._read, -self._rejected)
        for path, lane in self._streams.items():
            if lane.handed:
                self.work.context.events.load_aborted(stream=path, rows=lane.handed)
                lane.handed = 0

    def _seal(self, done: bool) -> JsonValue:
        boundaries = {
            path: lane.boundary.to_json(done) for path, lane in self._streams.items() if lane.boundary is not None
        }
        before = {"before": self._start["before"]} if "before" in self._start else {}
        sealed = self.work.seal(self._bookmark, boundaries, begun=not done)
        return sealed if done else sealed | before

    def _commit(self, reader: Reader, *, done: bool) -> None:
        self._judge()
        with self._at_destination("to commit " + ", ".join(list(self._streams)[:3])):
            load = self._open_load()
            if done:  # announced columns without a value, and streams without a row, still get their table
                for path, lane in self._streams.items():
                    self._report_change(path, lane, lane.conformer.complete(lane.schema))
                    if lane.conformer.target.key and not lane.conformer.target.schema.names:
                        continue  # a stream without a row that announced no column: nothing to make a table of
                    self._prepare(path, lane)
                    self._drop_rejects(lane, load)
            counts = self._counts()
            entry = Entry(
                bookmark=self._seal(done),
                done=done,
                counts=counts,
                complete=self._complete_streams() if done else (),
                parts=self._parts,
                started=self._begun,
            )
            self.work.doubt(self.split, load.id, entry)
            receipt = load.commit(entry)
        self._load = None
        self._report_keys(receipt)
        self._after_commit(entry, receipt)
        sampled = any(s.limit is not None for s in self.split.streams)
        if self._bookmark is not None and not sampled:
            reader.acknowledge(self._bookmark)

    def _report_keys(self, receipt: Receipt) -> None:
        for path, lane in self._streams.items():
            if lane.keys:
                gone = receipt.applied[lane.name].deleted
                text = f"{path}: {lane.keys:,} keys of an interrupted run compared, rows of {gone:,} others are gone"
                self.work.context.events.message(level="info", text=text)
                lane.keys = 0

    def _complete_streams(self) -> tuple[str, ...]:
        """Those of which this very load holds all rows: no other split, no earlier load of this one has some."""
        if self._commits or self._start.get("begun"):
            return ()
        found = {path for path in self._complete & self._streams.keys() if self.work.alone(path)}
        return tuple(sorted(self._streams[path].name for path in found))

    def _counts(self) -> dict[str, Counts]:
        lanes = self._streams.values()
        counts = {lane.name: lane.counts for lane in lanes if lane.prepared >= 0 or lane.counts.read}
        for lane in lanes:
            if lane.rejects:  # kept also when a truncation emptied the stream itself
                counts[beside(lane.name, REJECTED)] = Counts(read=lane.rejects, mapped=lane.rejects)
        return counts

    def _after_commit(self, entry: Entry, receipt: Receipt) -> None:
        self._commits += 1
        for lane in self._streams.values():
            if lane.boundary is not None:
                lane.boundary.committed()
        self._rejected = self._read = 0
        self._sealed = entry.bookmark
        self.work.committed(self.split, entry, receipt.load_id, receipt.applied)
        for lane in self._streams.values():
            lane.counts, lane.handed, lane.rejects, lane.refused = Counts(), 0, 0, None
        self._parts = {}
        self._rows = self._bytes = self._begun = 0
        self._since = time.monotonic()
        self._changed, self._at_bookmark = False, True


def _boundary(selection: Selection, stored: dict[str, Any] | None = None, shared: Any = None) -> Boundary | None:
    """What tells rows that the table holds already; None: each read is for itself."""
    if not selection.cursor or selection.mode == "replace":
        return None
    return Boundary(
        selection.cursor, selection.lookback, stored, selection.stream.schema.names, shared, nulls=selection.nulls,
        keyless=selection.mode == "append",
    )  # fmt: skip


def _is_snapshot(selection: Selection) -> bool:
    """A complete read shows every key there is, so absent ones are gone."""
    stream = selection.stream
    bounded = selection.cursor or selection.where or selection.start or selection.end
    return not (bounded or stream.changes or stream.part or selection.limit)
