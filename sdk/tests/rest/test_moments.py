"""Cursor values by their meaning."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from wherry.rest.moments import Order, moment, seconds, unit

NOON = int(datetime(2024, 1, 31, 12, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2024-01-31T12:00:00Z", NOON),
        ("2024-01-31 12:00:00", NOON),
        ("2024-01-31T12:00Z", NOON),
        ("2024-01-31T14:00:00+02:00", NOON),
        ("2024-01-31T14:00:00+0200", NOON),
        ("2024-01-31T14:00:00+02", NOON),
        ("2024-01-31T12:00:00.000000001Z", NOON + 1),
        ("2024-01-31T12:00:00,5Z", NOON + 500_000_000),
        ("2024-01-31T12:00:00 UTC", NOON),
        ("2024-01-31", NOON - 12 * 3600 * 10**9),
        (date(2024, 1, 31), NOON - 12 * 3600 * 10**9),
        (datetime(2024, 1, 31, 12), NOON),
        ("9999-12-31T23:59:59Z", 253402300799 * 10**9),
        ("0001-01-01", -62135596800 * 10**9),
        ("2024-13-01", None),
        ("12:00", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_texts_that_say_times_are_those_times(value: Any, found: int | None) -> None:
    assert moment(value) == found


@pytest.mark.parametrize(
    ("format", "column"),
    [
        ("iso", ["2024-01-31T12:00:00Z", "2024-01-31T12:00:00.5Z", None]),
        ("iso", ["2024-01-31T12:00:00Z", "2024-01-31", None]),
        ("iso", ["9999-12-31T23:59:59Z", "2024-01-31T12:00:00+02:00", None]),
        ("epoch_s", [1706702400, 5, None]),
        ("epoch_s", ["1706702400.000100", "5", None]),
        ("epoch_s", [1706702400.25, 0.5, None]),
        ("epoch_ms", [1706702400123, 5, None]),
        ("raw", [3, 2, None]),
        ("raw", ["b", "a", None]),
        ("raw", [1.5, 0.5, None]),
        ("raw", ["2024-01-31T12:00:00Z", "2023-01-31", None]),
    ],
)
def test_a_column_ranks_as_its_values_do(format: str, column: list[Any]) -> None:
    order = Order(format)
    ranks = order.ranks(pa.array(column))
    found = ranks if isinstance(ranks, list) else ranks.to_pylist()
    assert found == [None if value is None else order.rank(value) for value in column]


def test_columns_of_times_rank_in_nanoseconds() -> None:
    for kind in (pa.timestamp("s"), pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns", "UTC")):
        column = pa.array([NOON // 10**9], pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp(kind.unit))
        column = column if kind.tz is None else column.cast(pa.timestamp(kind.unit, "UTC")).cast(kind)
        assert Order("iso").ranks(column).to_pylist() == [NOON]


@pytest.mark.parametrize(
    ("format", "written"),
    [
        ("iso", "2024-01-31T12:00:00Z"),
        ("iso_date", "2024-01-31"),
        ("epoch_s", NOON // 10**9),
        ("epoch_ms", NOON // 10**6),
        ("%Y/%m/%d %H:%M:%S", "2024/01/31 12:00:00"),
    ],
)
def test_times_are_written_as_the_api_reads_them(format: str, written: Any) -> None:
    assert Order(format).write(NOON, format) == written


def test_fractions_are_written_as_far_as_there_are_some() -> None:
    texts = [Order("iso").write(NOON + part, "iso")[19:] for part in (0, 5 * 10**8, 1_500, 7)]
    assert texts == ["Z", ".500Z", ".000001500Z", ".000000007Z"]


def test_durations_and_units() -> None:
    assert [seconds(text) for text in ("90s", "5m", "1.5h", "2d", "1w", "250ms", 7)] == [
        90, 300, 5400, 172800, 604800, 0.25, 7,
    ]  # fmt: skip
    formats = ("iso", "iso_date", "epoch_s", "epoch_ms", "raw", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y %H", "%H:%M:%S")
    assert [unit(format) for format in formats] == [1, 86400, 1, 0.001, 1, 86400, 60, 3600, 1]
