"""Notion, as a local server answers: searches newest first, blocks of pages, limits, refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wherry import AuthError
from wherry_apis.github import minute
from wherry_apis.notion import TOKEN, Notion, page
from wherry_apis.server import Reply
from wherry_apis.syncs import Warehouse
from wherry_source_notion import source


@pytest.fixture
def api() -> Iterator[Notion]:
    with Notion() as server:
        yield server


def warehouse(api: Notion, token: str = TOKEN) -> Warehouse:
    return Warehouse(source, url=api.url, token=token)


def test_pages_and_then_until_they_are_known(api: Notion) -> None:
    wh = warehouse(api)
    wh.sync("pages")
    rows = wh.by("pages")
    assert set(rows) == {row["id"] for row in api.pages}
    assert rows["page-0007"]["properties"]["Points"]["number"] == 7
    api.pages[3] = page(3, minute(500), url="https://www.notion.so/moved")
    api.pages.append(page(900, minute(500)))
    api.forget()
    wh.sync("pages")
    assert len(api.asked("/search")) == 1
    rows = wh.by("pages")
    assert (len(rows), rows["page-0003"]["url"], "page-0900" in rows) == (231, "https://www.notion.so/moved", True)


def test_databases_and_users(api: Notion) -> None:
    wh = warehouse(api)
    wh.sync("databases", "users")
    assert (wh.column("databases", "id"), wh.column("users", "name")) == (["db-1"], ["Ana"])


def test_blocks_of_pages_that_changed(api: Notion) -> None:
    del api.pages[2:]
    kind = {"object": "block", "type": "paragraph"}
    for row in api.pages:
        api.blocks[row["id"]] = [{"id": f"{row['id']}-{n}", **kind, "has_children": False} for n in range(3)]
    wh = warehouse(api)
    wh.sync("blocks")
    assert len(wh.by("blocks")) == 6
    api.pages[1] = page(1, minute(500))
    api.blocks["page-0001"].append({"id": "new", **kind, "has_children": False})
    api.forget()
    wh.sync("blocks")
    assert [call.names["id"] for call in api.asked("/children")] == ["page-0001"]
    assert (len(wh.by("blocks")), wh.by("blocks")["new"]["_pages_id"]) == (7, "page-0001")


def test_a_page_that_went_away_has_no_blocks(api: Notion) -> None:
    del api.pages[2:]
    api.blocks["page-0001"] = [{"id": "b", "object": "block", "type": "divider"}]
    api.gone.add("page-0000")
    wh = warehouse(api)
    wh.sync("blocks")
    assert wh.column("blocks", "id") == ["b"]


def test_a_limit_is_waited_for(api: Notion) -> None:
    api.planned.append(Reply({"object": "error", "code": "rate_limited"}, 429, {"Retry-After": "0.1"}))
    wh = warehouse(api)
    wh.sync("users")
    assert api.log[1].at - api.log[0].at >= 0.1
    assert len(wh.rows("users")) == 1


def test_a_wrong_token_is_refused(api: Notion) -> None:
    with pytest.raises(AuthError):
        warehouse(api, token="wrong").sync("users")
