"""Keys that still exist at the source: rows that earlier splits of a plan loaded under others go."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from wherry.contracts.loading import Target
from wherry.contracts.values import LOAD_ID, ReadPlan
from wherry.errors import StateError
from wherry.sql.compose import SQL, Identifier, Literal
from wherry.sql.dialect import Connection, Dialect, match
from wherry.sql.meta import Meta


class Present:
    """The keys of one stream in a load, staged like rows. splits: those whose rows they are compared with."""

    def __init__(self, connection: Connection, dialect: Dialect, target: Target, name: str, splits: Sequence[str]):
        if not target.load_id:
            raise StateError(
                f"rows of {target.stream} do not say which load they came with ({LOAD_ID} is switched off), so an "
                "unfinished run cannot be gone on with",
                next=f"wherry state reset DEST {target.stream}  to read it all again",
            )
        self.splits = frozenset(splits)
        self._key = target.key
        self._schema = pa.schema([target.schema.field(column) for column in target.key])
        self._table = dialect.staging(connection, name, self._schema)
        self._connection = connection
        self._writer = connection.writer(self._table, self._schema)

    @property
    def occupies(self) -> bool:
        """As `Writer.occupies`."""
        return self._writer.occupies

    def write(self, keys: pa.RecordBatch) -> None:
        """Hand keys to the engine."""
        columns = [keys.column(field.name).cast(field.type) for field in self._schema]
        self._writer.write(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def finish(self) -> None:
        """All keys written so far are staged when this returns."""
        self._writer.finish()

    def drop(self) -> None:
        """Forget keys that are still on their way."""
        self._writer.drop()

    def sweep(self, meta: Meta, pipeline: str, plan: ReadPlan, table: Identifier) -> int:
        """Delete the rows of the splits that have another key; returns how many there were."""
        mine = {"pipeline": pipeline, "plan_key": plan.key, "plan_id": plan.id}
        rows = meta.select(self._connection, "_wherry_state", ("split_key", "load_id"), mine)
        loads = [Literal(load) for split, load in rows if split in self.splits and load is not None]
        if not loads:
            return 0
        return self._connection.run(
            SQL(
                "delete from {table} as t where t.{id} in ({loads}) "
                "and not exists (select 1 from {keys} as s where {match})"
            ).format(table=table, id=Identifier(LOAD_ID), loads=loads, keys=self._table, match=match(self._key))
        )
