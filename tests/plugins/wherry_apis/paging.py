"""How APIs page: the part of the rows that a request asks for, and what is said of the rest."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from wherry_apis.server import Call, Reply

Row = dict[str, Any]


def numbered(rows: Sequence[Row], page: int, size: int) -> list[Row]:
    """The rows of a page, from 1."""
    return list(rows[(page - 1) * size : page * size])


def linked(url: str, call: Call, rows: Sequence[Row], *, default: int, most: int, key: str | None = None) -> Reply:
    """Pages by number, told in the `Link` header; with a key, by a cursor behind the last row of a page instead."""
    size, page = min(call.whole("per_page", default), most), call.whole("page", 1)
    start = (page - 1) * size
    if key and (after := call.query.get("after")):
        last = opened(after)
        start = next((n for n, row in enumerate(rows) if [row[key], row["id"]] > last), len(rows))
    found = list(rows[start : start + size])
    links = {}
    if start + size < len(rows):
        more = {"page": page + 1} | ({"after": sealed([found[-1][key], found[-1]["id"]])} if key else {})
        links["next"] = _address(url, call, more)
    if page > 1:
        links["prev"] = _address(url, call, {"page": page - 1})
        links["first"] = _address(url, call, {"page": 1})
    header = ", ".join(f'<{address}>; rel="{rel}"' for rel, address in links.items())
    return Reply(found, headers={"Link": header} if header else {})


def after(rows: Sequence[Row], token: str | None, size: int) -> tuple[list[Row], str | None]:
    """The page behind a token, and the token of the next one; None: there is none."""
    start = opened(token) if token else 0
    return list(rows[start : start + size]), sealed(start + size) if start + size < len(rows) else None


def sealed(value: Any) -> str:
    """A value as an opaque token."""
    return base64.urlsafe_b64encode(repr(value).encode()).decode()


def opened(token: str) -> Any:
    """What is in a token that `sealed` made."""
    import ast

    return ast.literal_eval(base64.urlsafe_b64decode(token).decode())


def _address(url: str, call: Call, more: Mapping[str, Any]) -> str:
    return f"{url}{call.path}?{urlencode({**call.query, **more})}"
