"""One server with lists of many shapes, as APIs have them: the same 47 rows, paged in every way; with a log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from wherry_apis.server import Api, Call, Reply, route

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


def page(call: Call) -> Any:
    """`page`, from 1; `per_page` up to 50; nothing behind the end."""
    size = min(call.whole("per_page", 10), 50)
    start = (call.whole("page", 1) - 1) * size
    return {"data": ROWS[start : start + size], "total": COUNT}


def page_from_zero(call: Call) -> Any:
    """Spring's: `page` from 0, a count of pages, 404 behind the end."""
    number = call.whole("page", 0)
    if number > 4:
        return Reply({"error": "no such page"}, 404)
    return {"content": ROWS[number * 10 : number * 10 + 10], "totalPages": 5, "totalElements": COUNT, "number": number}


def page_or_404(call: Call) -> Any:
    """Django's: `page` from 1, no count of pages, 404 behind the end."""
    number = call.whole("page", 1)
    if not 1 <= number <= 5:
        return Reply({"detail": "Invalid page."}, 404)
    return {"results": ROWS[number * 10 - 10 : number * 10]}


def offset(call: Call) -> Any:
    """`offset` and `limit`; the list is the answer."""
    start, size = call.whole("offset", 0), call.whole("limit", 20)
    return ROWS[start : start + size]


def offset_from_one(call: Call) -> Any:
    """SCIM's: `startIndex` from 1."""
    start, size = call.whole("startIndex", 1) - 1, call.whole("count", 15)
    return {"totalResults": COUNT, "startIndex": start + 1, "Resources": ROWS[start : start + size]}


def cursor(call: Call) -> Any:
    """A token in `meta.next_cursor`, sent as `cursor`; unknown parameters are refused."""
    unknown = set(call.query) - {"cursor", "limit"}
    if unknown:
        return Reply({"error": f"unknown parameter {min(unknown)}"}, 400)
    start = int(call.query.get("cursor", "c0")[1:])
    after = start + 12
    return {"items": ROWS[start:after], "meta": {"next_cursor": f"c{after}" if after < COUNT else None}}


def page_token(call: Call) -> Any:
    """Google's: `nextPageToken`, sent as `pageToken`, absent at the end."""
    start = int(call.query.get("pageToken", "t0")[1:])
    more = {"nextPageToken": f"t{start + 16}"} if start + 16 < COUNT else {}
    return {"files": ROWS[start : start + 16], "kind": "drive#fileList"} | more


def starting_after(call: Call) -> Any:
    """Stripe's: `has_more`, and the last id as `starting_after`."""
    last = call.query.get("starting_after")
    start = next(n + 1 for n, row in enumerate(ROWS) if str(row["id"]) == last) if last else 0
    return {"object": "list", "data": ROWS[start : start + 10], "has_more": start + 10 < COUNT, "url": "/v1/things"}


def link_header(call: Call) -> Any:
    """GitHub's: `Link`, and `since` on `updated_at`."""
    rows = [row for row in ROWS if row["updated_at"] >= call.query.get("since", "")]
    number, size = call.whole("page", 1), call.whole("per_page", 10)
    more = number * size < len(rows)
    since = f"&since={call.query['since']}" if "since" in call.query else ""
    link = f'<http://{call.headers["host"]}/link?page={number + 1}&per_page={size}{since}>; rel="next"'
    return Reply(rows[(number - 1) * size : number * size], headers={"Link": link} if more else {})


def next_url(call: Call) -> Any:
    """JSON:API's: `links.next`, an opaque address without its host."""
    start = call.whole("_s", 0)
    after = f"/next?_s={start + 11}" if start + 11 < COUNT else None
    return {"data": ROWS[start : start + 11], "links": {"self": call.path, "next": after}}


def whole(call: Call) -> Any:
    """All at once, with a count."""
    return {"things": ROWS, "count": COUNT}


def mapped(call: Call) -> Any:
    """A map of all, by key."""
    return {"things": {str(row["id"]): row for row in ROWS}, "status": "ok"}


def stuck(call: Call) -> Any:
    """A count that says more than what comes, and no way to it."""
    return {"rows": ROWS[:10], "total": COUNT}


LISTS: dict[str, Callable[[Call], Any]] = {
    "page": page, "zero": page_from_zero, "django": page_or_404, "offset": offset, "one": offset_from_one,
    "cursor": cursor, "token": page_token, "after": starting_after, "link": link_header, "next": next_url,
    "whole": whole, "mapped": mapped, "stuck": stuck,
}  # fmt: skip


class Lists(Api):
    """`with Lists() as server: … server.url, server.log`. token: a bearer token that is wanted."""

    def __init__(self, token: str | None = None) -> None:
        super().__init__()
        self.token = token

    def refusal(self, call: Call) -> Reply | None:
        """401 without the token."""
        wrong = self.token is not None and call.headers.get("authorization") != f"Bearer {self.token}"
        return Reply({"message": "who are you?"}, 401) if wrong else None

    @route("GET /{list}", "GET /{folder}/{list}")
    def a_list(self, call: Call) -> Any:
        """What its function says; what is no number is an error, as servers have it."""
        found = LISTS.get(call.names["list"])
        try:
            return found(call) if found else Reply({"message": "not found"}, 404)
        except ValueError:
            return Reply({"message": "a number was expected"}, 400)
