"""Where requests go: nowhere but to the host of base_url, whatever answers and addresses say."""

import socket
from typing import Any

import pytest
from wherry import Bearer, PolicyError, Run, SourceError, UsageError
from wherry.http.places import Addresses, Place, below, place_of, url_shown
from wherry.http.values import Request
from wherry_web import Web, said

ELSEWHERE = [
    "http://localhost:{port}/v1/items",
    "https://127.0.0.1:{port}/v1/items",
    "http://127.0.0.1/v1/items",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:127.0.0.1]:{port}/v1/items",
    "http://2130706433:{port}/v1/items",
    "http://0x7f.1:{port}/v1/items",
    "http://127.0.0.1.:{port}/v1/items",
    "http://127.1:{port}/v1/items",
    "http://127.0.0.1:{port}@{other}/v1/items",
    "http://127.0.0.1%2f@{other}/v1/items",
    "http://{other}/v1/items",
    "http://{other}\\@127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/x",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
]
UNREAD = ["http://", "http://[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:{port}/a b", "data:,x"]


@pytest.fixture
def other(serve: Any) -> Web:
    """A second host: it must not be asked for anything."""
    return serve(lambda asked: said([2]))


@pytest.mark.parametrize("address", [*ELSEWHERE, *UNREAD])
def test_a_next_address_elsewhere_is_refused(serve: Any, client: Any, other: Web, address: str) -> None:
    web = serve(lambda asked: said([1]))
    url = address.format(port=web.port, other=f"127.0.0.1:{other.port}")
    with pytest.raises(PolicyError) as caught:
        client(web, auth=Bearer("s3cret-token")).send(Request(url=url))
    assert caught.value.exit_code == 11
    assert (web.log, other.log) == ([], [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("address", [*ELSEWHERE, "//{other}/v1/items"])
def test_a_redirect_elsewhere_is_refused(serve: Any, client: Any, other: Web, address: str, status: int) -> None:
    where = f"127.0.0.1:{other.port}"
    web = serve(lambda asked: said(status=status, headers={"Location": address.format(port=web.port, other=where)}))
    with pytest.raises(PolicyError):
        client(web, auth=Bearer("s3cret-token")).send(Request(url="items"))
    assert [asked.path for asked in web.log] == ["/v1/items"]
    assert other.log == []


def test_the_message_names_the_address_without_secrets(serve: Any, client: Any) -> None:
    web = serve(lambda asked: said(status=302, headers={"Location": "https://u:pw@evil.example/a?token=abc&x=1#f"}))
    with pytest.raises(PolicyError) as caught:
        client(web).send(Request(url="items"))
    assert "https://evil.example/a?token=***&x=1" in caught.value.message
    assert "pw" not in caught.value.message


@pytest.mark.parametrize(
    ("method", "status", "after"),
    [("GET", 301, "GET"), ("GET", 308, "GET"), ("POST", 302, "GET"), ("POST", 303, "GET"), ("POST", 307, "POST")],
)
@pytest.mark.parametrize("where", ["/v2/items?x=1", "{url}/v2/items?x=1", "../v2/items?x=1"])
def test_redirects_within_the_host_are_followed(
    serve: Any, client: Any, method: Any, status: int, after: str, where: str
) -> None:
    moved = {"Location": where}
    web = serve(lambda asked: said([1]) if asked.number else said(status=status, headers=moved))
    moved["Location"] = where.format(url=web.url)
    answer = client(web, auth=Bearer("t0ken")).send(Request(url="items", method=method, json={"a": 1}))
    assert answer.url == f"{web.url}/v2/items?x=1"
    assert [(asked.method, asked.path) for asked in web.log] == [(method, "/v1/items"), (after, "/v2/items?x=1")]
    assert [asked.auth for asked in web.log] == ["Bearer t0ken"] * 2
    assert web.log[1].body == (b'{"a": 1}' if after == "POST" or method == "GET" else b"")


def test_a_loop_of_redirects_ends(serve: Any, client: Any) -> None:
    web = serve(lambda asked: said(status=302, headers={"Location": f"/v1/{asked.number}"}))
    with pytest.raises(PolicyError, match="redirects again and again, more than 10 times"):
        client(web).send(Request(url="items"))
    assert len(web.log) == 12


def test_a_redirect_to_nowhere_is_an_error(serve: Any, client: Any) -> None:
    web = serve(lambda asked: said(status=302))
    with pytest.raises(SourceError, match="answered 302, without saying where to"):
        client(web).send(Request(url="items"))


@pytest.mark.parametrize(
    ("home", "other", "admitted"),
    [
        ("https://a.example/v1", "https://A.EXAMPLE:443/x", True),
        ("http://a.example/v1", "https://a.example/x", True),
        ("https://a.example/v1", "http://a.example/x", False),
        ("https://a.example/v1", "https://a.example:8443/x", False),
        ("https://a.example/v1", "https://a.example./x", False),
        ("https://a.example/v1", "https://b.a.example/x", False),
        ("http://a.example:8080/v1", "https://a.example/x", False),
    ],
)
def test_what_is_the_same_place(home: str, other: str, admitted: bool) -> None:
    assert place_of(home).admits(place_of(other)) is admitted


@pytest.mark.parametrize("url", ["", "api.example/v1", "ftp://api.example", "https://", "https://u:p@api.example/"])
def test_a_base_that_is_none(client: Any, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        client(url)
    assert caught.value.key == "base_url"
    assert "p@" not in caught.value.message


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::ffff:169.254.169.254"])
def test_addresses_that_are_nobodys_api(address: str) -> None:
    with pytest.raises(PolicyError, match=r"api.example resolves to .*not the address of an API: nothing was sent"):
        Addresses("api.example").admit(address)


def test_an_address_that_is_configured_as_such_is_meant() -> None:
    Addresses("169.254.10.1").admit("169.254.10.1")


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "fd00::1", "::ffff:10.0.0.1"])
def test_a_name_that_turns_to_the_inside_is_refused(inner: str) -> None:
    Addresses("intranet.example").admit(inner)  # it was inside from the beginning
    addresses = Addresses("api.example")
    addresses.admit("93.184.216.34")
    addresses.admit("2606:2800:220:1:248:1893:25c8:1946")
    with pytest.raises(PolicyError, match="an inner address after a public one"):
        addresses.admit(inner)


def test_the_peer_is_looked_at_before_anything_is_sent(serve: Any, client: Any) -> None:
    """All lanes know what the name meant before."""
    web = serve(lambda asked: said([1]))
    run = Run()
    run.shared.get(("http addresses", "localhost"), lambda: Addresses("localhost")).admit("93.184.216.34")
    with pytest.raises(PolicyError, match=r"localhost resolves to 127.0.0.1, an inner address after a public one"):
        client(f"http://localhost:{web.port}/v1", run=run).send(Request(url="items"))
    assert web.log == []


def test_a_name_is_not_believed_to_mean_the_same_a_moment_later(serve: Any, client: Any, monkeypatch: Any) -> None:
    """It is public when it is looked up, and inner when it is connected to."""
    web = serve(lambda asked: said([1]))
    real, asked = socket.getaddrinfo, []

    def resolve(host: Any, port: Any, *args: Any, **named: Any) -> Any:
        asked.append(host)
        return real("93.184.216.34" if len(asked) == 1 else "127.0.0.1", port, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(PolicyError, match=r"api\.example resolves to 127\.0\.0\.1, an inner address"):
        client(f"http://api.example:{web.port}/v1").send(Request(url="items"))
    assert asked == ["api.example"] * 2
    assert web.log == []


def test_shown_addresses() -> None:
    assert url_shown("https://u:p@h/a?api_key=k&b=c&X-Signature=s#x") == "https://h/a?api_key=***&b=c&X-Signature=***"
    assert url_shown("https://h/s3%2Fcr/\n?x=s3/cr", ["s3/cr"]) == "https://h/***/%0A?x=***"
    assert str(Place("https", "h", 443)) == "h"
    assert below("https://h/v1/?a=1", "x?b=2") == "https://h/v1/x?a=1&b=2"
