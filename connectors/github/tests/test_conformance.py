"""The conformance suite, against a local server that answers as GitHub does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wherry.testing import SourceSuite
from wherry_apis.github import TOKEN, Github, issue, minute, user
from wherry_source_github import source


class TestGithub(SourceSuite):
    connector = source
    promises = Path(__file__).with_name("promises.json")

    @pytest.fixture
    def config(self) -> Iterator[dict[str, Any]]:
        with Github(issues=120) as self.api:
            data = self.api.data
            for kind in ("pulls", "issues/comments", "pulls/comments"):
                data["boat", kind] = [{k: v for k, v in issue(n, minute(n)).items() if v} for n in range(1, 6)]
            data["oar", "stargazers"] = [{"starred_at": minute(1), "user": user("zoe")}]
            data["oar", "labels"] = [{"id": 1, "name": "bug"}]
            data["boat", "commits"] = [{"sha": "a", "commit": {"committer": {"date": minute(4)}}}]
            yield {"url": self.api.url, "token": TOKEN, "owner": "acme", "repositories": ["oar", "boat"]}

    @pytest.fixture
    def broken(self, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"token": "wrong"}

    def mutate(self, config: dict[str, Any]) -> None:
        self.api.data["boat", "issues"][3] |= {"updated_at": minute(500), "title": "Changed"}
