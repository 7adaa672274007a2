"""`state` and `runs`: what a destination remembers."""

import json
from typing import Any

import pyarrow as pa
import pytest
from wherry.testing import MemoryStream
from wherry_shop import Shop


def shown(shop: Shop, *options: str) -> list[dict[str, Any]]:
    """The records of `state show`, of all pipelines."""
    found = json.loads(shop.ok("state", "show", shop.destination, *options, "--json"))
    return [record for kept in found for record in kept["streams"]]


def test_nothing_kept_yet(shop: Shop) -> None:
    assert shop.ok("state", "show", shop.destination) == "no bookmarks yet\n"
    assert shop.ok("state", "show", shop.destination, "--json") == "[]\n"
    assert shop.ok("runs", shop.destination) == "no runs yet\n"
    assert shop.ok("runs") == "no runs yet\n"
    assert "nothing was ever written to memory" in shop.refused(["state", "reset", shop.destination, "--all", "--yes"])


def test_show(shop: Shop) -> None:
    shop.ok("sync", *shop.ends)
    assert shop.ok("state", "show", shop.destination).splitlines()[0].split() == [
        "schema", "pipeline", "stream", "mode", "key", "cursor", "bookmark"
    ]  # fmt: skip
    (orders,) = shown(shop, "orders")
    assert orders["choice"] == {"orders": {"mode": "merge", "key": ["id"], "cursor": "at"}}
    assert orders["bookmark"] is not None
    assert [record["key"] for record in shown(shop)] == ["misc.notes", "orders"]


def test_a_run_without_changes_leaves_it_byte_for_byte(shop: Shop) -> None:
    shop.ok("sync", *shop.ends, "--stream", "orders")
    before = shop.ok("state", "show", shop.destination, "--json")
    shop.ok("sync", *shop.ends, "--stream", "orders")
    assert shop.ok("state", "show", shop.destination, "--json") == before


def test_pipelines_of_several_schemas_are_all_shown(shop: Shop) -> None:
    shop.ok("sync", *shop.ends, "--stream", "orders")
    shop.ok("sync", *shop.ends, "--stream", "orders", "--schema", "other", "--pipeline", "second")
    found = json.loads(shop.ok("state", "show", shop.destination, "--json"))
    assert [(kept["schema"], kept["pipeline"]) for kept in found] == [("memory", "Source-memory"), ("other", "second")]
    assert len(shown(shop, "--pipeline", "second")) == 1
    err = shop.refused(["state", "reset", shop.destination, "orders", "--yes"])
    assert "holds 2 pipelines: Source-memory (schema memory), second (schema other)" in err
    assert "did you mean second?" in shop.refused(["state", "show", shop.destination, "--pipeline", "secnd"])
    assert "holds nothing in schema 'mem'" in shop.refused(["state", "show", shop.destination, "--schema", "mem"])
    shop.ok("state", "reset", shop.destination, "orders", "--yes", "--schema", "other")
    assert len(shown(shop, "--schema", "memory")) == 1
    assert shown(shop, "--schema", "other") == []


def test_reset_reads_again_from_the_start(shop: Shop) -> None:
    shop.ok("sync", *shop.ends, "--stream", "orders", "--mode", "append", "--cursor", "at")
    before = shop.module.STORE.table("memory", "orders").num_rows
    shop.ok("state", "reset", shop.destination, "ord*", "--yes")
    assert shown(shop) == []
    assert shop.module.STORE.table("memory", "orders").num_rows == before
    shop.ok("sync", *shop.ends, "--stream", "orders", "--mode", "append", "--cursor", "at")
    assert shop.module.STORE.table("memory", "orders").num_rows == 2 * before


def test_reset_all(shop: Shop) -> None:
    shop.ok("sync", *shop.ends)
    assert "bookmarks of misc.notes, orders forgotten" in shop.ok("state", "reset", shop.destination, "--all", "--yes")
    assert shown(shop) == []
    assert shop.ok("state", "reset", shop.destination, "--all", "--yes").endswith("has no bookmarks\n")


def test_reset_asks_first(shop: Shop) -> None:
    shop.ok("sync", *shop.ends)
    err = shop.refused(["state", "reset", shop.destination, "orders"])
    assert "forget the bookmarks of orders" in err
    assert "add --yes" in err
    assert len(shown(shop)) == 2
    assert len(json.loads(shop.ok("runs", shop.destination, "--json"))) == 1  # nothing was opened to write


