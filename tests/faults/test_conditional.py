"""Runs of a stream that is read only if it changed, killed around their commits: what is asked on is what is there.

The tag of an answer and the rows that were made of it are one transaction: whatever a kill left, the next run asks on
the tag of the rows in the table, and an answer that did not get there is sent again.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from harness import places
from harness.places import SCHEMA, Place
from harness.warm import Warm
from wherry_web import Asked, Said, Web, said

STREAM = {"items": {"primary_key": "id", "paginate": {"type": "none"}, "conditional": True}}


class Versions:
    """A list that is another one whenever `number` is. asked: the versions that requests knew; None: they knew none."""

    def __init__(self) -> None:
        self.number = 1
        self.asked: list[int | None] = []

    def __call__(self, asked: Asked) -> Said:
        known = asked.headers.get("if-none-match")
        self.asked.append(None if known is None else int(known.strip('"')))
        tag = {"ETag": f'"{self.number}"'}
        if self.asked[-1] == self.number:
            return said(status=304, headers=tag)
        return said([{"id": 0, "v": self.number}, {"id": self.number, "v": self.number}], headers=tag)


def there(number: int, mode: str) -> list[tuple[int, int]]:
    """(id, v) of the table, once that version is in it; merging keeps what earlier ones had."""
    return [(0, number), *((n, n) for n in range(1 if mode == "merge" else number, number + 1))]


def known(place: Place) -> int:
    """The version that the next run will ask on: what the lasting bookmark says."""
    return int(places.bookmarks(place)["items", ""]["etag"].strip('"'))


@pytest.mark.fault(1, tier=1)
@pytest.mark.parametrize(
    ("point", "mode"), [("K09", "replace"), ("K09", "merge"), ("K11", "replace"), ("K11", "merge"), ("K14", "replace")]
)
def test_killed_at_each_passing_around_its_commits(
    warm: Warm, wherry: Any, place: Place, web: Web, point: str, mode: str, record_property: Any
) -> None:
    versions = Versions()
    web.answer = versions
    (wherry.folder / "acme.yaml").write_text(json.dumps({"name": "acme", "base_url": web.url, "streams": STREAM}))
    args = ("sync", "acme.yaml", place.reference, "--schema", SCHEMA, "--mode", mode)

    def run(failpoint: str = "") -> int:
        versions.asked.clear()
        return int(warm(*args, cwd=wherry.folder, env=wherry.env, failpoint=failpoint).code)

    def table() -> list[tuple[int, int]]:
        return sorted(place.query(f"select id, v from {SCHEMA}.items"))

    assert run() == 0
    for nth in count(1):
        versions.number += 1
        old, new = versions.number - 1, versions.number
        if (code := run(f"{point}:kill:{nth}")) == 0:
            break
        assert code == 137
        tag, rows = known(place), table()
        merged = mode == "merge" and (tag, rows) == (old, there(new, mode))  # the plan is done, but for its end
        assert merged or rows == there(tag, mode)
        assert run() == 0
        assert versions.asked == ([] if merged else [tag])
        assert table() == there(new, mode)
        assert run() == 0
        assert versions.asked == [new]
        assert not place.leftovers()
    record_property("cases", nth - 1)
    assert nth > 1, "the point is not passed"
