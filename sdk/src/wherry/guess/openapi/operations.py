"""The operations of a description, in one form whatever its version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wherry.guess.openapi.document import Document, ElsewhereError
from wherry.guess.paging import Parameter
from wherry.guess.writer import one_line

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_JSON = re.compile(r"(application|text)/(.+\+)?(json|.+json)\b|\*/\*|application/\*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter of a request. place: "query", "path", "header" or "cookie"."""

    name: str
    place: str
    required: bool
    text: str
    shape: Parameter
    repeated: bool = False
    """Whether it takes a list."""


@dataclass(frozen=True, slots=True)
class Operation:
    """answer: the schema of its JSON answer, None if it gives no JSON. linked: answers have a `Link` header.

    security: alternatives, each a map of schemes that are needed together; None: as the document says.
    """

    path: str
    method: str
    summary: str
    deprecated: bool
    given: tuple[Given, ...]
    answer: Any
    media: tuple[str, ...]
    linked: bool
    security: list[Mapping[str, Any]] | None
    servers: list[Any] = field(default_factory=list)

    def parameters(self, place: str) -> list[Given]:
        """Those of one place."""
        return [one for one in self.given if one.place == place]


def operations(document: Document) -> Iterator[Operation]:
    """Every operation, in the document's order."""
    for path, item in document.root["paths"].items():
        try:
            node = document.mapping(item)
        except ElsewhereError:
            continue
        for method in _METHODS:
            if isinstance(node.get(method), Mapping):
                yield _operation(document, str(path), method, node, node[method])


def _operation(
    document: Document, path: str, method: str, around: Mapping[str, Any], node: Mapping[str, Any]
) -> Operation:
    given: dict[tuple[str, str], Given] = {}
    for parameter in [*_list(around.get("parameters")), *_list(node.get("parameters"))]:
        one = _given(document, parameter)
        if one is not None:
            given[one.name, one.place] = one
    response = _response(document, node)
    media, answer = _answer(document, node, response)
    headers = response.get("headers")
    linked = isinstance(headers, Mapping) and any(str(name).lower() == "link" for name in headers)
    security = node.get("security")
    summary = node.get("summary") or str(node.get("description") or "").partition(". ")[0]
    return Operation(
        path, method, one_line(summary)[:160], node.get("deprecated") is True, tuple(given.values()), answer, media,
        linked, [s for s in security if isinstance(s, Mapping)] if isinstance(security, list) else None,
        _list(node.get("servers")) or _list(around.get("servers")),
    )  # fmt: skip


def _response(document: Document, node: Mapping[str, Any]) -> Mapping[str, Any]:
    responses = document.mapping(node.get("responses"))
    codes = sorted(
        (code for code in responses if re.fullmatch(r"2\d\d|2XX", code, re.I)), key=lambda c: (c != "200", c)
    )
    for code in [*codes, *(["default"] if "default" in responses else [])]:
        try:
            return document.mapping(responses[code])
        except ElsewhereError:
            continue
    return {}


def _answer(document: Document, node: Mapping[str, Any], response: Mapping[str, Any]) -> tuple[tuple[str, ...], Any]:
    if document.swagger:
        produces = node.get("produces") or document.root.get("produces") or ["application/json"]
        media = tuple(map(str, produces)) if isinstance(produces, list) else ()
        return media, response.get("schema") if any(map(_JSON.match, media)) else None
    content = response.get("content")
    media = tuple(content) if isinstance(content, Mapping) else ()
    chosen = sorted((name for name in media if _JSON.match(name)), key=lambda name: (name != "application/json", name))
    inner = content[chosen[0]] if chosen and isinstance(content, Mapping) else None
    return media, inner.get("schema") if isinstance(inner, Mapping) else None


def _given(document: Document, node: Any) -> Given | None:
    try:
        found = document.mapping(node)
        content = found.get("content")
        inner = next(iter(content.values()), {}) if isinstance(content, Mapping) else found
        schema = found if document.swagger else document.mapping(document.mapping(inner).get("schema"))
    except ElsewhereError:
        return None
    name, place = found.get("name"), found.get("in")
    if not isinstance(name, str) or place not in ("query", "path", "header", "cookie") or found.get("deprecated"):
        return None
    choices = schema.get("enum")
    default = schema.get("default", found.get("example") if place == "header" else None)
    text = one_line(found.get("description") or schema.get("description") or "")
    shape = Parameter(
        name, _kind(document, schema), _whole(schema.get("maximum")) or _said(text), _whole(schema.get("minimum")),
        default if isinstance(default, str | int | float | bool) else None,
        tuple(c for c in choices if isinstance(c, str | int | float)) if isinstance(choices, list) else (),
    )  # fmt: skip
    required = found.get("required") is True or place == "path"
    return Given(name, place, required, text, shape, shape.kind == "list")


def _kind(document: Document, schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type")
    if kinds is None:
        choices = [c for key in ("oneOf", "anyOf", "allOf") for c in _list(schema.get(key))]
        found = {_kind(document, c) for c in choices if isinstance(c, Mapping) and "$ref" not in c} - {"any"}
        return found.pop() if len(found) == 1 else "any"
    kind = next((k for k in kinds if k != "null"), None) if isinstance(kinds, list) else kinds
    if kind == "string":
        form = schema.get("format")
        return form if form in ("date-time", "date") else "text"
    return {"array": "list"}.get(str(kind), str(kind))


def _said(text: str) -> int | None:
    """The limit that a description speaks of: "results per page (max 100)"."""
    match = re.search(r"\bmax(?:imum)?\b(?: \w+){0,4}?[ :=]*\(?(\d{1,6})\b", text, re.IGNORECASE)
    return int(match[1]) if match else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
