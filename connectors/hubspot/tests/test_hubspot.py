"""HubSpot, as a local server answers: searches that are asked anew, archived objects, limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wherry import AuthError, StreamError
from wherry_apis.hubspot import JANUARY, TOKEN, Hubspot, contact
from wherry_apis.server import Reply
from wherry_apis.syncs import Warehouse
from wherry_source_hubspot import source


@pytest.fixture
def api() -> Iterator[Hubspot]:
    with Hubspot() as server:
        yield server


def warehouse(api: Hubspot, **config: object) -> Warehouse:
    return Warehouse(source, **{"url": api.url, "token": TOKEN, **config})


def test_contacts_and_then_only_what_changed(api: Hubspot) -> None:
    api.data["contacts"] = [contact(n, lifecyclestage="lead") for n in range(450)]
    wh = warehouse(api, contact_properties=["email", "lifecyclestage"])
    wh.sync("contacts")
    rows = wh.by("contacts")
    assert {key: row["properties"]["email"] for key, row in rows.items()} == {
        row["id"]: row["properties"]["email"] for row in api.data["contacts"]
    }
    assert rows["103"]["updatedAt"].isoformat() == "2024-01-01T00:00:03+00:00"
    api.data["contacts"][2] = contact(2, JANUARY + 3_600_000, lifecyclestage="customer")
    api.data["contacts"].append(contact(900))
    api.forget()
    wh.sync("contacts")
    asked = [call.body["filterGroups"][0]["filters"][0]["value"] for call in api.asked("/contacts/search")]
    assert asked[0] == JANUARY + 449_000 - 300_000  # five minutes again
    assert len(asked) == 2
    rows = wh.by("contacts")
    assert (len(rows), rows["102"]["properties"]["lifecyclestage"], "1000" in rows) == (451, "customer", True)


def test_a_search_gives_no_more_than_so_many_rows(api: Hubspot) -> None:
    """A query of more than that many pages is refused; none is asked for, also not where many rows share a moment."""
    api.cap = 400
    api.data["contacts"] = [contact(n) for n in range(150)] + [contact(n, JANUARY + 300_000) for n in range(150, 450)]
    wh = warehouse(api)
    wh.sync("contacts")
    assert len(wh.by("contacts")) == 450
    assert len(api.log) == 3
    assert {call.status for call in api.log} == {200}


def test_rows_that_change_meanwhile_hide_none(api: Hubspot) -> None:
    answer = api.search

    def changing(call: object) -> object:
        found = answer(call)  # type: ignore[arg-type]
        api.data["contacts"][len(api.log)] = contact(len(api.log), JANUARY + 10_000_000)
        return found

    api.search = changing  # type: ignore[method-assign]
    wh = warehouse(api)
    wh.sync("contacts")
    assert set(wh.by("contacts")) == {row["id"] for row in api.data["contacts"]}


def test_archived_ones_have_a_table_of_their_own(api: Hubspot) -> None:
    gone = [contact(n, archived=True) | {"archived": True, "archivedAt": "2024-02-01T00:00:00Z"} for n in range(130)]
    api.archived["contacts"] = gone
    wh = warehouse(api)
    wh.sync("archived_contacts", "owners", "deal_pipelines")
    assert set(wh.by("archived_contacts")) == {row["id"] for row in gone}
    assert wh.rows("deal_pipelines")[0]["stages"][0]["id"] == "won"
    assert [call.query.get("after") is None for call in api.asked("/objects/contacts")] == [True, False]


def test_limits_of_a_second_are_waited_for_and_those_of_a_day_are_not(api: Hubspot) -> None:
    api.planned.append(Reply({"errorType": "RATE_LIMIT", "policyName": "SECONDLY"}, 429, {"Retry-After": "0.1"}))
    wh = warehouse(api)
    wh.sync("deals")
    assert len(wh.rows("deals")) == 3
    assert api.log[1].at - api.log[0].at >= 0.1
    api.planned.append(Reply({"errorType": "RATE_LIMIT", "policyName": "DAILY"}, 429))
    api.forget()
    with pytest.raises(StreamError, match="429"):
        wh.sync("deals")
    assert len(api.log) == 1


def test_a_wrong_token_is_refused(api: Hubspot) -> None:
    with pytest.raises(AuthError):
        warehouse(api, token="wrong").sync("deals")
