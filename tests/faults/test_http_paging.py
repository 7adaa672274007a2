"""Pages that go in circles, never end, or lead elsewhere: what was asked, and what is in the table."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness.api import ROWS, SIZE, Api
from wherry_web import Asked, Said, Web, said

TOKEN = {"paginate": {"type": "cursor", "param": "after", "path": "next"}}
NEXT = {"paginate": {"type": "next_url", "path": "next"}}
LINK = {"paginate": {"type": "link_header"}}


def ring(length: int, before: int = 0) -> Any:
    """Pages whose tokens lead from the last one back to one that was there."""

    def answer(asked: Asked) -> Said:
        number = int(asked.query.get("after", 0))
        after = number + 1 if number + 1 < before + length else before
        return said({"data": ROWS[number * SIZE : (number + 1) * SIZE], "next": str(after)})

    return answer


@pytest.mark.parametrize(
    ("length", "before"),
    [
        pytest.param(1, 0, marks=pytest.mark.fault(57, tier=1)),
        pytest.param(2, 0, marks=pytest.mark.fault(57, tier=0)),
        pytest.param(2, 3, marks=pytest.mark.fault(57, tier=1)),
        pytest.param(5, 1, marks=pytest.mark.fault(57, tier=1)),
    ],
)
def test_a_circle_of_pages_is_noticed(api: Api, web: Web, length: int, before: int) -> None:
    done = api.reads(web, ring(length, before), expect=3, **TOKEN)
    assert f"page {before + length + 1} holds what an earlier page held" in done.stderr
    assert len(web.log) == before + length + 1
    assert api.rows() == []


@pytest.mark.fault(57)
def test_a_token_that_repeats_on_pages_that_differ_is_no_circle(api: Api, web: Web) -> None:
    def answer(asked: Asked) -> Said:
        left = ROWS[asked.number * SIZE :]
        return said({"data": left[:SIZE], "next": "on" if len(left) > SIZE else None})

    api.reads(web, answer, **TOKEN)
    api.exact()
    assert len(web.log) == 7


@pytest.mark.parametrize(
    ("words", "param"),
    [
        pytest.param({"paginate": {"type": "page"}}, "page", marks=pytest.mark.fault(57, tier=1)),
        pytest.param({"paginate": {"type": "offset", "limit": 10}}, "offset", marks=pytest.mark.fault(57, tier=1)),
        pytest.param(TOKEN, "after", marks=pytest.mark.fault(57, tier=1)),
    ],
)
def test_a_parameter_that_the_server_does_not_know(api: Api, web: Web, words: Any, param: str) -> None:
    """It gives the first page for ever."""
    done = api.reads(web, lambda asked: said({"data": ROWS[:SIZE], "next": "2"}), expect=3, **words)
    assert "the pages go round in a circle" in done.stderr
    assert len(web.log) == 2
    assert param in web.log[1].query


@pytest.mark.parametrize("words", [pytest.param(w, marks=pytest.mark.fault(57, tier=1)) for w in (TOKEN, NEXT)])
def test_an_empty_page_with_a_next_one_is_the_end(api: Api, web: Web, words: Any) -> None:
    def answer(asked: Asked) -> Said:
        return said({"data": ROWS[:SIZE] if not asked.number else [], "next": f"/v1/items?after={asked.number + 1}"})

    api.reads(web, answer, **words)
    api.exact(ROWS[:SIZE])
    assert len(web.log) == 2


@pytest.mark.fault(57, tier=1)
def test_pages_without_an_end_stop_when_the_run_is_to(api: Api, web: Web) -> None:
    """Each page is new: only the user can know that it is enough."""

    def answer(asked: Asked) -> Said:
        return said({"data": [{"id": asked.number + 1}], "next": str(asked.number + 1)})

    web.answer = answer
    api.describe(f"{web.url}/v1", **TOKEN)
    done = api.sync("--run-timeout", "2s", expect=75)
    assert "the time limit is reached: stopping" in done.stderr
    assert done.seconds < 15
    assert done.peak < 500 << 20


ELSEWHERE = [
    "http://{other}/v1/items?after=1",
    "https://127.0.0.1:{port}/v1/items?after=1",
    "http://127.0.0.1.:{port}/v1/items",
    "//{other}/v1/items",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:127.0.0.1]:{port}/v1/items",
    "http://2130706433:{port}/v1/items",
    "http://127.0.0.1:{port}@{other}/",
    "file:///etc/passwd",
]


@pytest.mark.parametrize(
    "address",
    [pytest.param(url, marks=pytest.mark.fault(57, tier=min(1, number))) for number, url in enumerate(ELSEWHERE)],
)
@pytest.mark.parametrize("words", [pytest.param(NEXT, id="body"), pytest.param(LINK, id="link")])
def test_a_next_address_elsewhere_is_refused(api: Api, web: Web, words: Any, address: str) -> None:
    with Web(lambda asked: said({"data": ROWS})) as other:
        url = address.format(port=web.port, other=f"127.0.0.1:{other.port}")
        page = said({"data": ROWS[:SIZE], "next": url}, headers={"Link": f'<{url}>; rel="next"'})
        done = api.reads(web, lambda asked: page, expect=11, **words, auth={"type": "bearer", "token": "S3CR3T-x"})
        assert "the next address is" in done.stderr or "is refused: an address of HTTP" in done.stderr
        assert "S3CR3T" not in done.stderr
        assert other.log == []
    assert len(web.log) == 1
    assert api.rows() == []


@pytest.mark.fault(57)
def test_next_addresses_of_the_same_host_are_followed(api: Api, web: Web) -> None:
    forms = ("{url}/v1/items?{q}", "/v1/items?{q}", "?{q}", "items?{q}", "//127.0.0.1:{port}/v1/items?{q}")

    def answer(asked: Asked) -> Said:
        number = int(asked.query.get("after", 0))
        url = forms[number % 5].format(url=web.url, port=web.port, q=f"after={number + 1}")
        return said({"data": ROWS[number * SIZE : (number + 1) * SIZE], "next": url if number < 6 else None})

    api.reads(web, answer, **NEXT)
    api.exact()
    assert [asked.route for asked in web.log] == ["/v1/items"] * 7


@pytest.mark.parametrize(
    "total",
    [
        pytest.param(None, marks=pytest.mark.fault(57, tier=1)),
        pytest.param(5, marks=pytest.mark.fault(57, tier=1)),
        pytest.param(-1, marks=pytest.mark.fault(57, tier=1)),
        pytest.param("many", marks=pytest.mark.fault(57, tier=1)),
        pytest.param(1000, marks=pytest.mark.fault(57, tier=1)),
    ],
)
def test_a_total_that_is_wrong(api: Api, web: Web, total: Any) -> None:
    """Too small: it is not believed once more has come. Too large: an empty page is the end."""

    def answer(asked: Asked) -> Said:
        start = int(asked.query["offset"])
        return said({"data": ROWS[start : start + SIZE], "total": total})

    words = {"paginate": {"type": "offset", "limit": SIZE, "rows": "total"}}
    api.reads(web, answer, **words)
    api.exact()
    assert len(web.log) <= 8


@pytest.mark.fault(57, tier=1)
def test_a_list_that_grows_while_it_is_read(api: Api, web: Web) -> None:
    """Newest first: rows move to later pages; by their key each comes once."""
    grown = [dict(row) for row in ROWS]

    def answer(asked: Asked) -> Said:
        number = int(asked.query.get("page", 1))
        body = json.loads(json.dumps({"data": grown[(number - 1) * SIZE : number * SIZE]}))
        grown.insert(0, {"id": 1000 + asked.number, "name": "new", "note": ""})
        return said(body)

    web.answer = answer
    api.describe(f"{web.url}/v1", paginate={"type": "page", "size": SIZE})
    api.sync("--mode", "merge")
    found = {row["id"]: row for row in api.rows()}
    assert [found[row["id"]] for row in ROWS] == ROWS
    assert len(api.rows()) == len(found)
