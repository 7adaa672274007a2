"""Jira, as a local server answers: issues by JQL, their comments, pages by startAt, boards without sprints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wherry import AuthError
from wherry_apis.jira import EMAIL, TOKEN, Jira, issue
from wherry_apis.server import Reply
from wherry_apis.syncs import Warehouse
from wherry_source_jira import source


@pytest.fixture
def api() -> Iterator[Jira]:
    with Jira() as server:
        yield server


def warehouse(api: Jira, token: str = TOKEN) -> Warehouse:
    return Warehouse(source, url=api.url, email=EMAIL, token=token)


def test_issues_and_then_only_what_changed(api: Jira) -> None:
    wh = warehouse(api)
    wh.sync("issues")
    rows = wh.by("issues")
    assert {key: row["fields"]["summary"] for key, row in rows.items()} == {
        row["id"]: row["fields"]["summary"] for row in api.issues
    }
    assert rows["10003"]["fields"]["status"]["statusCategory"]["key"] == "indeterminate"
    api.issues[4] = issue(4, updated="2024-01-01T01:00:00.000+0000", summary="Changed")
    api.issues.append(issue(999))
    api.forget()
    wh.sync("issues")
    (call,) = api.asked("/search/jql")
    assert call.query["jql"] == f"updated >= {1704067200000 + 229_000} order by updated asc"
    rows = wh.by("issues")
    assert (len(rows), rows["10004"]["fields"]["summary"], "10999" in rows) == (231, "Changed", True)


def test_comments_of_issues_that_changed(api: Jira) -> None:
    del api.issues[5:]
    for row in api.issues:
        at = "2024-01-01T00:00:00.000+0000"
        api.comments[row["id"]] = [
            {"id": f"{row['id']}{n}", "created": at, "updated": at, "body": {}} for n in range(60)
        ]
    wh = warehouse(api)
    wh.sync("comments")
    assert len(wh.by("comments")) == 300
    assert wh.rows("comments")[0]["created"].year == 2024
    api.issues[1] = issue(1, updated="2024-01-01T01:00:00.000+0000")
    api.comments["10001"].append(api.comments["10001"][0] | {"id": "new"})
    api.forget()
    wh.sync("comments")
    assert {call.names["id"] for call in api.asked("/comment")} == {"10001", "10004"}  # and the last known one
    assert (len(wh.by("comments")), wh.by("comments")["new"]["_issues_key"]) == (301, "SEA-1")


def test_pages_by_start(api: Jira) -> None:
    wh = warehouse(api)
    wh.sync("projects", "users")
    assert wh.column("projects", "id") == sorted(row["id"] for row in api.projects)
    assert len(wh.by("users", "accountId")) == 230
    assert [call.query["startAt"] for call in api.asked("/project/search")] == ["0", "50"]
    assert [call.query["startAt"] for call in api.asked("/users/search")] == ["0", "200", "230"]


def test_sprints_of_boards_that_have_some(api: Jira) -> None:
    wh = warehouse(api)
    wh.sync("boards", "sprints")
    assert wh.column("boards", "type") == ["kanban", "scrum"]
    assert sorted((row["_boards_id"], row["id"]) for row in wh.rows("sprints")) == [(1, n) for n in range(1, 61)]


def test_a_limit_is_waited_for(api: Jira) -> None:
    api.planned.append(Reply({"errorMessages": ["Rate limit exceeded."]}, 429, {"Retry-After": "0.1"}))
    wh = warehouse(api)
    wh.sync("boards")
    assert api.log[1].at - api.log[0].at >= 0.1
    assert len(wh.rows("boards")) == 2


def test_a_wrong_token_is_refused(api: Jira) -> None:
    with pytest.raises(AuthError):
        warehouse(api, "wrong").sync("boards")
