"""What travels between pipeline and destination: targets, entries, receipts, leases, capabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from wherry.contracts.values import MODES, Bookmark, Mode

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a destination can do, declared once: drives planning, the conformance kit and the docs.

    schema_changes: of "add" (columns) and "widen" (types).  types: families kept natively, of bool, int, uint64,
    float, decimal, decimal256, text, binary, date, time, timestamp, timestamptz, timestamp_ns, interval, list,
    struct, map, json, uuid; others are kept by a written fallback (`Destination.storage`).  columns: that a table may
    have, besides the handful that Wherry adds.
    atomic: rows and bookmark commit together per "load", or per "table" through an intent record.
    loads: loads that may be open at once.  identifier_limit: bytes.  case_sensitive: names that differ only by case
    are different names.  reserved: names that no column may have, in lower case.  sql: `Session.execute` works.
    handoffs: forms of rows that `Load.take` takes as they come from a source; see the guide for authors.
    """

    modes: frozenset[Mode] = frozenset(MODES)
    schema_changes: frozenset[str] = frozenset({"add", "widen"})
    types: frozenset[str] = frozenset()
    columns: int = 10_000
    atomic: Literal["load", "table"] = "load"
    loads: int = 4
    identifier_limit: int = 255
    case_sensitive: bool = False
    reserved: frozenset[str] = frozenset()
    sql: bool = True
    handoffs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where rows of one stream go.

    stream: its path.  table: name in the destination, in `namespace` (a schema of the destination; None: the
    session's own).  schema: Arrow fields with the destination's column names and storage types; a field whose source
    name differs carries it in metadata b"wherry:source".  key, cursor, part: the destination's column names.
    generation: rows go into this rebuild of the table, published later; None: into the table itself.
    exclusive: no other load writes the target while this one is open: rows may go straight in.
    changes: rows carry `_wherry_op`.  A `history` table keeps `_wherry_valid_from` and `_wherry_valid_to`.
    load_id: keep `_wherry_load_id` on each row.
    """

    stream: str
    table: str
    schema: pa.Schema
    namespace: str | None = None
    mode: Mode = "append"
    key: tuple[str, ...] = ()
    cursor: str | None = None
    part: str | None = None
    generation: int | None = None
    exclusive: bool = False
    changes: bool = False
    load_id: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows of one stream in one load, by stage. boundary: read again and dropped. bytes: of Arrow data written.

    mapped = read - boundary, less what mappers dropped; staged must equal mapped - rejected.
    """

    read: int = 0
    boundary: int = 0
    mapped: int = 0
    rejected: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a load records in the transaction of its rows.

    bookmark: the envelope to keep for the split.  done: the split is finished.  counts: by stream path.
    complete: streams of which this load holds a complete read: absent keys are closed (history).
    parts: stream path -> parts whose earlier rows go.  started: UTC microseconds when the load's first row was read.
    """

    bookmark: Bookmark | None = None
    done: bool = False
    counts: Mapping[str, Counts] = field(default_factory=dict)
    complete: tuple[str, ...] = ()
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    started: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What one load did to one table, in rows."""

    staged: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof of a commit. load_id: UTC microseconds, unique and rising in its schema. applied: by stream path."""

    load_id: int
    seq: int
    committed_at: int
    applied: Mapping[str, Applied] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write a pipeline. epoch rises with each run and is the run's number; times in UTC microseconds."""

    pipeline: str
    schema: str
    epoch: int
    holder: str
    since: int
    seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as the destination remembers it. rows by stage, summed over its loads; times in UTC microseconds."""

    run: int
    pipeline: str
    holder: str
    started: int
    finished: int | None = None
    outcome: str | None = None
    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    rejected: int = 0
