"""Splits are small values: all that a worker elsewhere has to speak is JSON that gives back an equal value."""

import json
import subprocess
import sys

import pyarrow as pa
import pytest
from wherry import (
    Applied,
    AuthError,
    Counts,
    DataError,
    Entry,
    Lease,
    Progress,
    ReadPlan,
    Receipt,
    Selection,
    Split,
    Stream,
    StreamError,
    TransientError,
    WherryError,
    from_json,
    to_json,
)
from wherry.testing import MemorySource, tables_equal
from wherry.testing.reading import items

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("doc", pa.utf8(), metadata={b"wherry:kind": b"json"}),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("tags", pa.list_(pa.struct([("k", pa.decimal128(38, 9))]))),
    ]
)
STREAM = Stream(
    name="orders", namespace="shop", schema=SCHEMA, primary_key=("id",), cursor="at", ordered=True, changes=True,
    part="file", description="what was bought", row_estimate=7, cursors=("at", "id"), incarnation="2", notes=("a", "b"),
)  # fmt: skip
SELECTION = Selection(
    stream=STREAM, mode="merge", key=("id",), cursor="at", columns=("id", "at"), where="id > 1", start="1", end="9",
    lookback=1.5, table="bought", types={"id": "text"}, limit=3,
)  # fmt: skip
BOOKMARK = {"value": "2026-01-01 00:00:00.000001+00", "big": 2**62, "list": [None, True, 1.5, "ü"]}
SPLIT = Split(key="orders/1", streams=(SELECTION, Selection(stream=STREAM)), bookmark=BOOKMARK, detail=[1, {"a": None}])
VALUES = [
    STREAM,
    SELECTION,
    Selection(stream=STREAM),
    SPLIT,
    ReadPlan(key="log", splits=(SPLIT, SPLIT), after=BOOKMARK, together=True, ordered=True, again=True, id="p1"),
    Entry(
        bookmark=BOOKMARK, done=True, counts={"a.b": Counts(read=5, boundary=1, mapped=4, rejected=2, bytes=99)},
        complete=("a.b",), parts={"a.b": ("x.csv", "y.csv")}, started=2**53 + 1,
    ),
    Receipt(
        load_id=2**53 + 1, seq=3, committed_at=4, notes=("n",),
        applied={"a": Applied(staged=4, inserted=1, updated=2, deleted=1)},
    ),
    Progress(bookmark=BOOKMARK, done=frozenset({"a", "b"}), covers="x", missing=frozenset({"t"}), generation=3),
    Lease(pipeline="p", schema="s", epoch=7, holder="pid 1 on here", since=2**53 + 1, seconds=5),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_splits_are_small_values_the_wire_gives_them_back(value):
    text = json.dumps(to_json(value))
    again = from_json(type(value), json.loads(text))
    assert again == value
    assert to_json(again) == json.loads(text)


def test_schemas_keep_their_metadata_on_the_wire():
    again = from_json(Stream, json.loads(json.dumps(to_json(STREAM))))
    assert again.schema.equals(SCHEMA, check_metadata=True)
    assert not again.schema.field("id").nullable


def test_a_newer_side_may_send_more():
    newer = to_json(SPLIT) | {"colour": "red"}
    newer["streams"][0]["stream"]["mood"] = 1
    assert from_json(Split, newer) == SPLIT


@pytest.mark.parametrize(
    "error",
    [
        AuthError("refused", key="url", next="log in", where="line 3"),
        TransientError("busy", retry_after=2.5),
        TransientError("busy"),
        StreamError("gone", next="leave it out"),
        DataError("no number", column="v", row=0, key="type"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_the_four_author_errors_travel(error):
    again = WherryError.from_json(json.loads(json.dumps(error.to_json())))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert again.exit_code == error.exit_code


def test_an_error_of_a_newer_side_is_still_an_error():
    again = WherryError.from_json({"type": "QuantumError", "message": "both", "next": "look"})
    assert (type(again), again.message, again.next) == (WherryError, "both", "look")


SHARED = """
import pyarrow as pa
from wherry.testing import MemorySource, MemoryStream

ROWS = pa.table({"id": list(range(20)), "at": [n // 3 for n in range(20)], "v": [f"row {n}" for n in range(20)]})

def new_source():
    return MemorySource.of(
        MemoryStream(name="orders", tables=(ROWS,), key=("id",), cursor="at", ordered=True, batch=3, splits=3)
    )
"""
CHILD = (
    SHARED
    + """
import json, sys
from wherry import Batch, Split, from_json

split = from_json(Split, json.load(sys.stdin))
tables = [ROWS.slice(0, 0)] + [item.data for item in new_source().read(split) if isinstance(item, Batch)]
rows = pa.concat_tables(tables)
with pa.ipc.new_stream(sys.stdout.buffer, rows.schema) as out:
    out.write_table(rows)
"""
)


@pytest.mark.parametrize("bookmark", [None, {"cursor": "2"}])
def test_a_split_sent_to_another_process_gives_the_same_rows(bookmark):
    """A worker elsewhere needs nothing more than the split."""
    space = {}
    exec(SHARED, space)
    source: MemorySource = space["new_source"]()
    selection = Selection(stream=next(iter(source.discover())), mode="merge", key=("id",), cursor="at")
    (plan,) = source.plan([selection], {})
    assert len(plan.splits) == 3
    got = []
    for split in plan.splits:
        split = Split(key=split.key, streams=split.streams, detail=split.detail, bookmark=bookmark)
        here = [item.rows for item in items(source, split) if item.rows is not None]
        sent = json.dumps(to_json(split)).encode()
        assert len(sent) < 4096
        child = subprocess.run([sys.executable, "-c", CHILD], input=sent, capture_output=True, timeout=60)
        assert child.returncode == 0, child.stderr.decode()
        there = pa.ipc.open_stream(child.stdout).read_all()
        tables_equal(pa.concat_tables([space["ROWS"].slice(0, 0), *here]), there)
        got.append(there)
    whole = pa.concat_tables(got)
    assert whole.num_rows == (20 if bookmark is None else 14)
