"""What travels between source, pipeline and destination: small frozen values.

Every dataclass is frozen, slotted and keyword-only, so that fields can be added. `Selection`, `Split` and `ReadPlan`
are part of the wire format (`wherry.contracts.wire`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

JsonValue = Any
"""None, bool, int, float, str, list or dict of them."""

Bookmark = Any
"""Where to resume. Owned by the source, opaque to all others, compared only for equality."""

Mode = Literal["append", "merge", "replace", "history"]
MODES: tuple[Mode, ...] = ("append", "merge", "replace", "history")

Nulls = Literal["include", "exclude", "error"]
NULLS: tuple[Nulls, ...] = ("include", "exclude", "error")

OP, UNSET, POSITION = "_wherry_op", "_wherry_unset", "_wherry_pos"
UPSERT, DELETE, PARTIAL = 0, 1, 2
LOAD_ID, VALID_FROM, VALID_TO = "_wherry_load_id", "_wherry_valid_from", "_wherry_valid_to"
FILE = "_wherry_file"
"""The usual `Stream.part`: a column of the source's own, though its name begins as ours do."""
KIND = b"wherry:kind"
"""Field metadata: b"json" or b"uuid" on a utf8 column whose text is a JSON document or a UUID."""


def is_ours(column: str) -> bool:
    """Whether a column of that name is one that Wherry adds; a source's column may not be called so."""
    return column.lower().startswith("_wherry_") and column != FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One table-shaped thing that a source offers.

    ordered: rows arrive in cursor order; only then may a cursor's value be a bookmark in mid-split.
    resumes: rows arrive in no order, but in parts (windows, parents) that its bookmarks in mid-split tell apart.
    changes: rows carry `_wherry_op` int8 (0 upsert, 1 delete by key, 2 partial update with `_wherry_unset`
    list<int16>: positions in `schema` of the columns that the update leaves alone).
    part: the column that names the part (a file) each row came from; see `Mark.parts`.
    cursors: columns that the author vouches for as cursors.  incarnation: changes when the thing behind the name was
    recreated or restored.  lookback: what `Selection.lookback` is where the user does not say.  notes: advice for the
    plan, one line each ("updated_at has no index").
    """

    name: str
    schema: pa.Schema
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None
    namespace: str | None = None
    ordered: bool = False
    resumes: bool = False
    changes: bool = False
    part: str | None = None
    description: str | None = None
    row_estimate: int | None = None
    cursors: tuple[str, ...] = ()
    incarnation: str = ""
    lookback: float = 0
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The name users select by and bookmarks are kept under: `namespace.name`, or the name alone."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A stream as configured for this sync. Column names are the source's own.

    columns: those to keep, None for all.  where: a filter in the source's own language.  start, end: bounds of the
    cursor (inclusive, exclusive) as text.  lookback: seconds (time cursors) or units (numbers) to read again.
    nulls: rows without a cursor value are read by each run and kept once, are left out, or are an error.
    types: column -> type name wanted.  limit: at most so many rows (previews and samples).
    """

    stream: Stream
    mode: Mode = "replace"
    key: tuple[str, ...] = ()
    cursor: str | None = None
    columns: tuple[str, ...] | None = None
    where: str | None = None
    start: str | None = None
    end: str | None = None
    lookback: float = 0
    nulls: Nulls = "include"
    table: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A part of the work that one reader reads alone; small and complete: a worker elsewhere needs nothing more."""

    key: str
    streams: tuple[Selection, ...]
    bookmark: Bookmark | None = None
    detail: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """The splits of one piece of work. Stored before the first is loaded; a rerun gets it back in `Progress.open`.

    key: stable between runs; the lasting bookmark is kept under it.  after: the lasting bookmark once all splits are
    done; None: that of the last split.  together: publish all streams at once (always so in one plan).
    ordered: splits may hold the same key: read and applied one after the other.  again: call plan() once more in this
    run when done.  id: given by the pipeline; a source resumes by returning `Progress.open` as it is.
    """

    key: str
    splits: tuple[Split, ...]
    after: Bookmark | None = None
    together: bool = False
    ordered: bool = False
    again: bool = False
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the destination knows of one plan key.

    bookmark: the lasting one.  open: a plan begun and not published, its splits carrying the bookmarks reached.
    done: keys of its finished splits.  covers: hash of what the bookmark covers.  missing: paths of streams whose
    table was dropped by the user.  generation: of the open plan.  damaged: why what is stored cannot be read; nothing
    may be built upon it, and it does not mean that nothing is there.  anew: paths of streams of the bookmark that are
    to be read from their beginning all the same (`Source.separable`).
    """

    bookmark: Bookmark | None = None
    open: ReadPlan | None = None
    done: frozenset[str] = frozenset()
    covers: str = ""
    missing: frozenset[str] = frozenset()
    generation: int | None = None
    damaged: str = ""
    anew: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows of one stream (its path), optionally a bookmark that covers them and all before them in this split.

    data: a RecordBatch, a Table, anything with `__arrow_c_stream__` or `__arrow_c_array__`, a dict or a list of dicts.
    A column that is missing means NULL (unless `_wherry_op` is 2).  rejected: rows the source could not parse, with
    columns reason utf8, column utf8, row int64 (from 1), raw utf8.  present: keys of splits of the same plan that were
    done earlier, the same in all batches of a read: `data` is no rows then but keys (maybe none), in any number of
    batches all keys that still exist in those splits' part of the stream. What those splits loaded under other keys
    goes, in the load that this split commits.
    """

    stream: str
    data: Any
    bookmark: Bookmark | None = None
    rejected: pa.RecordBatch | None = None
    present: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An item without rows: a bookmark, streams complete, streams truncated, a new or changed stream.

    parts: stream path -> parts (values of `Stream.part`) that are read again: their earlier rows go in the same load.
    unchanged: nothing is new since the plan's lasting bookmark: nothing is written, replaced tables stay as they are.
    The one item of a read, of a plan with one split.
    """

    bookmark: Bookmark | None = None
    complete: tuple[str, ...] = ()
    truncate: tuple[str, ...] = ()
    stream: Stream | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unchanged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows of one stream (its path) in a form that source and destination both know: a part of a hand-over.

    data: bytes, or what else the form says.  rows: how many there are, as the source counts them, also those of pieces
    before that had no number yet; None: only the destination will know.  size: bytes, for people.
    unchanged: raises when what `data` speaks of is not what it was; called when the destination has read it.
    """

    stream: str
    data: Any
    rows: int | None = 0
    size: int = 0
    unchanged: Callable[[], None] | None = None
