"""GitLab, as a local server answers: projects by path, updates, features that are switched off, refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wherry import AuthError
from wherry_apis.github import minute
from wherry_apis.gitlab import TOKEN, Gitlab, issue
from wherry_apis.server import Reply
from wherry_apis.syncs import Warehouse
from wherry_source_gitlab import source


@pytest.fixture
def api() -> Iterator[Gitlab]:
    with Gitlab() as server:
        yield server


def warehouse(api: Gitlab, **config: object) -> Warehouse:
    return Warehouse(source, **{"url": api.url, "token": TOKEN, "projects": ["group/boat"], **config})


def test_issues_and_then_only_what_changed(api: Gitlab) -> None:
    wh = warehouse(api)
    wh.sync("projects", "issues")
    assert api.asked("/projects/group%2Fboat"), "the path of a project is one segment"
    assert {row["id"]: row["title"] for row in wh.rows("issues")} == {
        row["id"]: row["title"] for row in api.data["issues"]
    }
    assert wh.by("issues")[7003]["author"]["username"] == "ana"
    assert wh.rows("projects")[0]["namespace"]["full_path"] == "group"
    api.data["issues"][4] |= {"updated_at": minute(300), "state": "closed"}
    api.data["issues"].append(issue(231, minute(301)))
    api.forget()
    wh.sync("issues")
    (call,) = api.asked("/issues")
    assert call.query["updated_after"] == minute(230)
    rows = wh.by("issues")
    assert (len(rows), rows[7005]["state"], 7231 in rows) == (231, "closed", True)


def test_jobs_are_read_until_they_are_a_week_old(api: Gitlab) -> None:
    day = 24 * 60
    api.data["jobs"] = [
        {"id": n, "name": "test", "status": "running", "created_at": minute(n * day // 20)} for n in range(1, 401)
    ]
    wh = warehouse(api)
    wh.sync("jobs")
    api.data["jobs"][390]["status"] = "success"
    api.forget()
    wh.sync("jobs")
    assert len(api.asked("/jobs")) == 2
    rows = wh.by("jobs")
    assert (len(rows), rows[391]["status"]) == (400, "success")


def test_commits_branches_and_members_have_keys_with_their_project(api: Gitlab) -> None:
    api.data["commits"] = [{"id": f"c{n}", "committed_date": minute(n), "stats": {"total": n}} for n in range(1, 4)]
    api.data["branches"] = [{"name": "main", "commit": {"id": "c3"}, "default": True}]
    api.data["all"] = [{"id": 5, "username": "ana", "access_level": 50}]
    wh = warehouse(api)
    wh.sync("commits", "branches", "members")
    assert [(row["_projects_id"], row["id"]) for row in wh.rows("commits")] == [(11, "c1"), (11, "c2"), (11, "c3")]
    assert [row["commit"]["id"] for row in wh.rows("branches")] == ["c3"]
    api.data["commits"].append({"id": "c4", "committed_date": minute(4), "stats": {"total": 4}})
    api.data["branches"] = [{"name": "next", "commit": {"id": "c4"}, "default": False}]
    api.forget()
    wh.sync("commits", "branches")
    assert [call.query["since"] for call in api.asked("/commits")] == [minute(3)]
    assert (wh.column("commits", "id"), wh.column("branches", "name")) == (["c1", "c2", "c3", "c4"], ["next"])


def test_a_feature_that_is_switched_off_has_no_rows(api: Gitlab) -> None:
    wh = warehouse(api)
    wh.sync("pipelines", "labels")
    assert [call.status for call in api.asked("/pipelines")] == [403]


def test_a_limit_is_waited_for(api: Gitlab) -> None:
    api.planned.append(Reply({"message": "Retry later"}, 429, {"Retry-After": "0.1"}))
    wh = warehouse(api)
    wh.sync("projects")
    assert api.log[1].at - api.log[0].at >= 0.1
    assert wh.column("projects", "id") == [11]


def test_a_wrong_token_is_refused(api: Gitlab) -> None:
    with pytest.raises(AuthError):
        warehouse(api, token="wrong").sync("projects")
