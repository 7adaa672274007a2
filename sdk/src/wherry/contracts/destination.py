"""The contract of a destination: a session holds the lease, a load is one transaction of rows and bookmark."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from wherry.contracts.config import ConnectorConfig
from wherry.contracts.loading import Applied, Capabilities, Entry, Lease, Receipt, RunRecord, Target
from wherry.contracts.values import Bookmark, Piece, Progress, ReadPlan, Split
from wherry.errors import HandOffRefused, StateError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa


class Destination(ABC):
    """A place that takes tables. The constructor does no I/O."""

    Config: ClassVar[type[ConnectorConfig]] = ConnectorConfig
    capabilities: ClassVar[Capabilities] = Capabilities()

    memory: int | None = None
    """Bytes that an engine in this process may hold, set by the host before open; None: its own default."""

    tell: Callable[[str], None] = logging.getLogger("wherry.destination").warning
    """Takes a line for people while it opens: whom it waits for, whose lease it took over. Set by the host."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def check(self) -> None:
        """Reach the destination and make sure that tables could be written there; leave nothing behind."""

    def label(self) -> str:
        """How to name this place in messages: no secret."""
        return str(self.config.reference_text())

    def schema_for(self, proposed: str) -> str:
        """The schema that rows land in when the user, or else the source's name, proposes `proposed`."""
        return proposed

    @abstractmethod
    def storage(self, field: pa.Field) -> tuple[pa.DataType, ...]:
        """How a column is kept: Arrow types this engine holds exactly, best first, each later one holding more.

        The pipeline casts exactly into the first and moves on when a value does not fit; the last is usually utf8.
        """

    def refuses(self, field: pa.Field, column: pa.Array) -> tuple[pa.Array, str] | None:
        """Values of a column, in its storage type, that this engine cannot keep: (mask, why); None: it keeps all.

        The rows are rejected. Asked for each column of each batch: look at whole buffers first.
        """
        return None

    @abstractmethod
    def open(
        self, pipeline: str, *, schema: str, join: Lease | None = None, read_only: bool = False, wait: float = 0
    ) -> Session:
        """Take the pipeline's lease (`LeaseError` names its holder), or join one as a worker elsewhere.

        read_only: no lease, no writes; works on a destination that has never been written. wait: seconds to wait for
        a lease that somebody else holds.
        """

    def pipelines(self) -> Sequence[tuple[str, str]]:
        """(schema, pipeline) of all that was ever written here, sorted. Takes no lease and changes nothing."""
        return ()


class Session(ABC):
    """One pipeline's hold on a destination. Methods may be called from any thread; loads run side by side.

    progress: by plan key, bookmarks are the pipeline's envelopes. names: (stream path, source column or "") -> the
    destination's name, as recorded.
    """

    lease: Lease
    progress: Mapping[str, Progress]
    names: Mapping[tuple[str, str], str]

    @abstractmethod
    def start(self, plan: ReadPlan) -> int:
        """Store the plan and its splits and return its generation; idempotent by `plan.id`.

        Another open plan under the same key is dropped together with its generation.
        """

    def resume(self, plan: ReadPlan) -> Progress:
        """Read again where a started plan stands, after a failure (maybe of a commit whose answer was lost).

        Later loads of the plan swap against the state seen here: the sequence number a load expects is the one that
        was read together with the bookmark it started from (at open, here, or by an own commit), never a newer one.
        """
        return self.progress[plan.key]

    def blocked(self) -> str:
        """Who holds what this session's loads wait for just now, for people; "" when nobody does, or nobody knows."""
        return ""

    def applied(self, load_id: int) -> Mapping[str, Applied] | None:
        """What a load did whose commit got no answer, by stream path; None when it was not committed, or nobody knows.

        For the numbers of the run alone: whether to load again is decided by the swap of the next load.
        """
        return None

    def gather(self, most: int) -> Gathering | None:
        """A session for up to `most` small plans that are committed together; None: there is no such way."""
        return None

    @abstractmethod
    def begin(self, plan: ReadPlan, split: Split) -> Load:
        """A load for one split. Opens no transaction on shared tables."""

    @abstractmethod
    def publish(self, plan: ReadPlan, targets: Sequence[Target], generation: int, entry: Entry) -> Receipt:
        """Swap the generation in and make `entry.bookmark` the lasting one, in one transaction; closes the plan.

        Targets without a generation are not touched. Idempotent: first reads whether it already happened.
        """

    @abstractmethod
    def schema(self, target: Target) -> pa.Schema | None:
        """Columns of the target's table as it is now, storage types, without `_wherry_*`; None if there is none."""

    @abstractmethod
    def read(self, target: Target) -> pa.RecordBatchReader:
        """Every row of the target's table, `_wherry_*` columns included."""

    def execute(self, sql: str) -> pa.RecordBatchReader | None:
        """Run one statement (SQL warehouses only); None when it returns no rows."""
        raise UsageError(f"{type(self).__name__} runs no SQL")

    @abstractmethod
    def set(self, key: str, bookmark: Bookmark | None) -> None:
        """Make `bookmark` the lasting one of a plan key and drop an open plan; None forgets the key."""

    def adopt(self, table: str, namespace: str | None = None) -> None:
        """Make this pipeline the owner of a table that another owned or that was made by hand."""
        raise UsageError(f"{type(self).__name__} cannot adopt tables")

    def runs(self) -> Sequence[RunRecord]:
        """Earlier runs of every pipeline of this schema, newest first."""
        return ()

    @abstractmethod
    def close(self, outcome: str = "ok") -> None:
        """Give the lease back and record how the run ended: "ok", "failed", "stopped"."""


