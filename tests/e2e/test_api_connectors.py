"""Connectors of well-known APIs, whole: check, discovery without a request, all streams at once, and once more."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from wherry_apis.syncs import Warehouse

REPOSITORIES = ["boat", "oar"]
LIMITED = pytest.mark.slow  # its own limits make it wait
CONFIG: list[Any] = [
    ("github", {}, ["token"], {"owner": "acme", "repositories": REPOSITORIES}),
    ("gitlab", {}, ["token"], {"projects": ["11"]}),
    ("stripe", {}, ["api_key"], {}),
    ("shopify", {}, ["token"], {}),
    ("slack", {}, ["token"], {}),
    ("jira", {"issues": 5}, ["email", "token"], {}),
    ("zendesk", {}, ["email", "token"], {}),
    pytest.param("hubspot", {"contacts": 5}, ["token"], {}, marks=LIMITED),
    pytest.param("notion", {"pages": 3}, ["token"], {}, marks=LIMITED),
]
"""(connector, how its server begins, keys of the server's own values, other keys)"""


@pytest.mark.parametrize(("name", "begin", "secrets", "config"), CONFIG)
def test_a_connector_as_a_whole(name: str, begin: dict[str, Any], secrets: list[str], config: dict[str, Any]) -> None:
    server = import_module(f"wherry_apis.{name}")
    source = import_module(f"wherry_source_{name}").source
    own = {key: getattr(server, key.removeprefix("api_").upper()) for key in secrets}
    with getattr(server, name.title())(**begin) as api:
        warehouse = Warehouse(source, url=api.url, **own, **config)
        made = source(source.Config.model_validate(warehouse.config))
        made.check()
        assert [call.status for call in api.log] == [200]
        streams = {stream.name: stream for stream in made.discover()}
        assert len(api.log) == 1, "discovery asks for nothing"
        made.close()

        first = warehouse.sync()
        assert {stream.stream for stream in first.streams} == set(streams)
        assert sum(stream.counts["inserted"] for stream in first.streams) > 0
        for stream in warehouse.sync().streams:
            if streams[stream.stream].cursor is not None:
                assert stream.counts["staged"] == 0, f"{stream.stream}: rows came again without a change"
        refused = {call.path: call.status for call in api.log if call.status not in (200, 403, 400, 404)}
        assert not refused
