"""Where requests must not go, answers that are too slow or too large, and hosts that fail under many streams."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import certificates
from harness.api import Api, once, page
from harness.resolver import NAME, Resolver
from wherry_web import Said, Web, said

TOKEN = "S3CR3T-4f1d2c"
BEARER = {"auth": {"type": "bearer", "token": TOKEN}}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def other() -> Iterator[Web]:
    """A second host, which must hear nothing."""
    with Web(page) as found:
        yield found


# --- 61: redirects

ELSEWHERE = [
    "http://{other}/v1/items",
    "//{other}/v1/items",
    "https://127.0.0.1:{port}/v1/items",
    "http://localhost:{port}/v1/items",
    "http://169.254.169.254/latest/meta-data/iam/",
    "http://[::ffff:127.0.0.1]:{port}/v1/items",
    "http://[::1]:{port}/v1/items",
    "http://2130706433:{port}/v1/items",
    "http://0x7f000001:{port}/v1/items",
    "http://127.0.0.1.:{port}/v1/items",
    "http://127.0.0.1:{port}@{other}/v1/items",
    "http://{other}\\@127.0.0.1:{port}/v1/items",
    "file:///etc/passwd",
]


@pytest.mark.parametrize(
    "address",
    [pytest.param(url, marks=pytest.mark.fault(61, tier=min(1, number))) for number, url in enumerate(ELSEWHERE)],
)
@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_elsewhere_is_refused(api: Api, web: Web, other: Web, address: str, status: int) -> None:
    url = address.format(port=web.port, other=f"127.0.0.1:{other.port}")
    done = api.reads(web, once(said(status=status, headers={"Location": url}), times=99), expect=11, **BEARER)
    assert [asked.auth for asked in web.log] == [f"Bearer {TOKEN}"] * 2
    assert other.log == []
    assert TOKEN not in done.stderr + done.stdout
    assert api.rows() == []


@pytest.mark.fault(61)
def test_redirects_within_the_host_are_followed(api: Api, web: Web) -> None:
    def moved(asked: Any) -> Said:
        return said(status=307, headers={"Location": asked.path.replace("/v1/", "/v2/")})

    api.reads(web, lambda asked: moved(asked) if asked.route == "/v1/items" else page(asked), **BEARER)
    api.exact()
    assert {asked.auth for asked in web.log} == {f"Bearer {TOKEN}"}


@pytest.mark.fault(61, tier=1)
def test_a_loop_of_redirects_ends(api: Api, web: Web) -> None:
    done = api.reads(web, lambda a: said(status=302, headers={"Location": f"/v1/{a.number % 50}"}), expect=11)
    assert "redirects again and again, more than 10 times" in done.stderr
    assert len(web.log) == 12


@pytest.fixture
def resolver(tmp_path: Path) -> Resolver:
    if not Resolver.possible():
        pytest.skip("answers for names need a C compiler")
    return Resolver(tmp_path)


@pytest.mark.fault(61, tier=1)
@pytest.mark.parametrize("inner", ["127.0.0.1", "169.254.169.254"])
def test_a_name_that_turns_to_the_inside_is_refused(api: Api, web: Web, resolver: Resolver, inner: str) -> None:
    """Nobody answers at the public address; when it is looked up again, the name means another one."""
    api.describe(f"http://{NAME}:{web.port}/v1", timeout=1, **BEARER)
    resolver.answers("192.88.99.1", "192.88.99.1", inner)
    done = api.checked(api.start(env=resolver.env).wait(), 11)
    assert f"{NAME} resolves to {inner}" in done.stderr
    assert web.log == []


@pytest.mark.fault(61, tier=1)
def test_a_name_that_is_inside_from_the_beginning_is_the_users_own(api: Api, web: Web, resolver: Resolver) -> None:
    """It is found although its first lookup fails; the token goes by plain HTTP, which is told."""
    web.answer = page
    api.describe(f"http://{NAME}:{web.port}/v1", **BEARER)
    resolver.answers("fail", "fail", "127.0.0.1")
    done = api.checked(api.start(env=resolver.env).wait(), 0)
    api.exact()
    assert "is asked over plain HTTP: everybody on the way can read the credentials" in done.stderr
    assert TOKEN not in done.stderr


@pytest.mark.fault(61, tier=1)
@pytest.mark.parametrize("kind", [*certificates.KINDS, None])
def test_certificates(api: Api, resolver: Resolver, tmp_path: Path, kind: str | None) -> None:
    """An answer by TLS is believed only from who has the name; a server without TLS gets nothing."""
    import ssl

    if not certificates.possible():
        pytest.skip("makes its certificates with openssl")
    folder = certificates.make(tmp_path / "ca", NAME)
    context = None
    if kind is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{kind}.crt", folder / f"{kind}.key")
    with Web(page, tls=context) as web:
        api.describe(f"https://{NAME}:{web.port}/v1", retry={"max_seconds": 1}, **BEARER)
        env = resolver.env | {"REQUESTS_CA_BUNDLE": str(folder / "ca.crt")}
        done = api.start(env=env).wait()
        api.checked(done, 0 if kind == "good" else 3 if kind is None else 11)
        assert len(web.to("/v1/items")) == (7 if kind == "good" else 0)
        assert not [asked for asked in web.log if asked.auth and kind != "good"]
    if kind == "good":
        api.exact()
    elif kind is not None:
        assert "its certificate is not trusted" in done.stderr


# --- 62: slow, and large


def drip(piece: bytes) -> Iterator[bytes]:
    while True:
        time.sleep(0.1)
        yield piece


@pytest.mark.fault(62, tier=1)
@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Content-Length: 500\r\n\r\n",
        HEAD + b"\r\n",
        HEAD,
    ],
    ids=["body", "body without a length", "headers"],
)
def test_a_slow_drip_is_given_up(api: Api, web: Web, head: bytes) -> None:
    """A byte now and then, for ever."""

    def slow(asked: Any) -> Said:
        return Said(itertools.chain([head], drip(b" " if head.endswith(b"\r\n\r\n") else b"X: y\r\n")), "close")

    done = api.reads(web, once(slow, times=99), expect=3, timeout=0.5, retry={"max_seconds": 2})
    assert "no whole answer within 0.5 s" in done.stderr
    assert done.seconds < 12
    api.reads(web, once(slow), timeout=0.5)
    api.exact()


@pytest.mark.fault(62, tier=1)
@pytest.mark.parametrize(
    "head",
    [b"X-Long: " + b"y" * (1 << 20) + b"\r\n", b"".join(b"X-%d: y\r\n" % number for number in range(100_000))],
    ids=["one of 1 MiB", "100,000"],
)
def test_huge_headers_are_refused(api: Api, web: Web, head: bytes) -> None:
    done = api.reads(web, once(Said([HEAD + head + b"\r\n"], "close"), times=99), expect=11)
    assert "the headers of its answer are too large" in done.stderr
    assert done.peak < 300 << 20
    assert len(web.log) == 2


# --- 63: a retry storm

STREAMS = {f"s{number}": {"records": "data", "primary_key": "id"} for number in range(200)}


@pytest.mark.fault(63, tier=1)
@pytest.mark.parametrize("status", [503, 429])
def test_two_hundred_streams_against_one_failing_host(api: Api, web: Web, status: int) -> None:
    done = api.reads(web, lambda asked: said(status=status), streams=STREAMS, retry={"max_seconds": 2}, expect=None)
    assert done.code in ((3,) if status == 503 else (3, 75))
    assert len(web.log) <= 25
    assert len({asked.route for asked in web.log}) <= 15
    assert done.seconds < 30


@pytest.mark.fault(63, tier=1)
def test_a_host_that_fails_now_and_then(api: Api, web: Web) -> None:
    """Every seventh answer is a failure: few more requests than pages, and every stream is exact."""
    streams = {f"s{number}": {"records": "data", "primary_key": "id"} for number in range(12)}
    api.reads(web, lambda asked: said(status=503) if asked.number % 7 == 6 else page(asked), streams=streams)
    pages = 12 * 7
    assert len(web.log) <= pages * 7 / 6 + 1
    for name in streams:
        api.exact(stream=name)
