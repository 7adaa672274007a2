"""Whatever a server sends: the rows are those that Python's parser sees, or the answer is refused."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from wherry.json_rows import Records
from wherry.json_rows.find import count, find, last
from wherry.json_rows.paths import MISSING, at, steps, walk

ROUNDS = settings(max_examples=150, deadline=None)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["2024-01-01T00:00:00Z", "2024-01-01", "12", "null", "[null", '"', "\\", "}\n{", ":1e5", "next", "data"]
)
KEYS = st.sampled_from(["id", "a", "b", "next", "data", "ä", "a.b", ""])
NUMBERS = (
    st.integers(-5, 5)
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-(10**6), 10**6, places=3, allow_nan=False)
    | st.just(0.1)
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
ALIKE = st.fixed_dictionaries(
    {"id": st.integers(0, 10**6)},
    optional={
        "a": st.none() | TEXTS,
        "n": st.none() | st.floats(-1e6, 1e6) | st.integers(-9, 9),
        "o": st.none() | st.fixed_dictionaries({}, optional={"x": st.integers(0, 9), "y": st.lists(TEXTS, max_size=2)}),
        "l": st.none() | st.lists(st.none() | st.fixed_dictionaries({}, optional={"x": st.integers(0, 9)}), max_size=3),
    },
)
"""Rows as servers send them: columns keep their kind, mostly."""
ROWS = st.lists(ALIKE, max_size=4) | st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=4)


BESIDE = st.just({}) | st.dictionaries(st.sampled_from(["next", "page", "more"]), VALUES, max_size=2)
"""What else stands in a document: the same each time, mostly."""


class Raw(float):
    """A decimal that json.dumps writes as it is."""

    def __new__(cls, number: Decimal) -> Raw:
        made = super().__new__(cls, number)
        made.text = str(number)
        return made

    def __repr__(self) -> str:
        return self.text


def dumped(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(_raw(value), ensure_ascii=False, indent=indent).encode()


def _raw(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _raw(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_raw(inner) for inner in value]
    return Raw(value) if isinstance(value, Decimal) else value


def same(value: Any, column: Any, field: pa.Field) -> bool:
    """Whether a parsed value stands in a column, in a column's type."""
    type = field.type
    if column is None or value is None:
        return column is value or (value is None and column == "null" and bool(field.metadata))
    if pa.types.is_struct(type):
        names = {f.name for f in type}
        left_out = all(value[name] is None for name in set(value) - names)
        return left_out and all(same(value.get(f.name), column[f.name], f) for f in type)
    if pa.types.is_list(type):
        return len(value) == len(column) and all(
            same(v, c, type.value_field) for v, c in zip(value, column, strict=True)
        )
    if pa.types.is_string(type):
        if isinstance(value, str) and not field.metadata:
            return bool(value == column)
        return bool(json.loads(column, parse_int=Decimal, parse_float=Decimal) == value)
    if isinstance(column, float):
        column = Decimal(repr(column))
    return type != pa.null() and isinstance(column, bool) == isinstance(value, bool) and bool(column == value)


def parsed(body: bytes) -> Any:
    return json.loads(body, parse_int=Decimal, parse_float=Decimal)


@ROUNDS
@given(
    st.lists(st.tuples(ROWS, BESIDE), min_size=1, max_size=4),
    st.integers(1, 4), st.sampled_from(["", "data", "x.data"]), st.booleans(),
)  # fmt: skip
def test_rows_are_those_that_python_sees(
    pages: list[tuple[list[Any], dict[str, Any]]], group: int, path: str, pretty: bool
) -> None:
    bodies = []
    for rows, beside in pages:
        document: Any = rows
        for key in reversed(path.split(".") if path else []):
            document = {"first": [None, {"data": [1]}], key: document, "next": '"data":[]', **beside}
        bodies.append(dumped(document, indent=1 if pretty else None))
    records = Records(path)
    for start in range(0, len(bodies), group):
        some = bodies[start : start + group]
        wanted = [at(parsed(body), steps(path)) for body in some]
        got = records.parse(some)
        assert got.counts == tuple(map(len, wanted))
        rows = [row for rows in wanted for row in rows]
        held = [row for batch in got.batches for row in batch.to_pylist()]
        assert len(held) == len(rows)
        for batch in got.batches:
            assert batch.schema == records.schema
            batch.validate(full=True)
        for row, columns in zip(rows, held, strict=True):
            assert all(row[name] is None for name in set(row) - set(columns)), "only nulls may be left out"
            for name, value in columns.items():
                assert same(row.get(name), value, records.schema.field(name)), (name, row, columns, records.schema)


FINDING = sys.modules["wherry.json_rows.find"]


@ROUNDS
@given(
    st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, st.booleans(), st.sampled_from([5, 12, 40, 4096]), st.booleans()
)
def test_values_are_found_where_python_finds_them(document: Any, pretty: bool, window: int, large: bool) -> None:
    body = dumped(document, indent=2 if pretty else None)
    loaded = json.loads(body)
    with patch.object(FINDING, "WINDOW", window), patch.object(FINDING, "LARGE", 0 if large else 1 << 16):
        for path in ("next", "data", "data.next", "a.b", '"a.b"', "a.*", "data.*.id", '""', ""):
            wanted = at(loaded, steps(path))
            assert find(body, path) is MISSING if wanted is MISSING else find(body, path) == wanted
        for path in ("", "data", "a.*", "next.data"):
            found = [value for _, value in walk(loaded, steps(path)) if value is None or isinstance(value, list | dict)]
            wanted = sum(len(value) if isinstance(value, list) else value is not None for value in found)
            assert count(body, path) == (wanted if found else None)
            assert count(body, path, 1) == (min(1, wanted) if found else None)


@ROUNDS
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=4), st.dictionaries(KEYS, VALUES, max_size=2))
def test_the_last_record_is_the_last(rows: list[Any], beside: dict[str, Any]) -> None:
    body = dumped({**beside, "records": rows, **{f"z{key}": value for key, value in beside.items()}})
    loaded = json.loads(body)["records"]
    for field in ("id", "a", "data.next"):
        wanted = at(loaded[-1], steps(field)) if loaded else MISSING
        got = last(body, "records", field)
        assert got is MISSING if wanted is MISSING else got == wanted
