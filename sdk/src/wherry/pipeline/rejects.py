"""Rejected rows: what the source could not parse, or the table cannot hold, goes to `<table>__rejected`, with why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wherry.contracts.loading import Target
from wherry.errors import DataError
from wherry.pipeline.conform import Change, Conformer

REJECTED = "__rejected"
_SCHEMA = pa.schema([("reason", pa.utf8()), ("column", pa.utf8()), ("row", pa.int64()), ("raw", pa.utf8())])


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxRejects:
    """How many rows of a run may be rejected: a number, or a percentage of the rows read."""

    rows: int = 0
    percent: float | None = None

    def allows(self, rejected: int, read: int) -> bool:
        """Whether the run may go on."""
        if self.percent is not None:
            return rejected <= max(1, read) * self.percent / 100
        return rejected <= self.rows


class Rejects:
    """The rejected rows of one batch. first: position in the stream of the batch's first row."""

    def __init__(self, stream: str, first: int, limit: MaxRejects, before: int):
        self._stream = stream
        self._first = first
        self._limit = limit
        self._before = before
        self._rows: list[dict[str, Any]] = []

    @property
    def count(self) -> int:
        """Rows rejected so far."""
        return len(self._rows)

    @property
    def reason(self) -> str:
        """Why the last one was."""
        return str(self._rows[-1]["reason"])

    @property
    def column(self) -> str:
        """Which column it was for."""
        return str(self._rows[-1]["column"] or "")

    def add_parsed(self, rejected: pa.RecordBatch | None) -> None:
        """Rows that the source itself rejected (see `Batch.rejected`)."""
        for row in [] if rejected is None else rejected.to_pylist():
            self._add({name: row.get(name) for name in _SCHEMA.names})

    def conform(self, conformer: Conformer, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Change | None]:
        """The batch conformed, less the rows that do not fit."""
        positions = list(range(batch.num_rows)) if self._limit != MaxRejects() else None
        while True:
            try:
                return conformer.conform(batch)
            except DataError as error:
                if error.row is None:
                    raise
                position = self._first + (error.row if positions is None else positions.pop(error.row))
                raw = json.dumps(batch.slice(error.row, 1).to_pylist()[0], default=str, ensure_ascii=False)
                self._add({"reason": error.message, "column": error.column, "row": position, "raw": raw})
                keep = [i for i in range(batch.num_rows) if i != error.row]
                batch = batch.take(pa.array(keep, pa.int64()))

    def rows(self) -> pa.RecordBatch:
        """The rejected rows: reason, column, row, raw (JSON)."""
        return pa.RecordBatch.from_pylist(self._rows, schema=_SCHEMA)

    def target(self, of: Target) -> Target:
        """Where they go, beside the stream's own table."""
        return Target(stream=of.stream + REJECTED, table=of.table + REJECTED, schema=_SCHEMA, namespace=of.namespace)

    def _add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        total = self._before + self.count
        if self._limit.allows(total, self._first + 1):
            return
        named = f"column {row['column']!r}"
        where = f"stream {self._stream}, row {row['row']}" + ("" if named in row["reason"] else f", {named}")
        raise DataError(
            f"{where}: {row['reason']}", column=row["column"], row=row["row"],
            next=f"correct it at the source, or let it pass to {self._stream}{REJECTED}: --max-rejects {total}",
        )  # fmt: skip