class Gathering(Session):
    """A session in which plans are started, loaded and published one after the other, and all committed at the end.

    What it cannot take raises `NotGatheredError`, at any call: then `drop` the plan, which goes its ordinary way.
    Used by one thread.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of the rows that wait."""

    @abstractmethod
    def drop(self, key: str) -> None:
        """Forget the plan of this key."""

    @abstractmethod
    def commit(self) -> None:
        """Everything in one transaction. After an error nothing is there, or, if no answer came, maybe all of it."""


class Load(ABC):
    """Rows of one split on their way into one transaction. Used by one thread at a time.

    Order of calls: prepare a target, write its rows, prepare again when its schema grew, ..., then commit or abort.
    """

    id: int
    """Load id: UTC microseconds, unique and rising in its schema."""

    @abstractmethod
    def prepare(self, target: Target) -> None:
        """Before a stream's first write, and each time its schema grew (fields added, or types widened)."""

    @abstractmethod
    def write(self, stream: str, rows: pa.RecordBatch) -> None:
        """Stage rows that only this load sees; columns are the target's fields in any order, absent ones NULL.

        In merge and history a column `_wherry_pos` int64 gives the order; in a changes target `_wherry_op` int8 and,
        with partial updates, `_wherry_unset` list<int16> (positions in the target's schema) come along.
        """

    def take(self, stream: str, form: str, piece: Piece) -> int:
        """Stage the rows of a piece, in one of `Capabilities.handoffs`; how many, as far as they are in by now.

        Only called in append and replace, for a target that is exclusive. What is not exactly of the target's types
        raises `HandOffRefused`; the load is given up then, and the rows are read and written.
        """
        raise HandOffRefused(f"{type(self).__name__} takes nothing over")

    def interrupt(self) -> None:
        """The run is to stop: make a `take` that is under way raise soon. Called from another thread, maybe often."""

    def idle(self) -> None:
        """Called a few times a second while the source has nothing, between other calls: keep in touch with a server.

        Idle connections are dropped by what stands between; a loss that shows here is a `TransientError`.
        """

    @abstractmethod
    def truncate(self, stream: str) -> None:
        """Forget what is staged for the stream, and empty its table when this load commits, before later rows."""

    def present(self, stream: str, keys: pa.RecordBatch, splits: Sequence[str]) -> None:
        """Stage keys that still exist: on commit, before its own rows, rows that loads of `splits` of this plan brought
        and whose key was never among `keys` are deleted. Called once or more for a prepared stream in merge.

        keys: the target's key columns.  splits: the same in all calls.  Rows are told by their `_wherry_load_id`.
        """
        raise StateError(
            f"the table of {stream} cannot be compared with keys of the source, so an unfinished run cannot be gone on "
            "with",
            next=f"wherry state reset DEST {stream}  to read it all again",
        )

    @abstractmethod
    def commit(self, entry: Entry) -> Receipt:
        """Additive DDL, then one transaction: apply, record, compare-and-swap of the split's state, COMMIT.

        Raises without a trace in the destination when the counts differ or the swap does not match: `LeaseError` when
        another run has taken over, `TransientError` when an earlier commit of this run moved the split (`resume` it).
        """

    @abstractmethod
    def abort(self) -> None:
        """Drop what was staged. Safe to call at any time, also after a failed commit."""
