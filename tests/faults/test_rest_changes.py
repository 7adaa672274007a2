"""APIs whose rows change between two pages of one read, and pages of which most rows are filtered away.

What did not change during a read is in the table once, exactly. What did change is there as the next run finds it,
where the API tells: by its cursor, or by reading whole. Pages by number or offset are the documented exception: when a
row before them goes away, one behind it moves up and is not seen by this read.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.api import SIZE, Api
from wherry_web import Asked, Said, Web, said

Row = dict[str, Any]


class Moving:
    """Rows that come, go and change after each of the first requests. touched: ids of those that did."""

    def __init__(self, seed: int, *, deletes: bool, first: int = 60) -> None:
        self.dice, self.deletes, self.moves = random.Random(seed), deletes, 8
        self.rows: dict[int, Row] = {}
        self.touched: set[int] = set()
        for number in range(1, first + 1):
            self.put(number, datetime.now(UTC) - timedelta(days=1, seconds=-number))
        self.touched.clear()

    def put(self, number: int, at: datetime | None = None) -> None:
        text = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.rows[number] = {"id": number, "at": text, "v": self.dice.randrange(100)}
        self.touched.add(number)

    def move(self) -> None:
        self.moves -= 1
        if self.moves >= 0:
            self.put(max(self.rows) + 1)
            for _ in range(3):
                self.put(self.dice.choice(list(self.rows)))
            if self.deletes:
                gone = self.dice.choice(list(self.rows))
                del self.rows[gone]
                self.touched.add(gone)

    def __call__(self, asked: Asked) -> Said:
        rows = [row for row in self.rows.values() if row["at"] >= asked.query.get("since", "")]
        rows.sort(key=lambda row: (row["at"], row["id"]) if "since" in asked.query or self.by_cursor else row["id"])
        if "after" in asked.query:
            rows = [row for row in rows if row["id"] > int(asked.query["after"])]
        number = int(asked.query.get("page", 1))
        shown = [dict(row) for row in rows[(number - 1) * SIZE : number * SIZE]]
        self.move()
        return said({"data": shown})

    by_cursor = False


STREAMS: dict[str, Row] = {
    "whole, by the last id": {"paginate": {"type": "cursor", "param": "after", "last": "id"}},
    "in order, asked anew": {"incremental": {"cursor": "at", "param": "since", "ordered": True, "anew_after": SIZE}},
    "in no order, by page": {"incremental": {"cursor": "at", "param": "since"}},
}


@pytest.mark.fault(58, tier=1)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", STREAMS)
def test_what_stays_is_there_once_and_what_changed_comes_with_the_next_run(
    api: Api, web: Web, kind: str, seed: int
) -> None:
    keyset = kind != "in no order, by page"
    moving = Moving(seed, deletes=keyset)
    moving.by_cursor = kind == "in order, asked anew"
    before = {number: dict(row) for number, row in moving.rows.items()}
    words = {"streams": {"items": {"records": "data", "primary_key": "id", **STREAMS[kind]}}}
    api.reads(web, moving, **words)
    found = {row["id"]: row for row in api.rows()}
    assert len(found) == len(api.rows())
    stable = before.keys() - moving.touched
    assert len(stable) > 10
    assert {number: found.get(number) for number in stable} == {number: before[number] for number in stable}
    moving.moves = 0
    api.reads(web, moving, **words)
    found = {row["id"]: row for row in api.rows()}
    there = {number: row for number, row in found.items() if number in moving.rows}
    assert there == moving.rows
    if kind == "whole, by the last id":
        assert found == moving.rows


@pytest.mark.fault(59, tier=1)
@pytest.mark.parametrize("paginate", [{"type": "page", "size": SIZE}, {"type": "offset", "limit": SIZE}])
def test_pages_of_which_nothing_is_wanted_are_not_the_last(api: Api, web: Web, paginate: Row) -> None:
    rows = [{"id": n, "at": f"2024-{1 + n % 7 // 6:02d}-01T00:00:00Z"} for n in range(1, 64)]

    def answer(asked: Asked) -> Said:
        at = int(asked.query.get("offset", (int(asked.query.get("page", 1)) - 1) * SIZE))
        return said({"data": rows[at : at + SIZE]})

    incremental = {"cursor": "at", "start": "2024-02-01", "filter": "client"}
    stream = {"records": "data", "primary_key": "id", "incremental": incremental}
    api.reads(web, answer, paginate=paginate, streams={"items": stream})
    assert len(web.log) == 7
    api.exact([row for row in rows if row["at"].startswith("2024-02")])


@pytest.mark.fault(59, tier=1)
def test_a_whole_page_that_is_filtered_away_ends_nothing(api: Api, web: Web) -> None:
    rows = [{"id": n, "at": "2024-02-01" if n in (1, 63) else "2024-01-01"} for n in range(1, 64)]

    def answer(asked: Asked) -> Said:
        number = int(asked.query.get("page", 1))
        return said({"data": rows[(number - 1) * SIZE : number * SIZE]})

    incremental = {"cursor": "at", "start": "2024-02-01", "filter": "client"}
    stream = {"records": "data", "primary_key": "id", "incremental": incremental}
    api.reads(web, answer, streams={"items": stream})
    assert len(web.log) == 7
    api.exact([rows[0], rows[62]])
