"""From page to page: what is asked for next, and where it ends."""

from __future__ import annotations

from typing import Any

import pytest
from wherry import Cursor, LinkHeader, NextUrl, NoPaging, Offset, Page, SourceError, StreamError
from wherry.http import paging
from wherry.http.models import Auto
from wherry.http.paging import Cycle, Step, link, not_carried, pager
from wherry.http.values import Answer


class Told:
    """A body of so many records, with values at paths."""

    def __init__(self, rows: int, **values: Any) -> None:
        self.rows, self.values = rows, values
        self.empty = rows == 0

    def find(self, path: str) -> Any:
        return self.values.get(path)

    def last(self, path: str) -> Any:
        return self.values.get(path) if self.rows else None


def answer(url: str = "https://api.acme.dev/v1/items?page=1", **headers: str) -> Answer:
    return Answer(status=200, url=url, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=b"")


def walk(style: Any, *bodies: Told) -> list[Step | None]:
    """The first step, and what follows each body."""
    pages = pager(style, lambda value, what: int(value))
    return [pages.first(), *(pages.after(answer(), body) for body in bodies)]


@pytest.mark.parametrize(
    ("style", "bodies", "steps"),
    [
        (None, [Told(5)], [{}, None]),
        (NoPaging(), [Told(5)], [{}, None]),
        (Page(), [Told(5), Told(1), Told(0)], [{"page": 1}, {"page": 2}, {"page": 3}, None]),
        (Page("p", start=0, size=5, size_param="n"), [Told(5), Told(4)], [{"p": 0, "n": 5}, {"p": 1, "n": 5}, None]),
        (Page(size=5), [Told(5), Told(0)], [{"page": 1}, {"page": 2}, None]),
        (Page(pages="total"), [Told(5, total=2), Told(5, total=2)], [{"page": 1}, {"page": 2}, None]),
        (Page(size=5, pages="total"), [Told(3, total="2"), Told(3, total="2")], [{"page": 1}, {"page": 2}, None]),
        (Page(size=5, rows="n"), [Told(5, n=10), Told(5, n=10)], [{"page": 1}, {"page": 2}, None]),
        (Page(size=5, rows="n"), [Told(5, n=None), Told(2)], [{"page": 1}, {"page": 2}, None]),
        (Offset(), [Told(5), Told(3), Told(0)], [{"offset": 0}, {"offset": 5}, {"offset": 8}, None]),
        (Offset(limit=5), [Told(5), Told(3)], [{"offset": 0, "limit": 5}, {"offset": 5, "limit": 5}, None]),
        (Offset("o", limit=5, rows="n"), [Told(3, n=6)] * 2, [{"o": 0, "limit": 5}, {"o": 3, "limit": 5}, None]),
        (Cursor("c", path="next"), [Told(5, next="a"), Told(5)], [{}, {"c": "a"}, None]),
        (Cursor("c", path="next"), [Told(5, next="")], [{}, None]),
        (Cursor("c", path="next"), [Told(0, next="a")], [{}, None]),
        (Cursor("c", path="next", start="*"), [Told(5, next="a")], [{"c": "*"}, {"c": "a"}]),
        (Cursor("c", path="next"), [Told(5, next="a"), Told(5, next="a")], [{}, {"c": "a"}, {"c": "a"}]),
        (Cursor("c", last="id"), [Told(5, id=7), Told(5)], [{}, {"c": 7}, None]),
        (Cursor("c", last="id", more="m"), [Told(5, id=7, m=True), Told(5, id=9, m=False)], [{}, {"c": 7}, None]),
        (Cursor("c", path="n", done="d"), [Told(5, n="a", d=False), Told(5, n="b", d=True)], [{}, {"c": "a"}, None]),
        (Cursor("c", path="next"), [Told(5, next=0)], [{}, {"c": 0}]),
    ],
)  # fmt: skip
def test_parameters_of_the_next_page(style: Any, bodies: list[Told], steps: list[dict[str, Any] | None]) -> None:
    found = walk(style, *bodies)
    assert [None if step is None else dict(step.params) for step in found] == steps
    assert all(step is None or step.url is None for step in found)


