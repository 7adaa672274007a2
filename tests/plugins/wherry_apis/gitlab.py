"""GitLab's REST API: Link headers, projects by number or by escaped path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry_apis.github import minute
from wherry_apis.paging import Row, linked
from wherry_apis.server import Api, Call, Reply, route

TOKEN = "glpat-local"


def person(name: str) -> Row:
    return {"id": sum(map(ord, name)), "username": name, "name": name.title(), "state": "active", "locked": False}


def issue(number: int, updated: str, **more: Any) -> Row:
    """An issue as the API gives it."""
    return {
        "id": 7000 + number, "iid": number, "project_id": 11, "title": f"Issue {number}", "state": "opened",
        "author": person("ana"), "assignees": [person("bo")], "labels": ["bug"], "milestone": None,
        "created_at": "2024-01-01T00:00:00.000Z", "updated_at": updated, "closed_at": None, "upvotes": number % 4,
        "time_stats": {"time_estimate": 0, "total_time_spent": 0}, **more,
    }  # fmt: skip


class Gitlab(Api):
    """One project, group/boat, number 11. data: kind -> rows."""

    def __init__(self, issues: int = 230) -> None:
        super().__init__()
        self.project: Row = {
            "id": 11, "name": "boat", "path_with_namespace": "group/boat", "default_branch": "main",
            "created_at": "2023-01-01T00:00:00.000Z", "last_activity_at": "2024-01-02T00:00:00.000Z",
            "namespace": {"id": 3, "kind": "group", "full_path": "group"},
        }  # fmt: skip
        self.data: dict[str, list[Row]] = {"issues": [issue(n, minute(n)) for n in range(1, issues + 1)]}

    def always(self) -> Mapping[str, str]:
        return {"RateLimit-Limit": "2000", "RateLimit-Remaining": "1999", "RateLimit-Reset": "0"}

    def refusal(self, call: Call) -> Reply | None:
        return None if call.headers.get("private-token") == TOKEN else Reply({"message": "401 Unauthorized"}, 401)

    @route("GET /api/v4/user")
    def user(self, call: Call) -> Any:
        return person("ana")

    @route("GET /api/v4/projects/{project}")
    def one(self, call: Call) -> Any:
        known = call.names["project"] in ("11", "group/boat")
        return self.project if known else Reply({"message": "404 Project Not Found"}, 404)

    @route(
        "GET /api/v4/projects/11/{kind}", "GET /api/v4/projects/11/repository/{kind}",
        "GET /api/v4/projects/11/members/{kind}",
    )  # fmt: skip
    def listed(self, call: Call) -> Any:
        kind, query = call.names["kind"], call.query
        if kind not in self.data:
            return Reply({"message": "403 Forbidden"}, 403) if kind == "pipelines" else []
        rows = list(self.data[kind])
        if "updated_after" in query:
            rows = [row for row in rows if row["updated_at"] >= query["updated_after"].replace("+00:00", "Z")]
        if "since" in query:
            rows = [row for row in rows if row["committed_date"] >= query["since"].replace("+00:00", "Z")]
        if order := query.get("order_by"):
            rows.sort(key=lambda row: row[order], reverse=query.get("sort", "desc") == "desc")
        return linked(self.url, call, rows, default=20, most=100)
