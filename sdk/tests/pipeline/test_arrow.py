"""Dicts as record batches: the types that Arrow infers, each value as it was, and quickly."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wherry.errors import DataError
from wherry.pipeline.arrow import from_dicts

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
SCALARS = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.integers() | st.floats(allow_nan=False) | TEXTS
    | st.binary(max_size=2) | st.dates() | st.datetimes() | st.decimals(-99, 99, places=2)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
ONE_KIND = st.sampled_from([st.integers(-9, 9), TEXTS, st.floats(-9, 9), st.booleans()]).flatmap(
    lambda leaf: st.lists(
        st.none()
        | st.fixed_dictionaries({"a": leaf}, optional={"b": st.none() | st.lists(st.none() | leaf, max_size=2)}),
        max_size=4,
    )
)


@settings(max_examples=300, deadline=None)
@given(ONE_KIND | st.lists(VALUES, max_size=4) | st.lists(SCALARS, max_size=4))
def test_a_column_is_what_arrow_infers(values: list[Any]) -> None:
    try:
        wanted = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return
    got = from_dicts([{"v": value, "n": 1} for value in values])
    if not values or (pa.types.is_floating(wanted.type) and any(type(v) is int and abs(v) > 2**53 for v in values)):
        return
    assert got.schema.field("v").type == wanted.type
    assert got.column("v").equals(wanted)
    got.validate(full=True)


def test_rows_need_not_have_the_same_keys() -> None:
    rows = [{"a": 1, "b": {"x": 1}}, {"b": {"y": "t", "x": 2}, "c": [1]}, {"a": None, "b": None, "c": None}]
    assert from_dicts(rows).to_pylist() == [
        {"a": 1, "b": {"x": 1, "y": None}, "c": None},
        {"a": None, "b": {"x": 2, "y": "t"}, "c": [1]},
        {"a": None, "b": None, "c": None},
    ]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, "a"], ["1", "a"]),
        ([1, True], ["1", "true"]),
        ([{"a": 1}, {"a": "x"}], ['{"a": 1}', '{"a": "x"}']),
        ([2**70, 1], [str(2**70), "1"]),
        ([1.5, 2**53 + 1], ["1.5", str(2**53 + 1)]),
        ([[1], {"a": 1}], ["[1]", '{"a": 1}']),
    ],
)
def test_values_of_several_kinds_are_text(values: list[Any], texts: list[str]) -> None:
    assert from_dicts([{"v": value} for value in values]).column("v").to_pylist() == texts


def run_of() -> None:
    """A function that nobody called."""


class Thing:
    """It has no text of its own."""


@pytest.mark.parametrize("value", [object(), Thing(), run_of, (n for n in ()), [Thing()], {"a": {"b": Thing()}}])
@pytest.mark.parametrize("beside", [None, 1, "a"])
def test_an_object_that_only_has_an_address_is_no_value(value: Any, beside: Any) -> None:
    with pytest.raises(DataError, match=r"^column 'v': a value is a \w+, which is no data$") as caught:
        from_dicts([{"v": beside}, {"v": value}])
    assert caught.value.column == "v"
    assert str(caught.value.next).startswith("yield what it holds")


def test_values_that_have_a_text_of_their_own_keep_it() -> None:
    name = uuid.UUID(int=5)
    rows = [{"v": "<b> at 0x1"}, {"v": name}, {"v": Path("a/b")}, {"v": 2 + 1j}]
    assert from_dicts(rows).column("v").to_pylist() == ["<b> at 0x1", f'"{name}"', '"a/b"', '"(2+1j)"']


def test_runs_of_many_rows_are_one_batch_whose_types_hold_all() -> None:
    rows: list[dict[str, Any]] = [
        {"id": i, "tags": [], "at": dt.date(2024, 1, 1), "d": Decimal(1)} for i in range(2500)
    ]
    rows[2400] |= {"tags": ["x"], "extra": 1.5}
    batch = from_dicts(rows)
    assert batch.num_rows == 2500
    assert batch.column("tags").type == pa.list_(pa.string())
    assert batch.slice(2400, 1).to_pylist()[0] == {
        "id": 2400, "tags": ["x"], "at": dt.date(2024, 1, 1), "d": Decimal(1), "extra": 1.5,
    }  # fmt: skip
