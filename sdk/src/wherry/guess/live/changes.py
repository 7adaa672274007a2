"""A time that tells which rows are new, and a parameter that asks for them, proven with a value from the first page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wherry.guess.live.asking import Asker, Seen
from wherry.guess.shape import merged, of_value
from wherry.guess.words import SINCE, TIMES, first, snake
from wherry.http.paging import Step

_TRIED = {"updated": ("since", "updated_since", "updated_after"), "created": ("since", "created_after")}


@dataclass(frozen=True, slots=True)
class Changes:
    """fields: of `incremental`. sure: the parameter is proven; without one the API was not found to take any."""

    fields: Mapping[str, Any]
    why: str
    sure: bool


def changes(asker: Asker, one: Seen, all_rows: list[Any]) -> Changes | None:
    """How to ask for what is new; None where no time of change stands in every row."""
    records = [row for row in all_rows if isinstance(row, Mapping)]
    shape = merged(map(of_value, records))
    if shape is None or not records:
        return None
    times = {
        name: found.format for name, found in shape.fields.items()
        if found.kind == "text" and found.format in ("date-time", "date") and not found.nullable
    }  # fmt: skip
    for kind in ("updated", "created"):
        cursor = first(times, TIMES[kind])
        if cursor is not None:
            return _asked(asker, one, cursor, times[cursor], kind)
    return None


def _asked(asker: Asker, one: Seen, cursor: str, form: str, kind: str) -> Changes:
    values = sorted({row[cursor] for row in one.rows if isinstance(row, Mapping)})
    given = [name for name in asker.stream.params if snake(name) in {word for word, _ in SINCE}]
    if len(values) < 2:
        return Changes({"cursor": cursor, "filter": "client"}, "too few values to try a parameter with", False)
    middle = values[len(values) // 2]
    for name in [*given, *_TRIED[kind]]:
        answer = asker.page(Step({name: middle}))
        if answer is None or asker.compare(one, answer) == "same" or not answer.rows:
            continue
        came = [row.get(cursor) for row in answer.rows if isinstance(row, Mapping)]
        if not all(isinstance(value, str) and value >= middle for value in came):
            continue
        fields = {"cursor": cursor, "param": name, **({} if middle in came else {"param_is": "exclusive"}),
                  "format": "raw" if form == "date-time" else "iso_date"}  # fmt: skip
        return Changes(fields, f"{name}={middle} gave rows from then on alone", True)
    return Changes({"cursor": cursor, "filter": "client"}, "no usual parameter asks for what is new", False)
