"""The conformance suite on a manifest, against a local server whose rows change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pytest
from wherry.testing import SourceSuite
from wherry_source_rest.source import ManifestSource
from wherry_web import Asked, Said, Web, said

HERE = Path(__file__).parent
TOKEN = "opens the workshop"


class Workshop:
    """Orders that change and go, their parts, kinds of parts."""

    def __init__(self) -> None:
        self.orders = {n: self.order(n, n // 3) for n in range(1, 12)}
        self.parts = {n: [self.part(n, k) for k in range(n % 3)] for n in self.orders}
        self.kinds = [{"name": name, "weight": weight} for name, weight in (("bolt", 1.25), ("nut", 0.75), ("rod", 12))]

    @staticmethod
    def order(n: int, day: int, state: str = "open") -> dict[str, Any]:
        return {
            "id": n,
            "state": state,
            "updated_at": f"2024-02-{1 + day:02d}T10:00:00Z",
            "lines": [{"no": n}] * (n % 2),
        }

    @staticmethod
    def part(n: int, k: int) -> dict[str, Any]:
        return {"id": n * 10 + k, "made_at": f"2024-02-{1 + k:02d}T{n:02d}:00:00Z"}

    def __call__(self, asked: Asked) -> Said:
        if asked.auth != f"Bearer {TOKEN}":
            return said({"error": "not known here"}, 401)
        kind, since = asked.route.rpartition("/")[2], asked.query.get("since", "")
        if kind == "orders":
            rows = sorted(self.orders.values(), key=lambda row: (row["updated_at"], row["id"]))
            rows = [row for row in rows if row["updated_at"] >= since]
        elif kind == "parts":
            rows = [row for row in self.parts[int(asked.route.split("/")[3])] if row["made_at"] >= since]
        else:
            rows = self.kinds
        at, size = int(asked.query.get("after", 0)), int(asked.query["limit"])
        following = f"{asked.route}?{urlencode({**asked.query, 'after': at + size})}" if at + size < len(rows) else None
        return said({"data": rows[at : at + size], "links": {"next": following}})


class TestManifest(SourceSuite):
    connector = ManifestSource.referred(str(HERE / "acme.yaml"))
    promises = HERE / "promises.json"

    @pytest.fixture
    def config(self) -> Iterator[dict[str, Any]]:
        self.shop = Workshop()
        with Web(self.shop) as web:
            yield {"manifest": "acme.yaml", "url": web.url, "token": TOKEN}

    @pytest.fixture
    def broken(self, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"token": "wrong"}

    def expected(self, config: dict[str, Any], stream: str) -> pa.Table | None:
        if stream == "kinds":
            weights = pa.array([row["weight"] for row in self.shop.kinds]).cast(pa.decimal128(6, 2))
            return pa.table({"name": [row["name"] for row in self.shop.kinds], "weight": weights})
        if stream == "parts":
            rows = [{**part, "_orders_id": n} for n, parts in self.shop.parts.items() for part in parts]
            return pa.Table.from_pylist(rows)
        return pa.Table.from_pylist(list(self.shop.orders.values()))

    def mutate(self, config: dict[str, Any]) -> None:
        self.shop.orders[4] = self.shop.order(4, 20, "shipped")
        self.shop.orders[30] = self.shop.order(30, 21)
        self.shop.parts[30] = [self.shop.part(20, 1)]
        self.shop.parts[1].append({"id": 11, "made_at": "2024-02-25T00:00:00Z"})
