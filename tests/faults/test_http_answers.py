"""Answers of an API that are late, broken, or something else: in real runs, with the server's log as the oracle."""

from __future__ import annotations

import gzip
import json
import re
import time
import zlib
from email.utils import formatdate
from typing import Any

import pytest
from harness.api import ROWS, Api, once, page
from wherry_web import Asked, Said, Web, chunked, said

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PAGE2 = json.dumps({"data": ROWS[10:20]}).encode()
PAGES = [f"/v1/items?page={number}" for number in range(1, 8)]
"""What an undisturbed run asks for; the seventh page is short."""


def again(number: int = 2, times: int = 1) -> list[str]:
    """The same with a page that was asked for again."""
    return [*PAGES[: number - 1], *[PAGES[number - 1]] * times, *PAGES[number - 1 :]]


def asked(web: Web) -> list[str]:
    """What a run asked for, without the size."""
    return [re.sub("&?size=10", "", one.path) for one in web.log]


# --- 52: Retry-After


def gap(web: Web) -> float:
    """Seconds between the two requests for page 2."""
    first, second = (one.at for one in web.log if one.query.get("page") == "2")
    return second - first


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        pytest.param("1", 1, 3, marks=pytest.mark.fault(52, tier=1)),
        pytest.param("1.5", 1.5, 3.5, marks=pytest.mark.fault(52, tier=1)),
        pytest.param("in 2 s", 0.9, 4, marks=pytest.mark.fault(52, tier=1)),
        *(
            pytest.param(text, 0, 2.5, marks=pytest.mark.fault(52, tier=1))
            for text in ("-3", "0", "soon", "", "nan", "1e999", formatdate(0, usegmt=True))
        ),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_it_is_waited_as_the_server_asks(api: Api, web: Web, status: int, text: str, least: float, most: float) -> None:
    def busy(asked: Asked) -> Said:
        told = formatdate(time.time() + 2, usegmt=True) if text == "in 2 s" else text
        return said(status=status, headers={"Retry-After": told} if told else {})

    api.reads(web, once(busy))
    api.exact()
    assert asked(web) == again()
    assert least <= gap(web) < most


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, marks=pytest.mark.fault(52, tier=tier))
        for text, tier in (("864000", 0), ("in 10 days", 1), ("6", 1))
    ],
)
def test_a_wait_that_is_too_long_is_for_another_run(api: Api, web: Web, text: str) -> None:
    seconds = 6 if text == "6" else 864_000
    told = formatdate(time.time() + seconds, usegmt=True) if text == "in 10 days" else text
    done = api.reads(web, once(said(status=429, headers={"Retry-After": told}), number=3, times=99), expect=75)
    when = [time.strftime("%Y-%m-%d %H:%M", time.gmtime(time.time() + seconds + late)) for late in (-60, 0, 60)]
    assert any(f"run it again after {moment}" in done.last for moment in when), done.last
    assert asked(web) == PAGES[:3]  # none early
    assert done.seconds < 5
    api.reads(web, page)
    api.exact()


# --- 53: 5xx


@pytest.mark.fault(53, tier=1)
@pytest.mark.parametrize(("status", "times"), [(503, 2), *((n, 1) for n in (408, 425, 500, 502, 504)), (500, 3)])
def test_failures_that_pass(api: Api, web: Web, status: int, times: int) -> None:
    api.reads(web, once(said(status=status), times=times))
    api.exact()
    assert asked(web) == again(times=times)


@pytest.mark.fault(53, tier=1)
def test_failures_that_do_not_pass(api: Api, web: Web) -> None:
    done = api.reads(web, once(said(status=500), number=4, times=999), expect=3, retry={"max_seconds": 2})
    assert f"{web.url}/v1/items?page=4" in done.stderr
    assert "next:" in done.last
    assert 3 <= len(web.log) - 3 <= 7
    assert done.seconds < 8
    assert api.rows() == []
    api.reads(web, page)
    api.exact()


# --- 54: bodies that end early

