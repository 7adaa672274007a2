"""Streams of an API into tables: pages, parents, items, deletes, answers that are none. The log is the oracle."""

from __future__ import annotations

import re
from typing import Any

import pytest
import wherry
from wherry.pipeline.select import Wish, Wishes
from wherry_web import Asked, said

from .conftest import Shore, paged

CURSOR = {"type": "cursor", "param": "offset", "path": "next"}
ROWS = [{"id": n, "name": f"n{n}", "tags": ["a", "b"][: n % 3], "at": {"day": n}} for n in range(25)]


def test_pages_become_one_table(shore: Shore) -> None:
    shore.routes["/items"] = paged(ROWS, 10)
    done = shore.sync({"items": {"records": "data", "primary_key": "id", "paginate": CURSOR}})
    assert done.exit_code == 0
    assert shore.rows("items") == sorted(ROWS, key=str)
    assert shore.asked() == ["/items", "/items?offset=10", "/items?offset=20"]


def test_a_200_without_records_fails_the_stream_and_leaves_its_table(shore: Shore) -> None:
    shore.routes["/items"] = {"data": ROWS[:2]}
    stream = {"items": {"records": "data"}}
    assert shore.sync(stream).exit_code == 0
    shore.routes["/items"] = {"error": "quota"}
    done = shore.sync(stream)
    assert done.exit_code == 3
    assert "no records at 'data'" in str(done.streams[0].error)
    assert shore.ids("items") == [0, 1]


def test_an_empty_list_is_no_error(shore: Shore) -> None:
    shore.routes["/items"] = {"data": []}
    assert shore.sync({"items": {"records": "data", "schema": {"id": "bigint"}}}).exit_code == 0
    assert shore.rows("items") == []


def test_children_are_asked_for_each_row_of_their_parent(shore: Shore) -> None:
    shore.routes["/orgs"] = [{"id": "a/b", "name": "x"}, {"id": "c", "name": None}]
    shore.routes["/orgs/a%2Fb/users"] = paged([{"id": n} for n in range(3)], 2)
    shore.routes["/orgs/c/users"] = {"data": [{"id": 9}], "next": None}
    shore.sync({
        "orgs": {"primary_key": "id"},
        "users": {"path": "orgs/{parent.id}/users", "parent": "orgs", "records": "data", "paginate": CURSOR,
                  "include_parent": ["id", "name"]},
    })  # fmt: skip
    assert shore.rows("users") == [
        {"id": 0, "_orgs_id": "a/b", "_orgs_name": "x"},
        {"id": 1, "_orgs_id": "a/b", "_orgs_name": "x"},
        {"id": 2, "_orgs_id": "a/b", "_orgs_name": "x"},
        {"id": 9, "_orgs_id": "c", "_orgs_name": None},
    ]


def test_grandchildren_know_their_grandparents(shore: Shore) -> None:
    shore.routes["/a"] = [{"id": 1}, {"id": 2}]
    for a in (1, 2):
        shore.routes[f"/a/{a}/b"] = [{"id": 10 * a + n} for n in range(2)]
        for b in range(2):
            shore.routes[f"/a/{a}/b/{10 * a + b}/c"] = [{"id": 100 * a + b}]
    shore.sync({
        "a": {},
        "b": {"path": "a/{parent.id}/b", "parent": "a", "include_parent": "id"},
        "c": {"path": "a/{parent._a_id}/b/{parent.id}/c", "parent": "b"},
    })  # fmt: skip
    assert shore.ids("b") == [10, 11, 20, 21]
    assert shore.ids("c") == [100, 101, 200, 201]


def test_items_come_from_the_configuration(shore: Shore) -> None:
    for repo in ("x", "y%20z"):
        shore.routes[f"/repos/{repo}/issues"] = [{"id": repo}]
    source = shore.source(
        {"issues": {"path": "repos/{item}/issues", "for_each": ["x", "y z"], "params": {"q": "is:{item}"}}}
    )
    read = [item for plan in source.plan(_selected(source), {}) for item in source.read(plan.splits[0])]
    assert [row for batch in read for row in batch.data.to_pylist()] == [{"id": "x"}, {"id": "y%20z"}]
    assert shore.asked() == ["/repos/x/issues?q=is%3Ax", "/repos/y%20z/issues?q=is%3Ay%20z"]
    source.close()


def _selected(source: Any) -> list[Any]:
    return [wherry.Selection(stream=stream) for stream in source.discover()]


@pytest.mark.parametrize(("action", "expected"), [("skip", [0, 2]), ("stop", [0])])
def test_rules_say_what_an_answer_means(shore: Shore, action: str, expected: list[int]) -> None:
    shore.routes["/p"] = [{"id": n} for n in range(3)]
    shore.routes |= {"/p/0/c": [{"id": 0}], "/p/1/c": said({"why": "gone"}, 410), "/p/2/c": [{"id": 2}]}
    rules = [{"status": 410, "do": action}]
    done = shore.sync({"p": {}, "c": {"path": "p/{parent.id}/c", "parent": "p", "on_response": rules}})
    assert done.exit_code == 0
    assert shore.ids("c") == expected