@pytest.mark.parametrize("style", [Page(size=5, rows="n"), Page(size=5, pages="n"), Offset(limit=5, rows="n")])
def test_a_total_that_less_than_came_already_is_not_believed(style: Any) -> None:
    found = walk(style, Told(5, n=1 if isinstance(style, Page) and style.pages else 5), Told(0))
    assert found[1] is None
    found = walk(style, Told(5, n=0 if isinstance(style, Page) and style.pages else 3), Told(5, n=3), Told(2))
    assert [step is None for step in found] == [False, False, False, True]


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ("https://api.acme.dev/v1/items?page=2", "https://api.acme.dev/v1/items?page=2"),
        ("/v1/items?page=2", "https://api.acme.dev/v1/items?page=2"),
        ("?page=2", "https://api.acme.dev/v1/items?page=2"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
    ],
)
def test_addresses_of_the_next_page(told: str, url: str) -> None:
    assert walk(NextUrl("next"), Told(5, next=told)) == [Step(), Step(url=url)]
    pages = pager(NextUrl(header="X-Next"), lambda value, what: int(value))
    assert pages.after(answer(x_next=told), Told(5)) == Step(url=url)
    pages = pager(LinkHeader(), lambda value, what: int(value))
    assert pages.after(answer(link=f'<{told}>; rel="next"'), Told(5)) == Step(url=url)


@pytest.mark.parametrize("told", [None, "", False])
def test_no_address_is_the_end(told: Any) -> None:
    assert walk(NextUrl("next"), Told(5, next=told))[1] is None
    assert walk(LinkHeader(), Told(5))[1] is None
    assert walk(NextUrl("next"), Told(0, next="/x"))[1] is None
    assert walk(NextUrl("next", done="end"), Told(5, next="/x", end=True))[1] is None


@pytest.mark.parametrize(
    ("header", "rel", "found"),
    [
        ('<https://a/1>; rel="next"', "next", "https://a/1"),
        ('<https://a/0>; rel="prev", <https://a/2?b=1,2>; rel="next"; title="x, y"', "next", "https://a/2?b=1,2"),
        ("<https://a/1>; rel=next", "next", "https://a/1"),
        ('<https://a/1>; rel="last Next"', "next", "https://a/1"),
        ('<https://a/1>; title="rel=next"; rel="prev"', "next", None),
        ('<https://a/1>;rel="nextish"', "next", None),
        ("", "next", None),
        ("garbage", "next", None),
        ('<https://a/1>; rel="older"', "older", "https://a/1"),
    ],
)
def test_the_link_header(header: str, rel: str, found: str | None) -> None:
    assert link(header, rel) == found


def test_parameters_that_an_address_carries_are_not_added() -> None:
    assert not_carried("/x?a=1&b=&c", {"a": 2, "b": 3, "c": 4, "d": 5}) == {"d": 5}


@pytest.mark.parametrize("style", [Cursor("c", path="next"), NextUrl("next")])
def test_what_is_no_token_and_no_address_is_refused(style: Any) -> None:
    with pytest.raises(StreamError, match=r"the (token|address) of the next page is a dict"):
        walk(style, Told(5, next={"a": 1}))


def test_what_only_a_preview_understands_is_refused() -> None:
    with pytest.raises(SourceError, match="auto is for wherry preview alone"):
        pager(Auto(), lambda value, what: int(value))


def test_a_page_is_known_again_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    cycle = Cycle("stream x")
    for n in range(5):
        cycle.see(b"%d" % n)
    with pytest.raises(StreamError, match="stream x: page 6 holds what an earlier page held"):
        cycle.see(b"2")


@pytest.mark.parametrize("length", [3, 10, 70])
def test_cycles_longer_than_what_is_remembered_are_found_in_bounded_memory(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(paging, "REMEMBERED", 8)
    cycle, seen = Cycle("stream x"), 0
    while seen < 4 * length + 8:
        try:
            cycle.see(b"%d" % (seen % length))
        except StreamError:
            break
        seen += 1
    assert length <= seen < 4 * length + 8
    assert len(cycle._known) <= 8
