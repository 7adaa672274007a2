"""What JSON looks like: of a schema, or of values that were seen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from wherry.json_rows.paths import steps

Kind = Literal["object", "map", "list", "text", "integer", "number", "boolean", "null", "any"]
Declared = str | list[Any] | dict[str, Any]
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_URL = re.compile(r"(https?://|/)\S+")
_MANY = 300
"""Columns and nested fields that a declared schema spells out; deeper objects are JSON where there are more."""


@dataclass(frozen=True, slots=True)
class Shape:
    """format: "date-time", "date", "uri" or "" of a text. fields: of an object. item: of a list, or of a map's values.

    A map is an object whose keys are data. "any": nothing can be said, or different things.
    """

    kind: Kind
    format: str = ""
    nullable: bool = False
    fields: Mapping[str, Shape] = field(default_factory=dict)
    item: Shape | None = None

    @property
    def scalar(self) -> bool:
        """Whether it can be a key: a text or an integer."""
        return self.kind in ("text", "integer")

    def at(self, path: str) -> Shape | None:
        """The shape at a path of `join`."""
        found: Shape | None = self
        for step in steps(path):
            found = found and (found.fields.get(step) if isinstance(step, str) else found.item)
        return found


ANY = Shape("any")


def of_value(value: Any) -> Shape:
    """The shape of a JSON value."""
    match value:
        case bool():
            return Shape("boolean")
        case int():
            return Shape("integer")
        case float():
            return Shape("number")
        case str():
            return Shape("text", _format(value))
        case dict():
            return _of_object({str(key): of_value(inner) for key, inner in value.items()})
        case list():
            return Shape("list", item=merged(map(of_value, value)))
    return Shape("null", nullable=True)


def _of_object(fields: dict[str, Shape]) -> Shape:
    """An object; a map, if it has several values and all are objects of the same fields."""
    values = list(fields.values())
    names = [set(shape.fields) for shape in values if shape.kind in ("object", "map") and shape.fields]
    alike = len(names) == len(values) >= 3 and len(set.intersection(*names)) * 5 >= len(set.union(*names)) * 4
    return Shape("map", fields=fields, item=merged(values)) if alike else Shape("object", fields=fields)


def _format(text: str) -> str:
    if _TIME.fullmatch(text):
        return "date-time"
    if _DATE.fullmatch(text):
        return "date"
    return "uri" if _URL.fullmatch(text) else ""


def merged(shapes: Iterable[Shape]) -> Shape | None:
    """One shape for values of several; None of none. A field that some lack, or that is null, is nullable."""
    whole: Shape | None = None
    for shape in shapes:
        whole = shape if whole is None else _both(whole, shape)
    return whole


def _both(a: Shape, b: Shape) -> Shape:
    nullable = a.nullable or b.nullable
    if "null" in (a.kind, b.kind):
        return replace(b if a.kind == "null" else a, nullable=True)
    if a.kind != b.kind:
        numbers = {a.kind, b.kind} == {"integer", "number"}
        return Shape("number" if numbers else "any", nullable=nullable)
    item = merged(shape for shape in (a.item, b.item) if shape is not None)
    return Shape(a.kind, a.format if a.format == b.format else "", nullable, _fields(a, b), item)


def _fields(a: Shape, b: Shape) -> dict[str, Shape]:
    names = list(dict.fromkeys([*a.fields, *b.fields]))
    found = {}
    for name in names:
        if name in a.fields and name in b.fields:
            found[name] = _both(a.fields[name], b.fields[name])
        else:
            found[name] = replace(a.fields.get(name) or b.fields[name], nullable=True)
    return found


def walk(shape: Shape, depth: int = 3, path: str = "") -> Iterator[tuple[str, str, Shape]]:
    """(path, last key, shape) of all fields of objects inside, outer ones first; lists are not entered."""
    inner = [(join(path, key), key, found) for key, found in shape.fields.items()]
    yield from inner
    for below, _, found in inner:
        if depth > 1:
            yield from walk(found, depth - 1, below)


def join(path: str, key: str) -> str:
    """The path of a key below a path; keys with a dot, a space or a sign of paths are quoted."""
    plain = key and not re.search(r'[.\s"*]', key)
    step = key if plain else json.dumps(key, ensure_ascii=False)
    return f"{path}.{step}" if path else step


def declared(item: Shape) -> dict[str, Declared] | None:
    """The schema to declare for rows of this shape: nested as far as it stays readable; None if nothing is known."""
    for depth in range(5, 0, -1):
        found = {name: _declared(shape, depth) for name, shape in item.fields.items()}
        if _count(found) <= _MANY:
            break
    return found or None


def _declared(shape: Shape, depth: int) -> Declared:
    match shape.kind:
        case "text":
            return {"date-time": "timestamptz", "date": "date"}.get(shape.format, "text")
        case "integer":
            return "bigint"
        case "number":
            return "double"
        case "boolean":
            return "bool"
        case "object" if shape.fields and depth > 1:
            return {name: _declared(inner, depth - 1) for name, inner in shape.fields.items()}
        case "list" if shape.item is not None and depth > 1:
            inner = _declared(shape.item, depth - 1)
            return "json" if inner == "json" else [inner]
    return "json"


def _count(found: Any) -> int:
    if isinstance(found, dict):
        return sum(1 + _count(inner) for inner in found.values())
    return sum(map(_count, found)) if isinstance(found, list) else 0
