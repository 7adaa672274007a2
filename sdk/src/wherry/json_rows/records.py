"""The records of a stream's bodies, as Arrow batches whose schema grows with what is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from wherry.errors import DataError
from wherry.json_rows import exact
from wherry.json_rows.convert import Rejects, columns
from wherry.json_rows.evolve import evolve
from wherry.json_rows.paths import steps, walk
from wherry.json_rows.shape import JsonShape

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What some bodies held.

    batches: their records in order, all of one schema, none if there was no record.  counts: how many rows of the
    batches came from each body; None: the body does not have the path, or something else than records stands there.
    rejected: records that do not fit the declared schema, as `Batch.rejected` wants them.
    """

    batches: tuple[pa.RecordBatch, ...]
    counts: tuple[int | None, ...]
    rejected: pa.RecordBatch | None = None

    @property
    def rows(self) -> int:
        """How many rows the batches have."""
        return sum(batch.num_rows for batch in self.batches)


class Records:
    """The records of one read of a stream. It remembers the schema: a column never loses its type, it is widened.

    path: where the records are (`paths.steps`): a list of objects, or one object.  schema: columns whose types are
    declared (`declared`), which are converted exactly or rejected; others are found out.  include_key: a column for the
    key of the map that the last `*` went over.  flatten: an object's members become columns `outer__inner`.
    name: what bodies belong to, for messages ("stream issues").

    Numbers are int64, double where it prints the same, decimal, else JSON text; lists and objects stay nested; values
    of several kinds in one column become JSON text (field metadata `KIND`); texts are never taken for times.
    """

    def __init__(
        self,
        path: str,
        *,
        schema: pa.Schema | None = None,
        include_key: str | None = None,
        flatten: bool = False,
        name: str = "",
    ) -> None:
        self._steps = steps(path)
        self._declared: dict[str, pa.Field] = {field.name: field for field in schema or ()}
        self._key = include_key
        self._flatten = flatten
        self._name = name
        self._shape = JsonShape({"object"})
        self._given: dict[str, pa.Field] = dict(self._declared)
        self._row = 0

    @property
    def schema(self) -> pa.Schema:
        """The columns known so far, in the order they were seen, declared ones first."""
        return pa.schema(list(self._given.values()))

    def parse(self, bodies: Sequence[bytes]) -> Parsed:
        """The records of some bodies, best about twenty pages at once.

        Raises `DataError` for a body that is not JSON, a record that is no object, a key given twice, half of a
        surrogate pair, NaN, and nesting over 100 levels; it names body and record, from 1, never a value.
        """
        return self._exactly(bodies)

    def parse_lines(self, block: bytes, only: Mapping[str, str] | None = None) -> Parsed | None:
        """The records of JSON lines: each line is a body. Blank lines count as none.

        only: members at the top of each line and the text that each must have, such as type and stream; None when some
        line has another: then `line_members` tells which.
        """
        lines = [line for line in block.split(b"\n") if line.strip()]
        if only:
            held = line_members(block, tuple(only))
            if any(held.column(name).to_pylist() != [text] * held.num_rows for name, text in only.items()):
                return None
        return self._exactly(lines)

    def _exactly(self, bodies: Sequence[bytes]) -> Parsed:
        rows: list[dict[str, object]] = []
        counts: list[int | None] = []
        for number, body in enumerate(bodies, 1):
            found = self._records(exact.document(body.removeprefix(BOM), self._where(number)), number)
            counts.append(None if found is None else len(found))
            rows.extend(found or ())
        self._shape.merge(exact.observe(rows))
        for name, shape in self._shape.fields.items():
            if name not in self._declared:
                self._given[name] = evolve(name, self._given.get(name), shape)
        rejects = Rejects(self._row)
        batch = columns(rows, self.schema, frozenset(self._declared), rejects)
        self._row += len(rows)
        counts = rejects.subtract(counts)
        return Parsed(batches=(batch,) if batch.num_rows else (), counts=tuple(counts), rejected=rejects.batch())

    def _records(self, document: object, body: int) -> list[dict[str, object]] | None:
        found: list[dict[str, object]] | None = None
        for key, value in walk(document, self._steps):
            if isinstance(value, dict):
                value = [value]
            elif value is not None and not isinstance(value, list):
                continue
            found = found or []
            for record in value or ():
                if not isinstance(record, dict):
                    raise DataError(f"{self._where(body)}, record {len(found) + 1} is not a JSON object")
                found.append(record if self._key is None else {self._key: key, **record})
        return found

    def _where(self, body: int) -> str:
        return f"{self._name}, body {body}" if self._name else f"body {body}"


def line_members(block: bytes, names: Sequence[str]) -> pa.Table:
    """Some members, at the top of each of the lines that are not blank, that are texts; NULL where they are not."""
    found = [exact.document(line, f"line {n}") for n, line in enumerate(block.split(b"\n"), 1) if line.strip()]
    return pa.table(
        {name: [_text(one, name) for one in found] for name in names}, pa.schema({n: pa.string() for n in names})
    )


def _text(document: object, name: str) -> str | None:
    value = document.get(name) if isinstance(document, dict) else None
    return value if type(value) is str else None
