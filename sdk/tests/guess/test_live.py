"""Guesses from answers: what is proposed for lists of every shape, how it was asked for, and what is not claimed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from wherry import AuthError, Run, UsageError
from wherry.guess.live import from_address, from_manifest
from wherry.rest.manifest import parse_manifest
from wherry_apis.server import Call, Reply
from wherry_lists import LISTS, ROWS, Lists

PROPOSED = {
    "page": {"records": "data", "paginate": {"type": "page", "param": "page"}},
    "zero": {"records": "content", "paginate": {"type": "page", "param": "page", "start": 0, "pages": "totalPages"}},
    "django": {"records": "results", "paginate": {"type": "page", "param": "page"},
               "on_response": [{"status": 404, "do": "skip"}]},
    "offset": {"paginate": {"type": "offset", "param": "offset"}},
    "one": {"records": "Resources", "paginate": {"type": "offset", "param": "startIndex", "start": 1}},
    "cursor": {"records": "items", "paginate": {"type": "cursor", "param": "cursor", "path": "meta.next_cursor"}},
    "token": {"records": "files", "paginate": {"type": "cursor", "param": "pageToken", "path": "nextPageToken"}},
    "after": {"records": "data",
              "paginate": {"type": "cursor", "param": "starting_after", "last": "id", "more": "has_more"}},
    "link": {"paginate": {"type": "link_header"},
             "incremental": {"cursor": "updated_at", "param": "since", "format": "raw"}},
    "next": {"records": "data", "paginate": {"type": "next_url", "path": "links.next"}},
    "whole": {"records": "things", "paginate": {"type": "none"}},
    "mapped": {"records": "things.*", "include_key": "key", "paginate": {"type": "none"}},
    "stuck": {"records": "rows", "paginate": {"type": "none"}},
}  # fmt: skip


def guess(url: str, **config: str) -> tuple[str, dict[str, Any], list[str]]:
    """The text printed, what it says, and what was told of the requests."""
    told: list[str] = []
    text = from_address(url, config, Run(), told.append)
    return text, yaml.safe_load(text), told


@pytest.mark.parametrize("shape", LISTS)
def test_every_shape(shape: str) -> None:
    with Lists() as server:
        text, found, told = guess(f"{server.url}/v1/{shape}")
        asked = len(server.log)
    assert found["streams"] == {shape: {"primary_key": "id"} | PROPOSED[shape]}
    assert (found["name"], found["base_url"]) == ("api", f"{server.url}/v1")
    assert parse_manifest(text, "printed").streams[0].name == shape
    assert len([line for line in told if line[0].isdigit()]) == asked <= 14
    assert ("proven" in text) == (shape not in ("stuck", "mapped"))
    assert ("# Not found out" in text) == (shape in ("stuck", "mapped", "whole"))


def test_parameters_of_the_address_stay_unless_they_page() -> None:
    with Lists() as server:
        _, found, _ = guess(f"{server.url}/v1/page?page=1&per_page=5&q=a%20b&q=c")
        assert found["streams"]["page"]["params"] == {"per_page": "5", "q": ["a b", "c"]}
        assert server.log[1].query == {"page": "2", "per_page": "5", "q": "c"}


def test_a_key_in_the_address_is_not_printed() -> None:
    with Lists() as server:
        text, found, told = guess(f"{server.url}/v1/page?api_key=s3cr3t-s3cr3t")
    assert found["auth"] == {"type": "api_key", "name": "api_key", "value": "{config.api_key}", "in": "query"}
    assert found["config"] == {"api_key": {"type": "secret"}}
    assert "s3cr3t" not in text + "".join(told)
    assert all(asked.query["api_key"] == "s3cr3t-s3cr3t" for asked in server.log)


def test_a_token_is_sent_and_a_missing_one_asked_for() -> None:
    with Lists(token="t") as server:
        _, found, _ = guess(f"{server.url}/v1/next", token="t")
        assert found["auth"] == {"type": "bearer", "token": "{config.token}"}
        with pytest.raises(AuthError) as caught:
            guess(f"{server.url}/v1/next")
        assert "--set token" in str(caught.value.next)
        with pytest.raises(UsageError, match="color"):
            guess(f"{server.url}/v1/next", color="t")


def test_the_address_of_a_next_page_elsewhere_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(call: Call) -> Reply:
        return Reply({"data": ROWS[:5], "next": f"{other.url}/v1/page"})

    monkeypatch.setitem(LISTS, "elsewhere", elsewhere)
    with Lists() as server, Lists() as other:
        text, found, _ = guess(f"{server.url}/elsewhere")
        assert other.log == []
    assert found["streams"]["elsewhere"]["paginate"] == {"type": "next_url", "path": "next"}
    assert "Not found out of elsewhere: the next page was refused" in text


def test_a_server_that_gives_its_last_page_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def clamped(call: Call) -> Any:
        number = min(call.whole("page", 1), 5)
        return {"data": ROWS[number * 10 - 10 : number * 10]}

    monkeypatch.setitem(LISTS, "clamped", clamped)
    with Lists() as server:
        text, _, _ = guess(f"{server.url}/clamped")
    assert "the server does not say where the pages end" in text
    assert "proven" not in text


def test_a_limit_of_page_numbers_is_not_taken_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(call: Call) -> Any:
        number = call.whole("page", 1)
        return Reply({"message": "too deep"}, 422) if number > 100 else {"data": ROWS[number * 10 - 10 : number * 10]}

    monkeypatch.setitem(LISTS, "limited", limited)
    with Lists() as server:
        text, found, _ = guess(f"{server.url}/limited")
    assert "on_response" not in found["streams"]["limited"]
    assert "what the server says behind the last page; page=1000000 was refused" in text


def test_an_address_of_the_next_page_that_leads_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def back(call: Call) -> Any:
        number = call.whole("page", 1)
        return {"data": ROWS[number * 10 - 10 : number * 10], "next": "/back?again=1"}

    monkeypatch.setitem(LISTS, "back", back)
    with Lists() as server:
        text, found, _ = guess(f"{server.url}/back")
    assert found["streams"]["back"]["paginate"] == {"type": "page", "param": "page"}
    assert "why next in the answer gave the first page again" in text


@pytest.mark.parametrize(
    ("body", "says"),
    [({"error": "no"}, "one object"), ([1, 2], "no objects"), ("hello", "a text"), ([], "empty"),
     ({"data": []}, "empty"), ({"a": [{"x": 1}], "b": [{"x": 1}]}, "several|holds lists")],
)  # fmt: skip
def test_answers_without_rows(body: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LISTS, "odd", lambda call: body)
    with Lists() as server, pytest.raises(UsageError, match=says) as caught:
        guess(f"{server.url}/odd")
    assert caught.value.next


def test_a_manifest_under_development_gets_lines_for_what_it_lacks() -> None:
    with Lists(token="t") as server:
        found = parse_manifest(
            "name: acme\nconfig: {token: {type: secret}}\nbase_url: " + server.url + "\n"
            'auth: {type: bearer, token: "{config.token}"}\n'
            "streams:\n  things: {path: v1/cursor, paginate: {type: auto}}\n"
            "  others: {path: 'v1/{item}', for_each: [page], primary_key: [id, name], paginate: {type: auto}}\n"
            "  done: {path: v1/page, paginate: {type: page}}\n",
            "acme.yaml",
        )
        text = from_manifest(found, {"token": "t"}, Run(), lambda line: None)
        with pytest.raises(UsageError, match="no stream nothing"):
            from_manifest(found, {"token": "t"}, Run(), lambda line: None, only=["nothing"])
    assert yaml.safe_load(text)["streams"] == {
        "things": {"path": "v1/cursor", "primary_key": "id"} | PROPOSED["cursor"],
        "others": {"path": "v1/{item}", "for_each": ["page"], "primary_key": ["id", "name"]} | PROPOSED["page"],
    }
