"""Many small new tables in one transaction: what their plans do one after the other costs far more than the rows.

Nothing is written before `commit`: then tables, rows, records and bookmarks of all of them appear together, or not at
all. It is for tables that do not exist and plans that were never begun, so that nothing of before has to be looked at,
kept or resolved; for all else `NotGatheredError` is raised, and the plan takes its ordinary way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from wherry.contracts.destination import Gathering, Load
from wherry.contracts.loading import Applied, Counts, Entry, Receipt, Target
from wherry.contracts.values import Bookmark, Progress, ReadPlan, Split
from wherry.errors import DestinationError, NotGatheredError
from wherry.sql import lease, state
from wherry.sql.compose import Value
from wherry.sql.runs import load_rows
from wherry.sql.staging import Stage

if TYPE_CHECKING:
    from wherry.sql.session import SqlSession

MOST = 4 << 20
"""Bytes of rows that one table may have here."""


@dataclass(slots=True)
class _Item:
    """A plan on its way: its one target, rows, and what its load and its publishing are to record."""

    plan: ReadPlan
    split: Split
    load_id: int
    target: Target | None = None
    rows: list[pa.RecordBatch] = field(default_factory=list)
    size: int = 0
    entry: Entry | None = None
    lasting: Bookmark | None = None
    published: bool = False


class SqlGathering(Gathering):
    """Plans are started, loaded and published one after the other by one thread, and then committed together."""

    def __init__(self, session: SqlSession, most: int) -> None:
        self._session = session
        self._items: dict[str, _Item] = {}
        self._tables: dict[str, set[str]] = {}
        self._connection = session.dialect.connect()
        self.lease = session.lease
        try:
            last = session.meta.next_load_id(self._connection, most)
            self._ids = iter(range(last - most + 1, last + 1))
            names = session.meta.select(self._connection, "_wherry_names", ("namespace", "table_name"), {})
            self._taken = {(namespace, table) for namespace, table in names}
        except BaseException:
            self._connection.close()
            raise

    # --- as a session

    @property
    def progress(self) -> Mapping[str, Progress]:  # type: ignore[override]
        return self._session.progress

    @property
    def names(self) -> Mapping[tuple[str, str], str]:  # type: ignore[override]
        return self._session.names

    def start(self, plan: ReadPlan) -> int:
        if len(plan.splits) != 1 or self._session.knows(plan.key):
            raise NotGatheredError(f"plan {plan.key} was begun before, or has several splits")
        return 1

    def begin(self, plan: ReadPlan, split: Split) -> Load:
        self._items[plan.key] = _Item(plan, split, next(self._ids))
        return GatheredLoad(self, self._items[plan.key])

    def publish(self, plan: ReadPlan, targets: Sequence[Target], generation: int, entry: Entry) -> Receipt:
        item = self._items[plan.key]
        if item.entry is None or [target.stream for target in targets] != [item.target and item.target.stream]:
            raise NotGatheredError(f"plan {plan.key} publishes other tables than it loaded")
        item.lasting, item.published = entry.bookmark, True
        return _receipt(item)

    def schema(self, target: Target) -> pa.Schema | None:
        if target.generation is None and self.is_there(target):
            raise NotGatheredError(f"table {target.table} is there already")
        return None

    def read(self, target: Target) -> pa.RecordBatchReader:
        return self._session.read(target)

    def set(self, key: str, bookmark: Bookmark | None) -> None:
        self._session.set(key, bookmark)

    def close(self, outcome: str = "ok") -> None:
        self._connection.close()

    def drop(self, key: str) -> None:
        self._items.pop(key, None)

    @property
    def size(self) -> int:
        return sum(item.size for item in self._items.values())

    def is_there(self, target: Target) -> bool:
        """Whether there is such a table, or a record of one, in this schema or any; looked up once."""
        session = self._session
        namespace = session.tables.namespace(target)
        if namespace not in self._tables:
            found = session.dialect.tables(self._connection, namespace)
            self._tables[namespace] = {name.lower() for name in found}
        return target.table.lower() in self._tables[namespace] or (namespace, target.table) in self._taken

    # --- all of them

    def commit(self) -> None:
        session, items = self._session, [item for item in self._items.values() if item.published]
        if not items:
            return
        places = [session.tables.live(item.target).names for item in items if item.target is not None]
        with session.dialect.lock(*places), session.dialect.setup(self._connection, session.meta.namespace):
            lease.check(session.meta, self._connection, session.lease)
            now = session.meta.now(self._connection)
            for item in items:
                self._fill(item)
            self._record(items, now)
        session.gathered([item.plan.key for item in items])

    def _fill(self, item: _Item) -> None:
        """Make the table and put its rows in."""
        target, dialect = item.target, self._session.dialect
        assert target is not None
        table = self._session.tables.live(target)
        if not self._tables[table.names[0]]:
            dialect.create_namespace(self._connection, table.names[0])
        self._tables[table.names[0]].add(target.table.lower())
        stage = Stage(self._connection, dialect, target, table, True, item.load_id, new=True)
        for rows in item.rows:
            stage.write(rows)
        stage.finish()
        expected = sum(rows.num_rows for rows in item.rows)
        if stage.rows != expected:
            raise DestinationError(f"stream {target.stream}: {expected} rows should have come in, {stage.rows} did")

    def _record(self, items: Sequence[_Item], now: int) -> None:
        """Everything that the ordinary way leaves behind of a plan that is done: loads, names, columns, bookmark."""
        session, connection = self._session, self._connection
        first = state.last_generation(session.meta, connection, session.lease.pipeline) + 1
        rows: dict[str, list[Mapping[str, Value]]] = {
            name: [] for name in ("_wherry_plans", "_wherry_state", "_wherry_loads", "_wherry_names", "_wherry_schemas")
        }
        for generation, item in enumerate(items, first):
            assert item.target is not None
            assert item.entry is not None
            names, columns = session.tables.records(item.plan.key, item.target, now)
            rows["_wherry_names"] += names
            rows["_wherry_schemas"].append(columns)
            place, applied = (item.plan.key, item.plan.id, item.split.key), _receipt(item).applied
            rows["_wherry_loads"] += load_rows(
                session.lease, item.load_id, place, item.entry, applied, {item.target.stream: item.target}, now
            )
            plan, bookmark = state.finished(session.lease, item.plan, generation, _receipt(item), item.lasting, now)
            rows["_wherry_plans"].append(plan)
            rows["_wherry_state"].append(bookmark)
        for name, some in rows.items():
            session.meta.append(connection, name, some)
        for item in items:
            assert item.target is not None
            session.tables.made(item.target)


class GatheredLoad(Load):
    """A load whose rows wait in memory. One table, whose columns stay as they were when its first row came."""

    def __init__(self, gathering: SqlGathering, item: _Item) -> None:
        self._gathering = gathering
        self._item = item
        self.id = item.load_id

    def prepare(self, target: Target) -> None:
        item = self._item
        other = item.target is not None and (item.target.stream != target.stream or item.rows)
        if other or target.mode != "replace" or target.part is not None or target.changes:
            raise NotGatheredError(f"stream {target.stream} has other tables or other columns by now")
        item.target = replace(target, generation=None)

    def write(self, stream: str, rows: pa.RecordBatch) -> None:
        self._item.rows.append(rows)
        self._item.size += rows.nbytes
        if self._item.size > MOST:
            raise NotGatheredError(f"stream {stream} is too large")

    def truncate(self, stream: str) -> None:
        raise NotGatheredError(f"stream {stream} is emptied in mid-read")

    def commit(self, entry: Entry) -> Receipt:
        item = self._item
        rows = sum(batch.num_rows for batch in item.rows)
        counts = entry.counts.get(item.target.stream, Counts()) if item.target is not None else Counts()
        if item.target is None or not entry.done or rows != counts.mapped - counts.rejected or counts.rejected:
            raise NotGatheredError(f"plan {item.plan.key} is not whole, or has rows that were rejected")
        item.entry = entry
        return _receipt(item)

    def abort(self) -> None:
        self._gathering.drop(self._item.plan.key)


def _receipt(item: _Item) -> Receipt:
    assert item.target is not None
    rows = sum(batch.num_rows for batch in item.rows)
    applied = {item.target.stream: Applied(staged=rows, inserted=rows)}
    return Receipt(load_id=item.load_id, seq=1, committed_at=item.load_id, applied=applied)
