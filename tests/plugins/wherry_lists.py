"""One server with lists of many shapes, as APIs have them: the same 47 rows, paged in every way; with a log."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

COUNT = 47
ROWS: list[dict[str, Any]] = [
    {
        "id": 100 + n,
        "name": f"row {n}",
        "price": n / 4,
        "tags": ["a", "b"][: n % 3],
        "owner": {"login": f"u{n % 5}", "admin": n % 2 == 0},
        "updated_at": (datetime(2024, 1, 1) + timedelta(hours=n)).isoformat() + "Z",
    }
    for n in range(COUNT)
]


@dataclass(frozen=True)
class Asked:
    """One request. server: its address."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    server: str

    def number(self, name: str, default: int) -> int:
        """A number of the query; what is none is an error, as servers have it."""
        return int(self.query.get(name, default))


@dataclass(frozen=True)
class Said:
    """An answer."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def page(asked: Asked) -> Any:
    """`page`, from 1; `per_page` up to 50; nothing behind the end."""
    size = min(asked.number("per_page", 10), 50)
    start = (asked.number("page", 1) - 1) * size
    return {"data": ROWS[start : start + size], "total": COUNT}


def page_from_zero(asked: Asked) -> Any:
    """Spring's: `page` from 0, a count of pages, 404 behind the end."""
    number = asked.number("page", 0)
    if number > 4:
        return Said({"error": "no such page"}, 404)
    return {"content": ROWS[number * 10 : number * 10 + 10], "totalPages": 5, "totalElements": COUNT, "number": number}


def page_or_404(asked: Asked) -> Any:
    """Django's: `page` from 1, no count of pages, 404 behind the end."""
    number = asked.number("page", 1)
    if not 1 <= number <= 5:
        return Said({"detail": "Invalid page."}, 404)
    return {"results": ROWS[number * 10 - 10 : number * 10]}


def offset(asked: Asked) -> Any:
    """`offset` and `limit`; the list is the answer."""
    start, size = asked.number("offset", 0), asked.number("limit", 20)
    return ROWS[start : start + size]


def offset_from_one(asked: Asked) -> Any:
    """SCIM's: `startIndex` from 1."""
    start, size = asked.number("startIndex", 1) - 1, asked.number("count", 15)
    return {"totalResults": COUNT, "startIndex": start + 1, "Resources": ROWS[start : start + size]}


def cursor(asked: Asked) -> Any:
    """A token in `meta.next_cursor`, sent as `cursor`; unknown parameters are refused."""
    unknown = set(asked.query) - {"cursor", "limit"}
    if unknown:
        return Said({"error": f"unknown parameter {min(unknown)}"}, 400)
    start = int(asked.query.get("cursor", "c0")[1:])
    after = start + 12
    return {"items": ROWS[start:after], "meta": {"next_cursor": f"c{after}" if after < COUNT else None}}


def page_token(asked: Asked) -> Any:
    """Google's: `nextPageToken`, sent as `pageToken`, absent at the end."""
    start = int(asked.query.get("pageToken", "t0")[1:])
    more = {"nextPageToken": f"t{start + 16}"} if start + 16 < COUNT else {}
    return {"files": ROWS[start : start + 16], "kind": "drive#fileList"} | more


def starting_after(asked: Asked) -> Any:
    """Stripe's: `has_more`, and the last id as `starting_after`."""
    last = asked.query.get("starting_after")
    start = next(n + 1 for n, row in enumerate(ROWS) if str(row["id"]) == last) if last else 0
    return {"object": "list", "data": ROWS[start : start + 10], "has_more": start + 10 < COUNT, "url": "/v1/things"}


def link_header(asked: Asked) -> Any:
    """GitHub's: `Link`, and `since` on `updated_at`."""
    rows = [row for row in ROWS if row["updated_at"] >= asked.query.get("since", "")]
    number, size = asked.number("page", 1), asked.number("per_page", 10)
    more = number * size < len(rows)
    since = f"&since={asked.query['since']}" if "since" in asked.query else ""
    link = f'<{asked.server}/link?page={number + 1}&per_page={size}{since}>; rel="next"'
    return Said(rows[(number - 1) * size : number * size], headers={"Link": link} if more else {})


def next_url(asked: Asked) -> Any:
    """JSON:API's: `links.next`, an opaque address without its host."""
    start = asked.number("_s", 0)
    after = f"/next?_s={start + 11}" if start + 11 < COUNT else None
    return {"data": ROWS[start : start + 11], "links": {"self": asked.path, "next": after}}


def whole(asked: Asked) -> Any:
    """All at once, with a count."""
    return {"things": ROWS, "count": COUNT}


def mapped(asked: Asked) -> Any:
    """A map of all, by key."""
    return {"things": {str(row["id"]): row for row in ROWS}, "status": "ok"}


def stuck(asked: Asked) -> Any:
    """A count that says more than what comes, and no way to it."""
    return {"rows": ROWS[:10], "total": COUNT}


LISTS: dict[str, Callable[[Asked], Any]] = {
    "page": page, "zero": page_from_zero, "django": page_or_404, "offset": offset, "one": offset_from_one,
    "cursor": cursor, "token": page_token, "after": starting_after, "link": link_header, "next": next_url,
    "whole": whole, "mapped": mapped, "stuck": stuck,
}  # fmt: skip


class Lists:
    """`with Lists() as server: … server.url, server.log`. token: a bearer token that is wanted."""

    def __init__(self, token: str | None = None, port: int = 0) -> None:
        self.log: list[Asked] = []
        self.url = ""
        self.token, self._port = token, port
        self._server: ThreadingHTTPServer | None = None

    def answer(self, asked: Asked) -> Said:
        """What is said to a request."""
        if self.token is not None and asked.headers.get("authorization") != f"Bearer {self.token}":
            return Said({"message": "who are you?"}, 401)
        found = LISTS.get(asked.path.strip("/").rpartition("/")[2])
        try:
            said = found(asked) if found else Said({"message": "not found"}, 404)
        except ValueError:
            said = Said({"message": "a number was expected"}, 400)
        return said if isinstance(said, Said) else Said(said)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


def _handler(lists: Lists) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet an answer

        def do_GET(self) -> None:
            place = urlsplit(self.path)
            query = dict(parse_qsl(place.query, keep_blank_values=True))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(place.path, query, headers, lists.url)
            lists.log.append(asked)
            said = lists.answer(asked)
            content = json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in {"Content-Type": "application/json", **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    return Handler
