"""Notion's API: searches by POST, newest first, cursors in the body; blocks and comments by page."""

from __future__ import annotations

from typing import Any

from wherry_apis.github import minute
from wherry_apis.paging import Row, after
from wherry_apis.server import Api, Call, Reply, route

TOKEN = "ntn_local"


def page(number: int, edited: str, **more: Any) -> Row:
    """A page of a database as searches give it."""
    return {
        "object": "page", "id": f"page-{number:04}", "created_time": "2024-01-01T00:00:00.000Z",
        "last_edited_time": edited, "created_by": {"object": "user", "id": "u1"}, "archived": False, "in_trash": False,
        "parent": {"type": "database_id", "database_id": "db-1"}, "url": f"https://www.notion.so/page-{number:04}",
        "properties": {
            "Name": {"id": "title", "type": "title", "title": [{"type": "text", "plain_text": f"Page {number}"}]},
            "Points": {"id": "p", "type": "number", "number": number},
        }, **more,
    }  # fmt: skip


class Notion(Api):
    """A workspace. pages, databases, users; blocks and comments by page."""

    def __init__(self, pages: int = 230) -> None:
        super().__init__()
        self.pages = [page(n, minute(n)) for n in range(pages)]
        self.databases: list[Row] = [
            {"object": "database", "id": "db-1", "last_edited_time": minute(3), "title": [{"plain_text": "Tasks"}]}
        ]
        self.users: list[Row] = [{"object": "user", "id": "u1", "type": "person", "name": "Ana"}]
        self.blocks: dict[str, list[Row]] = {}
        self.gone: set[str] = set()

    def refusal(self, call: Call) -> Reply | None:
        error: Row = {"object": "error", "status": 401, "code": "unauthorized", "message": "API token is invalid."}
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply(error, 401)
        return None if call.headers.get("notion-version") == "2022-06-28" else Reply(error | {"status": 400}, 400)

    @route("GET /v1/users/me")
    def me(self, call: Call) -> Any:
        return {"object": "user", "id": "bot", "type": "bot"}

    @route("GET /v1/users")
    def people(self, call: Call) -> Any:
        return self._page(self.users, call.query)

    @route("POST /v1/search")
    def search(self, call: Call) -> Any:
        body = call.body
        assert body["sort"] == {"timestamp": "last_edited_time", "direction": "descending"}
        rows = {"page": self.pages, "database": self.databases}[body["filter"]["value"]]
        return self._page(sorted(rows, key=lambda row: row["last_edited_time"], reverse=True), body)

    @route("GET /v1/blocks/{id}/children")
    def children(self, call: Call) -> Any:
        if call.names["id"] in self.gone:
            return Reply({"object": "error", "status": 404, "code": "object_not_found"}, 404)
        return self._page(self.blocks.get(call.names["id"], []), call.query)

    @route("GET /v1/comments")
    def comments(self, call: Call) -> Any:
        return self._page([], call.query)

    def _page(self, rows: list[Row], asked: Any) -> Row:
        found, token = after(rows, asked.get("start_cursor"), int(asked.get("page_size", 100)))
        return {"object": "list", "results": found, "next_cursor": token, "has_more": token is not None}
