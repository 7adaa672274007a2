"""Answers that are not whole, not what they say, too large, too slow: read again whole, or refused with the place."""

import gzip
import itertools
import json
import time
import zlib
from typing import Any

import pytest
from wherry import PolicyError, Retry, Run, SourceError
from wherry.http.values import Request
from wherry.http.waits import Clock
from wherry_clock import Hands
from wherry_web import Said, chunked, said

ROWS = json.dumps([{"id": n, "text": "x" * 40} for n in range(200)]).encode()
GZIP = {"Content-Encoding": "gzip"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def body_of(serve: Any, client: Any, answer: Any, **options: Any) -> Any:
    """What a client makes of an answer that is always the same; and the server's log."""
    web = serve(answer if callable(answer) else lambda asked: answer)
    return client(web, **options).send(Request(url="items")).body, web.log


@pytest.mark.parametrize(
    "broken",
    [
        None,
        Said([], "reset"),
        Said([HEAD + b"Content-Length: 9000\r\n\r\n" + ROWS[:500]], "close"),
        Said([HEAD + b"Content-Length: 9000\r\n\r\n", ROWS[:500]], "reset"),
        said(ROWS[:-1], length=len(ROWS), then="close"),
        said(gzip.compress(ROWS)[:-9], headers=GZIP, length=len(gzip.compress(ROWS)), then="close"),
        chunked(ROWS, ends=False),
        Said([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nabc\r\n"], "close"),
        Said([b"HTTP/1.1 200 OK\r\nContent-Le"], "close"),
        Said([b"\x16\x03\x01 not http at all\r\n\r\n"], "close"),
    ],
    ids=["closed", "reset", "short", "short, reset", "a byte short", "gzip short", "no last chunk", "bad chunk",
         "half a header", "no HTTP"],
)  # fmt: skip
@pytest.mark.parametrize("times", [1, 3])
def test_a_body_that_ends_early_is_asked_for_again_whole(
    serve: Any, client: Any, hands: Hands, broken: Any, times: int
) -> None:
    body, log = body_of(serve, client, lambda asked: broken if asked.number < times else said(ROWS))
    assert body == ROWS
    assert [asked.path for asked in log] == ["/v1/items"] * (times + 1)


def test_a_body_that_never_comes_whole_is_exit_3(serve: Any, client: Any, hands: Hands) -> None:
    web = serve(lambda asked: said(ROWS[:-1], length=len(ROWS), then="close"))
    with pytest.raises(SourceError, match=r"/v1/items\?token=\*\*\*: the body of its answer is cut off \(tried"):
        client(web, retry=Retry(max_seconds=20)).send(Request(url="items", params={"token": "x"}))
    assert 5 <= len(web.log) <= 7


@pytest.mark.parametrize("packed", [gzip.compress(ROWS), gzip.compress(ROWS[:99]) + gzip.compress(ROWS[99:])])
@pytest.mark.parametrize("size", [7, 100_000])
def test_packed_bodies(serve: Any, client: Any, packed: bytes, size: int) -> None:
    body, _ = body_of(serve, client, chunked(packed, size, headers="Content-Encoding: gzip\r\n"))
    assert body == ROWS


def test_both_kinds_of_deflate(serve: Any, client: Any) -> None:
    bare = zlib.compressobj(wbits=-15)
    for packed in (zlib.compress(ROWS), bare.compress(ROWS) + bare.flush()):
        assert body_of(serve, client, said(packed, headers={"Content-Encoding": "deflate"}))[0] == ROWS


@pytest.mark.parametrize(
    ("body", "headers", "offset"),
    [
        (ROWS, GZIP, "0"),
        (gzip.compress(ROWS)[:-1], GZIP, str(len(gzip.compress(ROWS)) - 1)),
        (gzip.compress(ROWS) + b"junk", GZIP, str(len(gzip.compress(ROWS)))),
        (gzip.compress(ROWS)[:-8] + b"\0" * 8, GZIP, r"\d+"),
        (ROWS, {"Content-Encoding": "deflate"}, "0"),
    ],
    ids=["not packed", "cut", "junk behind", "wrong checksum", "no deflate"],
)  # fmt: skip
def test_damaged_packing_names_address_and_offset(
    serve: Any, client: Any, body: bytes, headers: Any, offset: str
) -> None:
    with pytest.raises(SourceError, match=rf"/v1/items answered with damaged data: no .* at byte {offset} ") as caught:
        body_of(serve, client, said(body, headers=headers))
    assert caught.value.exit_code == 3


def test_a_packing_that_was_not_asked_for(serve: Any, client: Any) -> None:
    with pytest.raises(SourceError, match="Content-Encoding 'br', which was not asked for"):
        body_of(serve, client, said(b"xx", headers={"Content-Encoding": "br"}))


@pytest.mark.parametrize("mebibytes", [9, 10_000])
def test_a_bomb_is_stopped_in_the_stream(serve: Any, client: Any, mebibytes: int) -> None:
    """1:1000; far fewer bytes are written than there are."""
    written = []

    def bomb() -> Any:
        packer = zlib.compressobj(9, wbits=31)
        yield HEAD + b"Content-Encoding: gzip\r\n\r\n"
        for _ in range(mebibytes):
            piece = packer.compress(b"0" * (1 << 20))
            written.append(len(piece))
            yield piece
        yield packer.flush()

    with pytest.raises(PolicyError, match="answered with more than 8,388,608 bytes, a quarter of the memory") as caught:
        body_of(serve, client, lambda asked: Said(bomb(), "close"), run=Run(memory=32 << 20))
    assert caught.value.exit_code == 11
    assert sum(written) < 4 << 20


@pytest.mark.parametrize("told", [True, False])
def test_an_answer_that_is_too_large(serve: Any, client: Any, told: bool) -> None:
    written = []

    def endless() -> Any:
        yield HEAD + (b"Content-Length: 1000000000\r\n\r\n" if told else b"\r\n")
        for _ in range(1000):
            written.append(1)
            yield b" " * (1 << 20)

    with pytest.raises(PolicyError, match="answered with more than 8,388,608 bytes"):
        body_of(serve, client, lambda asked: Said(endless(), "close"), run=Run(memory=32 << 20))
    assert len(written) < 40


@pytest.mark.parametrize(
    "pieces",
    [
        lambda: itertools.chain([HEAD + b"Content-Length: 500\r\n\r\n"], _drip(b" ")),
        lambda: itertools.chain([HEAD + b"\r\n"], _drip(b" ")),
        lambda: itertools.chain([HEAD + b"Transfer-Encoding: chunked\r\n\r\n"], _drip(b"1\r\n \r\n")),
        lambda: itertools.chain([HEAD], _drip(b"X: y\r\n")),
    ],
    ids=["length", "no length", "chunked", "headers"],
)
def test_a_slow_drip_is_given_up(serve: Any, client: Any, pieces: Any) -> None:
    """A byte now and then keeps every socket alive; the whole takes too long."""
    began = time.monotonic()
    body, log = body_of(
        serve, client, lambda asked: said(ROWS) if asked.number else Said(pieces(), "close"),
        timeout=0.15, clock=Clock(chance=lambda: 1.0),
    )  # fmt: skip
    assert (body, len(log)) == (ROWS, 2)
    assert time.monotonic() - began < 3


def test_a_long_body_that_comes_fast_enough_may_take_longer(serve: Any, client: Any) -> None:
    """Each piece grants more time, although the body is read in one."""
    whole = json.dumps(list(range(700))).encode()

    def slowly() -> Any:
        yield HEAD + b"Content-Length: %d\r\n\r\n" % len(whole)
        for start in range(0, len(whole), 200):
            time.sleep(0.05)
            yield whole[start : start + 200]

    body, log = body_of(serve, client, lambda asked: Said(slowly(), "close"), timeout=0.15)
    assert (body, len(log)) == (whole, 1)


def _drip(piece: bytes) -> Any:
    while True:
        time.sleep(0.04)
        yield piece


@pytest.mark.parametrize(
    "head",
    [
        b"X-Long: " + b"y" * (1 << 20) + b"\r\n",
        b"".join(b"X-%d: y\r\n" % n for n in range(100_000)),
    ],
    ids=["one of 1 MiB", "100,000"],
)
def test_headers_have_limits(serve: Any, client: Any, head: bytes) -> None:
    with pytest.raises(PolicyError, match="/v1/items: the headers of its answer are too large"):
        body_of(serve, client, Said([HEAD + head + b"Content-Length: 2\r\n\r\n[]"], "close"))


TEXT = '{"name": "Zoë – ½"}'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (TEXT.encode(), "application/json"),
        (TEXT.encode(), "application/json; charset=iso-8859-1"),
        (TEXT.encode("utf-8-sig"), "application/json"),
        (TEXT.encode("utf-16"), "application/json"),
        (TEXT.encode("utf-32"), "application/json; charset=utf-8"),
        (TEXT.encode("cp1252"), 'text/plain; charset="windows-1252"'),
    ],
)
def test_text_becomes_utf8(serve: Any, client: Any, body: bytes, kind: str) -> None:
    assert body_of(serve, client, said(body, headers={"Content-Type": kind}))[0].decode() == TEXT


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("application/json", "text that is no utf-8 at byte 12"),
        ("application/json; charset=utf-8", "text that is no utf-8 at byte 12"),
        ("application/json; charset=klingon", "charset 'klingon', which is not known"),
    ],
)
def test_text_that_cannot_be_read_names_address_and_offset(serve: Any, client: Any, kind: str, message: str) -> None:
    with pytest.raises(SourceError, match=f"/v1/items answered .*{message}"):
        body_of(serve, client, said(TEXT.encode("cp1252"), headers={"Content-Type": kind}))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\n <!DOCTYPE html><title>Sign in</title>", "a page of HTML at byte 0"),
        (b"<html><body>", "a page of HTML at byte 0"),
        (b"", "an empty body: it ends at byte 0"),
        (b" \r\n", "an empty body: it ends at byte 3"),
    ],
)
def test_a_page_for_people_is_no_data(serve: Any, client: Any, body: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=f"/v1/items answered 200 with {message}"):
        body_of(serve, client, said(body))


def test_no_content_means_no_rows(serve: Any, client: Any) -> None:
    web = serve(lambda asked: Said([b"HTTP/1.1 204 No Content\r\n\r\n"]))
    assert client(web).send(Request(url="items")).outcome == "skip"
