"""GitHub, as a local server answers: what is read, what a second run asks for, budgets, refusals."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from wherry import AuthError, StateError
from wherry_apis.github import TOKEN, Github, issue, minute, user
from wherry_apis.server import Reply
from wherry_apis.syncs import Warehouse
from wherry_source_github import source


@pytest.fixture
def api() -> Iterator[Github]:
    with Github() as server:
        yield server


def warehouse(api: Github, token: str = TOKEN, **config: object) -> Warehouse:
    given = {"url": api.url, "token": token, "owner": "acme", "repositories": ["boat", "oar"], **config}
    return Warehouse(source, **given)


def test_issues_of_all_repositories_and_then_only_what_changed(api: Github) -> None:
    wh = warehouse(api)
    wh.sync("repositories", "issues")
    rows = wh.by("issues")
    assert {n: row["title"] for n, row in rows.items()} == {
        row["id"]: row["title"] for name in ("boat", "oar") for row in api.data[name, "issues"]
    }
    assert rows[1003]["user"]["login"] == "ana"
    assert [label["name"] for label in rows[1003]["labels"]] == ["bug"]
    assert (rows[1003]["_repositories_id"], rows[5003]["_repositories_name"]) == (1, "oar")
    assert rows[1003]["updated_at"].isoformat() == "2024-01-01T00:03:00+00:00"
    assert sorted(row["license"]["spdx_id"] for row in wh.rows("repositories")) == ["MIT", "MIT"]

    api.data["boat", "issues"][4] |= {"updated_at": minute(300), "state": "closed", "title": "Done"}
    api.data["boat", "issues"].append(issue(251, minute(301)))
    api.forget()
    wh.sync("repositories", "issues")
    asked = [(call.names["name"], call.query["since"]) for call in api.asked("/issues")]
    assert asked == [("boat", minute(250)), ("oar", minute(250))]
    rows = wh.by("issues")
    assert (len(rows), rows[1005]["title"], rows[1251]["number"]) == (254, "Done", 251)


def test_a_repository_that_is_added_later_does_not_lack_its_past(api: Github) -> None:
    """A bookmark stands for the repositories that it was taken with."""
    wh = warehouse(api, repositories=["boat"])
    wh.sync("repositories", "issues")
    wh.config["repositories"] = ["boat", "oar"]
    with pytest.raises(StateError, match="stream issues was recreated or restored at the source, or has other items"):
        wh.sync("repositories", "issues")
    wh.sync("issues", full_refresh=True)
    assert len(wh.by("issues")) == 253


def test_pull_requests_are_read_until_they_are_known(api: Github) -> None:
    """The API has no parameter for it: the newest come first, and pages end where old ones begin."""
    api.data["boat", "pulls"] = [issue(n, minute(n), merged_at=None, draft=False) for n in range(1, 351)]
    wh = warehouse(api)
    wh.sync("pull_requests")
    assert len(wh.by("pull_requests")) == 350
    api.data["boat", "pulls"][9] |= {"updated_at": minute(400), "merged_at": minute(400)}
    api.forget()
    wh.sync("pull_requests")
    assert [call.names["name"] for call in api.asked("/pulls")] == ["boat", "oar"]
    rows = wh.by("pull_requests")
    assert (len(rows), rows[1010]["merged_at"] is None) == (350, False)


def test_comments_that_change_while_pages_are_read_hide_none(api: Github) -> None:
    api.data["boat", "issues/comments"] = [issue(n, minute(n)) for n in range(1, 251)]
    answer = api.listed

    def changing(call: object) -> object:
        found = answer(call)  # type: ignore[arg-type]
        if len(api.asked("/boat/issues/comments")) == 0:
            api.data["boat", "issues/comments"][3]["updated_at"] = minute(900)  # row 101 is now on page 1
        return found

    api.listed = changing  # type: ignore[method-assign]
    wh = warehouse(api)
    wh.sync("issue_comments")
    assert sorted(wh.by("issue_comments")) == [1000 + n for n in range(1, 251)]


def test_commits_have_a_nested_cursor(api: Github) -> None:
    api.data["boat", "commits"] = [
        {"sha": f"{n:040x}", "commit": {"message": f"c{n}", "committer": {"name": "Ana", "date": minute(n)}}}
        for n in range(5, 0, -1)
    ]  # fmt: skip
    api.planned.clear()
    wh = warehouse(api)
    wh.sync("commits")
    api.data["boat", "commits"].insert(
        0, {"sha": "f" * 40, "commit": {"message": "new", "committer": {"date": minute(9)}}}
    )
    api.forget()
    wh.sync("commits")
    assert {call.query["since"] for call in api.asked("/commits")} == {minute(5)}
    assert sorted(row["commit"]["message"] for row in wh.rows("commits")) == ["c1", "c2", "c3", "c4", "c5", "new"]


def test_what_is_listed_whole_loses_what_is_gone(api: Github) -> None:
    api.data["boat", "labels"] = [{"id": n, "name": f"label {n}"} for n in range(1, 4)]
    api.data["oar", "stargazers"] = [{"starred_at": minute(1), "user": user("zoe")}]
    wh = warehouse(api)
    wh.sync("labels", "stargazers")
    del api.data["boat", "labels"][1]
    wh.sync("labels", "stargazers")
    assert wh.column("labels", "id") == [1, 3]
    assert [(row["user"]["login"], row["starred_at"].minute) for row in wh.rows("stargazers")] == [("zoe", 1)]


def test_a_spent_budget_is_waited_for(api: Github) -> None:
    api.left, api.reset = 2, time.time() + 0.15
    wh = warehouse(api)
    wh.sync("issues")
    late = [call for call in api.log if call.at > api.log[0].at + 0.1]
    assert late
    assert not [call for call in api.log if call.status != 200], "it was asked before the budget was full again"
    assert len(wh.by("issues")) == 253


def test_a_secondary_limit_is_waited_for(api: Github) -> None:
    said = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}
    api.planned.append(Reply(said, 403, {"Retry-After": "0.1"}))
    wh = warehouse(api)
    wh.sync("labels")
    assert [call.status for call in api.log[:2]] == [403, 200]
    assert api.log[1].at - api.log[0].at >= 0.1


def test_an_empty_repository_and_one_without_issues_have_no_rows(api: Github) -> None:
    answer = api.listed
    api.listed = lambda call: (  # type: ignore[method-assign]
        Reply({"message": "Git Repository is empty."}, 409) if call.path == "/repos/acme/oar/commits" else answer(call)
    )
    api.data["boat", "commits"] = [{"sha": "a", "commit": {"committer": {"date": minute(1)}}}]
    wh = warehouse(api)
    wh.sync("commits")
    assert wh.column("commits", "sha") == ["a"]


def test_a_wrong_token_is_refused(api: Github) -> None:
    with pytest.raises(AuthError):
        warehouse(api, token="wrong").sync("labels")
    config = source.Config.model_validate({"url": api.url, "token": TOKEN, "owner": "acme", "repositories": ["boat"]})
    made = source(config)
    made.check()
    made.close()
    assert api.log[-1].path == "/rate_limit"
