"""Jira Cloud's REST API: JQL with tokens for pages, startAt everywhere else."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any

from wherry_apis.paging import Row, after
from wherry_apis.server import Api, Call, Reply, route

EMAIL, TOKEN = "ana@example.com", "ATATT-local"


def issue(number: int, **fields: Any) -> Row:
    """An issue as the API gives it; later numbers changed later, by a second."""
    at = datetime.fromtimestamp(1704067200 + number, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    own = {
        "summary": f"Issue {number}", "created": "2024-01-01T00:00:00.000+0000", "updated": at,
        "status": {"id": "3", "name": "In Progress", "statusCategory": {"id": 4, "key": "indeterminate"}},
        "project": {"id": "10000", "key": "SEA"}, "labels": ["water"], "assignee": None, "customfield_10016": 0.5,
    }  # fmt: skip
    return {"id": str(10000 + number), "key": f"SEA-{number}", "self": "https://x", "fields": own | fields}


class Jira(Api):
    """A site. issues; comments and worklogs by issue; boards and their sprints (a kanban board has none)."""

    def __init__(self, issues: int = 230) -> None:
        super().__init__()
        self.issues = [issue(n) for n in range(issues)]
        self.comments: dict[str, list[Row]] = {}
        self.users: list[Row] = [{"accountId": f"a{n}", "displayName": f"User {n}", "active": True} for n in range(230)]
        self.boards: list[Row] = [
            {"id": 1, "name": "Sea", "type": "scrum"},
            {"id": 2, "name": "Land", "type": "kanban"},
        ]
        self.sprints: list[Row] = [{"id": n, "name": f"Sprint {n}", "state": "closed"} for n in range(1, 61)]
        self.projects: list[Row] = [{"id": f"{10000 + n}", "key": f"P{n}", "name": f"Project {n}"} for n in range(70)]

    def refusal(self, call: Call) -> Reply | None:
        right = base64.b64encode(f"{EMAIL}:{TOKEN}".encode()).decode()
        return None if call.headers.get("authorization") == f"Basic {right}" else Reply({"errorMessages": ["no"]}, 401)

    @route("GET /rest/api/3/myself")
    def me(self, call: Call) -> Any:
        return {"accountId": "a1", "timeZone": "Pacific/Auckland"}

    @route("GET /rest/api/3/search/jql")
    def search(self, call: Call) -> Any:
        match = re.fullmatch(r"updated >= (\d+) order by updated asc", call.query.get("jql", ""))
        if match is None:
            return Reply({"errorMessages": ["Unbounded JQL queries are not allowed here."]}, 400)
        rows = [row for row in self.issues if _milliseconds(row) >= int(match[1])]
        rows.sort(key=lambda row: row["fields"]["updated"])
        found, token = after(rows, call.query.get("nextPageToken"), min(call.whole("maxResults", 50), 100))
        return {"issues": found, "isLast": token is None} | ({"nextPageToken": token} if token else {})

    @route("GET /rest/api/3/issue/{id}/{kind}")
    def parts(self, call: Call) -> Any:
        if call.names["id"] not in {row["id"] for row in self.issues}:
            return Reply({"errorMessages": ["Issue does not exist or you do not have permission to see it."]}, 404)
        kind = {"comment": "comments", "worklog": "worklogs", "changelog": "values"}[call.names["kind"]]
        rows = self.comments.get(call.names["id"], []) if kind == "comments" else []
        return self._page(kind, rows, call)

    @route("GET /rest/api/3/project/search")
    def found(self, call: Call) -> Any:
        return self._page("values", self.projects, call)

    @route("GET /rest/api/3/users/search")
    def people(self, call: Call) -> Any:
        start = call.whole("startAt", 0)
        return self.users[start : start + call.whole("maxResults", 50)]

    @route("GET /rest/api/3/field", "GET /rest/api/3/status", "GET /rest/api/3/issuetype")
    def small(self, call: Call) -> Any:
        return [{"id": f"{n}", "name": f"{call.path.rpartition('/')[2]} {n}"} for n in range(3)]

    @route("GET /rest/api/3/priority/search")
    def priorities(self, call: Call) -> Any:
        return self._page("values", [{"id": f"{n}", "name": f"P{n}"} for n in range(5)], call)

    @route("GET /rest/agile/1.0/board")
    def all_boards(self, call: Call) -> Any:
        return self._page("values", self.boards, call)

    @route("GET /rest/agile/1.0/board/{id}/sprint")
    def all_sprints(self, call: Call) -> Any:
        if call.names["id"] == "2":
            return Reply({"errorMessages": ["The board does not support sprints"]}, 400)
        page = self._page("values", self.sprints, call)
        return {key: value for key, value in page.items() if key != "total"}

    def _page(self, name: str, rows: list[Row], call: Call) -> Row:
        start, size = call.whole("startAt", 0), min(call.whole("maxResults", 50), 50)
        last = start + size >= len(rows)
        return {
            "startAt": start,
            "maxResults": size,
            "total": len(rows),
            "isLast": last,
            name: rows[start : start + size],
        }


def _milliseconds(row: Row) -> int:
    return round(datetime.strptime(row["fields"]["updated"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() * 1000)
