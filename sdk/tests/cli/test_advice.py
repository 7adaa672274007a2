"""Cursors are proposed only where type, promise and index fit, and never chosen."""

import shlex

import pyarrow as pa
import pytest
from wherry.cli import advice
from wherry.cli.style import plain
from wherry.contracts.values import Stream
from wherry.pipeline.select import Wish, Wishes, choose

INSTANT = pa.timestamp("us", "UTC")


def column(name, type=INSTANT, *, null=False, index=True):
    return pa.field(name, type, nullable=null, metadata={b"wherry:index": b"1" if index else b""})


def stream(*columns, name="orders", key=("id",), rows=5_000_000, **options):
    schema = pa.schema([column("id", pa.int64()), *columns])
    return Stream(name=name, schema=schema, primary_key=key, row_estimate=rows, **options)


def proposed(*streams, wishes=None, remembered=None, rows=None):
    wishes = wishes or Wishes()
    choices = [choose(s, wishes, remembered or {}) for s in streams]
    return {p.stream: dict(p.cursors) for p in advice.proposals(choices, wishes, rows)}


def test_a_plausible_column_is_proposed_with_its_reasons():
    found = proposed(stream(column("updated_at"), column("day", pa.date32()), column("seen", pa.timestamp("us"))))
    assert found == {
        "orders": {
            "updated_at": "timestamptz, not null, indexed",
            "day": "date, not null, indexed",
            "seen": "timestamp, not null, indexed",
        }
    }


@pytest.mark.parametrize(
    "field",
    [
        column("updated_at", null=True),
        column("updated_at", index=False),
        column("updated_at", pa.int64()),
        column("updated_at", pa.utf8()),
        column("updated_at", pa.time64("us")),
    ],
    ids=["nullable", "no index", "number", "text", "time of day"],
)
def test_a_name_alone_is_no_reason(field):
    assert proposed(stream(field)) == {}


def test_what_the_author_vouches_for_needs_no_index():
    found = proposed(stream(column("version", pa.int64(), index=False), cursors=("version",)))
    assert found == {"orders": {"version": "bigint, not null, named by the source"}}


def test_small_tables_are_left_alone():
    at = column("updated_at")
    assert proposed(stream(at, rows=99_999)) == {}
    assert proposed(stream(at, rows=5_000_000), rows={"orders": 50}) == {}
    assert proposed(stream(at, rows=50), rows={"orders": 5_000_000}) != {}
    assert proposed(stream(at, rows=None)) != {}


def test_only_where_nothing_was_decided():
    at = column("updated_at")
    assert proposed(stream(at, key=())) == {}
    assert proposed(stream(at), wishes=Wishes(common=Wish(mode="replace"))) == {}
    assert proposed(stream(at), wishes=Wishes(common=Wish(cursor="updated_at"))) == {}
    assert proposed(stream(at), wishes=Wishes(limit=5)) == {}
    assert proposed(stream(at), remembered={"mode": "replace"}) == {}
    assert proposed(stream(at), wishes=Wishes(common=Wish(columns=("id",)))) == {}
    assert proposed(stream(at, changes=True)) == {}


def test_the_text_and_the_command():
    wishes = Wishes()
    choices = [choose(stream(column("updated_at")), wishes, {})]
    args = ["sync", "acmebase://ana@localhost/shop", "shop.lakedb"]
    lines = advice.lines(advice.proposals(choices, wishes), advice.as_command(args))
    assert [plain(line) for line in lines] == [
        (
            "! orders has key id and updated_at (timestamptz, not null, indexed). "
            "To move only changes next time (deletes are not seen):"
        ),
        "    wherry sync acmebase://ana@localhost/shop shop.lakedb --stream orders --cursor updated_at",
    ]


def test_of_two_candidates_none_is_preferred():
    wishes = Wishes()
    choices = [choose(stream(column("created_at"), column("updated_at")), wishes, {})]
    lines = advice.lines(advice.proposals(choices, wishes), advice.as_command(["sync", "a", "b"]))
    assert "name the one that rises with every change" in plain(lines[0])
    assert [plain(line).split()[-1] for line in lines[1:]] == ["created_at", "updated_at"]


def test_three_streams_are_enough():
    wishes = Wishes()
    choices = [choose(stream(column("at"), name=f"t{n}"), wishes, {}) for n in range(5)]
    lines = advice.lines(advice.proposals(choices, wishes), advice.as_command(["sync", "a", "b"]))
    assert len(lines) == 7
    assert plain(lines[-1]) == "  and 2 more streams like these"


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["sync", "a", "b", "--stream", "x", "--mode=replace", "--json", "--schema", "s"],
         "wherry sync a b --schema s --stream 'my orders' --cursor at"),
        (["sync", "a b", "c", "--key", "id", "--set", "user=ana", "--full-refresh"],
         "wherry sync 'a b' c --set user=ana --stream 'my orders' --cursor at"),
    ],
)  # fmt: skip
def test_a_command_keeps_what_concerns_the_connectors(args, command):
    assert advice.as_command(args)("my orders", "at") == command


def test_a_glob_in_a_name_is_meant_literally():
    command = shlex.split(advice.as_command(["sync", "a", "b"])("data[1]*", "at"))
    wishes = Wishes(only=(command[command.index("--stream") + 1],))
    streams = [stream(name="data[1]*"), stream(name="data1x")]
    assert [s.name for s in wishes.wanted(streams)] == ["data[1]*"]


def test_a_setting_for_wherry_yaml():
    import yaml

    text = advice.as_setting("shop.orders: 2", "updated at")
    assert yaml.safe_load(text) == {"streams": {"shop.orders: 2": {"cursor": "updated at"}}}


def doubts(field, *others, cursor="at", remembered=None, **options):
    choice = choose(stream(field, *others, **options), Wishes(common=Wish(cursor=cursor)), remembered or {})
    return [plain(line) for line in advice.doubts([choice])]


def test_doubtful_cursors_are_named():
    assert doubts(column("at", null=True, index=False)) == [
        (
            "! orders: cursor at may be null: rows without a value are read again by each run; to leave them out: "
            "--null-cursor exclude"
        ),
        "! orders: cursor at has no index: every run scans the whole table; create one",
    ]
    assert doubts(column("at")) == []


def test_no_doubts_where_the_source_tells_nothing_or_tells_it_itself():
    silent = Stream(name="orders", schema=pa.schema([("id", pa.int64()), ("at", INSTANT)]), primary_key=("id",))
    assert advice.doubts([choose(silent, Wishes(common=Wish(cursor="at")), {})]) == []
    told = ("orders: no index leads with at; each run scans the table",)
    assert doubts(column("at", index=False), notes=told) == []


def test_doubts_are_told_once():
    remembered = {"mode": "merge", "key": ["id"], "cursor": "at"}
    assert doubts(column("at", null=True), remembered=remembered) == []
