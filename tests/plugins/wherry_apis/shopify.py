"""Shopify's GraphQL Admin API: connections with cursors, errors with status 200, a bucket of points."""

from __future__ import annotations

import re
from typing import Any

from wherry_apis.github import minute
from wherry_apis.graphql import Field, asked, chosen
from wherry_apis.paging import Row, opened, sealed
from wherry_apis.server import Api, Call, Reply, route

TOKEN = "shpat_local"
THROTTLED = Reply({
    "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
    "extensions": {"cost": {"requestedQueryCost": 902, "actualQueryCost": None, "throttleStatus": {
        "maximumAvailable": 2000.0, "currentlyAvailable": 800, "restoreRate": 100.0}}},
})  # fmt: skip
SORTED = {"UPDATED_AT": "updatedAt", "CREATED_AT": "createdAt", "ID": "id", None: "id"}


def money(amount: str) -> Row:
    return {"shopMoney": {"amount": amount, "currencyCode": "EUR"}}


def order(number: int, updated: str, **more: Any) -> Row:
    """An order, whole; a query chooses from it."""
    names = "totalPriceSet subtotalPriceSet totalTaxSet totalDiscountsSet totalRefundedSet"
    return {
        "id": f"gid://shopify/Order/{number}", "legacyResourceId": str(number), "name": f"#{number}", "email": None,
        "phone": None, "test": False, "createdAt": "2024-01-01T00:00:00Z", "updatedAt": updated, "processedAt": updated,
        "cancelledAt": None, "cancelReason": None, "closedAt": None, "displayFinancialStatus": "PAID",
        "displayFulfillmentStatus": "UNFULFILLED", "currencyCode": "EUR", "sourceName": "web", "tags": ["a", "b"],
        "note": 'says "errors": none', "customer": {"id": "gid://shopify/Customer/1"},
        **{name: money(f"{number}.90") for name in names.split()}, "shippingAddress": None,
        "lineItems": [line(number, n) for n in range(1, 3)], **more,
    }  # fmt: skip


def line(order: int, number: int) -> Row:
    return {
        "id": f"gid://shopify/LineItem/{order}{number:02}", "name": "Oar", "sku": "OAR", "quantity": number,
        "currentQuantity": number, "vendor": "Acme", "requiresShipping": True, "taxable": True, "product": None,
        "variant": None, "originalUnitPriceSet": money("9.90"), "discountedTotalSet": money("9.90"),
    }  # fmt: skip


def product(number: int, updated: str) -> Row:
    return {
        "id": f"gid://shopify/Product/{number}", "legacyResourceId": str(number), "title": f"Oar {number}",
        "handle": f"oar-{number}", "status": "ACTIVE", "vendor": "Acme", "productType": "", "tags": [],
        "totalInventory": number, "createdAt": "2024-01-01T00:00:00Z", "updatedAt": updated, "publishedAt": None,
        "descriptionHtml": "<p>An oar {and} more</p>",
    }  # fmt: skip


def event(number: int, action: str, subject: str) -> Row:
    return {
        "id": f"gid://shopify/BasicEvent/{number}", "action": action, "createdAt": minute(number), "message": "…",
        "appTitle": None, "attributeToUser": True, "subjectId": subject, "subjectType": "PRODUCT",
    }  # fmt: skip


class Shopify(Api):
    """A shop. data: connection -> nodes.  most: nodes of a page, whatever is asked for."""

    def __init__(self, orders: int = 25, most: int = 10) -> None:
        super().__init__()
        self.most = most
        self.data: dict[str, list[Row]] = {
            "orders": [order(n, minute(n)) for n in range(1, orders + 1)],
            "products": [product(n, minute(n)) for n in range(1, 4)],
            "events": [event(n, "create", f"gid://shopify/Product/{n}") for n in range(1, 4)],
        }

    @route("POST /admin/api/2025-10/graphql.json")
    def graphql(self, call: Call) -> Any:
        if call.headers.get("x-shopify-access-token") != TOKEN:
            return Reply(
                {"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}, 401
            )
        try:
            fields = asked(call.body["query"], call.body.get("variables") or {})
            data = {name: self._resolved(name, field) for name, field in fields.items()}
        except ValueError as error:
            return {"errors": [{"message": str(error), "extensions": {"code": "undefinedField"}}]}
        status = {"maximumAvailable": 2000.0, "currentlyAvailable": 1898, "restoreRate": 100.0}
        return {"data": data, "extensions": {"cost": {"requestedQueryCost": 102, "throttleStatus": status}}}

    def _resolved(self, name: str, field: Field) -> Any:
        if name != "order":
            return self._connection(self.data.get(name, []), field)
        (found,) = [row for row in self.data["orders"] if row["id"] == field.arguments["id"]]
        return {"lineItems": self._connection(found["lineItems"], field.fields["lineItems"])}

    def _connection(self, rows: list[Row], field: Field) -> Row:
        given = field.arguments
        key = SORTED[given.get("sortKey")]
        if text := given.get("query"):
            match = re.fullmatch(r"(updated|created)_at:>='([^']+)'", text)
            if match is None:
                raise ValueError(f"cannot read {text}")
            since = match[2].replace("+00:00", "Z")
            rows = [row for row in rows if row[f"{match[1]}At"] >= since]
        rows = sorted(rows, key=lambda row: (row[key], row["id"]))
        if after := given.get("after"):
            rows = [row for row in rows if (row[key], row["id"]) > opened(after)]
        size = min(int(given["first"]), self.most)
        page = rows[:size]
        end = sealed((page[-1][key], page[-1]["id"])) if page else None
        whole = {"nodes": page, "pageInfo": {"hasNextPage": len(rows) > size, "endCursor": end}}
        return {name: chosen(whole[name], wanted.fields) for name, wanted in field.fields.items()}
