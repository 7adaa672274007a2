"""The conformance suite, against a local server that answers as Shopify does: GraphQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wherry.testing import SourceSuite
from wherry_apis.github import minute
from wherry_apis.shopify import TOKEN, Shopify, order
from wherry_source_shopify import source


class TestShopify(SourceSuite):
    connector = source
    promises = Path(__file__).with_name("promises.json")

    @pytest.fixture
    def config(self) -> Iterator[dict[str, Any]]:
        with Shopify() as self.api:
            del self.api.data["events"][1:]
            yield {"url": self.api.url, "token": TOKEN}

    @pytest.fixture
    def broken(self, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"token": "wrong"}

    def mutate(self, config: dict[str, Any]) -> None:
        self.api.data["orders"][3] = order(4, minute(500), cancelReason="OTHER")
