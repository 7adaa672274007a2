"""Shopify, as a local server answers: connections, errors with status 200, the bucket of points."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wherry import AuthError, SourceError, StreamError
from wherry_apis.github import minute
from wherry_apis.server import Reply
from wherry_apis.shopify import THROTTLED, TOKEN, Shopify, event, line, order
from wherry_apis.syncs import Warehouse
from wherry_source_shopify import source


@pytest.fixture
def api() -> Iterator[Shopify]:
    with Shopify() as server:
        yield server


def warehouse(api: Shopify, token: str = TOKEN) -> Warehouse:
    return Warehouse(source, url=api.url, token=token)


def asked(api: Shopify, connection: str) -> list[dict[str, object]]:
    """Variables of the queries for a connection."""
    return [call.body["variables"] for call in api.log if f"{connection}(" in call.body["query"]]


def test_orders_and_then_only_what_changed(api: Shopify) -> None:
    wh = warehouse(api)
    wh.sync("orders")
    assert {row["id"]: row["name"] for row in wh.rows("orders")} == {r["id"]: r["name"] for r in api.data["orders"]}
    row = wh.by("orders")["gid://shopify/Order/7"]
    assert (row["totalPriceSet"]["shopMoney"]["amount"], row["tags"]) == ("7.90", ["a", "b"])
    assert row["note"] == 'says "errors": none'
    assert [sorted(variables) for variables in asked(api, "orders")] == [[], ["after"], ["after"]]
    api.data["orders"][2] = order(3, minute(300), cancelReason="CUSTOMER")
    api.data["orders"].append(order(26, minute(301)))
    api.forget()
    wh.sync("orders")
    assert asked(api, "orders") == [{"query": f"updated_at:>='{minute(25)}'"}]
    rows = wh.by("orders")
    assert (len(rows), rows["gid://shopify/Order/3"]["cancelReason"]) == (26, "CUSTOMER")


def test_lines_of_orders_that_changed(api: Shopify) -> None:
    del api.data["orders"][3:]
    api.data["orders"][0]["lineItems"] = [line(1, n) for n in range(1, 24)]
    wh = warehouse(api)
    wh.sync("order_lines")
    assert len(wh.by("order_lines")) == 23 + 2 + 2
    api.data["orders"][1] = order(2, minute(300), lineItems=[line(2, n) for n in range(1, 4)])
    api.forget()
    wh.sync("order_lines")
    assert {v["id"] for v in asked(api, "lineItems")} == {"gid://shopify/Order/2", "gid://shopify/Order/3"}
    assert len(wh.by("order_lines")) == 23 + 3 + 2
    assert wh.by("order_lines")["gid://shopify/LineItem/203"]["_orders_id"] == "gid://shopify/Order/2"


def test_every_query_asks_for_what_there_is(api: Shopify) -> None:
    """Products and events with rows; of the others, that the query is one."""
    wh = warehouse(api)
    api.data["events"].append(event(4, "destroy", "gid://shopify/Product/2"))
    wh.sync("products", "events", "customers", "collections", "product_variants", "locations")
    assert [row["handle"] for row in wh.rows("products")] == ["oar-1", "oar-2", "oar-3"]
    assert [r["subjectId"] for r in wh.rows("events") if r["action"] == "destroy"] == ["gid://shopify/Product/2"]


def test_a_throttled_query_is_asked_again(api: Shopify) -> None:
    api.planned.append(THROTTLED)
    wh = warehouse(api)
    wh.sync("products")
    assert len(wh.rows("products")) == 3
    assert api.log[1].at - api.log[0].at >= 0.2


def test_errors_with_status_200_are_errors(api: Shopify) -> None:
    api.planned.append(Reply({"data": {"products": None}, "errors": [{"message": "Internal error"}]}))
    with pytest.raises((SourceError, StreamError)):
        warehouse(api).sync("products")
    api.planned.append(
        Reply({"errors": [{"message": "Access denied for products field.", "extensions": {"code": "ACCESS_DENIED"}}]})
    )
    with pytest.raises(AuthError):
        warehouse(api).sync("products")


def test_a_wrong_token_is_refused(api: Shopify) -> None:
    with pytest.raises(AuthError):
        warehouse(api, "wrong").sync("products")