def test_set_keeps_the_choice(shop: Shop) -> None:
    shop.ok("sync", *shop.ends, "--stream", "orders")
    (before,) = shown(shop, "orders")
    value = json.dumps(before["bookmark"]).replace("20", "10")
    assert value != json.dumps(before["bookmark"])
    shop.ok("state", "set", shop.destination, "orders", "--bookmark", value, "--yes")
    (after,) = shown(shop, "orders")
    assert after["bookmark"] == json.loads(value)
    assert {k: v for k, v in after.items() if k != "bookmark"} == {k: v for k, v in before.items() if k != "bookmark"}
    out = shop.ok("sync", *shop.ends, "--stream", "orders", "--json")
    finished = [e for e in map(json.loads, out.splitlines()) if e["event"] == "stream_finished"]
    assert finished[0]["counts"]["read"] == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["set", "orders", "--bookmark", "{x", "--yes"], "--bookmark is not JSON: Expecting property name"),
        (["set", "ordrs", "--bookmark", "1", "--yes"], "no bookmark of stream 'ordrs' is kept"),
        (["set", "*", "--bookmark", "1", "--yes"], "'*' means 2 bookmarks"),
        (["set", "orders", "--bookmark", "1", "--yes"], "not of the form of the one that is kept"),
        (["set", "orders", "--bookmark", '{"a": 1, "a": 2}', "--yes"], "key 'a' stands there twice"),
        (
            ["set", "orders", "--bookmark", '{"cursor": "20", "unit": "us"}'],
            "not done without being asked: set the bookmark of orders",
        ),
        (["show", "ordrs"], "did you mean orders?"),
        (["reset", "ordrs", "--yes"], "no bookmark of stream 'ordrs' is kept"),
        (["reset", "--yes"], "name the streams to reset, or all of them"),
        (["reset", "orders", "--all", "--yes"], "name the streams to reset, or all of them"),
        (["adopt", "nope", "--pipeline", "Source-memory"], 'there is no table "nope"'),
        (["adopt", "nope", "--pipeline", "who"], "in which schema does pipeline who keep its state?"),
    ],
)
def test_wrong_input(shop: Shop, args: list[str], message: str) -> None:
    shop.ok("sync", *shop.ends)
    before = shop.ok("state", "show", shop.destination, "--json")
    assert message in shop.refused(["state", args[0], shop.destination, *args[1:]])
    assert shop.ok("state", "show", shop.destination, "--json") == before


def test_streams_of_one_bookmark_are_reset_together(shop: Shop) -> None:
    ops = pa.array([0, 0], pa.int8())
    rows = pa.table({"id": [1, 2], "_wherry_op": ops})
    shop.module.STREAMS[:] = [
        MemoryStream(name=name, tables=(rows,), key=("id",), changes=True) for name in ("one", "two")
    ]
    shop.ok("sync", *shop.ends, "--set", "log=true")
    (record,) = shown(shop)
    assert (record["key"], record["streams"]) == ("log", ["one", "two"])
    err = shop.refused(["state", "reset", shop.destination, "one", "--yes"])
    assert "stream one shares its bookmark with two" in err
    shop.ok("state", "reset", shop.destination, "one", "two", "--yes")
    assert shown(shop) == []


def test_adopt_lets_another_pipeline_write(shop: Shop) -> None:
    shop.module.STORE.create("memory", "orders", pa.table({"id": [9]}))
    refused = shop.run("sync", *shop.ends, "--stream", "orders")
    assert refused.code != 0
    assert shop.ok("state", "adopt", shop.destination, "orders", "--pipeline", "Source-memory") == (
        "✔ table memory.orders belongs to pipeline Source-memory\n"
    )
    shop.ok("sync", *shop.ends, "--stream", "orders")
    assert sorted(shop.module.STORE.table("memory", "orders").column("id").to_pylist()) == [1, 2, 3, 9]


def test_runs_newest_first(shop: Shop) -> None:
    shop.ok("sync", *shop.ends, "--stream", "orders")
    shop.ok("sync", *shop.ends)
    shop.ok("sync", *shop.ends, "--schema", "other", "--pipeline", "second")
    found = json.loads(shop.ok("runs", shop.destination, "--json"))
    assert [(run["pipeline"], run["run"], run["outcome"]) for run in found] == [
        ("second", 1, "ok"), ("Source-memory", 2, "ok"), ("Source-memory", 1, "ok")
    ]  # fmt: skip
    assert found[2]["inserted"] == 3
    assert found[0]["started"].endswith("Z")
    assert len(json.loads(shop.ok("runs", shop.destination, "--json", "--limit", "1"))) == 1
    heads = shop.ok("runs", shop.destination).splitlines()[0].split()
    assert heads[:6] == ["run", "pipeline", "schema", "started", "took", "outcome"]


def test_runs_of_this_machine(shop: Shop) -> None:
    shop.ok("sync", *shop.ends)
    (run,) = json.loads(shop.ok("runs", "--json"))
    assert (run["run"], run["pipeline"], run["schema"], run["outcome"]) == (1, "Source-memory", "memory", "ok")
    assert (run["source"], run["destination"]) == ("Source memory", "Destination memory")
    assert run["inserted"] == 33


def test_sql_on_a_destination_without_sql(shop: Shop) -> None:
    assert "runs no SQL" in shop.refused(["sql", shop.destination, "select 1"])
    assert "--csv and --json exclude each other" in shop.refused(["sql", shop.destination, "x", "--csv", "--json"])
    assert "the query is empty" in shop.refused(["sql", shop.destination, " "])
