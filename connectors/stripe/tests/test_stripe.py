"""Stripe, as a local server answers: lists newest first, what is read again, limits, refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wherry import AuthError
from wherry_apis.server import Reply
from wherry_apis.stripe import JANUARY, KEY, Stripe, charge
from wherry_apis.syncs import Warehouse
from wherry_source_stripe import source

DAY = 86_400


@pytest.fixture
def api() -> Iterator[Stripe]:
    with Stripe() as server:
        yield server


def warehouse(api: Stripe, **config: object) -> Warehouse:
    return Warehouse(source, **{"url": api.url, "api_key": KEY, **config})


def test_charges_and_again_those_of_thirty_days(api: Stripe) -> None:
    api.data["charges"] += [charge(n, created=JANUARY - 60 * DAY + n) for n in range(300, 330)]
    wh = warehouse(api)
    wh.sync("charges")
    assert {row["id"]: row["amount"] for row in wh.rows("charges")} == {
        row["id"]: row["amount"] for row in api.data["charges"]
    }
    assert wh.rows("charges")[0]["payment_method_details"]["card"]["brand"] == "visa"
    api.data["charges"][5] |= {"refunded": True, "amount_refunded": 1005}
    api.data["charges"].append(charge(230))
    api.forget()
    wh.sync("charges")
    newest = JANUARY + 229 * 3600
    assert {call.query["created[gte]"] for call in api.asked("/charges")} == {str(newest - 30 * DAY)}
    assert len(api.asked("/charges")) == 3
    rows = wh.by("charges")
    assert (len(rows), rows["ch_000005"]["refunded"], "ch_000230" in rows) == (261, True, True)


def test_events_go_on_from_the_last(api: Stripe) -> None:
    wh = warehouse(api)
    wh.sync("events")
    api.forget()
    wh.sync("events")
    (call,) = api.asked("/events")
    assert call.query["created[gte]"] == str(JANUARY + 4 * 3600)
    assert wh.column("events", "id") == [row["id"] for row in api.data["events"]]
    assert wh.by("events")["evt_0003"]["data"]["object"]["id"] == "ch_000003"


def test_the_first_day_is_chosen(api: Stripe) -> None:
    wh = warehouse(api, start="2024-01-09")
    wh.sync("charges")
    assert wh.column("charges", "id") == [f"ch_{n:06}" for n in range(192, 230)]


def test_customers_are_read_whole_and_lose_who_was_deleted(api: Stripe) -> None:
    wh = warehouse(api)
    wh.sync("customers")
    del api.data["customers"][3]
    wh.sync("customers")
    assert wh.column("customers", "id") == [row["id"] for row in api.data["customers"]]


def test_a_limit_is_waited_for(api: Stripe) -> None:
    error = {"message": "Too many requests in a period of time.", "code": "rate_limit"}
    api.planned.append(Reply({"error": error}, 429, {"Retry-After": "0.1"}))
    wh = warehouse(api)
    wh.sync("customers")
    first, *others = api.log
    assert (first.status, min(call.at for call in others) - first.at >= 0.1) == (429, True)
    assert len(wh.rows("customers")) == 7


def test_a_wrong_key_is_refused(api: Stripe) -> None:
    with pytest.raises(AuthError):
        warehouse(api, api_key="sk_wrong").sync("customers")