def test_deletes_that_the_api_tells_are_deletes(shore: Shore) -> None:
    stream = {"items": {"primary_key": "id", "deleted": {"path": "meta.state", "equals": "gone"}}}
    shore.routes["/items"] = [{"id": n, "meta": {"state": "here"}} for n in range(3)]
    assert shore.sync(stream).exit_code == 0
    shore.routes["/items"] = [{"id": 1, "meta": {"state": "gone"}}, {"id": 3, "meta": {"state": "here"}}]
    assert shore.sync(stream).exit_code == 0
    assert shore.ids("items") == [0, 2, 3]


def test_a_mark_of_deletion_may_be_its_being_there(shore: Shore) -> None:
    shore.routes["/items"] = [{"id": 1}, {"id": 2, "gone_at": "2024"}, {"id": 3, "gone_at": None}]
    shore.sync({"items": {"primary_key": "id", "deleted": {"path": "gone_at", "exists": True}}})
    assert shore.ids("items") == [1, 3]


def test_a_page_that_does_not_fit_widens_the_table(shore: Shore) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "v": 1}, {"id": 2, "v": 2.5}, {"id": 3, "v": "x", "new": [1]}]
    shore.routes["/items"] = paged(rows, 1)
    shore.sync({"items": {"records": "data", "paginate": CURSOR}})
    found = {row["id"]: row for row in shore.rows("items")}
    assert found[3]["new"] == [1]
    assert [str(found[n]["v"]) for n in (1, 2)] == ["1", "2.5"]
    assert found[3]["v"] in ("x", '"x"')


def test_parameters_of_paging_override_and_go_into_the_body_of_a_post(shore: Shore) -> None:
    def answer(asked: Asked) -> Any:
        import json

        sent = json.loads(asked.body)
        sizes.append(sent)
        after = sent["variables"].get("after")
        return {"data": {"nodes": [{"id": 1 if after is None else 2}], "end": None if after else "c1"}}

    sizes: list[Any] = []
    shore.routes["/graphql"] = answer
    shore.sync({
        "nodes": {
            "path": "graphql", "method": "POST", "records": "data.nodes", "params": {"v": 1},
            "body": {"query": "{ a(first: 2) { b } }", "variables": {"first": 2}},
            "paginate": {"type": "cursor", "param": "variables.after", "path": "data.end"},
        },
    })  # fmt: skip
    assert sizes == [
        {"query": "{ a(first: 2) { b } }", "variables": {"first": 2}},
        {"query": "{ a(first: 2) { b } }", "variables": {"first": 2, "after": "c1"}},
    ]
    assert shore.asked() == ["/graphql?v=1", "/graphql?v=1"]
    assert shore.ids("nodes") == [1, 2]


def test_a_next_address_keeps_its_own_parameters(shore: Shore) -> None:
    def answer(asked: Asked) -> Any:
        after = asked.query.get("after")
        return {"data": [{"id": after or "0"}], "next": None if after else "/items?after=1&size=5"}

    shore.routes["/items"] = answer
    words = {"params": {"size": 50, "deep": True}, "paginate": {"type": "next_url", "path": "next"}}
    shore.sync({"items": {"records": "data"}}, **words)
    assert shore.asked() == ["/items?size=50&deep=true", "/items?after=1&size=5&deep=true"]


def test_a_cycle_of_pages_fails_the_stream_after_few_requests(shore: Shore) -> None:
    shore.routes["/items"] = lambda asked: {"data": [{"id": int(asked.query.get("t", 0)) % 3}], "next": "5"}
    stream = {"items": {"records": "data", "paginate": {"type": "cursor", "param": "t", "path": "next"}}}
    done = shore.sync(stream)
    assert done.exit_code == 3
    assert re.search("page 3 holds what an earlier page held", str(done.streams[0].error))
    assert len(shore.asked()) == 3


def test_one_token_on_every_page_is_no_cycle(shore: Shore) -> None:
    left = [[{"id": n}] for n in range(5)] + [[]]
    shore.routes["/items"] = lambda asked: {"data": left.pop(0), "next": "same"}
    stream = {"items": {"records": "data", "paginate": {"type": "cursor", "param": "t", "path": "next"}}}
    assert shore.sync(stream).exit_code == 0
    assert shore.ids("items") == list(range(5))


def test_names_of_a_map_become_a_column(shore: Shore) -> None:
    shore.routes["/rates"] = {"eur": {"rate": 1}, "usd": {"rate": 2}}
    shore.sync({"rates": {"records": "*", "include_key": "code"}})
    assert shore.rows("rates", "code", "rate") == [{"code": "eur", "rate": 1}, {"code": "usd", "rate": 2}]


