"""What the memory destination holds: plain values, changed by transactions that appear at once or not at all."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from wherry.contracts.loading import Applied, Counts, Receipt, RunRecord, Target
from wherry.contracts.values import Bookmark, ReadPlan

if TYPE_CHECKING:
    import pyarrow as pa

Home = tuple[str, str]
"""(schema, table)"""
Hold = tuple[str, str]
"""(schema, pipeline): what a session has in its hands."""


@dataclass(frozen=True)
class Row:
    """One row of state: how far a split has come. seq rises by one with each commit."""

    seq: int = 0
    epoch: int = 0
    bookmark: Bookmark | None = None
    done: bool = False
    load_id: int | None = None


@dataclass(frozen=True)
class Held:
    """One run and, while it is not finished, its lease."""

    record: RunRecord
    renewed: int
    seconds: int


@dataclass(frozen=True)
class Loaded:
    """What one load did to one stream."""

    load_id: int
    hold: Hold
    run: int
    stream: str
    counts: Counts
    applied: Applied


@dataclass
class Contents:
    """Every table and every record. Values are never changed, only replaced."""

    tables: dict[Home, pa.Table] = field(default_factory=dict)
    owners: dict[Home, Hold] = field(default_factory=dict)
    rebuilds: dict[tuple[Home, int], pa.Table] = field(default_factory=dict)
    state: dict[tuple[Hold, str, str], Row] = field(default_factory=dict)
    plans: dict[tuple[Hold, str], tuple[ReadPlan, int]] = field(default_factory=dict)
    published: dict[tuple[Hold, str], tuple[str, int, Receipt]] = field(default_factory=dict)
    streams: dict[tuple[Hold, str], tuple[str, ...]] = field(default_factory=dict)
    targets: dict[tuple[Hold, str], Target] = field(default_factory=dict)
    names: dict[tuple[Hold, str, str], str] = field(default_factory=dict)
    runs: dict[tuple[Hold, int], Held] = field(default_factory=dict)
    loads: dict[tuple[int, str], Loaded] = field(default_factory=dict)
    last_id: int = 0
    last_generation: int = 0

    def copy(self) -> Contents:
        """A draft that can be changed without anybody seeing it."""
        return Contents(**{f.name: copy.copy(getattr(self, f.name)) for f in fields(self)})


def _microseconds() -> int:
    return time.time_ns() // 1000


@dataclass
class Store:
    """A whole destination in one value. Give the same one to several `MemoryDestination`s.

    clock: UTC microseconds. Tests move it to let leases expire.
    """

    clock: Callable[[], int] = _microseconds
    now: Contents = field(default_factory=Contents)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def transaction(self) -> Iterator[Contents]:
        """Changes to the draft appear together at the end, or not at all if the body raises."""
        with self.lock:
            draft = self.now.copy()
            yield draft
            self.now = draft

    def table(self, schema: str, name: str) -> pa.Table:
        """The user's view: rows as they are now without the `_wherry_*` columns. Raises KeyError if there is none."""
        rows = self.now.tables[schema, name]
        return rows.select([n for n in rows.schema.names if not n.startswith("_wherry_")])

    def drop(self, schema: str, name: str) -> None:
        """As a user drops a table behind Wherry's back."""
        with self.transaction() as draft:
            del draft.tables[schema, name]
            draft.owners.pop((schema, name), None)

    def create(self, schema: str, name: str, rows: Any) -> None:
        """As a user makes a table by hand: no pipeline owns it."""
        with self.transaction() as draft:
            draft.tables[schema, name] = rows
