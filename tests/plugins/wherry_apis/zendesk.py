"""Zendesk Support's API: exports by cursor and by time that tell of deletes, lists by cursor."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from wherry_apis.paging import Row, after, opened, sealed
from wherry_apis.server import Api, Call, Reply, route

EMAIL, TOKEN = "ana@example.com", "zd-local"
JANUARY = 1704067200


def iso(at: int) -> str:
    """A moment as the API writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ticket(number: int, at: int | None = None, **more: Any) -> Row:
    """A ticket as exports give it; later numbers changed later, by a minute."""
    at = JANUARY + 60 * number if at is None else at
    return {
        "id": number, "subject": f"Ticket {number}", "status": "open", "priority": "normal", "requester_id": 7,
        "tags": ["printer"], "custom_fields": [{"id": 27642, "value": "745"}], "via": {"channel": "web"},
        "created_at": iso(JANUARY), "updated_at": iso(at), "generated_timestamp": at, **more,
    }  # fmt: skip


def person(number: int, at: int | None = None, **more: Any) -> Row:
    """A user."""
    at = JANUARY + 60 * number if at is None else at
    return {"id": number, "name": f"User {number}", "active": True, "role": "end-user", "updated_at": iso(at), **more}


class Zendesk(Api):
    """An account. size: rows of a page of an export."""

    def __init__(self, tickets: int = 25, size: int = 10) -> None:
        super().__init__()
        self.size = size
        self.tickets = [ticket(n) for n in range(1, tickets + 1)]
        self.users = [person(n) for n in range(1, 13)]
        self.organizations: list[Row] = [
            {"id": n, "name": f"Org {n}", "updated_at": iso(JANUARY + 60 * n), "deleted_at": None} for n in range(1, 13)
        ]
        self.events: list[Row] = [
            {"id": n, "ticket_id": n, "metric": "reply_time", "type": "activate", "time": iso(JANUARY + 60 * n)}
            for n in range(1, 26)
        ]
        self.comments: dict[str, list[Row]] = {}
        self.groups: list[Row] = [{"id": n, "name": f"Group {n}", "deleted": False} for n in range(1, 131)]

    def refusal(self, call: Call) -> Reply | None:
        right = base64.b64encode(f"{EMAIL}/token:{TOKEN}".encode()).decode()
        if call.headers.get("authorization") != f"Basic {right}":
            return Reply({"error": "Couldn't authenticate you"}, 401)
        return None

    @route("GET /api/v2/users/me.json")
    def me(self, call: Call) -> Any:
        return {"user": person(7)}

    @route("GET /api/v2/incremental/{kind}/cursor.json")
    def export(self, call: Call) -> Any:
        kind = call.names["kind"]
        rows = {"tickets": self.tickets, "users": self.users}[kind]
        if cursor := call.query.get("cursor"):
            start, last = opened(cursor)
        elif "start_time" in call.query:
            start, last = call.whole("start_time", 0), -1
        else:
            return Reply({"error": "StartTimeMissing"}, 400)
        rows = sorted((r for r in rows if (_at(r), r["id"]) > (start, last)), key=lambda r: (_at(r), r["id"]))
        found = rows[: self.size]
        token = sealed((_at(found[-1]), found[-1]["id"]) if found else (start, last))
        return {
            kind: found, "after_cursor": token, "after_url": f"{self.url}{call.path}?{urlencode({'cursor': token})}",
            "before_cursor": None, "before_url": None, "end_of_stream": len(rows) <= self.size,
        }  # fmt: skip

    @route("GET /api/v2/incremental/{kind}.json")
    def by_time(self, call: Call) -> Any:
        kind = call.names["kind"]
        all_rows = {"organizations": self.organizations, "ticket_metric_events": self.events}[kind]
        rows = sorted((r for r in all_rows if _at(r) >= call.whole("start_time", 0)), key=_at)
        found = rows[: self.size]
        end = _at(found[-1]) if found else call.whole("start_time", 0)
        address = f"{self.url}{call.path}?{urlencode({'start_time': end})}"
        page = {"count": len(found), "end_time": end, "next_page": address, "end_of_stream": len(rows) <= self.size}
        return {kind: found, **page}

    @route("GET /api/v2/tickets/{id}/comments.json")
    def remarks(self, call: Call) -> Any:
        gone = {row["id"] for row in self.tickets if row["status"] == "deleted"}
        if int(call.names["id"]) in gone:
            return Reply({"error": "RecordNotFound", "description": "Not found"}, 404)
        return self._page("comments", self.comments.get(call.names["id"], []), call)

    @route("GET /api/v2/{kind}.json")
    def listed(self, call: Call) -> Any:
        return self._page(call.names["kind"], getattr(self, call.names["kind"], []), call)

    def _page(self, name: str, rows: list[Row], call: Call) -> Row:
        found, token = after(rows, call.query.get("page[after]"), call.whole("page[size]", 100))
        meta = {"has_more": token is not None, "after_cursor": token or "last", "before_cursor": None}
        return {name: found, "meta": meta, "links": {"next": f"{self.url}{call.path}" if token else None, "prev": None}}


def _at(row: Row) -> int:
    known = row.get("generated_timestamp")
    if known is not None:
        return int(known)
    return int(datetime.fromisoformat(row.get("updated_at") or row["time"]).timestamp())
