"""JSON Schema, in the dialects of OpenAPI, as a `Shape`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from wherry.guess.openapi.document import Document, ElsewhereError
from wherry.guess.shape import ANY, Kind, Shape, merged

_KINDS: dict[str, Kind] = {
    "string": "text", "integer": "integer", "number": "number", "boolean": "boolean", "null": "null",
}  # fmt: skip
_DEPTH = 24
_NODES = 200_000


class Shapes:
    """The shapes of one document's schemas. What leads in a circle, or too deep, is any JSON there."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[str | int, Shape] = {}
        self._open: list[str | int] = []
        self._nodes = self._depth = 0

    def of(self, schema: Any) -> Shape:
        """The shape of a schema, references followed."""
        try:
            node, reference = self._document.follow(schema)
        except ElsewhereError:
            return ANY
        if self._depth > _DEPTH:
            return ANY
        key = reference or id(node)  # aliases of YAML share a node, as references do; the document keeps them alive
        if key in self._known:
            return self._known[key]
        if key in self._open:
            return ANY
        self._open.append(key)
        try:
            self._known[key] = found = self._inside(node)
        finally:
            self._open.pop()
        return found

    def _inside(self, node: Any) -> Shape:
        self._depth += 1
        try:
            return self._of(node)
        finally:
            self._depth -= 1

    def _of(self, node: Any) -> Shape:
        self._nodes += 1
        if not isinstance(node, Mapping) or self._nodes > _NODES:
            return ANY
        kinds = node.get("type")
        names = kinds if isinstance(kinds, list) else [kinds] if isinstance(kinds, str) else []
        nullable = bool(node.get("nullable") or node.get("x-nullable")) or "null" in names
        names = [name for name in names if name != "null"]
        if len(names) > 1:
            found = merged(self._typed(name, node) for name in names) or ANY
        else:
            found = self._combined(node, names[0] if names else None)
        return replace(found, nullable=found.nullable or nullable)

    def _combined(self, node: Mapping[str, Any], name: str | None) -> Shape:
        own = self._typed(name or _implied(node), node)
        parts = [self.of(part) for part in _list(node.get("allOf"))]
        choices = [shape for key in ("oneOf", "anyOf") for shape in map(self.of, _list(node.get(key)))]
        if choices:
            parts.append(merged(choices) or ANY)
        return _all([own, *parts])

    def _typed(self, name: str | None, node: Mapping[str, Any]) -> Shape:
        if name == "array":
            return Shape("list", item=self.of(node.get("items", {})))
        if name == "object":
            return self._object(node)
        if name is None:
            return ANY
        kind = _KINDS.get(name, "any")
        return Shape(kind, str(node.get("format") or "") if kind == "text" else "")

    def _object(self, node: Mapping[str, Any]) -> Shape:
        properties = node.get("properties")
        if isinstance(properties, Mapping) and properties:
            return Shape("object", fields={str(name): self.of(inner) for name, inner in properties.items()})
        values = node.get("additionalProperties")
        if isinstance(values, Mapping) and values:
            return Shape("map", item=self.of(values))
        return Shape("object")


def _implied(node: Mapping[str, Any]) -> str | None:
    if "properties" in node or "additionalProperties" in node:
        return "object"
    if "items" in node:
        return "array"
    values = node.get("enum")
    return "string" if isinstance(values, list) and values and all(isinstance(v, str) for v in values) else None


def _all(parts: Iterable[Shape]) -> Shape:
    """What is all of these at once: the fields of every one."""
    known = [part for part in parts if part.kind != "any"]
    if not known:
        return ANY
    kind, fields = known[0].kind, {name: shape for part in known for name, shape in part.fields.items()}
    if any(part.kind != kind and {part.kind, kind} != {"object", "map"} for part in known):
        return known[-1] if kind == "object" and not fields else ANY
    whole = known[0] if not fields else replace(known[0], kind="object", fields=fields, item=None)
    return replace(whole, nullable=any(part.nullable for part in known))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
