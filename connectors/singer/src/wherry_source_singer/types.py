"""JSON Schema of a stream to Arrow: what the tap says of its columns, before a row of it was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from wherry import KIND

JSON_TEXT, UUID = {KIND: b"json"}, {KIND: b"uuid"}
DEEPEST = 50
"""References that are followed, one inside the other."""
_FORMATS = {
    "date-time": pa.timestamp("us", "UTC"), "date": pa.date32(), "time": pa.time64("us"),
}  # fmt: skip


def schema_of(schema: Any) -> pa.Schema:
    """The columns of a stream's JSON Schema; those whose type it leaves open are JSON text."""
    found = schema if isinstance(schema, Mapping) else {}
    properties = _follow(found, found).get("properties")
    if not isinstance(properties, Mapping):
        return pa.schema([])
    return pa.schema([field_of(str(name), told, found) for name, told in properties.items()])


def field_of(name: str, told: Any, root: Mapping[str, Any], depth: int = 0) -> pa.Field:
    """One property. root: what `$ref` is looked up in."""
    one = _branch(told, root, depth)
    if one is None:
        return _json(name)
    kinds = _kinds(one)
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    kind = next(iter(kinds)) if len(kinds) == 1 else ""
    if kind == "string":
        return _text(name, one)
    if kind in ("integer", "boolean"):
        return pa.field(name, pa.int64() if kind == "integer" else pa.bool_())
    if kind == "number":
        return pa.field(name, _number(one))
    nested = _nested(one, kind, root, depth) if kind in ("object", "array") else None
    return _json(name) if nested is None else pa.field(name, nested)


def _json(name: str) -> pa.Field:
    return pa.field(name, pa.string(), metadata=JSON_TEXT)


def _kinds(told: Mapping[str, Any]) -> set[str]:
    kinds = told.get("type", ())
    return ({kinds} if isinstance(kinds, str) else set(map(str, kinds))) - {"null"}


def _follow(told: Any, root: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any]:
    """What a reference within the schema leads to; nothing for others."""
    while isinstance(told, Mapping) and isinstance(told.get("$ref"), str):
        depth += 1
        way = told["$ref"]
        if depth > DEEPEST or not way.startswith("#"):
            return {}
        told = root
        for step in filter(None, way[1:].split("/")):
            step = step.replace("~1", "/").replace("~0", "~")
            told = told.get(step, {}) if isinstance(told, Mapping) else {}
    return told if isinstance(told, Mapping) else {}


def _branch(told: Any, root: Mapping[str, Any], depth: int) -> Mapping[str, Any] | None:
    """The one thing that a property is, when null is left aside; None: it may be several."""
    if depth > DEEPEST:
        return None
    one = _follow(told, root)
    choices = one.get("anyOf") or one.get("oneOf")
    if choices is None and isinstance(one.get("allOf"), list) and len(one["allOf"]) == 1:
        choices = one["allOf"]
    if not isinstance(choices, list):
        return one
    plain = {k: v for k, v in one.items() if k not in ("anyOf", "oneOf", "allOf")}
    left = [b for b in (_branch(c, root, depth + 1) for c in choices) if b is None or _kinds(b) or "type" not in b]
    if any(b is None for b in left):
        return None
    known = [plain | dict(b) for b in left if b is not None]
    if len(known) == 1:
        return known[0]
    kinds = {kind for b in known for kind in _kinds(b)} if all(map(_kinds, known)) else set()
    if kinds == {"string"}:
        formats = {b.get("format") for b in known}
        return {"type": "string"} | ({"format": formats.pop()} if len(formats) == 1 else {})
    return {"type": "number"} if kinds == {"integer", "number"} else None


def _text(name: str, told: Mapping[str, Any]) -> pa.Field:
    form = told.get("format")
    if form == "uuid":
        return pa.field(name, pa.string(), metadata=UUID)
    if form == "singer.decimal":
        return pa.field(name, _digits(told) or pa.string())
    return pa.field(name, _FORMATS.get(str(form), pa.string()))


def _digits(told: Mapping[str, Any]) -> pa.DataType | None:
    precision, scale = told.get("precision"), told.get("scale", 0)
    if isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision <= 38 and precision:
        return pa.decimal128(precision, scale)
    return None


def _number(told: Mapping[str, Any]) -> pa.DataType:
    """Decimal where the schema says in which steps numbers come, as `multipleOf: 0.01`; else double."""
    step = told.get("multipleOf")
    if not isinstance(step, int | float) or isinstance(step, bool) or not 0 < step <= 1:
        return pa.float64()
    scale = round(-math.log10(step))
    return pa.decimal128(38, scale) if math.isclose(10.0**-scale, step) and scale <= 37 else pa.float64()


def _nested(told: Mapping[str, Any], kind: str, root: Mapping[str, Any], depth: int) -> pa.DataType | None:
    """A struct or a list, if all inside is told; times inside stay text. None: it may hold anything."""
    if kind == "array":
        item = told.get("items")
        inner = field_of("item", item, root, depth + 1) if isinstance(item, Mapping) and item else _json("item")
        return None if _open(inner) else pa.list_(_plain(inner.type))
    properties = told.get("properties")
    if not isinstance(properties, Mapping) or not properties or told.get("additionalProperties"):
        return None
    members = [field_of(str(key), value, root, depth + 1) for key, value in properties.items()]
    return None if any(map(_open, members)) else pa.struct([pa.field(m.name, _plain(m.type)) for m in members])


def _open(field: pa.Field) -> bool:
    return (field.metadata or {}).get(KIND) == b"json"


def _plain(type: pa.DataType) -> pa.DataType:
    """Inside of nested columns values are as JSON has them."""
    return pa.string() if pa.types.is_temporal(type) or pa.types.is_decimal(type) else type
