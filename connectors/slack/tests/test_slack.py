"""Slack, as a local server answers: refusals with status 200, channels without the bot, messages, limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wherry import AuthError, SourceError, StreamError
from wherry_apis.server import Reply
from wherry_apis.slack import TOKEN, Slack, message
from wherry_apis.syncs import Warehouse
from wherry_source_slack import source


@pytest.fixture
def api() -> Iterator[Slack]:
    with Slack() as server:
        yield server


def warehouse(api: Slack, token: str = TOKEN) -> Warehouse:
    return Warehouse(source, url=api.url, token=token)


def test_messages_of_the_channels_that_the_bot_is_in(api: Slack) -> None:
    wh = warehouse(api)
    wh.sync("channels", "messages")
    assert {(row["_channels_id"], row["ts"]): row["text"] for row in wh.rows("messages")} == {
        (channel, row["ts"]): row["text"] for channel in ("C1", "C2") for row in api.messages[channel]
    }
    assert len(wh.rows("messages")) == 95
    assert wh.column("channels", "name") == ["general", "random", "secret"]
    api.messages["C2"].append(message(91, text="new"))
    api.forget()
    wh.sync("messages")
    asked = [(call.query["channel"], call.query["oldest"]) for call in api.asked("/conversations.history")]
    assert {oldest for _, oldest in asked} == {message(89)["ts"].partition(".")[0]}
    assert [channel for channel, _ in asked] == ["C1", "C2", "C3"]
    assert ("C2", "new") in {(row["_channels_id"], row["text"]) for row in wh.rows("messages")}
    assert len(wh.rows("messages")) == 96


def test_people_files_and_groups(api: Slack) -> None:
    wh = warehouse(api)
    wh.sync("users", "files", "usergroups", "team")
    assert [row["deleted"] for row in wh.rows("users")] == [False, True, False]
    assert wh.column("files", "id") == sorted(row["id"] for row in api.files)
    assert wh.rows("usergroups")[0]["users"] == ["U1", "U3"]
    assert wh.column("team", "domain") == ["acme"]
    api.files.append({"id": "F900", "name": "b.txt", "created": 1704067200 + 900})
    api.forget()
    wh.sync("files")
    (call,) = api.asked("/files.list")
    assert (call.query["ts_from"], len(wh.rows("files"))) == (str(1704067200 + 149), 151)


def test_a_refusal_with_status_200_is_no_empty_page(api: Slack) -> None:
    api.planned.append(Reply({"ok": False, "error": "missing_scope", "needed": "users:read"}))
    with pytest.raises((SourceError, StreamError)):
        warehouse(api).sync("users")


def test_limits_are_waited_for(api: Slack) -> None:
    api.planned.append(Reply({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": "0.1"}))
    wh = warehouse(api)
    wh.sync("users")
    assert api.log[1].at - api.log[0].at >= 0.1
    assert len(wh.rows("users")) == 3


def test_a_wrong_token_is_refused(api: Slack) -> None:
    with pytest.raises(AuthError):
        warehouse(api, token="wrong").sync("users")
