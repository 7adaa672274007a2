"""The reading half of a lane: a thread that pulls a source's items, turns them into batches and waits for bytes."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from wherry.contracts.source import Source
from wherry.contracts.values import Batch, Bookmark, Mark, Piece, Split
from wherry.errors import SourceError, Stopped
from wherry.pipeline.arrow import batches, pinned
from wherry.pipeline.budget import Budget
from wherry.pipeline.watch import TICK, Limits, Watch

WAITING = 1_000
"""Items of one split that may wait for the writer, whatever their size: marks weigh nothing."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of one stream; `size` bytes of the budget go back when the writer is done with it.

    present: as in `Batch`.
    """

    stream: str
    data: pa.RecordBatch
    size: int
    rejected: pa.RecordBatch | None = None
    present: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Handed:
    """A piece of a hand-over; `size` as in `Rows`."""

    piece: Piece
    size: int


@dataclass(frozen=True, slots=True)
class End:
    """The read is over: by itself, because it was stopped, or by an error."""

    error: BaseException | None = None
    stopped: bool = False


Item = Rows | Handed | Mark | End


class Reader:
    """Runs `source.read(split)` on a thread of its own, `acknowledge` included; `items()` gives what it read.

    form: it is `source.hand_over(split, form)` instead.

    The source is used by this thread alone until `close` returns.
    """

    def __init__(
        self, source: Source, split: Split, budget: Budget, stop: threading.Event, watch: Watch | None = None,
        form: str | None = None,
    ):  # fmt: skip
        self._source = source
        self._watch = watch or Watch(Limits(), None, stop)
        self._left = False
        self._split = split
        self._form = form
        self._budget = budget
        self._stop = stop
        self._cancel = threading.Event()
        self._items: queue.Queue[Item] = queue.Queue(WAITING)
        self._acks: queue.SimpleQueue[Bookmark] = queue.SimpleQueue()
        self._committed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"read {split.key}", daemon=True)

    def items(self, idle: Callable[[], None]) -> Iterator[Item]:
        """Everything read, an `End` last. idle: called now and then while there is nothing."""
        self._idle = idle
        self._thread.start()
        what = "rows of " + ", ".join(s.stream.path for s in self._split.streams[:3])
        while True:
            with self._watch.waiting("source", what):
                item = self._next()
            yield item
            if isinstance(item, End):
                return

    def _next(self) -> Item:
        """The next item; the end, if the run is to stop and the source does not come to its next one."""
        while True:
            try:
                return self._items.get(timeout=TICK)
            except queue.Empty:
                self._idle()
                if self._watch.leaving:
                    self._left = self._watch.left = True
                    return End(error=self._watch.verdict, stopped=True)

    def done(self, rows: Rows | Handed) -> None:
        """The writer no longer holds these rows."""
        self._budget.release(self, rows.size)

    def acknowledge(self, bookmark: Bookmark) -> None:
        """To be passed to the source, on its own thread, between two items."""
        self._acks.put(bookmark)

    def close(self) -> None:
        """End the read, whatever it is doing, and let go of its bytes."""
        self._cancel.set()
        self._committed.set()
        if self._thread.ident is not None and not self._left:
            self._thread.join(timeout=10)
        while not self._items.empty():
            item = self._items.get()
            if isinstance(item, (Rows, Handed)):
                self.done(item)

    def _run(self) -> None:
        items: Iterator[Batch | Piece | Mark] | None = None
        try:
            items = self._read()
            for item in items:
                if not self._pass_on(item):
                    break
                self._acknowledge()
                if self._ending():
                    break
            self._put(End(stopped=self._ending()))
            self._committed.wait()  # the last commit is acknowledged before the source is closed
            self._acknowledge()
        except Stopped as error:  # it was waiting when the run was to stop
            self._put(End(stopped=True) if self._ending() else End(error=error))
        except BaseException as error:
            self._put(End(error=error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                with contextlib.suppress(Exception):
                    close()

    def _read(self) -> Iterator[Batch | Piece | Mark]:
        if self._form is None:
            yield from self._source.read(self._split)
        else:
            yield from self._source.hand_over(self._split, self._form)

    def _put(self, item: Item) -> bool:
        """Hand on, once the writer has room for it; False when nobody wants it any more."""
        while not self._cancel.is_set():
            try:
                self._items.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _ending(self) -> bool:
        return self._stop.is_set() or self._cancel.is_set()

    def _acknowledge(self) -> None:
        while not self._acks.empty():
            self._source.acknowledge(self._split, self._acks.get())

    def _pass_on(self, item: Batch | Piece | Mark) -> bool:
        if isinstance(item, Mark):
            return self._put(item)
        if isinstance(item, Piece):
            return self._pass_piece(item)
        if not isinstance(item, Batch):
            raise SourceError(f"read() yielded a {type(item).__name__}; a Batch or a Mark is expected")
        held = 0
        rejected = item.rejected
        for batch in batches(item.data):
            size = max(0, pinned(batch) - held)  # slices of one table pin the same buffers
            held += size
            for piece in self._pieces(batch):
                if not self._budget.acquire(self, size, self._cancel):
                    return False
                if not self._put(Rows(item.stream, piece, size, rejected, item.present)):
                    self._budget.release(self, size)
                    return False
                size, rejected = 0, None
        if rejected is not None and not self._put(Rows(item.stream, pa.RecordBatch.from_pylist([]), 0, rejected)):
            return False
        return item.bookmark is None or self._put(Mark(bookmark=item.bookmark))

    def _pass_piece(self, piece: Piece) -> bool:
        held = len(piece.data) if isinstance(piece.data, (bytes, bytearray, memoryview)) else 0
        if not self._budget.acquire(self, held, self._cancel):
            return False
        if self._put(Handed(piece, held)):
            return True
        self._budget.release(self, held)
        return False

    def _pieces(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The batch, cut when it is far larger than this lane's share, so that the writer's copies stay small."""
        parts = max(1, -(-batch.nbytes // max(1, self._budget.share)))
        rows = max(1, -(-batch.num_rows // parts))
        if parts == 1 or batch.num_rows <= 1:
            yield batch
            return
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)
