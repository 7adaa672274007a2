"""`check`, `discover`, `preview`: looking at connectors, from the command line."""

import json

import pytest
from wherry_shop import Shop


def test_check_says_what_was_reached_and_where_rows_would_go(shop: Shop) -> None:
    assert shop.ok("check", shop.source) == "✔ source Source: memory reached\n"
    assert shop.ok("check", *shop.ends).splitlines() == [
        "✔ source Source: memory reached",
        "✔ destination Destination: memory reached",
        "  pipeline Source-memory → schema memory (no run yet)",
        "! orders: at has no index",
    ]
    shop.ok("sync", *shop.ends)
    assert "schema memory (run 1: ok)" in shop.ok("check", *shop.ends)
    records = json.loads(shop.ok("check", *shop.ends, "--schema", "other", "--json"))
    assert [r["ok"] for r in records] == [True, True, True]
    assert records[2] == {
        "ok": True,
        "pipeline": "Source-memory",
        "schema": "other",
        "run": None,
        "notes": ["orders: at has no index"],
    }


def test_check_leaves_nothing_behind(shop: Shop) -> None:
    shop.ok("check", *shop.ends)
    assert shop.module.STORE.now.runs == {}
    assert len(shop.module.closed) == 2  # one that was reached, one that told what is doubtful about its cursors


def test_check_of_two_ends_reports_each(shop: Shop) -> None:
    result = shop.run("check", "nowhere.xyz", shop.destination)
    assert (result.code, result.out) == (2, "✔ destination Destination: memory reached\n")
    assert result.lines[0] == "✗ no installed source knows .xyz files: nowhere.xyz"
    failed, reached = json.loads(shop.run("check", "nowhere.xyz", shop.destination, "--json").out)
    assert not failed["ok"]
    assert failed["error"]["message"].startswith("no installed source knows")
    assert reached["ok"]


def test_a_key_that_is_not_known_names_its_option(shop: Shop) -> None:
    err = shop.refused(["check", shop.source, "--set", "nme=x"])
    assert "unknown key 'nme': did you mean 'name'?" in err
    assert "--set nme" in err


def test_discover(shop: Shop) -> None:
    assert shop.ok("discover", shop.source).splitlines() == [
        "stream      key  cursor  rows  description",
        "orders      id   at         3  what was bought",
        "misc.notes                 30",
    ]
    assert shop.ok("discover", shop.source, "--stream", "misc.*").splitlines()[1:] == ["misc.notes    30"]


def test_discover_columns(shop: Shop) -> None:
    assert shop.ok("discover", shop.source, "--columns").splitlines() == [
        "stream      column  type         null  role    comment",
        "orders      id      bigint             key",
        "orders      note    text                       what the customer said",
        "orders      at      timestamptz        cursor",
        "misc.notes  text    text",
    ]
    orders, notes = json.loads(shop.ok("discover", shop.source, "--columns", "--json"))
    assert [c["type"] for c in orders["columns"]] == ["bigint", "text", "timestamptz"]
    assert orders["columns"][1]["comment"] == "what the customer said"
    assert (notes["stream"], notes["namespace"], notes["row_estimate"]) == ("misc.notes", "misc", 30)


def test_a_glob_that_means_nothing_has_near_names(shop: Shop) -> None:
    for command in (["discover"], ["preview"], ["plan"]):
        ends = shop.ends if command == ["plan"] else shop.ends[:1]
        assert shop.refused([*command, *ends, "--stream", "ordrs"]).splitlines() == [
            "✗ no stream matches 'ordrs'", "  next: did you mean orders?"
        ]  # fmt: skip


def test_preview_shows_first_rows_on_one_line_each(shop: Shop) -> None:
    assert shop.ok("preview", shop.source, "--stream", "orders").splitlines() == [
        r"id  note                 at",
        r" 1  a                    1970-01-01 00:00:00.00001Z",
        r" 2  ∅                    1970-01-01 00:00:00.00002Z",
        r" 3  line\nfeed \x1b[31m  1970-01-01 00:00:00.00002Z",
    ]
    out = shop.ok("preview", shop.source, "--limit", "2")
    assert out.splitlines()[0] == "orders"
    assert out.count("\nx") == 2


def test_preview_fits_a_narrow_terminal(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    lines = shop.ok("preview", shop.source, "--stream", "orders").splitlines()
    assert lines[1] == " 1  a          1970-01-…"
    assert max(map(len, lines)) <= 24


def test_preview_json_is_one_object_a_line(shop: Shop) -> None:
    lines = shop.ok("preview", shop.source, "--stream", "orders", "--columns", "id,note", "--json").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": 1, "note": "a"}, {"id": 2, "note": None}, {"id": 3, "note": "line\nfeed \x1b[31m"}
    ]  # fmt: skip
    lines = shop.ok("preview", shop.source, "--limit", "1", "--json").splitlines()
    assert [json.loads(line)["stream"] for line in lines] == ["orders", "misc.notes"]


def test_preview_closes_its_source_and_refuses_what_has_no_effect(shop: Shop) -> None:
    shop.ok("preview", shop.source)
    assert len(shop.module.closed) == 1
    assert "cannot filter" in shop.refused(["preview", shop.source, "--where", "id = 1"])
    assert "no column 'nte'" in shop.refused(["preview", shop.source, "--stream", "orders", "--columns", "nte"])
    assert "0 is not in the range x>=1" in shop.refused(["preview", shop.source, "--limit", "0"])
