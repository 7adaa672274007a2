"""From page to page of one request, and a page's body as a pager looks at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

from wherry.errors import DataError, StreamError
from wherry.http.bodies import not_json
from wherry.http.models import OnResponse, Paginate
from wherry.http.paging import Cycle, Pager, Step, offered, pager
from wherry.http.values import Answer, Request
from wherry.json_rows import MISSING, count, find, last, steps
from wherry.json_rows.paths import walk as values
from wherry.rest.template import Values, number


class Sender(Protocol):
    """A `Client`, or what stands before one."""

    def send(self, request: Request, rules: Sequence[OnResponse] = ()) -> Answer:
        """The answer to a request."""

    def close(self) -> None:
        """Let go of the connections."""


class Complete(Exception):
    """A rule said that the stream ends here, complete."""


Turn = Literal["on", "anew", "end"]
"""What comes after a page that is not the last: the next one, a first page of what `ask` asks for now, nothing."""


def walk(
    client: Sender, ask: Callable[[Step], Request], style: Paginate | None, *, records: str, name: str,
    rules: Sequence[OnResponse] = (), stop: threading.Event, turn: Callable[[PageBody, int], Turn] | None = None,
) -> Iterator[Answer]:  # fmt: skip
    """The pages of one request, in order. ask: the request for a page.  name: the stream, for messages.

    turn: asked after each page that is not the last, with the count of records since the first page.
    """
    pages, cycle, rows = _pager(style), Cycle(f"stream {name}"), 0
    step: Step | None = pages.first()
    while step is not None and not stop.is_set():
        answer = client.send(ask(step), rules)
        if answer.outcome == "stop":
            raise Complete
        if answer.outcome != "ok" or (answer.status == 204 and not answer.body):
            return
        body = PageBody(answer.body, records, f"stream {name}")
        try:
            step = pages.after(answer, body)
        except DataError as error:
            raise not_json(answer.body, answer.url) or error from None
        if style is None and (place := offered(answer, body)):
            raise unread_pages(name, place)
        if step is not None:
            cycle.see(answer.body)
            rows += body.rows if turn is not None else 0
            what = turn(body, rows) if turn is not None else "on"
            if what == "anew":
                pages, cycle, rows = _pager(style), Cycle(f"stream {name}"), 0
                step = pages.first()
            elif what == "end":
                step = None
        yield answer


def _pager(style: Paginate | None) -> Pager:
    return pager(style, lambda value, what: number(value, Values(), what))


class PageBody:
    """A page. records: the path of its records; name: whose page it is, for messages."""

    def __init__(self, body: bytes, records: str, name: str) -> None:
        self._body, self._records, self._name = body, records, name

    @property
    def rows(self) -> int:
        """Records on the page; `StreamError` where the body has none, which is no empty page."""
        return self._count(None)

    @property
    def empty(self) -> bool:
        """Whether it has no record; raises as `rows` does."""
        return self._count(1) == 0

    def _count(self, most: int | None) -> int:
        found = count(self._body, self._records, most)
        if found is None:
            raise no_records(self._name, self._records)
        return found

    def find(self, path: str) -> Any:
        found = find(self._body, path)
        return None if found is MISSING else found

    def last(self, path: str) -> Any:
        found = last(self._body, self._records, path)
        return None if found is MISSING else found


def no_records(name: str, path: str) -> StreamError:
    """The error for an answer that is no page: an error in a 200, or a wrong path."""
    where = f"no records at {path!r}" if path else "neither a list nor an object"
    return StreamError(
        f"{name}: the answer has {where}: an error in disguise, or another records path", key="records",
        next="look at an answer: wherry preview SOURCE; then correct records, or say what it means: on_response",
    )  # fmt: skip


def unread_pages(name: str, place: str) -> StreamError:
    """The error for a stream of which nobody said how it is paged, and that has more than one page."""
    return StreamError(
        f"stream {name}: {place} offers a next page, and nothing says how pages are asked for: paginate is missing",
        key="paginate",
        next="let it be found out: wherry preview SOURCE --guess; or, for the first page alone, paginate: {type: none}",
    )


def objects(body: bytes, path: str) -> list[dict[str, Any]]:
    """The records of a body as dicts."""
    found: list[dict[str, Any]] = []
    for _, value in values(json.loads(body), steps(path)):
        found += [record for record in (value if isinstance(value, list) else [value]) if isinstance(record, dict)]
    return found
