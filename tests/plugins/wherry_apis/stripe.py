"""Stripe's API: lists newest first, pages behind the last id, filters by creation alone."""

from __future__ import annotations

from typing import Any

from wherry_apis.paging import Row
from wherry_apis.server import Api, Call, Reply, route

KEY = "sk_test_local"
JANUARY = 1704067200


def charge(number: int, **more: Any) -> Row:
    """A charge as the API gives it; later numbers are newer, by an hour."""
    return {
        "id": f"ch_{number:06}", "object": "charge", "amount": 1000 + number, "amount_refunded": 0, "currency": "eur",
        "created": JANUARY + 3600 * number, "customer": f"cus_{number % 7}", "paid": True, "refunded": False,
        "billing_details": {"address": {"city": None, "country": "DE", "postal_code": "10115"}, "email": None},
        "metadata": {}, "payment_method_details": {"type": "card", "card": {"brand": "visa", "last4": "4242"}},
        "status": "succeeded", "livemode": False, **more,
    }  # fmt: skip


class Stripe(Api):
    """An account. data: kind -> rows."""

    def __init__(self, charges: int = 230) -> None:
        super().__init__()
        self.data: dict[str, list[Row]] = {
            "charges": [charge(n) for n in range(charges)],
            "customers": [
                {"id": f"cus_{n}", "object": "customer", "created": JANUARY + n, "email": f"{n}@example.com"}
                for n in range(7)
            ],
            "events": [
                {
                    "id": f"evt_{n:04}", "object": "event", "type": "charge.succeeded", "created": JANUARY + 3600 * n,
                    "api_version": "2024-06-20", "data": {"object": charge(n)}, "request": {"id": None},
                }
                for n in range(5)
            ],
        }  # fmt: skip

    def refusal(self, call: Call) -> Reply | None:
        if call.headers.get("authorization") != f"Bearer {KEY}":
            error = {"message": "Invalid API Key provided: sk_***al", "type": "invalid_request_error"}
            return Reply({"error": error}, 401)
        assert call.headers["stripe-version"] == "2024-06-20"
        return None

    @route("GET /v1/balance")
    def balance(self, call: Call) -> Any:
        return {"object": "balance", "available": [{"amount": 0, "currency": "eur"}]}

    @route("GET /v1/{kind}")
    def listed(self, call: Call) -> Any:
        rows = sorted(self.data.get(call.names["kind"], ()), key=lambda row: (row["created"], row["id"]), reverse=True)
        rows = [row for row in rows if row["created"] >= call.whole("created[gte]", 0)]
        if last := call.query.get("starting_after"):
            rows = rows[next(n for n, row in enumerate(rows) if row["id"] == last) + 1 :]
        size = min(call.whole("limit", 10), 100)
        return {"object": "list", "url": call.path, "has_more": len(rows) > size, "data": rows[:size]}
