"""Requests as they arrive: addresses, parameters, headers, bodies; what is answered, and what is only shown."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from wherry import Bearer, NoAuth, PolicyError, Retry, Run, Secret, SourceError, UsageError
from wherry.http.values import Request
from wherry_web import Web, said


def test_a_request_carries_what_source_and_request_say(serve: Any, client: Any) -> None:
    web: Web = serve(lambda asked: said({"ok": True}))
    made = client(web, headers={"X-Team": Secret("blue"), "X-None": None}, params={"size": 10, "state": "open"})
    answer = made.send(Request(
        url="items", params={"state": "all", "tag": ["a b", "c&d"], "deep": True, "gone": None}, headers={"X-One": "1"},
    ))  # fmt: skip
    asked = web.log[0]
    assert (asked.method, asked.path) == ("GET", "/v1/items?size=10&state=all&tag=a%20b&tag=c%26d&deep=true")
    assert (asked.headers["x-team"], asked.headers["x-one"]) == ("blue", "1")
    assert "x-none" not in asked.headers
    assert asked.headers["user-agent"].startswith("wherry/")
    assert asked.headers["user-agent"].endswith("(acme)")
    assert asked.headers["accept-encoding"] == "gzip, deflate"
    assert (answer.outcome, answer.status, answer.body) == ("ok", 200, b'{"ok": true}')
    assert answer.headers["content-type"] == "application/json"


def test_a_body_is_posted_as_json_with_its_secrets(serve: Any, client: Any) -> None:
    web = serve(lambda asked: said([]))
    client(web).send(Request(url="graphql", method="POST", json={"q": "{a}", "key": Secret("s3cret"), "u": "ü"}))
    asked = web.log[0]
    assert (asked.method, asked.route) == ("POST", "/v1/graphql")
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {"q": "{a}", "key": "s3cret", "u": "ü"}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/v1?size=10"),
        ("/items", "/v1/items?size=10"),
        ("items?size=3&x=1", "/v1/items?x=1&size=10"),
        ("{web}/v2/items?size=3&cursor=a%2Fb", "/v2/items?size=3&cursor=a%2Fb"),
        ("{web}/v2/items?cursor=x", "/v2/items?cursor=x&size=10"),
    ],
)
def test_addresses_and_their_parameters(serve: Any, client: Any, url: str, path: str) -> None:
    """A next address keeps what it carries; below base_url, what is asked for replaces what stands in the path."""
    web = serve(lambda asked: said([]))
    client(web).send(Request(url=url.replace("{web}", web.url), params={"size": 10}))
    assert web.log[0].path == path


@pytest.mark.parametrize("path", ["../admin", "a/../../admin", "a/%2e%2e/b", "..", "a\\..\\b"])
def test_a_path_stays_below_its_base(serve: Any, client: Any, path: str) -> None:
    web = serve(lambda asked: said([]))
    with pytest.raises(PolicyError, match="leaves its base_url"):
        client(web).send(Request(url=path))
    assert web.log == []


def test_one_connection_serves_many_requests(serve: Any, client: Any) -> None:
    ports = []

    def answer(asked: Any) -> Any:
        ports.append(asked.headers["host"])
        return said([1])

    web = serve(answer)
    made = client(web)
    for _ in range(20):
        assert made.send(Request(url="items")).body == b"[1]"
    assert len(web.log) == 20
    assert len(web._open) == 1


def test_not_modified_is_told_apart(serve: Any, client: Any) -> None:
    web = serve(lambda asked: said(status=304) if "if-none-match" in asked.headers else said([], headers={"ETag": "a"}))
    made = client(web)
    tag = made.send(Request(url="items")).headers["etag"]
    assert made.send(Request(url="items", headers={"If-None-Match": tag})).outcome == "unchanged"


def test_what_is_shown_and_logged_holds_no_secret(serve: Any, client: Any, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG, "wherry.source")
    web = serve(lambda asked: said([]))
    made = client(web, params={"key": Secret("s3cr/et"), "session_token": "other"}, auth=NoAuth(), run=Run())
    shown = made.send(Request(url="items", params={"page": 2})).url
    assert shown == f"{web.url}/v1/items?key=***&session_token=***&page=2"
    line = next(r.getMessage() for r in caplog.records if r.name == "wherry.source")
    assert line.startswith(f"GET {shown}: 200, 2 bytes, ")
    assert web.log[0].query["key"] == "s3cr/et"


def test_headers_that_are_not_ascii(serve: Any, client: Any) -> None:
    web = serve(lambda asked: said([]))
    client(web).send(Request(url="items", headers={"X-Latin": "Zoë", "X-Other": "日本"}))
    assert web.log[0].headers["x-latin"] == "Zoë"
    assert web.log[0].headers["x-other"].encode("latin-1").decode() == "日本"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\n", " a"])
def test_a_header_cannot_bring_another_one(serve: Any, client: Any, value: str) -> None:
    web = serve(lambda asked: said([]))
    with pytest.raises(UsageError, match="a header holds a line break or a space in front"):
        client(web).send(Request(url="items", headers={"X-One": value}))
    assert web.log == []


def test_links_are_relative_to_the_address_as_it_was_asked(serve: Any, client: Any) -> None:
    """Also where a part of it looks like a secret, and is shown masked."""
    web = serve(lambda asked: said([]))
    answer = client(web, auth=Bearer("items")).send(Request(url="items"))
    assert (answer.url, answer.address) == (f"{web.url}/v1/***", f"{web.url}/v1/items")
    assert "/v1/items" not in repr(answer)


def test_proxies_of_the_environment_are_used_and_netrc_is_not(
    serve: Any, client: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    web = serve(lambda asked: said([1]))
    (tmp_path / ".netrc").write_text("machine api.example login ana password s3cret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", web.url)
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert client("http://api.example/v1").send(Request(url="items")).body == b"[1]"
    assert web.log[0].path == "http://api.example/v1/items"
    assert web.log[0].auth is None
    with pytest.raises(SourceError, match=r"http://inside\.example/v1/items: "):
        client("http://inside.example/v1", timeout=1, retry=Retry(max_seconds=0)).send(Request(url="items"))
    assert len(web.log) == 1
