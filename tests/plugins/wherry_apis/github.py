"""GitHub's REST API: Link headers, a cursor for issues, budgets that are told as 403."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from wherry_apis.paging import Row, linked
from wherry_apis.server import Api, Call, Reply, route

TOKEN = "ghp_local"


def user(name: str) -> Row:
    return {"login": name, "id": sum(map(ord, name)), "node_id": f"U_{name}", "type": "User", "site_admin": False}


def issue(number: int, updated: str, **more: Any) -> Row:
    """An issue as the API gives it."""
    return {
        "id": 1000 + number, "node_id": f"I_{number}", "number": number, "title": f"Issue {number}", "state": "open",
        "user": user("ana"), "labels": [{"id": 1, "name": "bug", "color": "d73a4a"}], "assignees": [user("bo")],
        "comments": number % 3, "created_at": "2024-01-01T00:00:00Z", "updated_at": updated, "closed_at": None,
        "reactions": {"+1": number % 5, "total_count": number % 5}, "body": f"Body of {number}", **more,
    }  # fmt: skip


def minute(number: int) -> str:
    """A moment in January 2024, rising with the number."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1704067200 + 60 * number))


class Github(Api):
    """Repositories of `acme`. data: (repository, kind) -> rows.  left: requests that the budget still has."""

    def __init__(self, issues: int = 250) -> None:
        super().__init__()
        self.left = 5000
        self.opens: float | None = None
        """Seconds after the first request at which the budget is full again."""
        self.reset = 0.0
        self.repositories: dict[str, Row] = {}
        self.data: dict[tuple[str, str], list[Row]] = {}
        for number, name in enumerate(("boat", "oar"), 1):
            self.repositories[name] = {
                "id": number, "name": name, "full_name": f"acme/{name}", "owner": user("acme"), "private": False,
                "created_at": "2023-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z",
                "pushed_at": "2024-01-01T00:00:00Z", "license": {"key": "mit", "spdx_id": "MIT"}, "topics": ["water"],
            }  # fmt: skip
        self.data["boat", "issues"] = [issue(n, minute(n)) for n in range(1, issues + 1)]
        self.data["oar", "issues"] = [issue(n, minute(n), id=5000 + n) for n in range(1, 4)]

    def always(self) -> Mapping[str, str]:
        return {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": str(self.left),
            "X-RateLimit-Reset": str(self.reset),
        }

    def refusal(self, call: Call) -> Reply | None:
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply({"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"}, 401)
        if "user-agent" not in call.headers or call.headers.get("x-github-api-version") != "2022-11-28":
            return Reply({"message": "Request forbidden by administrative rules."}, 403)
        if call.path == "/rate_limit":
            return None
        if self.opens is not None:
            self.reset, self.opens = time.time() + self.opens, None
        if self.left <= 0 and time.time() < self.reset:
            return Reply({"message": "API rate limit exceeded for user ID 1."}, 403)
        self.left = 5000 if self.left <= 0 else self.left - 1
        return None

    @route("GET /rate_limit")
    def budget(self, call: Call) -> Any:
        return {"resources": {"core": {"limit": 5000, "remaining": self.left}}}

    @route("GET /repos/acme/{name}")
    def repository(self, call: Call) -> Any:
        return self.repositories.get(call.names["name"]) or Reply({"message": "Not Found"}, 404)

    @route("GET /repos/acme/{name}/issues")
    def issues(self, call: Call) -> Any:
        rows = self._since(call, "updated_at", "issues")
        rows.sort(key=lambda row: [row["updated_at"], row["id"]], reverse=call.query.get("direction", "desc") == "desc")
        if call.whole("page", 1) > 50 and "after" not in call.query:
            return Reply({"message": "Pagination with the page parameter is not supported for large datasets"}, 422)
        return linked(self.url, call, rows, default=30, most=100, key="updated_at")

    @route(
        "GET /repos/acme/{name}/issues/comments", "GET /repos/acme/{name}/pulls/comments",
        "GET /repos/acme/{name}/pulls", "GET /repos/acme/{name}/commits", "GET /repos/acme/{name}/releases",
        "GET /repos/acme/{name}/stargazers", "GET /repos/acme/{name}/labels", "GET /repos/acme/{name}/milestones",
    )  # fmt: skip
    def listed(self, call: Call) -> Any:
        kind = call.path.split("/", 4)[4]
        if kind == "stargazers" and "star+json" not in call.headers["accept"]:
            return [row["user"] for row in self._of(call, kind)]
        if kind == "commits":
            rows = [r for r in self._of(call, kind) if r["commit"]["committer"]["date"] >= call.query.get("since", "")]
        else:
            rows = self._of(call, kind) if kind == "pulls" else self._since(call, "updated_at", kind)
        if call.query.get("sort") == "updated":
            rows.sort(key=lambda row: row["updated_at"], reverse=call.query["direction"] == "desc")
        return linked(self.url, call, rows, default=30, most=100)

    @route("GET /repos/acme/{name}/actions/runs")
    def runs(self, call: Call) -> Any:
        rows = sorted(self._of(call, "runs"), key=lambda row: row["created_at"], reverse=True)
        found = linked(self.url, call, rows, default=30, most=100)
        return Reply({"total_count": len(rows), "workflow_runs": found.body}, headers=found.headers)

    def _of(self, call: Call, kind: str) -> list[Row]:
        return list(self.data.get((call.names["name"], kind), ()))

    def _since(self, call: Call, field: str, kind: str) -> list[Row]:
        return [row for row in self._of(call, kind) if row.get(field, "~") >= call.query.get("since", "")]
