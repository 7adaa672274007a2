"""Slack's Web API: refusals with status 200, an empty token on the last page, messages newest first."""

from __future__ import annotations

from typing import Any

from wherry_apis.paging import Row, after, numbered
from wherry_apis.server import Api, Call, Reply, route

TOKEN = "xoxb-local"


def message(number: int, **more: Any) -> Row:
    """A message as the API gives it; its ts is its id in the channel."""
    return {
        "type": "message", "user": "U1", "text": f"Message {number}", "ts": f"17040672{number:02}.{number:06}",
        "team": "T1", "blocks": [{"type": "rich_text", "block_id": "b", "elements": []}], **more,
    }  # fmt: skip


class Slack(Api):
    """A workspace. messages: channel -> rows, oldest first.  joined: channels that the bot is in."""

    def __init__(self, size: int = 40) -> None:
        super().__init__()
        self.size = size
        self.channels: list[Row] = [
            {"id": f"C{n}", "name": name, "is_channel": True, "is_archived": False, "created": 1704067200 + n,
             "topic": {"value": "", "creator": "", "last_set": 0}, "num_members": 3}
            for n, name in enumerate(("general", "random", "secret"), 1)
        ]  # fmt: skip
        self.joined = {"C1", "C2"}
        self.messages = {"C1": [message(n) for n in range(90)], "C2": [message(n, user="U2") for n in range(5)]}
        self.members: list[Row] = [
            {"id": f"U{n}", "name": f"user{n}", "deleted": n == 2, "profile": {"email": f"{n}@example.com"}}
            for n in range(1, 4)
        ]  # fmt: skip
        self.files: list[Row] = [{"id": f"F{n:03}", "name": "a.txt", "created": 1704067200 + n} for n in range(150)]

    def refusal(self, call: Call) -> Reply | None:
        right = call.headers.get("authorization") == f"Bearer {TOKEN}"
        return None if right else Reply({"ok": False, "error": "invalid_auth"})

    @route("GET /api/auth.test")
    def test(self, call: Call) -> Any:
        return {"ok": True, "team": "Acme", "user_id": "U9"}

    @route("GET /api/conversations.list")
    def conversations(self, call: Call) -> Any:
        return self._page("channels", self.channels, call)

    @route("GET /api/users.list")
    def people(self, call: Call) -> Any:
        return self._page("members", self.members, call)

    @route("GET /api/conversations.history")
    def history(self, call: Call) -> Any:
        if call.query["channel"] not in self.joined:
            return {"ok": False, "error": "not_in_channel"}
        rows = [r for r in self.messages[call.query["channel"]] if r["ts"] >= call.query.get("oldest", "0")]
        assert call.query["inclusive"] == "true"
        return self._page("messages", rows[::-1], call)

    @route("GET /api/files.list")
    def listed(self, call: Call) -> Any:
        size, page = call.whole("count", 100), call.whole("page", 1)
        rows = [row for row in self.files if row["created"] >= call.whole("ts_from", 0)][::-1]
        paging = {"count": size, "total": len(rows), "page": page, "pages": -(-len(rows) // size)}
        return {"ok": True, "files": numbered(rows, page, size), "paging": paging}

    @route("GET /api/usergroups.list")
    def groups(self, call: Call) -> Any:
        return {"ok": True, "usergroups": [{"id": "S1", "handle": "crew", "users": ["U1", "U3"], "date_delete": 0}]}

    @route("GET /api/team.info")
    def team(self, call: Call) -> Any:
        return {"ok": True, "team": {"id": "T1", "name": "Acme", "domain": "acme"}}

    def _page(self, name: str, rows: list[Row], call: Call) -> Row:
        size = min(call.whole("limit", 100), self.size)
        found, token = after(rows, call.query.get("cursor"), size)
        return {"ok": True, name: found, "has_more": bool(token), "response_metadata": {"next_cursor": token or ""}}
