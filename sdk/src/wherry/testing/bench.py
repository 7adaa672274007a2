"""A destination on the bench: a session and the few calls that a pipeline makes, for tests of destinations."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from wherry.contracts.destination import Destination, Load, Session
from wherry.contracts.loading import Counts, Entry, Receipt, Target
from wherry.contracts.values import POSITION, Progress, ReadPlan, Selection, Split, Stream, is_ours


class Bench:
    """One pipeline's sessions on a destination, in the schema `kit`; plans have the key `kit` and one split a name.

    Rows may have any types: they are cast to the first storage type of each column, and back when they are read.
    """

    schema = "kit"

    def __init__(self, destination: Destination, pipeline: str = "kit") -> None:
        self.destination, self.pipeline = destination, pipeline
        self._session: Session | None = None
        self._loads = 0

    @property
    def session(self) -> Session:
        """The writing session, opened when first used."""
        if self._session is None:
            self._session = self.destination.open(self.pipeline, schema=self.schema)
        return self._session

    def close(self, outcome: str = "ok") -> None:
        """Give the lease back."""
        if self._session is not None:
            self._session.close(outcome)
            self._session = None

    def reopen(self) -> Session:
        """Another run."""
        self.close()
        return self.session

    def progress(self) -> Progress:
        """Of the plan key `kit`."""
        return self.session.progress.get("kit", Progress())

    def target(self, schema: pa.Schema | pa.Table, *, stream: str = "t", table: str = "", **fields: Any) -> Target:
        """A target of these columns as the destination keeps them; `table` is the stream's name if not given."""
        schema = schema.schema if isinstance(schema, pa.Table) else schema
        stored = pa.schema([field.with_type(self.destination.storage(field)[0]) for field in schema])
        return Target(stream=stream, table=table or stream, schema=stored, **fields)

    def plan(self, *targets: Target, splits: tuple[str, ...] = ("a",), bookmark: Any = None) -> ReadPlan:
        """A new plan, not started yet."""
        selections = tuple(
            Selection(stream=Stream(name=target.stream, schema=target.schema), mode=target.mode, key=target.key)
            for target in targets
        )
        made = tuple(Split(key=key, streams=selections, bookmark=bookmark) for key in splits)
        return ReadPlan(key="kit", splits=made, id=uuid.uuid4().hex)

    def started(self, *targets: Target, **fields: Any) -> ReadPlan:
        """A new plan, started."""
        plan = self.plan(*targets, **fields)
        self.session.start(plan)
        return plan

    def begin(self, plan: ReadPlan, split: str = "a", session: Session | None = None) -> Load:
        """A load of the split of that key."""
        found = next(s for s in plan.splits if s.key == split)
        return (session or self.session).begin(plan, found)

    def put(
        self, target: Target, rows: pa.Table, plan: ReadPlan | None = None, *, split: str = "a", **entry: Any
    ) -> Receipt:
        """One load of one target: prepare, write, commit; in a plan of its own if none is given."""
        plan = plan or self.started(target)
        load = self.begin(plan, split)
        try:
            load.prepare(target)
            written = write(load, target, rows)
            return load.commit(self.entry({target.stream: written}, **entry))
        except BaseException:
            load.abort()
            raise

    def entry(self, rows: Mapping[str, int], **fields: Any) -> Entry:
        """An entry that counts these rows, with a new bookmark unless one is given."""
        self._loads += 1
        counts = {stream: Counts(read=count, mapped=count) for stream, count in rows.items()}
        return Entry(**{"bookmark": {"load": self._loads}, "counts": counts, **fields})

    def publish(self, plan: ReadPlan, *targets: Target, bookmark: Any = None) -> Receipt:
        """Publish what the plan has built."""
        generation = self.session.start(plan)
        return self.session.publish(plan, targets, generation, Entry(bookmark=bookmark or {"end": 1}, done=True))

    def read(self, target: Target, like: pa.Table | pa.Schema | None = None) -> pa.Table:
        """The table's rows without `_wherry_*`, cast to the types of `like`."""
        rows = data(self.session.read(target).read_all())
        if like is None:
            return rows
        schema = like.schema if isinstance(like, pa.Table) else like
        known = [f for f in schema if f.name in rows.schema.names]
        more = [f for f in rows.schema if f.name not in schema.names]
        return rows.select([f.name for f in known + more]).cast(pa.schema(known + more))


def data(rows: pa.Table) -> pa.Table:
    """Without the columns that Wherry adds."""
    return rows.select([name for name in rows.schema.names if not is_ours(name)])


def write(load: Load, target: Target, rows: pa.Table, first: int = 0) -> int:
    """Write rows as the target wants them, positions from `first` on; how many."""
    batches = cast(rows, target).to_batches()
    for batch in batches:
        if target.mode in ("merge", "history") and POSITION not in batch.schema.names:
            places = pa.array(range(first, first + batch.num_rows), pa.int64())
            batch = batch.append_column(POSITION, places)
            first += batch.num_rows
        load.write(target.stream, batch)
    return int(rows.num_rows)


def cast(rows: pa.Table, target: Target) -> pa.Table:
    """The rows in the target's types; columns that are not the target's stay as they are."""
    fields = [target.schema.field(field.name) if field.name in target.schema.names else field for field in rows.schema]
    return rows.cast(pa.schema(fields))
