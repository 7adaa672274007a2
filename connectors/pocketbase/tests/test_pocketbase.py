"""PocketBase itself, behind a proxy that logs: every type of field, paging, updates, deletes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wherry import AuthError
from wherry_apis.pocketbase import IDENTITY, PASSWORD, PocketBase
from wherry_apis.server import Reply
from wherry_apis.syncs import Warehouse
from wherry_source_pocketbase.source import PocketBaseSource


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PocketBase]:
    with PocketBase(Path(tmp_path_factory.mktemp("pocketbase"))) as running:
        running.collection("teams", {"name": "name", "type": "text"}, stamped=False)
        team = running.insert("teams", name="sea")["id"]
        running.collection(
            "posts",
            {"name": "title", "type": "text"}, {"name": "likes", "type": "number"}, {"name": "shown", "type": "bool"},
            {"name": "mail", "type": "email"}, {"name": "link", "type": "url"}, {"name": "body", "type": "editor"},
            {"name": "due", "type": "date"}, {"name": "kind", "type": "select", "values": ["a", "b"], "maxSelect": 1},
            {"name": "tags", "type": "select", "values": ["x", "y", "z"], "maxSelect": 3},
            {"name": "data", "type": "json"}, {"name": "place", "type": "geoPoint"}, {"name": "gone", "type": "bool"},
            {"name": "team", "type": "relation", "collectionId": running.ask("GET", "/api/collections/teams")["id"]},
        )  # fmt: skip
        running.insert(
            "posts", title="Ahoi ⚓", likes=3.5, shown=True, mail="a@example.com", link="https://example.com", due="",
            body="<p>x</p>", kind="a", tags=["x", "z"], data={"deep": [1, None]}, place={"lon": 9.9, "lat": 53.5},
            team=team,
        )  # fmt: skip
        yield running


@pytest.fixture
def warehouse(server: PocketBase) -> Warehouse:
    server.forget()
    return Warehouse(PocketBaseSource, url=server.url, identity=IDENTITY, password=PASSWORD, deleted="gone")


def test_every_type_of_field(server: PocketBase, warehouse: Warehouse) -> None:
    warehouse.sync()
    (row,) = [row for row in warehouse.rows("posts") if row["title"] == "Ahoi ⚓"]
    (there,) = [row for row in server.records("posts").values() if row["title"] == "Ahoi ⚓"]
    assert {name: row[name] for name in ("likes", "shown", "mail", "link", "body", "kind", "team", "due")} == {
        name: there[name] for name in ("likes", "shown", "mail", "link", "body", "kind", "team", "due")
    }
    assert (row["tags"], row["place"], json.loads(row["data"])) == (["x", "z"], there["place"], {"deep": [1, None]})
    assert row["updated"].strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z" == there["updated"]
    assert set(warehouse.by("teams")) == set(server.records("teams"))
    assert "password" not in {name for row in warehouse.rows("users") for name in row}


def test_a_second_run_asks_for_what_is_new(server: PocketBase, warehouse: Warehouse) -> None:
    ids = [server.insert("posts", title=f"Post {n}", likes=n)["id"] for n in range(7)]
    warehouse.sync("posts")
    last = max(row["updated"] for row in server.records("posts").values())
    path = f"/api/collections/posts/records/{ids[2]}"
    server.ask("PATCH", path, {"title": "Changed"})
    server.ask("PATCH", path.replace(ids[2], ids[3]), {"gone": True})
    new = server.insert("posts", title="New")["id"]
    server.forget()
    warehouse.sync("posts")
    (asked,) = server.asked("/posts/records")
    assert asked.query["filter"] == f"updated>='{last.removesuffix('Z')}000Z'"
    rows = warehouse.by("posts")
    assert (rows[ids[2]]["title"], new in rows, ids[3] in rows) == ("Changed", True, False)
    assert set(rows) == {key for key, row in server.records("posts").items() if not row["gone"]}


def test_rows_of_one_instant_and_many_pages(server: PocketBase, warehouse: Warehouse, monkeypatch: Any) -> None:
    monkeypatch.setattr("wherry_source_pocketbase.source.PAGE", 3)
    for n in range(10):
        server.insert("posts", title=f"Page {n}")
    warehouse.sync("posts")
    assert set(warehouse.by("posts")) == {key for key, row in server.records("posts").items() if not row["gone"]}
    assert len(server.asked("/posts/records")) > 3


def test_collections_without_a_time_of_change_are_read_whole(server: PocketBase, warehouse: Warehouse) -> None:
    gone = server.insert("teams", name="land")["id"]
    warehouse.sync("teams")
    server.ask("DELETE", f"/api/collections/teams/records/{gone}")
    server.insert("teams", name="air")
    warehouse.sync("teams")
    assert warehouse.column("teams", "name") == ["air", "sea"]


def test_a_token_that_ran_out_is_fetched_anew(server: PocketBase, warehouse: Warehouse) -> None:
    server.planned.append(Reply({"token": "stale", "record": {}}))  # the first login gives one that is refused
    warehouse.sync("teams")
    logins = [call for call in server.asked("/auth-with-password") if call.method == "POST"]
    assert len(logins) == 2
    assert warehouse.rows("teams")


def test_a_wrong_password_is_refused(server: PocketBase) -> None:
    wrong = Warehouse(PocketBaseSource, url=server.url, identity=IDENTITY, password="wrong")
    with pytest.raises(AuthError):
        wrong.sync("teams")
