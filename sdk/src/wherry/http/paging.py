"""From one page to the next: which parameters, or which address, and where it ends.

A pager sees of a page only its answer, its count of records and values at paths; whoever drives it parses bodies.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, urljoin, urlsplit

from wherry.errors import SourceError, StreamError
from wherry.http.models import Auto, Cursor, LinkHeader, NextUrl, NoPaging, Offset, Page, Paginate
from wherry.http.values import Answer

Number = Callable[[Any, str], int]
"""Turns a number, or the template of one, into a number; the text says which it is, for messages."""
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s=;,"]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)
REMEMBERED = 10_000
"""Pages whose content is known again."""


@dataclass(frozen=True, slots=True)
class Step:
    """How to ask for a page: parameters beside those of the stream, or the whole address."""

    params: Mapping[str, Any] = field(default_factory=dict)
    url: str | None = None


class Body(Protocol):
    """What a pager asks of a page's body."""

    @property
    def rows(self) -> int:
        """Records on the page, before any filter."""

    @property
    def empty(self) -> bool:
        """Whether there are none: cheaper to know than how many."""

    def find(self, path: str) -> Any:
        """The value at a path; None if there is none."""

    def last(self, path: str) -> Any:
        """The value at a path of the last record; None if there is none."""


class Pager(ABC):
    """One walk over the pages of one request."""

    @abstractmethod
    def first(self) -> Step:
        """How to ask for the first page."""

    @abstractmethod
    def after(self, answer: Answer, body: Body) -> Step | None:
        """How to ask for the page after this one; None: this is the last. Called once for each page, in order."""


def pager(style: Paginate | None, number: Number) -> Pager:
    """The pager for what an author wrote."""
    if isinstance(style, (Page, Offset)):
        return _Counted(style, number)
    if isinstance(style, Cursor):
        return _Tokens(style)
    if isinstance(style, (LinkHeader, NextUrl)):
        return _Addresses(style)
    if isinstance(style, Auto):
        raise SourceError("paginate: auto is for wherry preview alone", next="preview prints what to write instead")
    assert style is None or isinstance(style, NoPaging)
    return _Single()


class _Single(Pager):
    def first(self) -> Step:
        return Step()

    def after(self, answer: Answer, body: Body) -> Step | None:
        return None


class _Counted(Pager):
    """By page number or offset. A total that says less than what has come already is wrong, and no more believed."""

    def __init__(self, style: Page | Offset, number: Number) -> None:
        self._style = style
        self._start = number(style.start, "start")
        given = style.size if isinstance(style, Page) else style.limit
        self._size = None if given is None else number(given, "size")
        name = style.size_param if isinstance(style, Page) else style.limit_param
        self._fixed = {name: self._size} if name and self._size is not None else {}
        self._pages = self._rows = 0
        self._believed = True

    def first(self) -> Step:
        return self._step()

    def after(self, answer: Answer, body: Body) -> Step | None:
        if body.empty:
            return None
        rows = body.rows
        self._pages, self._rows = self._pages + 1, self._rows + rows
        left = self._left(body)
        short = self._size is not None and rows < self._size
        return None if left is False or (left is None and short) else self._step()

    def _left(self, body: Body) -> bool | None:
        """Whether a total says that there is more; None: there is none to be believed."""
        style = self._style
        if isinstance(style, Page) and style.pages is not None:
            reached, total = self._pages, _whole(body.find(style.pages))
        elif style.rows is not None:
            full = self._rows if isinstance(style, Offset) or self._size is None else self._pages * self._size
            reached, total = max(full, self._rows), _whole(body.find(style.rows))
            if total is not None and self._rows > total:
                self._believed = False
        else:
            return None
        if total is None or not self._believed:
            return None
        if isinstance(style, Page) and style.pages is not None and reached > total:
            self._believed = False
            return None
        return reached < total

    def _step(self) -> Step:
        done = self._pages if isinstance(self._style, Page) else self._rows
        return Step({self._style.param: self._start + done, **self._fixed})


