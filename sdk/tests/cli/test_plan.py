"""`plan` and `sync --plan-only`: what a run would do, with nothing changed by asking."""

import json
from typing import Any

import pyarrow as pa
from wherry.testing import MemoryStream
from wherry_shop import Shop


def plan(shop: Shop, *options: str) -> dict[str, dict[str, Any]]:
    """By stream."""
    found = json.loads(shop.ok("plan", *shop.ends, *options, "--json"))
    return {stream["stream"]: stream for stream in found["streams"]}


def test_before_the_first_run(shop: Shop) -> None:
    assert shop.ok("plan", *shop.ends).splitlines() == [
        "Source memory → Destination memory, schema memory   pipeline Source-memory",
        "stream      mode         table               will be  reads     rows",
        "orders      merge on id  memory.orders       created  all rows    ~3",
        "misc.notes  replace      memory__misc.notes  created  all rows   ~30",
        "! orders: deletes are not seen",
        "! orders: rows that are committed late, with an earlier at, are not seen: --lookback reads so much again",
        "! orders: at has no index",
        f"next: wherry sync {shop.source} {shop.destination}",
    ]
    orders = plan(shop)["orders"]
    assert (orders["fate"], orders["mode"], orders["key"], orders["cursor"]) == ("created", "merge", ["id"], "at")
    assert (orders["bookmark"], orders["without"], orders["row_estimate"]) == (None, "none yet", 3)


def test_nothing_is_changed_anywhere(shop: Shop) -> None:
    before = shop.module.STORE.now
    shop.ok("plan", *shop.ends)
    shop.ok("sync", *shop.ends, "--plan-only")
    assert shop.module.STORE.now is before
    shop.ok("sync", *shop.ends)
    before = shop.module.STORE.now
    shop.ok("plan", *shop.ends, "--full-refresh")
    assert shop.module.STORE.now is before


def test_plan_only_is_the_plan(shop: Shop) -> None:
    assert shop.ok("sync", *shop.ends, "--plan-only") == shop.ok("plan", *shop.ends)


def test_after_a_run_it_goes_on_from_the_bookmark(shop: Shop) -> None:
    shop.ok("sync", *shop.ends)
    found = plan(shop)
    orders, notes = found["orders"], found["misc.notes"]
    kept = json.loads(shop.ok("state", "show", shop.destination, "orders", "--json"))[0]["streams"][0]["bookmark"]
    assert (orders["fate"], orders["bookmark"], orders["without"]) == ("kept", kept, None)
    assert orders["destroys"] == []
    assert "of ~3" in shop.ok("plan", *shop.ends)
    assert notes["fate"] == "rebuilt"
    assert notes["destroys"] == ["the rows of memory__misc.notes, when the new ones are complete"]


def test_columns_to_add_and_to_widen(shop: Shop) -> None:
    shop.ok("sync", *shop.ends)
    at = pa.array([10], pa.timestamp("us", "UTC"))
    orders = pa.table({"id": ["x"], "note": ["a"], "at": at, "extra": pa.array([1], pa.int32())})
    shop.module.STREAMS[:] = [MemoryStream(name="orders", tables=(orders,), key=("id",), cursor="at", ordered=True)]
    found = plan(shop)["orders"]
    assert found["added"] == {"extra": "int"}
    assert found["widened"] == {"id": ["bigint", "text"]}
    lines = shop.ok("plan", *shop.ends).splitlines()
    assert "· orders: widens id: bigint → text" in lines
    assert "· orders: adds extra int" in lines


def test_a_rebuild_says_what_goes(shop: Shop) -> None:
    shop.ok("sync", *shop.ends)
    orders = plan(shop, "--full-refresh")["orders"]
    assert (orders["fate"], orders["reads"], orders["bookmark"]) == ("rebuilt", "all rows", None)
    assert orders["destroys"] == ["the rows of memory.orders, and forgets the bookmark"]


def test_a_dropped_table_is_said(shop: Shop) -> None:
    shop.ok("sync", *shop.ends)
    shop.module.STORE.drop("memory", "orders")
    orders = plan(shop)["orders"]
    assert (orders["fate"], orders["bookmark"]) == ("created", None)
    assert orders["without"] == "its table is gone: rebuilt from empty"


def test_a_table_of_somebody_else_is_said(shop: Shop) -> None:
    shop.module.STORE.create("memory", "orders", pa.table({"id": [1]}))
    assert any("was not written by this pipeline" in note for note in plan(shop)["orders"]["notes"])


def test_a_sample_touches_no_bookmark(shop: Shop) -> None:
    shop.ok("sync", *shop.ends)
    orders = plan(shop, "--limit", "2")["orders"]
    assert (orders["table"], orders["fate"], orders["reads"]) == ("orders__sample", "created", "the first 2 rows")
    assert (orders["destroys"], orders["mode"]) == ([], "replace")


def test_what_a_run_would_refuse_is_refused(shop: Shop) -> None:
    both = ["plan", *shop.ends]
    one = [*both, "--stream", "orders"]
    assert "one table 't' cannot take 2 streams: orders, misc.notes" in shop.refused([*both, "--table", "t"])
    assert "no column 'aat'" in shop.refused([*one, "--cursor", "aat"])
    assert "needs a cursor" in shop.refused([*one, "--mode", "replace", "--start", "3"])
    assert "mode replace, which reads stream orders whole" in shop.refused(
        [*one, "--mode", "replace", "--cursor", "at"]
    )
    assert "cannot filter" in shop.refused([*one, "--where", "id = 1"])
    assert "needs a key" in shop.refused([*both, "--mode", "history", "--stream", "misc.notes"])
    shop.ok("sync", *shop.ends)
    assert "was synced with mode merge, now append" in shop.refused([*one, "--mode", "append"])
    assert "wherry state reset" in shop.refused([*one, "--key", "note"])


def test_a_failing_source_is_named(shop: Shop) -> None:
    shop.module.STREAMS[:] = []
    assert shop.refused(["plan", *shop.ends]).startswith("✗ source Source: it offers no streams")