BROKEN = {
    "closed": None,
    "reset": Said([], "reset"),
    "reset in the body": Said([HEAD + b"Content-Length: %d\r\n\r\n" % len(PAGE2), PAGE2[:200]], "reset"),
    "shorter than told": said(PAGE2[:-1], length=len(PAGE2), then="close"),
    "whole objects only": said(b'{"data": [{"id": 11}]}', length=9_000, then="close"),
    "chunked without an end": chunked(PAGE2, 64, ends=False),
    "a chunk of nonsense": Said([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\n[1,2]\r\nzz\r\n"], "close"),
    "gzip, short": said(gzip.compress(PAGE2)[:-9], headers={"Content-Encoding": "gzip"}, length=300, then="close"),
    "half a header": Said([HEAD[:-9]], "close"),
    "nothing of HTTP": Said([b"\x16\x03\x01\0\0\r\n"], "close"),
}


@pytest.mark.parametrize(
    "broken", [pytest.param(name, marks=pytest.mark.fault(54, tier=n % 2)) for n, name in enumerate(BROKEN)]
)
def test_a_page_that_ends_early_is_read_again_whole(api: Api, web: Web, broken: str) -> None:
    api.reads(web, once(BROKEN[broken]))
    api.exact()
    assert asked(web) == again()


@pytest.mark.fault(54, tier=1)
def test_a_page_that_ends_at_each_byte(api: Api, web: Web, record_property: Any) -> None:
    """In steps of 31; in each run every page ends early once, at a byte of its own."""
    cuts = list(range(0, len(PAGE2), 31))
    record_property("cases", len(cuts))
    while cuts:
        left = {str(number): cuts.pop() for number in range(1, 7) if cuts}

        def answer(asked: Asked, left: dict[str, int] = left) -> Said:
            cut = left.pop(asked.query["page"], None)
            whole = json.dumps({"data": ROWS[(int(asked.query["page"]) - 1) * 10 :][:10]}).encode()
            return page(asked) if cut is None else said(whole[:cut], length=len(whole), then="close")

        expected = len(PAGES) + len(left)
        api.reads(web, answer, retry={"max_seconds": 60})
        api.exact()
        assert len(web.log) == expected


# --- 55: something else in the body


def refused(api: Api, web: Web, broken: Said, code: int = 3) -> str:
    """The last line of a run that ends at page 2; nothing of it is in the table, and the next run is exact."""
    done = api.reads(web, once(broken, times=999), expect=code)
    assert f"{web.url}/v1/items?page=2" in done.stderr
    assert api.rows() == []
    api.reads(web, page)
    api.exact()
    return done.stderr


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"<!DOCTYPE html><title>Sign in</title>", "a page of HTML at byte 0",
                     marks=pytest.mark.fault(55, tier=1)),
        pytest.param(b"", "an empty body: it ends at byte 0", marks=pytest.mark.fault(55, tier=1)),
        pytest.param(PAGE2[:-2], f"byte {len(PAGE2) - 2}", marks=pytest.mark.fault(55, tier=1)),
        pytest.param(PAGE2 + b" trailing", f"byte {len(PAGE2) + 1}", marks=pytest.mark.fault(55, tier=1)),
        pytest.param(PAGE2 + PAGE2, f"byte {len(PAGE2)}", marks=pytest.mark.fault(55, tier=1)),
        pytest.param(b'{"data": [{"name": "Zo\xeb"}]}', "no utf-8 at byte 22", marks=pytest.mark.fault(55, tier=1)),
        pytest.param(b"\0\0\0", "byte 0", marks=pytest.mark.fault(55, tier=1)),
    ],
    ids=["a page", "empty", "cut", "junk behind", "two documents", "no UTF-8", "NUL"],
)  # fmt: skip
def test_what_is_no_json_names_address_and_offset(api: Api, web: Web, body: bytes, says: str) -> None:
    assert says in refused(api, web, said(body))


