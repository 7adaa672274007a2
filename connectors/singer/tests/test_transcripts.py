"""What a tap may send, in good order and in bad: which rows are there afterwards, and which exit code it gives."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from wherry.testing import Wish
from wherry_taps import ID, TEXT, WHEN, Script, activate, entry, record, records, schema, state

PLAIN = {"id": ID, "name": TEXT}
USERS = schema("users", PLAIN)
MERGE = Wish(mode="merge", key=("id",))


def test_values_come_as_they_are(tap: Script) -> None:
    properties = {
        "id": ID, "at": WHEN, "day": {"type": "string", "format": "date"},
        "price": {"type": "number", "multipleOf": 0.01},
        "size": {"type": ["null", "number"]}, "big": {"type": "integer"}, "uid": {"type": "string", "format": "uuid"},
        "home": {"type": "object", "properties": {"town": TEXT, "zip": ID}}, "tags": {"type": "array", "items": TEXT},
        "free": {"type": "object"}, "any": {}, "ref": {"$ref": "#/definitions/when"},
        "old": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": ["null"]}]},
        "two": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "amount": {"type": "string", "format": "singer.decimal"},
    }  # fmt: skip
    tap.streams = [entry("users", properties)]
    values = {
        "id": 1, "at": "2024-02-29T23:59:59.123456+02:00", "day": "2024-02-29", "price": 12.5, "size": 3,
        "big": 2**53 + 1,
        "uid": "7c19b3b1-b68a-45b6-ad50-27814d82d184", "home": {"town": "Ü", "zip": 7}, "tags": ["a", None],
        "free": {"k": [1, {"x": None}]}, "any": "text", "ref": "2024-01-01T00:00:00Z", "old": "2024-01-01T00:00:00Z",
        "two": "5", "amount": "12345678901234567890.5",
    }  # fmt: skip
    definitions = {"when": {"type": "string", "format": "date-time"}}
    tap.sync(
        schema("users", properties, definitions=definitions), record("users", **values), record("users", id=2, two=5)
    )
    first, second = tap.rows()
    new_year = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    assert first == {
        "id": 1, "at": dt.datetime(2024, 2, 29, 21, 59, 59, 123456, dt.UTC), "day": dt.date(2024, 2, 29),
        "price": Decimal("12.50"), "size": 3.0, "big": 2**53 + 1, "uid": values["uid"], "home": {"town": "Ü", "zip": 7},
        "tags": ["a", None], "free": '{"k":[1,{"x":null}]}', "any": '"text"', "ref": new_year, "old": new_year,
        "two": '"5"', "amount": values["amount"],
    }  # fmt: skip
    assert second["two"] == "5"
    assert second["at"] is None


def test_times_without_a_zone_stay_without(tap: Script) -> None:
    tap.streams = [entry("users", {"id": ID, "at": WHEN, "odd": WHEN})]
    tap.sync(
        schema("users", {"id": ID, "at": WHEN, "odd": WHEN}),
        record("users", id=1, at="2024-01-01T10:00:00", odd="soon"),
    )
    assert tap.rows() == [{"id": 1, "at": dt.datetime(2024, 1, 1, 10), "odd": "soon"}]


def test_numbers_keep_every_digit(tap: Script) -> None:
    tap.streams = [entry("users", {"id": ID, "n": {"type": "number"}})]
    line = '{"type": "RECORD", "stream": "users", "record": {"id": %s, "n": %s}}\n'
    text = line % (1, "12345678901234567.89") + line % (2, "0.1")
    tap.sync(schema("users", {"id": ID, "n": {"type": "number"}}), {"text": text})
    assert [str(row["n"]) for row in tap.rows()] == ["12345678901234567.89", "0.10"]


def test_streams_that_take_turns(tap: Script) -> None:
    tap.streams += [entry("visits", {"id": ID, "user": ID})]
    steps: list[Any] = [USERS, schema("visits", {"id": ID, "user": ID})]
    for n in range(50):
        steps += [record("users", id=n, name=f"n{n}"), record("visits", id=n, user=n), state(users=n)]
    outcome = tap.sync(*steps)
    assert tap.ids() == tap.ids("visits") == list(range(50))
    assert {s.stream: s.counts["inserted"] for s in outcome.streams} == {"users": 50, "visits": 50}


def test_streams_that_were_not_asked_for_are_left(tap: Script) -> None:
    tap.sync(USERS, *records("users", 2), schema("more", {"id": ID}), record("more", id=1), record("visits", id=1))
    assert tap.ids() == [0, 1]


def test_schema_twice_and_again_with_another_column(tap: Script) -> None:
    wider = PLAIN | {"age": {"type": "integer"}}
    tap.sync(
        USERS, *records("users", 2), USERS, *records("users", 1, first=2), schema("users", wider),
        record("users", id=3, name="n3", age=30),
    )  # fmt: skip
    assert [(row["id"], row["age"]) for row in tap.rows()] == [(0, None), (1, None), (2, None), (3, 30)]


def test_a_column_that_no_schema_tells_is_kept(tap: Script) -> None:
    tap.sync(USERS, record("users", id=1, name="a", _sdc_batched_at="2024-01-01", more=[1]))
    assert tap.rows() == [{"id": 1, "name": "a", "_sdc_batched_at": "2024-01-01", "more": [1]}]


@pytest.mark.parametrize(
    ("steps", "code", "told"),
    [
        ([*records("users", 1), USERS], 3, "a record of users before its schema"),
        ([USERS, {"say": {"type": "BATCH", "stream": "users", "manifest": []}}], 3, "BATCH"),
        ([USERS, {"text": '{"type": "RECORD", "stream": "users", "rec\n'}], 3, "cannot be read"),
        ([USERS, {"text": 'noise{"type": "RECORD", "stream": "users", "record": {"id": 1}}\n'}], 3, "up to byte"),
        ([USERS, {"say": {"type": "RECORD", "stream": "users"}}], 3, "without a value"),
        ([USERS, record("users", name="a")], 6, ""),
        ([USERS, {"text": '{"type": "RECORD", "stream": "users", "record": {"id": 1, "name": "\xff"}}\n'}], 6, ""),
    ],
    ids=["record first", "batch", "cut line", "noise before", "no record", "no key", "not utf-8"],
)
def test_what_cannot_be_taken(tap: Script, steps: list[Any], code: int, told: str) -> None:
    tap.sync(USERS, *records("users", 3), wish=MERGE)
    outcome = tap.sync(*steps, wish=MERGE, code=code)
    assert told in tap.said(outcome)
    assert tap.ids() == [0, 1, 2]


def test_unknown_messages_and_noise_are_no_rows(tap: Script) -> None:
    tap.sync(
        {"text": "Warning: starting\n\x1b[31mred\x1b[0m\n\n"}, USERS, {"say": {"type": "METRIC", "value": 1}},
        {"say": [1]},
        *records("users", 2), {"text": "1\n"}, state(someone_else=5), {"text": '{"a": 1}\n'},
    )  # fmt: skip
    assert tap.ids() == [0, 1]


def test_line_ends_of_windows_and_none_at_the_end(tap: Script) -> None:
    line = '{"type": "RECORD", "stream": "users", "record": {"id": %d}}'
    tap.sync(USERS, {"text": "".join(line % n + "\r\n" for n in range(3)) + line % 3})
    assert tap.ids() == [0, 1, 2, 3]


def test_other_orders_of_members(tap: Script) -> None:
    tap.sync(
        USERS, {"text": '{"record": {"id": 1}, "stream": "users", "type": "RECORD"}\n'},
        {"text": '{"type":"RECORD","stream":"users","record":{"id":2}}\n'},
        {"text": '{"type" : "RECORD", "record": {"id": 3}, "stream": "users"}\n'}, *records("users", 1, first=4),
    )  # fmt: skip
    assert tap.ids() == [1, 2, 3, 4]


def test_an_empty_stream_is_empty_and_one_without_a_word_keeps_its_table(tap: Script) -> None:
    tap.sync(USERS, *records("users", 3))
    outcome = tap.sync({"err": "nothing today\n"}, code=3)
    assert "without a word of stream users" in tap.said(outcome)
    assert tap.ids() == [0, 1, 2]
    tap.sync(USERS)
    assert tap.ids() == []


class TestVersions:
    """ACTIVATE_VERSION."""

    def test_a_full_table_is_its_new_version(self, tap: Script) -> None:
        for version in (1, 2):
            rows = [record("users", version, id=n, name="a") for n in range(version, version + 3)]
            tap.sync(USERS, *rows, activate("users", version))
        assert tap.ids() == [2, 3, 4]

    def test_a_new_version_in_merge_ends_the_old_rows(self, tap: Script) -> None:
        tap.sync(
            USERS, *[record("users", 1, id=n, name="a") for n in range(3)], activate("users", 1), state(), wish=MERGE
        )
        tap.sync(USERS, activate("users", 1), record("users", 1, id=3, name="b"), state(), wish=MERGE)
        assert tap.ids() == [0, 1, 2, 3]
        steps = [record("users", 7, id=n, name="c") for n in (2, 9)]
        tap.sync(USERS, *steps, state(half=1), activate("users", 7), state(half=2), wish=MERGE)
        assert [(row["id"], row["name"]) for row in tap.rows()] == [(2, "c"), (9, "c")]

    @pytest.mark.parametrize("end", [[], [{"exit": 1}], [activate("users", 6)]], ids=["exit 0", "exit 1", "another"])
    def test_a_version_that_is_never_activated_ends_nothing(self, tap: Script, end: list[Any]) -> None:
        tap.sync(
            USERS, *[record("users", 1, id=n, name="a") for n in range(3)], activate("users", 1), state(), wish=MERGE
        )
        tap.sync(USERS, record("users", 7, id=9, name="c"), state(half=1), *end, wish=MERGE, code=3)
        assert tap.ids() == [0, 1, 2]

    @pytest.mark.parametrize("mode", ["merge", "append"])
    def test_a_new_version_brings_rows_that_were_there_before(self, tap: Script, mode: Any) -> None:
        wish = Wish(mode=mode, cursor="id", key=("id",) if mode == "merge" else None)
        for version in (1, 2):
            rows = [record("users", version, id=n, name="a") for n in range(3)]
            tap.sync(USERS, activate("users", version), *rows, state(users={"id": 2}), wish=wish)
            assert tap.ids() == [0, 1, 2]

    def test_versions_without_rows(self, tap: Script) -> None:
        tap.sync(
            USERS, *[record("users", 1, id=n, name="a") for n in range(3)], activate("users", 1), state(), wish=MERGE
        )
        tap.sync(USERS, activate("users", 1), state(), wish=MERGE)
        assert tap.ids() == [0, 1, 2]
        tap.sync(activate("users", 5), state(), wish=MERGE)  # of a stream without a schema: nothing is declared
        assert tap.ids() == [0, 1, 2]
        tap.sync(USERS, activate("users", 9), state(), wish=MERGE)
        assert tap.ids() == []

    def test_versions_that_change_within_a_block(self, tap: Script) -> None:
        rows = [
            record("users", 1, id=1, name="a"),
            record("users", 2, id=2, name='"version": 1'),
            record("users", id=3),
        ]
        tap.sync(USERS, *rows, activate("users", 2))
        assert tap.ids() == [2, 3]


def test_a_log_tells_of_deletes(tap: Script) -> None:
    properties = PLAIN | {"_sdc_deleted_at": WHEN}
    tap.streams = [entry("users", PLAIN, replication_method="LOG_BASED")]
    tap.sync(schema("users", properties), *records("users", 3), state(lsn=1))
    gone = record("users", id=1, _sdc_deleted_at="2024-01-01T00:00:00Z")
    tap.sync(schema("users", properties), record("users", id=2, name="new"), gone, state(lsn=2))
    assert tap.rows() == [{"id": 0, "name": "n0"}, {"id": 2, "name": "new"}]


def test_deleted_at_is_a_column_where_there_is_no_log(tap: Script) -> None:
    tap.sync(
        schema("users", PLAIN | {"_sdc_deleted_at": WHEN}),
        record("users", id=1, _sdc_deleted_at="2024-01-01T00:00:00Z"),
    )
    assert tap.rows()[0]["_sdc_deleted_at"] == dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
