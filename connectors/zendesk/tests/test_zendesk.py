"""Zendesk, as a local server answers: exports that tell of deletes, comments, lists, limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wherry import AuthError
from wherry_apis.server import Reply
from wherry_apis.syncs import Warehouse
from wherry_apis.zendesk import EMAIL, JANUARY, TOKEN, Zendesk, iso, person, ticket
from wherry_source_zendesk import source


@pytest.fixture
def api() -> Iterator[Zendesk]:
    with Zendesk() as server:
        yield server


def warehouse(api: Zendesk, token: str = TOKEN) -> Warehouse:
    return Warehouse(source, url=api.url, email=EMAIL, token=token)


def test_tickets_and_then_what_changed_or_was_deleted(api: Zendesk) -> None:
    wh = warehouse(api)
    wh.sync("tickets")
    assert {row["id"]: row["subject"] for row in wh.rows("tickets")} == {
        row["id"]: row["subject"] for row in api.tickets
    }
    assert len(api.asked("/cursor.json")) == 3  # the end is told, no empty page is asked for
    api.tickets[2] = ticket(3, JANUARY + 90_000, status="solved")
    api.tickets[6] = ticket(7, JANUARY + 90_060, status="deleted")
    api.tickets.append(ticket(26, JANUARY + 90_120))
    api.forget()
    wh.sync("tickets")
    asked = api.asked("/cursor.json")
    assert [call.query.get("start_time") for call in asked] == [str(JANUARY + 25 * 60 - 120)]
    rows = wh.by("tickets")
    assert (sorted(rows), rows[3]["status"]) == ([n for n in range(1, 27) if n != 7], "solved")


def test_people_and_organizations_that_were_deleted_leave(api: Zendesk) -> None:
    wh = warehouse(api)
    wh.sync("users", "organizations")
    assert (len(wh.by("users")), len(wh.by("organizations"))) == (12, 12)
    api.users[3] = person(4, JANUARY + 90_000, active=False)
    api.organizations[8] |= {"updated_at": iso(JANUARY + 90_000), "deleted_at": iso(JANUARY + 90_000)}
    api.forget()
    wh.sync("users", "organizations")
    assert sorted(wh.by("users")) == [n for n in range(1, 13) if n != 4]
    assert sorted(wh.by("organizations")) == [n for n in range(1, 13) if n != 9]
    assert len(api.log) == 2


def test_comments_of_tickets_that_changed(api: Zendesk) -> None:
    del api.tickets[4:]
    for row in api.tickets:
        api.comments[str(row["id"])] = [
            {"id": 1000 * row["id"] + n, "body": "x", "created_at": iso(JANUARY)} for n in range(120)
        ]
    wh = warehouse(api)
    wh.sync("ticket_comments")
    assert len(wh.by("ticket_comments")) == 480
    api.tickets[0] = ticket(1, JANUARY + 90_000)
    api.tickets[1] = ticket(2, JANUARY + 90_060, status="deleted")
    api.comments["1"].append({"id": 9, "body": "new", "created_at": iso(JANUARY + 90_000)})
    api.forget()
    wh.sync("ticket_comments")
    asked = {call.names["id"]: call.status for call in api.asked("/comments.json")}
    assert asked == {"4": 200, "1": 200, "2": 404}  # the last known one, and those that changed
    assert (len(wh.by("ticket_comments")), wh.by("ticket_comments")[9]["_tickets_id"]) == (481, 1)


def test_lists_by_cursor(api: Zendesk) -> None:
    wh = warehouse(api)
    wh.sync("groups")
    assert wh.column("groups", "id") == [row["id"] for row in api.groups]
    assert len(api.asked("/groups.json")) == 2


def test_a_limit_is_waited_for(api: Zendesk) -> None:
    api.planned.append(Reply({"error": "APIRateLimitExceeded"}, 429, {"Retry-After": "0.1"}))
    wh = warehouse(api)
    wh.sync("groups")
    assert api.log[1].at - api.log[0].at >= 0.1
    assert len(wh.rows("groups")) == 130


def test_a_wrong_token_is_refused(api: Zendesk) -> None:
    with pytest.raises(AuthError):
        warehouse(api, "wrong").sync("groups")
