"""`wherry.pages` in functions: dicts or whole pages, with what surrounds the function; and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
import wherry
from wherry import Batch, Selection, Split

from .conftest import Shore, paged

CURSOR = wherry.Cursor("offset", path="next")
ROWS = [{"id": n, "tags": ["a"] * (n % 3), "at": {"n": n}} for n in range(7)]


def source(function: Callable[..., Any], **keys: Any) -> wherry.Source:
    """A source of one function."""
    module = ModuleType("wherry_test_pages")
    sys.modules[module.__name__] = module
    function.__module__ = module.__name__
    module.items = wherry.stream(primary_key="id")(function)  # type: ignore[attr-defined]
    cls = wherry.source_from(module)
    return cls(cls.Config.model_validate(keys))


def read(of: wherry.Source) -> Iterator[Any]:
    """What the function's batches hold."""
    (stream,) = of.discover()
    split = Split(key="items", streams=(Selection(stream=stream),))
    return (item.data for item in of.read(split) if isinstance(item, Batch))


def rows(of: wherry.Source) -> list[dict[str, Any]]:
    """All rows, as dicts."""
    tables = [pa.Table.from_pylist(data) if isinstance(data, list) else pa.table(data) for data in read(of)]
    return [row for table in tables for row in table.to_pylist()]


def test_pages_that_are_yielded_whole_become_arrow(shore: Shore) -> None:
    shore.routes["/items"] = paged(ROWS, 3)

    def items() -> Iterator[Any]:
        yield from wherry.pages(f"{shore.web.url}/items", records="data", paginate=CURSOR)

    found = list(read(source(items)))
    assert all(isinstance(data, pa.Table) for data in found)
    assert [row for data in found for row in data.to_pylist()] == ROWS
    assert shore.asked() == ["/items", "/items?offset=3", "/items?offset=6"]


def test_rows_of_a_page_are_dicts_where_they_are_looked_at(shore: Shore) -> None:
    shore.routes["/items"] = paged(ROWS, 3)

    def items(token: wherry.Secret, since: str = "x") -> Iterator[Any]:
        asked = {"since": since, "left_out": None, "many": [1, 2]}
        for page in wherry.pages(
            f"{shore.web.url}/items", auth=wherry.Bearer(token), params=asked, records="data", paginate=CURSOR,
            headers={"X-One": "1"},
        ):  # fmt: skip
            assert page.status == 200
            assert page.headers["content-type"] == "application/json"
            assert page.json()["data"] == list(page)
            for row in page:
                yield {"id": row["id"], "day": row["at"]["n"]}

    assert rows(source(items, token="t")) == [{"id": n, "day": n} for n in range(7)]
    assert shore.asked()[0] == "/items?since=x&many=1&many=2"
    assert {asked.auth for asked in shore.web.log} == {"Bearer t"}
    assert {asked.headers["x-one"] for asked in shore.web.log} == {"1"}


def test_a_post_takes_parameters_of_paging_in_its_body(shore: Shore) -> None:
    shore.routes["/search"] = lambda asked: {
        "hits": [{"id": len(asked.body)}], "next": None if b"after" in asked.body else "c"
    }  # fmt: skip

    def items() -> Iterator[Any]:
        paginate = wherry.Cursor("page.after", path="next")
        yield from wherry.pages(
            f"{shore.web.url}/search",
            method="POST",
            body={"q": 1, "page": {"size": 2}},
            records="hits",
            paginate=paginate,
        )

    rows(source(items))
    assert [asked.body for asked in shore.web.log] == [
        b'{"q": 1, "page": {"size": 2}}', b'{"q": 1, "page": {"size": 2, "after": "c"}}',
    ]  # fmt: skip


def test_errors_are_those_of_a_stream(shore: Shore) -> None:
    shore.routes["/items"] = {"error": "quota"}

    def items() -> Iterator[Any]:
        yield from wherry.pages(f"{shore.web.url}/items", records="data")

    with pytest.raises(wherry.StreamError, match="no records at 'data'"):
        rows(source(items))


def test_pages_leave_no_thread_and_no_connection_when_a_function_stops_early(shore: Shore) -> None:
    import threading

    shore.routes["/items"] = paged([{"id": n} for n in range(100_000)], 1)

    def items() -> Iterator[Any]:
        for page in wherry.pages(f"{shore.web.url}/items", records="data", paginate=CURSOR):
            yield from page
            return

    assert rows(source(items)) == [{"id": 0}]
    assert not [t for t in threading.enumerate() if t.name == "ahead: items"]


def test_calls_in_one_read_use_one_connection_after_the_other(shore: Shore) -> None:
    shore.routes["/items"] = ROWS

    def items() -> Iterator[Any]:
        for _ in range(3):
            yield from wherry.pages(f"{shore.web.url}/items")

    assert len(rows(source(items))) == 21


def test_outside_a_function_that_is_read_it_says_so() -> None:
    with pytest.raises(wherry.SourceError, match="called outside a read"):
        next(wherry.pages("http://127.0.0.1:1/x"))


def test_an_address_is_asked_for() -> None:
    with pytest.raises(wherry.UsageError, match="takes an address"):
        next(wherry.pages("/items"))
