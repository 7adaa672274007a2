"""Rejected rows: what the source could not parse, or the table cannot hold, goes to `<table>__rejected`, with why."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.loading import Target
from wherry.errors import DataError
from wherry.pipeline import raw
from wherry.pipeline.conform import Change, Conformer, Misfit, with_position
from wherry.pipeline.names import REJECTED, beside

SCHEMA = pa.schema([
    ("id", pa.utf8()), ("stream", pa.utf8()), ("reason", pa.utf8()), ("column", pa.utf8()), ("row", pa.int64()),
    ("raw", pa.utf8()),
])  # fmt: skip
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxRejects:
    """How many rows of a stream may be rejected in a run: a number, or a percentage of the rows read."""

    rows: int = 0
    percent: float | None = None

    def allows(self, rejected: int, read: int) -> bool:
        """Whether the run may go on."""
        if self.percent is not None:
            return rejected <= read * self.percent / 100
        return rejected <= self.rows


def rejects_of(target: Target) -> Target:
    """Where rows go that `target` cannot hold: beside its own table, in the same generation.

    Where rows have a key, they may be read again: then an equal row is the same one.
    """
    keyed = target.mode in ("merge", "history")
    return Target(
        stream=beside(target.stream, REJECTED), table=target.table + REJECTED, schema=SCHEMA,
        namespace=target.namespace, generation=target.generation, mode="merge" if keyed else "append",
        key=("id",) if keyed else (),
    )  # fmt: skip


class Rejects:
    """The rejected rows of one batch of a stream.

    first: position in the stream of the batch's first row.  gone: positions in the batch of rows that were dropped
    before.  before: rows of the stream that this run has rejected so far.  Positions are from 0; people read from 1.
    """

    def __init__(
        self, stream: str, table: str, limit: MaxRejects, *, first: int = 0, gone: Collection[int] = (), before: int = 0
    ) -> None:
        self._stream = stream
        self._table = table
        self._limit = limit
        self._first = first
        self._gone = gone
        self._before = before
        self._left: list[int] | None = None
        self._rows: list[dict[str, Any]] = []

    @property
    def count(self) -> int:
        """Rows rejected so far."""
        return len(self._rows)

    @property
    def reasons(self) -> dict[tuple[str, str], int]:
        """(column, reason) -> rows."""
        found: dict[tuple[str, str], int] = {}
        for row in self._rows:
            why = (str(row["column"] or ""), str(row["reason"] or ""))
            found[why] = found.get(why, 0) + 1
        return found

    def add_parsed(self, rejected: pa.RecordBatch | None) -> None:
        """Rows that the source itself rejected (see `Batch.rejected`)."""
        for row in [] if rejected is None else rejected.to_pylist():
            self._add({name: row.get(name) for name in ("reason", "column", "row", "raw")})

    def conform(self, conformer: Conformer, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Change | None]:
        """The batch conformed, less the rows that do not fit."""
        batch = self._set_aside(batch, conformer.unreadable(batch))
        while True:
            try:
                fitted, change = conformer.conform(batch)
                break
            except DataError:
                misfits = conformer.misfits(batch)
                if not misfits:
                    raise
                batch = self._set_aside(batch, misfits)
        misfits = conformer.unfit(fitted)
        self._set_aside(batch, misfits)
        return without(fitted, [m.row for m in misfits]), change

    def rows(self, target: Target, load_id: int, before: int) -> pa.RecordBatch:
        """The rejected rows as `target` wants them. before: rows that the load has already rejected."""
        for number, row in enumerate(self._rows, before + 1):
            row["stream"] = self._stream
            row["id"] = _digest(str(row["raw"])) if target.key else f"{_base36(load_id)}-{number}"
        rows = pa.RecordBatch.from_pylist(self._rows, schema=SCHEMA)
        return with_position(rows, before) if target.key else rows

    def _set_aside(self, batch: pa.RecordBatch, misfits: Sequence[Misfit]) -> pa.RecordBatch:
        """The batch without these rows, which are rejected."""
        if not misfits:
            return batch
        if self._left is None:
            self._left = [i for i in range(batch.num_rows + len(self._gone)) if i not in self._gone]
        misfits = sorted(misfits, key=lambda m: m.row)
        if self._limit.percent is None:  # the one beyond the limit ends it
            misfits = misfits[: max(0, self._limit.rows - self._before - self.count) + 1]
        rows = [m.row for m in misfits]
        for misfit, text in zip(misfits, raw.texts(batch.take(pa.array(rows, pa.int64()))), strict=True):
            number = self._first + self._left[misfit.row] + 1
            self._add({"reason": misfit.reason, "column": misfit.column, "row": number, "raw": text})
        dropped = set(rows)
        self._left = [position for i, position in enumerate(self._left) if i not in dropped]
        return without(batch, rows)

    def _add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        total = self._before + self.count
        if self._limit.percent is None and not self._limit.allows(total, 0):
            raise self.refusal(f"--max-rejects {total}")

    def refusal(self, option: str, sum: str = "") -> DataError:
        """The error that ends the stream: names the last row and why, and the two ways on."""
        row = self._rows[-1]
        named = f"column {row['column']!r}"
        number = row["row"]  # a source may not know it
        place = "" if number is None else f", row {number}"
        where = f"stream {self._stream}{place}" + ("" if named in row["reason"] else f", {named}")
        return DataError(
            f"{where}: {row['reason']}{sum}", column=row["column"],
            row=None if number is None else number - 1,
            next=f"correct it at the source, or let it pass to {self._table}{REJECTED}: {option}",
        )  # fmt: skip


def without(batch: pa.RecordBatch, rows: Collection[int]) -> pa.RecordBatch:
    """The batch without the rows at these positions."""
    if not rows:
        return batch
    drop = pa.array(sorted(rows), pa.int64())
    places = pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), batch.num_rows), start=-1)
    return batch.filter(pc.invert(pc.is_in(places, value_set=drop)))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
