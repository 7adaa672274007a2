"""HubSpot's CRM API: searches by POST that give 10,000 rows at most, lists of archived objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from wherry_apis.paging import Row, after
from wherry_apis.server import Api, Call, Reply, route

TOKEN = "pat-eu1-local"
JANUARY = 1704067200000


def thing(number: int, at: int | None = None, changed: str = "hs_lastmodifieddate", **properties: Any) -> Row:
    """A CRM object as searches give it. at: when it changed, in milliseconds; by default its number in seconds."""
    at = JANUARY + 1000 * number if at is None else at
    text = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "id": str(100 + number), "properties": {"hs_object_id": str(100 + number), changed: text, **properties},
        "createdAt": "2023-12-01T00:00:00.000Z", "updatedAt": text, "archived": False,
    }  # fmt: skip


def contact(number: int, at: int | None = None, **properties: Any) -> Row:
    """A contact; its time of change has a name of its own."""
    return thing(number, at, "lastmodifieddate", email=f"{number}@example.com", **properties)


class Hubspot(Api):
    """A portal. data: kind -> rows.  cap: rows that one search gives.  archived: kind -> rows."""

    def __init__(self, contacts: int = 450, cap: int = 10_000) -> None:
        super().__init__()
        self.cap = cap
        self.data: dict[str, list[Row]] = {
            "contacts": [contact(n) for n in range(contacts)],
            "deals": [thing(n, dealname=f"Deal {n}") for n in range(3)],
        }  # fmt: skip
        self.archived: dict[str, list[Row]] = {}

    def refusal(self, call: Call) -> Reply | None:
        if call.headers.get("authorization") == f"Bearer {TOKEN}":
            return None
        return Reply({"status": "error", "message": "Authentication credentials not found", "category": "X"}, 401)

    @route("POST /crm/v3/objects/{kind}/search")
    def search(self, call: Call) -> Any:
        ((filter,),) = [group["filters"] for group in call.body["filterGroups"]]
        assert filter["operator"] == "GTE", filter
        assert [sort["propertyName"] for sort in call.body["sorts"]] == [filter["propertyName"]]
        start, size = int(call.body.get("after", 0)), int(call.body["limit"])
        if start + size > self.cap or size > 200:
            return Reply({"status": "error", "message": "paging through more than 10000 results", "category": "X"}, 400)
        rows = [row for row in self.data.get(call.names["kind"], ()) if _milliseconds(row) >= int(filter["value"])]
        rows.sort(key=lambda row: (row["updatedAt"], row["id"]))
        found = [
            self._only(row, [*call.body["properties"], filter["propertyName"]]) for row in rows[start : start + size]
        ]
        more = {"paging": {"next": {"after": str(start + size)}}} if start + size < len(rows) else {}
        return {"total": len(rows), "results": found, **more}

    def _only(self, row: Row, properties: list[str]) -> Row:
        return row | {"properties": {name: row["properties"].get(name) for name in ["hs_object_id", *properties]}}

    @route("GET /crm/v3/objects/{kind}")
    def objects(self, call: Call) -> Any:
        rows = self.archived if call.query.get("archived") == "true" else self.data
        found, token = after(rows.get(call.names["kind"], []), call.query.get("after"), call.whole("limit", 10))
        return {"results": found} | ({"paging": {"next": {"after": token, "link": call.path}}} if token else {})

    @route("GET /crm/v3/owners", "GET /crm/v3/pipelines/deals")
    def small(self, call: Call) -> Any:
        return {"results": [{"id": "1", "label": "Sales", "stages": [{"id": "won", "displayOrder": 1}]}]}


def _milliseconds(row: Row) -> int:
    return round(datetime.fromisoformat(row["updatedAt"]).timestamp() * 1000)
