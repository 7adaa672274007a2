"""What is doubtful about a cursor, and what a cursor can no longer stand for."""

import pyarrow as pa
import pytest
from wherry import DataError, StateError, Stream, StreamError, UsageError
from wherry.contracts.values import Selection
from wherry.pipeline import boundary
from wherry.pipeline.boundary import Boundary
from wherry.pipeline.clocks import ahead, doubts
from wherry.pipeline.select import Wish, Wishes, choose

HOUR = 3600 * 10**6
NOW = 1_767_225_600 * 10**6  # 2026-01-01


def seen(type, value):
    found = Boundary("at")
    found.filter(pa.record_batch({"at": pa.array([value], pa.int64()).cast(type)}))
    return found


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        (pa.timestamp("us", "UTC"), NOW + HOUR, False),
        (pa.timestamp("us", "UTC"), NOW + HOUR + 1, True),
        (pa.timestamp("ns", "UTC"), (NOW + 2 * HOUR) * 1000, True),
        (pa.timestamp("s", "UTC"), NOW // 10**6 + 7200, True),
        (pa.timestamp("us"), NOW + 26 * HOUR, False),
        (pa.timestamp("us"), NOW + 27 * HOUR, True),
        (pa.int64(), 10**18, False),
    ],
    ids=str,
)
def test_a_moment_that_has_not_come_yet(type, value, expected):
    assert ahead(seen(type, value), NOW) is expected
    stream = Stream(name="t", schema=pa.schema([("at", type)]))
    told = list(doubts(Selection(stream=stream, mode="append", cursor="at"), seen(type, value), NOW))
    assert bool(told) is expected


def test_a_day_that_has_not_come_yet():
    for days, expected in ((1, False), (3, True)):
        found = Boundary("at")
        found.filter(pa.record_batch({"at": pa.array([NOW // (24 * HOUR) + days], pa.int32()).cast(pa.date32())}))
        assert ahead(found, NOW) is expected


def nulls(count, **options):
    found = Boundary("at", **options)
    return found, pa.record_batch({"at": pa.nulls(count, pa.int64()), "id": list(range(count))})


def test_rows_without_a_value_are_known_again():
    found, rows = nulls(3)
    assert found.filter(rows).num_rows == 3
    again = Boundary("at", stored=found.to_json())
    assert (
        again.filter(pa.concat_tables([pa.Table.from_batches([rows])] * 2).combine_chunks().to_batches()[0]).num_rows
        == 3
    )
    without_the_column = Boundary("at", stored=found.to_json())
    assert without_the_column.filter(rows.select(["id"])).num_rows == 0


def test_rows_without_a_value_are_left_out_or_refused():
    found, rows = nulls(3, nulls="exclude")
    assert (found.filter(rows).num_rows, found.left_out, found.gone) == (0, 3, {0, 1, 2})
    found, rows = nulls(3, nulls="error")
    with pytest.raises(DataError, match="row 1 has no value in its cursor at") as refused:
        found.filter(rows)
    assert refused.value.row == 0


@pytest.mark.parametrize(
    ("count", "told"),
    [(1, "1 row without a value in at was left out"), (1200, "1,200 rows without a value in at were left out")],
)
def test_rows_that_were_left_out_are_counted(count, told):
    found, rows = nulls(count, nulls="exclude")
    found.filter(rows)
    stream = Stream(name="t", schema=rows.schema)
    (line,) = doubts(Selection(stream=stream, mode="append", cursor="at"), found, NOW)
    assert line == f"{told}: --null-cursor exclude"


def test_too_many_rows_without_a_value(monkeypatch):
    monkeypatch.setattr(boundary, "LIMIT", 2)
    found, rows = nulls(3, keyless=True)
    with pytest.raises(StreamError, match="more than 2 rows have no value in cursor at"):
        found.filter(rows)
    found, rows = nulls(3)
    assert found.filter(rows).num_rows == 3
    assert found.to_json() == {"nulls": {"overflow": True}}


def test_bytes_are_ordered_and_kept_whole():
    found = Boundary("at")
    found.filter(pa.record_batch({"at": [b"\x00", b"\xff\x00"]}))
    assert found.to_json()["top"] == "ff00"
    again = Boundary("at", stored=found.to_json())
    assert again.filter(pa.record_batch({"at": [b"\xff\x00", b"\xff\x01"]})).to_pylist() == [{"at": b"\xff\x01"}]


def test_a_log_is_not_appended():
    stream = Stream(name="log", schema=pa.schema([("id", pa.int64())]), primary_key=("id",), changes=True)
    with pytest.raises(UsageError, match="would add each change of stream log as a row") as caught:
        choose(stream, Wishes(common=Wish(mode="append")), {})
    assert "--mode merge" in caught.value.next


@pytest.mark.parametrize(("option", "column"), [("cursor", "updated_at"), ("key", "number")])
def test_a_column_of_the_bookmark_that_is_gone(option, column):
    stream = Stream(name="t", schema=pa.schema([("id", pa.int64()), ("at", pa.int64()), ("updatet_at", pa.int64())]))
    remembered = {"mode": "merge", "key": ["id"], "cursor": "at"} | {option: ["number"] if option == "key" else column}
    with pytest.raises(StateError, match=f"no column '{column}' any more, which is the {option}") as caught:
        choose(stream, Wishes(), remembered)
    assert f"--{option} COLUMN --full-refresh" in caught.value.next