@pytest.mark.parametrize(
    "step", [pytest.param(9, marks=pytest.mark.fault(55, tier=1)), pytest.param(1, marks=pytest.mark.fault(55, tier=2))]
)
def test_json_that_is_cut_at_every_byte(api: Api, web: Web, record_property: Any, step: int) -> None:
    """Its own length is told, so that only the parser can know."""
    body = json.dumps({"data": [{"id": 11, "name": 'Zo\\"e\u00eb', "x": [1.5, None, True]}]}).encode()
    for cut in range(1, len(body), step):
        done = api.reads(web, once(said(body[:cut]), times=999), expect=3)
        assert f"{web.url}/v1/items?page=2" in done.stderr
        assert re.search(r"byte \d+", done.stderr), done.stderr
        assert api.rows() == []
    record_property("cases", len(range(1, len(body), step)))


@pytest.mark.fault(55, tier=1)
@pytest.mark.parametrize(
    ("encoding", "kind"),
    [
        ("utf-8-sig", "application/json"),
        ("utf-16", "application/json"),
        ("iso-8859-1", "application/json; charset=iso-8859-1"),
        ("utf-8", "application/json; charset=iso-8859-1"),
    ],
)
def test_text_in_other_encodings_is_exact(api: Api, web: Web, encoding: str, kind: str) -> None:
    body = json.dumps({"data": ROWS[10:20]}, ensure_ascii=False).encode(encoding)
    api.reads(web, once(said(body, headers={"Content-Type": kind})))
    api.exact()


PACKED = gzip.compress(PAGE2)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(PAGE2, "no gzip at byte 0", marks=pytest.mark.fault(55, tier=1)),
        pytest.param(PACKED[:-4], f"no gzip at byte {len(PACKED) - 4}", marks=pytest.mark.fault(55, tier=1)),
        pytest.param(PACKED[:40] + b"\xff" * 9 + PACKED[49:], "no gzip at byte ", marks=pytest.mark.fault(55, tier=1)),
    ],
    ids=["a lie", "cut", "flipped"],
)
def test_damaged_packing_names_address_and_offset(api: Api, web: Web, body: bytes, says: str) -> None:
    assert says in refused(api, web, said(body, headers={"Content-Encoding": "gzip"}))


@pytest.mark.fault(55, tier=1)
def test_a_bomb_is_stopped_by_its_bytes(api: Api, web: Web) -> None:
    """1:1000, endless; the run has a memory of 64 MB."""

    def bomb() -> Any:
        packer = zlib.compressobj(9, wbits=31)
        yield HEAD + b"Content-Encoding: gzip\r\n\r\n"
        for _ in range(10_000):
            yield packer.compress(b"0" * (1 << 20))

    web.answer = once(lambda asked: Said(bomb(), "close"))
    api.describe(f"{web.url}/v1")
    done = api.sync("--memory", "64MB", expect=11)
    assert "answered with more than 16,000,000 bytes" in done.stderr
    assert done.seconds < 10
    assert done.peak < 500 << 20
    assert asked(web) == PAGES[:2]


# --- 56: an error with status 200


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"error": "no such view"}, marks=pytest.mark.fault(56, tier=1)),
        pytest.param({"data": None, "errors": [{"message": "x"}]}, marks=pytest.mark.fault(56, tier=1)),
        pytest.param({}, marks=pytest.mark.fault(56, tier=1)),
        pytest.param([], marks=pytest.mark.fault(56, tier=1)),
        pytest.param("sorry", marks=pytest.mark.fault(56, tier=1)),
    ],
)
@pytest.mark.parametrize("number", [3, 1])
def test_an_error_is_not_taken_for_no_rows(api: Api, web: Web, body: Any, number: int) -> None:
    rules = [{"contains": '"errors"', "do": "fail"}]
    done = api.reads(web, once(said(body), number=number, times=999), expect=3, on_response=rules)
    assert "next:" in done.last
    assert api.rows() == []
    api.reads(web, page)
    api.exact()
    api.reads(web, once(said(body), number=number, times=999), expect=3, on_response=rules)
    api.exact()  # what was there stays
