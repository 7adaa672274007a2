"""A stream that is asked for only if it changed, through the command line into both destinations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from wherry_cluster import Cluster
from wherry_shop import Shop
from wherry_web import Asked, Said, Web, said

MANIFEST = """
name: acme
base_url: "{url}"
streams:
  items: {{primary_key: id, paginate: {{type: none}}, conditional: true}}
"""


class Api:
    """One list, and what it is known by. asked: the conditions of its requests."""

    def __init__(self) -> None:
        self.rows, self.tag = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}], 'W/"1"'
        self.asked: list[str | None] = []

    def __call__(self, asked: Asked) -> Said:
        self.asked.append(asked.headers.get("if-none-match"))
        if self.asked[-1] == self.tag:
            return said(status=304, headers={"ETag": self.tag})
        return said(self.rows, headers={"ETag": self.tag})


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.chdir(tmp_path)
    found = Api()
    with Web(found) as web:
        (tmp_path / "acme.yaml").write_text(MANIFEST.format(url=web.url))
        yield found


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "duckdb":
        yield "out.duckdb"
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    url = cluster.create_database()
    yield url
    cluster.drop_database(url)


def kept(shop: Shop, warehouse: str) -> tuple[str, str, str]:
    """Rows with the load that brought them, bookmarks, loads: as text."""
    rows = shop.ok("sql", warehouse, "select * from acme.items order by id", "--csv")
    loads = shop.ok("sql", warehouse, "select count(*) as n from acme._wherry_loads", "--csv")
    return rows, shop.ok("state", "show", warehouse, "--json"), loads


def test_what_did_not_change_stays_untouched_and_what_did_comes_with_one_request(
    shop: Shop, api: Api, warehouse: str
) -> None:
    for look in (["preview", "acme.yaml"], ["discover", "acme.yaml"], ["plan", "acme.yaml", warehouse]):
        shop.ok(*look)
    assert api.asked == [None], "only the preview asks, and on no condition"
    shop.ok("sync", "acme.yaml", warehouse)
    before = kept(shop, warehouse)
    assert json.loads(before[1])[0]["streams"][0]["bookmark"]["etag"] == 'W/"1"'
    (event,) = finished(shop, warehouse)
    assert (event["outcome"], event["counts"]["read"]) == ("unchanged", 0)
    shop.ok("preview", "acme.yaml")
    shop.ok("plan", "acme.yaml", warehouse)
    shop.ok("sync", "acme.yaml", warehouse, "--limit", "1", "--yes")
    assert kept(shop, warehouse)[:2] == before[:2]
    api.rows, api.tag = [{"id": 2, "v": "c"}], 'W/"2"'
    (event,) = finished(shop, warehouse)
    assert (event["outcome"], event["counts"]["read"]) == ("committed", 1)
    (event,) = finished(shop, warehouse)
    assert event["outcome"] == "unchanged"
    assert shop.ok("sql", warehouse, "select id, v from acme.items", "--csv").split() == ["id,v", "2,c"]
    assert api.asked == [None, None, 'W/"1"', None, None, 'W/"1"', 'W/"2"']


def finished(shop: Shop, warehouse: str) -> list[dict[str, object]]:
    """How the streams of one more run ended."""
    events = [json.loads(line) for line in shop.ok("sync", "acme.yaml", warehouse, "--json").splitlines()]
    return [event for event in events if event["event"] == "stream_finished"]
