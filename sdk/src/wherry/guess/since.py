"""Which parameter asks for what is new, and which time of a record it means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wherry.guess.paging import Parameter
from wherry.guess.shape import Shape
from wherry.guess.words import SINCE, TIMES, first, snake

_FORMATS = {"date-time": "iso", "date": "iso_date"}


def since(item: Shape, parameters: Iterable[Parameter]) -> tuple[dict[str, Any], str] | None:
    """The fields of `incremental` and what they were guessed from.

    A record's time has to be there in every record, and the parameter to be a time as well.
    """
    by_word = {snake(parameter.name): parameter for parameter in parameters}
    for word, meant in SINCE:
        parameter = by_word.get(word)
        if parameter is None or parameter.kind not in ("text", "date-time", "date"):
            continue
        times = {name: shape for name, shape in item.fields.items() if _is_time(shape)}
        cursor = first(times, (*TIMES["updated"], *TIMES["created"]) if meant == "any" else TIMES[meant])
        if cursor is None:
            continue
        form = _FORMATS.get(parameter.kind) or _FORMATS.get(times[cursor].format, "iso")
        fields = {"cursor": cursor, "param": parameter.name} | ({"format": form} if form != "iso" else {})
        return fields, f"parameter {parameter.name}"
    return None


def _is_time(shape: Shape) -> bool:
    return shape.kind == "text" and shape.format in ("date-time", "date") and not shape.nullable
