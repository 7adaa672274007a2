"""`wherry rejects` in process, over the destination in memory."""

import json
import shlex
from dataclasses import replace

import pyarrow as pa
import pytest
from wherry.testing import MemoryDestination, MemoryStream


@pytest.fixture
def rejecting(shop):
    """Orders with two rows that are no numbers, loaded with those set aside."""
    rows = pa.table({"id": [1, 2, 3], "n": ["1", "x", "y"]})
    shop.module.STREAMS[:] = [MemoryStream(name="orders", tables=(rows,), key=("id",))]
    options = ("--mode", "merge", "--type", "n=bigint", "--max-rejects", "2", "--quiet")
    shop.ok("sync", *shop.ends, *options)
    return shop


def listed(shop):
    return json.loads(shop.ok("rejects", "list", shop.destination, "--json"))


def shown(shop, *args):
    return [
        json.loads(line)
        for line in shop.ok("rejects", "show", shop.destination, "orders", "--json", *args).splitlines()
    ]


def test_list_counts_by_column_and_reason(rejecting):
    assert listed(rejecting) == [
        {"schema": "memory", "pipeline": "Source-memory", "stream": "orders", "table": "orders__rejected", "rows": 2,
         "column": "n", "reason": "column 'n': not a bigint"}
    ]  # fmt: skip
    assert "orders__rejected     2  n" in rejecting.ok("rejects", "list", rejecting.destination)


def test_show_is_the_only_place_of_values(rejecting):
    rows = shown(rejecting)
    assert [json.loads(row["raw"]) for row in rows] == [{"id": 2, "n": "x"}, {"id": 3, "n": "y"}]
    assert shown(rejecting, rows[1]["id"][:8]) == rows[1:]
    assert len(shown(rejecting, "--limit", "1")) == 1
    assert '"n": "x"' in rejecting.ok("rejects", "show", rejecting.destination, "orders")


def test_replay_leaves_what_does_not_fit(rejecting):
    result = rejecting.run("rejects", "replay", rejecting.destination, "orders")
    assert result.code == 6
    assert result.out.splitlines() == ["✔ 0 rows moved into orders", "! 2 rows left: column 'n': not a bigint"]
    id = shown(rejecting)[0]["id"]
    said = rejecting.ok("rejects", "replay", rejecting.destination, "orders", id, "--type", "n=text")
    assert said.splitlines()[0] == "✔ 1 row moved into orders"
    assert "next: give the next sync the same --type" in said
    assert rejecting.module.STORE.table("memory", "orders").to_pylist() == [{"id": 1, "n": "1"}, {"id": 2, "n": "x"}]
    assert [json.loads(row["raw"])["id"] for row in shown(rejecting)] == [3]


def test_drop_asks(rejecting):
    said = rejecting.refused(["rejects", "drop", rejecting.destination, "orders"])
    assert "delete 2 rows rejected of stream orders" in said
    assert "add --yes" in said
    assert rejecting.ok("rejects", "drop", rejecting.destination, "orders", "--yes") == "✔ 2 rows deleted\n"
    assert listed(rejecting) == []
    again = rejecting.ok("rejects", "drop", rejecting.destination, "orders")
    assert again == "stream orders has no rejected rows\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["show", "ordrs"], "did you mean orders?"),
        (["show", "orders", "zz"], "no rejected row of stream orders with the id 'zz'"),
        (["replay", "orders", "--type", "n"], "--type takes NAME=VALUE"),
        (["replay", "orders", "--type", "n=nonsense"], "type 'nonsense'"),
    ],
)
def test_wrong_input(rejecting, args, said):
    assert said in rejecting.refused(["rejects", args[0], rejecting.destination, *args[1:]])


def test_nothing_is_rejected(shop):
    shop.ok("sync", *shop.ends, "--quiet")
    assert shop.ok("rejects", "list", shop.destination) == "no rejected rows\n"
    assert "has no rejected rows" in shop.refused(["rejects", "show", shop.destination, "orders"])


def advised(shop, *options):
    """The command that a sync advises, as arguments."""
    said = shop.ok("sync", *shop.ends, "--type", "n=bigint", "--max-rejects", "2", "--full-refresh", *options)
    (command,) = [line.partition("see  ")[2] for line in said.splitlines() if "see  wherry rejects" in line]
    return shlex.split(command)[1:]


def test_the_advised_command_means_the_pipeline_that_was_run(rejecting, monkeypatch):
    """It says as much as is needed: nothing, the pipeline, or the schema as well."""
    monkeypatch.setattr(MemoryDestination, "capabilities", replace(MemoryDestination.capabilities, sql=True))
    plain = ["rejects", "show", rejecting.destination, "orders"]
    assert advised(rejecting) == plain
    named = advised(rejecting, "--pipeline", "two", "--table", "other_{stream}")
    assert named == [*plain, "--pipeline", "two"]
    assert "not a bigint" in rejecting.ok(*named)
    assert advised(rejecting) == [*plain, "--pipeline", "Source-memory"]
    both = advised(rejecting, "--pipeline", "two", "--schema", "apart")
    assert both == [*plain, "--pipeline", "two", "--schema", "apart"]
    assert "not a bigint" in rejecting.ok(*both)
    assert "say which" in rejecting.refused(plain)