class _Tokens(Pager):
    def __init__(self, style: Cursor) -> None:
        self._style = style

    def first(self) -> Step:
        return Step() if self._style.start is None else Step({self._style.param: self._style.start})

    def after(self, answer: Answer, body: Body) -> Step | None:
        style = self._style
        if body.empty or (style.more is not None and _no(body.find(style.more))):
            return None
        if style.done is not None and _yes(body.find(style.done)):
            return None
        token = self._token(answer, body)
        if token is None or token == "" or token is False:
            return None
        if isinstance(token, (list, dict)):
            raise StreamError(
                f"the token of the next page is a {type(token).__name__}, not a text", next="correct path"
            )
        return Step({style.param: token})

    def _token(self, answer: Answer, body: Body) -> Any:
        if self._style.header is not None:
            return answer.headers.get(self._style.header.lower())
        return body.find(self._style.path) if self._style.path is not None else body.last(str(self._style.last))


class _Addresses(Pager):
    def __init__(self, style: LinkHeader | NextUrl) -> None:
        self._style = style

    def first(self) -> Step:
        return Step()

    def after(self, answer: Answer, body: Body) -> Step | None:
        if body.empty:
            return None
        style = self._style
        if isinstance(style, NextUrl) and style.done is not None and _yes(body.find(style.done)):
            return None
        found = self._found(answer, body)
        if found is None or found is False or found == "":
            return None
        if not isinstance(found, str):
            raise StreamError(
                f"the address of the next page is a {type(found).__name__}, not a text", next="correct path"
            )
        return Step(url=urljoin(answer.address or answer.url, found))

    def _found(self, answer: Answer, body: Body) -> Any:
        style = self._style
        if isinstance(style, LinkHeader):
            return link(answer.headers.get("link", ""), style.rel)
        return answer.headers.get(style.header.lower()) if style.header is not None else body.find(str(style.path))


def link(header: str, rel: str) -> str | None:
    """The address under `rel` in a `Link` header; None if there is none."""
    for match in _LINK.finditer(header):
        found = _REL.search(match[2])
        if found and rel.lower() in (found[1] or found[2]).lower().split():
            return match[1]
    return None


_OFFERS = (
    "next", "next_url", "next_page_url", "links.next", "_links.next", "paging.next", "pagination.next", "meta.next",
)  # fmt: skip


_TOKENS = ("next_cursor", "nextCursor", "next_page_token", "nextPageToken", "next_token", "nextToken")


def offered(answer: Answer, body: Body) -> str | None:
    """Where an answer offers a next page, in the ways that are meant for nothing else; None if it does not."""
    if link(answer.headers.get("link", ""), "next"):
        return "its Link header"
    if not answer.body.lstrip().startswith(b"{"):
        return None
    for path in _OFFERS:
        found = body.find(path)
        found = next(iter(found.values()), None) if isinstance(found, dict) else found
        if isinstance(found, str) and re.match(r"https?://|/", found):
            return path
    tokens = (name for name in _TOKENS if isinstance(found := body.find(name), str) and found)
    return next(tokens, None) or ("has_more" if body.find("has_more") is True else None)


def not_carried(url: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that an address does not carry already."""
    carried = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    return {name: value for name, value in params.items() if name not in carried}


class Cycle:
    """Knows a page again by its content; raises when one comes a second time. Memory is bounded.

    The last pages are remembered each; beyond them one page at a time, ever further back, so that a longer cycle is
    found too.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: set[int] = set()
        self._order: deque[int] = deque()
        self._anchor: int | None = None
        self._count, self._next = 0, REMEMBERED

    def see(self, content: bytes) -> None:
        """Take note of a page that holds records; `StreamError` if it was there before."""
        mark = hash(content)  # 64 bits, keyed anew in each process, and no slower than memory
        if mark in self._known or mark == self._anchor:
            raise StreamError(
                f"{self._name}: page {self._count + 1} holds what an earlier page held: the pages go round in a circle",
                next="look at paginate: the server does not understand the parameter that asks for the next page",
            )
        self._count += 1
        self._known.add(mark)
        self._order.append(mark)
        if len(self._order) > REMEMBERED:
            self._known.discard(self._order.popleft())
        if self._count >= self._next:
            self._anchor, self._next = mark, self._next * 2


def _whole(value: Any) -> int | None:
    try:
        return None if value is None or isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        return None


def _no(value: Any) -> bool:
    return value is False or value == 0 or (isinstance(value, str) and value.lower() in ("false", "0", "no"))


def _yes(value: Any) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.lower() in ("true", "1", "yes"))
