"""Only what is new: parameters, bookmarks, look-backs, windows. The server's log says what was asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.select import Wish, Wishes
from wherry.rest.moments import moment
from wherry_web import Asked, said

from .conftest import NOW, Shore

DAY = 86_400


def day(n: int, rest: str = "T00:00:00Z") -> str:
    return f"2024-01-{n:02d}{rest}"


class Table:
    """Rows of an API that filters by `since` (inclusive or not) and `until`, in pages by offset."""

    def __init__(self, rows: list[dict[str, Any]], size: int = 2, cursor: str = "at", inclusive: bool = True) -> None:
        self.rows, self.size, self.cursor, self.inclusive = rows, size, cursor, inclusive

    def __call__(self, asked: Asked) -> Any:
        rows = self.rows
        if "since" in asked.query:
            low = rank(asked.query["since"])
            rows = [r for r in rows if rank(r[self.cursor]) > low or (self.inclusive and rank(r[self.cursor]) == low)]
        if "until" in asked.query:
            rows = [r for r in rows if rank(r[self.cursor]) <= rank(asked.query["until"])]
        at = int(asked.query.get("offset", 0))
        return {"data": rows[at : at + self.size], "next": at + self.size if at + self.size < len(rows) else None}


def rank(value: Any) -> Any:
    found = moment(value) if isinstance(value, str) else None
    return found if found is not None else int(value) if not isinstance(value, str) or value.isdigit() else value


def stream(**incremental: Any) -> dict[str, Any]:
    return {
        "items": {
            "records": "data", "primary_key": "id", "paginate": {"type": "cursor", "param": "offset", "path": "next"},
            "incremental": {"cursor": "at", "param": "since", **incremental},
        }
    }  # fmt: skip


def test_a_first_run_without_start_leaves_the_parameter_out_and_the_next_asks_from_the_last_value(shore: Shore) -> None:
    shore.routes["/items"] = table = Table([{"id": n, "at": day(n)} for n in range(1, 5)])
    shore.sync(stream(ordered=True))
    table.rows += [{"id": 2, "at": day(6), "v": 2}, {"id": 5, "at": day(7)}]
    first = len(shore.web.log)
    assert shore.sync(stream(ordered=True)).exit_code == 0
    assert shore.asked()[:2] == ["/items", "/items?offset=2"]
    assert shore.asked(first) == [
        "/items?since=2024-01-04T00%3A00%3A00Z",
        "/items?since=2024-01-04T00%3A00%3A00Z&offset=2",
    ]
    assert [(r["id"], r["at"]) for r in shore.rows("items")] == [
        (1, day(1)), (2, day(6)), (3, day(3)), (4, day(4)), (5, day(7)),
    ]  # fmt: skip


def test_a_run_without_news_writes_nothing(shore: Shore) -> None:
    shore.routes["/items"] = Table([{"id": n, "at": day(n)} for n in range(1, 5)])
    shore.sync(stream())
    done = shore.sync(stream())
    (found,) = done.streams
    assert (found.outcome, found.counts["inserted"] + found.counts["updated"]) == ("unchanged", 0)


def test_a_parameter_that_holds_the_start_is_left_out_whole_when_there_is_none(shore: Shore) -> None:
    shore.routes["/items"] = lambda asked: {"data": [{"id": 1, "at": day(3)}], "next": None}
    given = stream()
    given["items"]["params"] = {"q": "updated:>{start}", "sort": "updated"}
    del given["items"]["incremental"]["param"]
    for _ in range(2):
        shore.sync(given)
    assert shore.asked() == ["/items?sort=updated", "/items?q=updated%3A%3E2024-01-03T00%3A00%3A00Z&sort=updated"]


@pytest.mark.parametrize(
    ("format", "start", "sent"),
    [
        ("iso", "2024-01-02", "2024-01-02T00%3A00%3A00Z"),
        ("iso_date", "2024-01-02", "2024-01-02"),
        ("epoch_s", "2024-01-02", str(1704153600)),
        ("epoch_ms", "2024-01-02", str(1704153600000)),
        ("%d.%m.%Y %H:%M", "2024-01-02", "02.01.2024%2000%3A00"),
        ("raw", "yesterday", "yesterday"),
        ("raw", 7, "7"),
    ],
)
def test_the_start_is_written_as_the_api_reads_it(shore: Shore, format: str, start: Any, sent: str) -> None:
    shore.routes["/items"] = {"data": [], "next": None}
    shore.sync(stream(format=format, start=start))
    assert shore.asked() == [f"/items?since={sent}"]


@pytest.mark.parametrize(
    ("format", "values", "asked"),
    [
        ("iso", [day(1), day(2, "T00:00:00.5Z"), day(2)], day(2, "T00:00:00.5Z")),
        ("iso", ["2024-01-02T01:00:00+02:00", day(1, "T22:30:00Z")], "2024-01-02T01:00:00+02:00"),
        ("iso", [day(1, "T00:00:00.123456789Z"), day(1)], day(1, "T00:00:00.123456789Z")),
        ("epoch_s", [1704153601, 1704153599], "1704153601"),
        ("epoch_s", [day(2, "T00:00:01.9Z")], "1704153601"),
        ("iso_date", [day(2, "T10:00:00Z"), day(2)], "2024-01-02"),
        ("raw", [9, 10, 2], "10"),
        ("raw", ["b", "c", "a"], "c"),
        ("raw", [1.5, 0.1], "1.5"),
        ("raw", [9007199254740993, 9007199254740992], "9007199254740993"),
    ],
)
def test_cursors_are_compared_by_what_they_mean_and_kept_in_full(
    shore: Shore, format: str, values: list[Any], asked: str
) -> None:
    shore.routes["/items"] = {"data": [{"id": n, "at": value} for n, value in enumerate(values)], "next": None}
    for _ in range(2):
        assert shore.sync(stream(format=format)).exit_code == 0
    assert shore.web.log[-1].query == {"since": asked}
    assert [row["at"] for row in shore.rows("items")] == values


def test_a_parameter_coarser_than_the_cursor_brings_no_row_twice(shore: Shore) -> None:
    rows = [{"id": n, "at": day(2, f"T{n:02d}:00:00Z")} for n in range(20)]
    table = Table(rows)
    shore.routes["/items"] = table
    given = stream(format="iso_date")
    del given["items"]["primary_key"]
    shore.sync(given)
    table.rows = [*rows, {"id": 20, "at": day(2, "T20:00:00Z")}]
    shore.sync(given)
    assert shore.ids("items") == list(range(21))


@pytest.mark.parametrize("keyed", [True, False])
def test_an_exclusive_parameter_misses_no_row_that_shares_the_last_value(shore: Shore, keyed: bool) -> None:
    table = Table([{"id": 1, "at": day(1)}, {"id": 2, "at": day(2)}], inclusive=False)
    shore.routes["/items"] = table
    given = stream(param_is="exclusive", ordered=True)
    if not keyed:
        del given["items"]["primary_key"]
    shore.sync(given)
    table.rows += [{"id": 3, "at": day(2)}, {"id": 4, "at": day(3)}]
    shore.sync(given)
    assert shore.web.log[-1].query["since"] == "2024-01-01T23:59:59Z"
    assert shore.ids("items") == [1, 2, 3, 4]
    done = shore.sync(given)
    assert done.streams[0].outcome == "unchanged"


def test_a_look_back_reads_again_and_keeps_once(shore: Shore) -> None:
    table = Table([{"id": n, "at": day(n)} for n in range(1, 10)], size=20)
    shore.routes["/items"] = table
    shore.sync(stream(lookback="2d"))
    table.rows.append({"id": 77, "at": day(8)})
    done = shore.sync(stream(lookback="2d"))
    assert shore.asked()[-1] == "/items?since=2024-01-07T00%3A00%3A00Z"
    assert shore.ids("items") == [1, 2, 3, 4, 5, 6, 7, 8, 9, 77]
    assert (done.streams[0].counts["inserted"], done.streams[0].counts["boundary"]) == (1, 3)


def test_users_choose_where_to_begin_and_to_end(shore: Shore) -> None:
    table = Table([{"id": n, "at": day(n)} for n in range(1, 10)])
    shore.routes["/items"] = table
    shore.sync(stream(ordered=True, start="2020-01-01"), run_wish=None, run_wishes=_wishes(start=day(3), end=day(6)))
    assert shore.ids("items") == [3, 4, 5]
    assert shore.web.log[0].query["since"] == day(3)


def _wishes(**wish: Any) -> Any:
    return Wishes(common=Wish(**wish))


def test_a_client_side_filter_drops_what_the_server_could_not_and_pages_go_on_to_the_last(shore: Shore) -> None:
    rows = [{"id": n, "at": day(1 + n % 9)} for n in range(12)]
    table = Table(rows)
    shore.routes["/items"] = table
    given = stream(filter="client", start=day(8))
    del given["items"]["incremental"]["param"]
    shore.sync(given)
    assert shore.ids("items") == [7, 8]
    assert len(shore.asked()) == 6
    table.rows = [*rows, {"id": 99, "at": day(20)}]
    shore.sync(given)
    assert shore.ids("items") == [7, 8, 99]


def test_an_upper_bound_is_fixed_where_the_api_takes_one(shore: Shore) -> None:
    shore.routes["/items"] = Table([{"id": n, "at": day(n)} for n in range(1, 4)])
    shore.sync(stream(end_param="until"))
    assert {asked.query["until"] for asked in shore.web.log} == {"2025-01-01T00:00:00Z"}


def test_windows_are_asked_one_by_one_and_hold_each_row_once(shore: Shore) -> None:
    shore.now = NOW - 335 * DAY  # 2024-02-01
    table = Table([{"id": n, "at": day(n)} for n in (1, 5, 11, 12, 21, 31)], size=20)
    shore.routes["/items"] = table
    given = stream(end_param="until", start="2024-01-01", step="10d", format="iso_date")
    del given["items"]["primary_key"]
    shore.sync(given)
    assert [(a.query["since"], a.query["until"]) for a in shore.web.log] == [
        ("2024-01-01", "2024-01-11"), ("2024-01-11", "2024-01-21"), ("2024-01-21", "2024-01-31"),
        ("2024-01-31", "2024-02-01"),
    ]  # fmt: skip
    assert shore.ids("items") == [1, 5, 11, 12, 21, 31]
    shore.now += 5 * DAY
    first = len(shore.web.log)
    shore.sync(given)
    assert [(a.query["since"], a.query["until"]) for a in shore.web.log[first:]] == [("2024-01-31", "2024-02-06")]


def test_a_window_that_was_read_is_not_read_again_after_a_failure(shore: Shore) -> None:
    table = Table([{"id": n, "at": day(n)} for n in range(1, 32)], size=50)
    failing = {day(11)}
    shore.now = NOW - 335 * DAY

    def answer(asked: Asked) -> Any:
        return said({}, 400) if asked.query["since"] in failing else table(asked)

    shore.routes["/items"] = answer
    given = stream(end_param="until", start=day(1), step="5d")
    every = {"run_commit_every": CommitEvery(rows=1)}
    assert shore.sync(given, **every).exit_code == 3
    assert shore.ids("items") == list(range(1, 11))
    failing.clear()
    first = len(shore.web.log)
    assert shore.sync(given, **every).exit_code == 0
    assert shore.web.log[first].query["since"] == day(10)
    assert shore.ids("items") == list(range(1, 32))


def test_an_ordered_stream_goes_on_in_the_middle_after_a_failure(shore: Shore) -> None:
    rows = [{"id": n, "at": day(1 + n // 3)} for n in range(30)]
    table = Table(rows, size=4)
    calls = 0

    def answer(asked: Asked) -> Any:
        nonlocal calls
        calls += 1
        return said({}, 400) if calls == 4 else table(asked)

    shore.routes["/items"] = answer
    every = {"run_commit_every": CommitEvery(rows=1)}
    given = stream(ordered=True)
    del given["items"]["primary_key"]
    assert shore.sync(given, **every).exit_code == 3
    assert shore.ids("items") == list(range(12))
    first = len(shore.web.log)
    assert shore.sync(given, **every).exit_code == 0
    assert shore.web.log[first].query == {"since": day(4)}
    assert shore.ids("items") == list(range(30))


def test_rows_in_no_order_have_no_bookmark_before_the_end(shore: Shore) -> None:
    rows = [{"id": n, "at": day(31 - n)} for n in range(10)]
    table = Table(rows, size=4)
    calls = 0

    def answer(asked: Asked) -> Any:
        nonlocal calls
        calls += 1
        return said({}, 400) if calls == 3 else table(asked)

    shore.routes["/items"] = answer
    every = {"run_commit_every": CommitEvery(rows=1)}
    assert shore.sync(stream(), **every).exit_code == 3
    assert shore.sync(stream(), **every).exit_code == 0
    assert [a.query for a in shore.web.log][3] == {}
    assert shore.ids("items") == list(range(10))


def test_what_changed_while_rows_in_no_order_were_read_is_read_by_the_next_run(shore: Shore) -> None:
    """A row of the first page changes after it was read, and one of the second too: the bookmark must not pass by."""
    rows = [{"id": n, "at": day(1), "v": 0} for n in range(4)]
    shore.now = NOW - 360 * DAY
    table = Table(rows)

    def answer(asked: Asked) -> Any:
        found = table(asked)
        if "offset" not in asked.query and "since" not in asked.query:
            shore.now += 600
            rows[0] = {"id": 0, "at": _iso(shore.now - 300), "v": 1}
            rows[3] = {"id": 3, "at": _iso(shore.now - 200), "v": 1}
        return found

    shore.routes["/items"] = answer
    for _ in range(2):
        assert shore.sync(stream()).exit_code == 0
    assert {r["id"]: r["v"] for r in shore.rows("items")} == {0: 1, 1: 0, 2: 0, 3: 1}


def _iso(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_children_keep_one_low_watermark(shore: Shore) -> None:
    shore.routes["/p"] = [{"id": n} for n in range(3)]
    tables = [Table([{"id": 10 * n + k, "at": day(1 + k)} for k in range(n)]) for n in range(3)]
    for n, table in enumerate(tables):
        shore.routes[f"/p/{n}/c"] = table
    given = {"p": {}, "c": {**stream()["items"], "path": "p/{parent.id}/c", "parent": "p"}}
    shore.sync(given)
    tables[0].rows.append({"id": 5, "at": day(9)})
    first = len(shore.web.log)
    shore.sync(given)
    assert shore.ids("c") == [5, 10, 20, 21]
    assert {a.query["since"] for a in shore.web.log[first:] if a.route.endswith("c")} == {day(2)}
    assert len(_bookmarks(shore, "c")) == 1


def _bookmarks(shore: Shore, key: str) -> set[str]:
    return {str(k) for k in shore.store.now.state if k[1] == key}


def test_children_of_parents_in_order_go_on_where_they_failed(shore: Shore) -> None:
    """The low watermark stays what it was until all parents are through; parents before the failure are not asked."""
    shore.routes["/p"] = parents = Table([{"id": n, "at": day(10 + n)} for n in range(6)])
    tables = [Table([{"id": 10 * n + k, "at": day(1 + k)} for k in range(4)]) for n in range(6)]
    failing: list[int] = []

    def child(n: int) -> Answer:
        return lambda asked: said({}, 400) if n in failing else tables[n](asked)

    shore.routes |= {f"/p/{n}/c": child(n) for n in range(6)}
    ordered = stream(ordered=True)["items"]
    given = {"p": ordered, "c": {**stream()["items"], "path": "p/{parent.id}/c", "parent": "p"}}
    only = {"run_wishes": Wishes(only=("c",)), "run_commit_every": CommitEvery(rows=1)}
    shore.sync(given, **only)
    assert len(shore.ids("c")) == 24
    for n, table in enumerate(tables):
        table.rows.append({"id": 10 * n + 9, "at": day(20 - n)})
    failing.append(3)
    assert shore.sync(given, **only).exit_code == 3
    assert [n for n in shore.ids("c") if n % 10 == 9] == [9, 19, 29]
    failing.clear()
    parents.rows.append({"id": 0, "at": day(30)})
    first = len(shore.web.log)
    assert shore.sync(given, **only).exit_code == 0
    asked = shore.web.log[first:]
    assert [a.query["since"] for a in asked if a.route == "/p"] == [day(13)] * 2
    assert list(dict.fromkeys(a.route for a in asked if a.route != "/p")) == ["/p/3/c", "/p/4/c", "/p/5/c", "/p/0/c"]
    assert {a.query["since"] for a in asked if a.route != "/p"} == {day(4)}
    assert len(shore.ids("c")) == 30
    first = len(shore.web.log)
    shore.sync(given, **only)
    assert {a.query.get("since") for a in shore.web.log[first:] if a.route != "/p"} == {day(20)}


def test_rows_without_a_key_under_several_parents_are_read_whole(shore: Shore) -> None:
    shore.routes |= {"/p": [{"id": 1}], "/p/1/c": Table([{"id": 1, "at": day(1)}])}
    given = {"p": {}, "c": {**stream()["items"], "path": "p/{parent.id}/c", "parent": "p"}}
    del given["c"]["primary_key"]
    source = shore.source(given)
    found = {s.name: s for s in source.discover()}["c"]
    assert found.cursor is None
    assert found.notes == ("read whole each time: it has no primary_key",)


def test_pages_that_list_newest_first_end_at_what_is_known(shore: Shore) -> None:
    rows = [{"id": n, "at": day(n)} for n in range(20, 0, -1)]
    table = Table(rows)
    shore.routes["/items"] = table
    given = stream(newest_first=True)
    del given["items"]["incremental"]["param"]
    shore.sync(given)
    table.rows.insert(0, {"id": 21, "at": day(21)})
    first = len(shore.web.log)
    shore.sync(given)
    assert shore.ids("items") == list(range(1, 22))
    assert len(shore.asked(first)) == 2


def test_an_ordered_stream_is_asked_anew_where_a_server_gives_only_so_many_rows(shore: Shore) -> None:
    rows = [{"id": n, "at": day(1 + n // 2)} for n in range(30)]
    table = Table(rows, size=5)

    def answer(asked: Asked) -> Any:
        if int(asked.query.get("offset", 0)) >= 10:
            return said({"error": "no deeper"}, 400)
        return table(asked)

    shore.routes["/items"] = answer
    assert shore.sync(stream(ordered=True, anew_after=10)).exit_code == 0
    assert shore.ids("items") == list(range(30))


def test_a_nested_cursor_becomes_a_column(shore: Shore) -> None:
    shore.routes["/items"] = lambda asked: {
        "data": [{"id": 1, "fields": {"updated": day(3)}}] if "since" not in asked.query else [], "next": None
    }  # fmt: skip
    given = stream(cursor="fields.updated")
    for _ in range(2):
        assert shore.sync(given).exit_code == 0
    assert shore.rows("items") == [{"id": 1, "fields": {"updated": day(3)}, "fields__updated": day(3)}]
    assert shore.asked()[-1] == "/items?since=2024-01-03T00%3A00%3A00Z"


Answer = Callable[[Asked], Any]


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_rows_that_come_again_when_a_query_begins_anew_are_there_once(shore: Shore, mode: Any) -> None:
    rows = [{"id": n // 2, "at": day(1 + n // 7)} for n in range(60)]
    if mode == "merge":
        rows = [{"id": n, "at": day(1 + n // 7)} for n in range(60)]
    shore.routes["/items"] = table = Table(rows, size=4)
    given = stream(ordered=True, anew_after=9)
    if mode != "merge":
        del given["items"]["primary_key"]
    shore.sync(given, run_wishes=_wishes(mode=mode))
    assert shore.ids("items") == sorted(row["id"] for row in rows)
    assert len({asked.query.get("since") for asked in shore.web.log}) > 5
    table.rows = [*rows, {"id": 99, "at": rows[-1]["at"]}]
    shore.sync(given, run_wishes=_wishes(mode=mode))
    assert shore.ids("items") == sorted(row["id"] for row in table.rows)


def test_windows_of_a_stream_that_is_replaced_share_no_row(shore: Shore) -> None:
    shore.now = NOW - 335 * DAY
    shore.routes["/items"] = Table([{"id": n, "at": day(n)} for n in range(1, 31)], size=50)
    given = stream(end_param="until", start=day(1), step="5d")
    shore.sync(given, run_wishes=_wishes(mode="replace"))
    assert shore.ids("items") == list(range(1, 31))


def test_appended_rows_that_came_after_the_read_began_are_left_to_a_later_run(
    shore: Shore, caplog: pytest.LogCaptureFixture
) -> None:
    """In no order and without a key they would come twice; rows before them might not be seen by this read."""
    rows = [{"id": 1, "at": _iso(NOW - 100)}, {"id": 2, "at": _iso(NOW + 100)}]
    shore.routes["/items"] = Table(rows)
    given = stream()
    del given["items"]["primary_key"]
    shore.sync(given)
    assert shore.ids("items") == [1]
    assert "stream items: rows left to a later run" in caplog.text
    shore.now += 200
    shore.sync(given)
    assert shore.ids("items") == [1, 2]


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "yesterday", ""])
def test_a_server_whose_clock_is_no_clock_holds_no_row_back(shore: Shore, date: str) -> None:
    rows = [{"id": n, "at": _iso(NOW - 100 + n)} for n in range(5)]
    table = Table(rows)
    shore.routes["/items"] = lambda asked: said(table(asked), headers={"Date": date})
    given = stream()
    del given["items"]["primary_key"]
    shore.sync(given)
    assert shore.ids("items") == list(range(5))


def test_a_look_back_that_its_author_makes_longer_is_the_longer_one(shore: Shore) -> None:
    table = Table([{"id": n, "at": day(n)} for n in range(1, 20)], size=50)
    shore.routes["/items"] = table
    for back, since in (("2d", None), ("5d", day(14)), ("1d", day(14))):
        assert shore.sync(stream(lookback=back)).exit_code == 0
        assert shore.web.log[-1].query.get("since") == since