def test_flattened_rows_have_columns_for_what_is_inside(shore: Shore) -> None:
    shore.routes["/items"] = [{"id": 1, "who": {"name": "x", "at": {"city": "y"}}}]
    shore.sync({"items": {"flatten": True}})
    assert shore.rows("items") == [{"id": 1, "who__name": "x", "who__at__city": "y"}]


def test_a_parent_without_the_field_is_named(shore: Shore) -> None:
    shore.routes["/p"] = [{"id": 1}]
    done = shore.sync({"p": {}, "c": {"path": "p/{parent.nr}/c", "parent": "p"}})
    failed = next(s for s in done.streams if s.stream == "c")
    assert "no field 'nr'" in str(failed.error)
    assert done.exit_code == 5


def test_columns_of_a_stream_that_declares_none_are_chosen_by_name(shore: Shore) -> None:
    shore.routes["/items"] = [{"id": 1, "a": 1, "b": 2}]
    stream = {"items": {"primary_key": "id"}}
    shore.sync(stream, run_wish=Wish(columns=("b",), mode="merge"))
    assert shore.rows("items") == [{"id": 1, "b": 2}]
    with pytest.raises(wherry.UsageError, match="known only when it is read, so '!a' chooses none"):
        shore.sync(stream, run_wish=Wish(columns=("!a",)))


def test_bodies_of_several_parents_are_told_apart_when_they_are_parsed_together(shore: Shore) -> None:
    shore.routes["/p"] = [{"id": n, "name": None if n == 4 else f"p{n}"} for n in range(50)]
    for n in range(50):
        shore.routes[f"/p/{n}/c"] = [{"id": n * 100 + k} for k in range(n % 4)]
    shore.sync({"p": {}, "c": {"path": "p/{parent.id}/c", "parent": "p", "include_parent": ["id", "name"]}})
    found = {row["id"]: (row["_p_id"], row["_p_name"]) for row in shore.rows("c")}
    assert found == {n * 100 + k: (n, None if n == 4 else f"p{n}") for n in range(50) for k in range(n % 4)}


def test_a_page_that_repeats_under_another_number_fails_the_stream(shore: Shore) -> None:
    """The envelope differs each time, the records do not: the server ignores the parameter."""
    shore.routes["/items"] = lambda asked: {"data": ROWS[:3], "request": asked.number, "next": asked.number + 1}
    done = shore.sync({"items": {"records": "data", "paginate": CURSOR}})
    assert done.exit_code == 3
    assert "holds just what the page before it held" in str(done.streams[0].error)


def test_a_parent_that_comes_twice_is_asked_once(shore: Shore) -> None:
    """A row is inserted before the page boundary while parents are read, so that one of them comes again."""
    pages = [[{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 3}], []]
    shore.routes["/p"] = lambda asked: pages[int(asked.query["page"]) - 1]
    shore.routes |= {f"/p/{n}/c": [{"v": n}] for n in range(4)}
    shore.sync({
        "p": {"primary_key": "id", "paginate": {"type": "page"}}, "c": {"path": "p/{parent.id}/c", "parent": "p"},
    }, run_wishes=Wishes(only=("c",)))  # fmt: skip
    assert shore.rows("c") == [{"v": 1}, {"v": 2}, {"v": 3}]


@pytest.mark.parametrize(
    ("answer", "where"),
    [
        (said([{"id": 1}], headers={"Link": '</items?page=2>; rel="next"'}), "its Link header"),
        ({"items": [{"id": 1}], "next": "/items?page=2"}, "next"),
        ({"items": [{"id": 1}], "_links": {"next": {"href": "http://127.0.0.1/items?page=2"}}}, "_links.next"),
        ({"items": [{"id": 1}], "has_more": True}, "has_more"),
        ({"items": [{"id": 1}], "nextPageToken": "x"}, "nextPageToken"),
    ],
)
def test_a_next_page_that_nobody_said_how_to_ask_for_is_no_end(shore: Shore, answer: Any, where: str) -> None:
    shore.routes["/items"] = answer
    stream = {"records": "items" if isinstance(answer, dict) else "", "primary_key": "id"}
    outcome = shore.sync({"items": stream})
    assert outcome.exit_code == 3
    assert f"stream items: {where} offers a next page" in str(outcome.streams[0].error)
    assert shore.sync({"items": {**stream, "paginate": {"type": "none"}}}).exit_code == 0
    assert shore.ids("items") == [1]


@pytest.mark.parametrize("more", [{"next": None}, {"next": "abc"}, {"has_more": False}, {"next": 2}])
def test_an_answer_that_offers_no_next_page_is_the_only_one(shore: Shore, more: Any) -> None:
    shore.routes["/items"] = {"items": [{"id": 1, "next": "/b"}], **more}
    assert shore.sync({"items": {"records": "items"}}).exit_code == 0
