"""Manifests: from YAML, or from what a class says, to the one `Manifest`; mistakes name file, line and key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wherry.config import document
from wherry.config.refusal import Refusal, explain
from wherry.errors import UsageError
from wherry.http.models import LinkHeader
from wherry.http.values import CONDITIONS
from wherry.near import did_you_mean
from wherry.rest.models import Manifest, RestStream
from wherry.rest.template import templates

_ADAPTER = TypeAdapter(Manifest)
Place = tuple[str | int, ...]


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file; UsageError with file, line and key of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}", next="name the file of a manifest") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}".lower(), next="name the file of a manifest") from None
    return parse_manifest(text, path.name)


def parse_manifest(text: str, name: str) -> Manifest:
    """The manifest in a YAML text; `name` is what messages call it."""
    parsed = document.parse(text, name, numbers=True)
    raw = parsed.value
    if not isinstance(raw, Mapping):
        raise UsageError(f"{name} holds no manifest", next="a manifest has at least name, base_url and streams")
    try:
        manifest = build_manifest(raw)
    except Wrong as error:
        line = parsed.line(_origin(error.refusal.path, raw))
        remedy = error.refusal.remedy or f"correct line {line} of {name}"
        raise UsageError(f"{name}, line {line}: {error.refusal.message}", next=remedy) from None
    return manifest


class Wrong(Exception):
    """A manifest that is none. refusal: what is wrong, and where; its path counts streams by their place."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def build_manifest(raw: Mapping[str, Any]) -> Manifest:
    """The manifest of plain values, or of models (as a class has them); `Wrong` says what is not right."""
    data = {**raw, "streams": _listed(raw.get("streams"), raw.get("defaults"))}
    data.pop("defaults", None)
    if data["streams"] is None:
        del data["streams"]
    try:
        manifest = _ADAPTER.validate_python(data)
    except ValidationError as error:
        raise Wrong(_nearer(explain(error, Manifest, data), data)) from None
    for place, message, remedy in (*_unknown_templates(manifest), *_conditions(manifest)):
        raise Wrong(Refusal(place, message, remedy=remedy))
    return manifest


def json_schema() -> dict[str, Any]:
    """JSON Schema of a manifest, for editors: streams are a mapping by name."""
    found = _ADAPTER.json_schema(by_alias=True, mode="validation")
    definitions = found["$defs"]
    stream = definitions["RestStream"]
    stream["properties"].pop("name", None)
    stream["required"] = [name for name in stream.get("required", ()) if name != "name"]
    if not stream["required"]:
        del stream["required"]
    found["properties"]["streams"] = {
        "type": "object", "minProperties": 1,
        "additionalProperties": {"anyOf": [{"$ref": "#/$defs/RestStream"}, {"type": "null"}]},
    }  # fmt: skip
    found["properties"]["defaults"] = {"$ref": "#/$defs/RestStream"}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Wherry manifest of a REST source"}
    return head | {k: v for k, v in found.items() if k != "title"}


def _listed(streams: Any, defaults: Any) -> Any:
    """Streams as a list, each with the defaults that it does not override."""
    given = defaults if isinstance(defaults, Mapping) else {}
    if isinstance(streams, Mapping):
        streams = [
            {"name": name, **fields} if isinstance(fields, Mapping) else {"name": name} if fields is None else fields
            for name, fields in streams.items()
        ]
    if not isinstance(streams, (list, tuple)):
        return streams
    return [_with(given, stream) for stream in streams]


def _nearer(refusal: Refusal, data: Mapping[str, Any]) -> Refusal:
    """What is said of all streams, at the stream that it names."""
    match = re.match(r"streams (stream (\S+?):? .*)", refusal.message)
    names = [s.get("name") if isinstance(s, Mapping) else s.name for s in data.get("streams", ())] if match else []
    if match is None or match[2] not in names:
        return refusal
    return Refusal(("streams", names.index(match[2]), "parent"), match[1])


def _with(defaults: Mapping[str, Any], stream: Any) -> Any:
    if isinstance(stream, Mapping):
        return {**defaults, **stream}
    if not isinstance(stream, RestStream) or not defaults:
        return stream
    said = {f: getattr(stream, f) for f in RestStream.__dataclass_fields__}
    plain = RestStream("x")
    return {**defaults, **{f: v for f, v in said.items() if v != getattr(plain, f) or f not in defaults}}


def _origin(path: Place, raw: Mapping[str, Any]) -> Place:
    """The path in the file: streams stand there by name, and some of their fields under `defaults`."""
    if len(path) < 2 or path[0] != "streams" or not isinstance(raw.get("streams"), Mapping):
        return path
    names = list(raw["streams"])
    name = names[path[1]] if isinstance(path[1], int) and path[1] < len(names) else path[1]
    stream = raw["streams"].get(name)
    own = len(path) < 3 or (isinstance(stream, Mapping) and path[2] in stream)
    defaults = raw.get("defaults")
    if not own and isinstance(defaults, Mapping) and path[2] in defaults:
        return ("defaults", *path[2:])
    return ("streams", name, *path[2:])


def _unknown_templates(manifest: Manifest) -> Iterator[tuple[Place, str, str | None]]:
    """Templates that can have no value: where, what, what would."""
    keys = list(manifest.config)
    top = ("base_url", "headers", "params", "auth", "paginate", "rate_limit", "retry", "timeout", "check")
    for part in top:
        for place, root, name in _texts(getattr(manifest, part), (part,)):
            if root == "config" and name not in keys:
                yield place, _no_key(name, keys), _known(keys)
            elif root != "config" and part not in ("headers", "params", "paginate"):
                yield place, f"{part} cannot hold {{{root}}}: only {{config.…}} is known there", None
    for number, stream in enumerate(manifest.streams):
        has = {"parent": stream.parent, "item": stream.for_each, "start": stream.incremental, "end": stream.incremental}
        for field in RestStream.__dataclass_fields__:
            for place, root, name in _texts(getattr(stream, field), ("streams", number, field)):
                if root == "config" and name not in keys:
                    yield place, _no_key(name, keys), _known(keys)
                elif root in has and has[root] is None:
                    needs = {"parent": "parent", "item": "for_each"}.get(root, "incremental")
                    told = f"{{{root}.{name}}}" if name else f"{{{root}}}"
                    yield place, f"{told} needs {needs}, which stream {stream.name} has not", None


def _conditions(manifest: Manifest) -> Iterator[tuple[Place, str, str | None]]:
    """Conditional requests where "not modified" would not mean that the table is right: where, what, what would."""
    places: list[tuple[Place, Any]] = [((), manifest), *((("streams", n), s) for n, s in enumerate(manifest.streams))]
    for place, part in places:
        for name, value in part.headers.items():
            if value is not None and name.lower() in CONDITIONS:
                what = f"headers cannot hold {name}: an answer without rows would be taken for an empty table"
                yield (*place, "headers", name), what, "let it be sent where it can be: conditional: true"
    for number, stream in enumerate(manifest.streams):
        if stream.conditional and (found := _not_one_answer(stream, manifest)) is not None:
            what = f"conditional is for a stream that one answer holds, not for stream {stream.name}: {found[0]}"
            yield ("streams", number, "conditional"), what, found[1]


def _not_one_answer(stream: RestStream, manifest: Manifest) -> tuple[str, str | None] | None:
    """Why no one answer can say that the stream is unchanged, and what helps; None if one can.

    A page that stays as it is says nothing of whether there is another one by now, unless its body would tell.
    """
    for word, given in ("parent", stream.parent), ("for_each", stream.for_each), ("incremental", stream.incremental):
        if given is not None:
            return f"it has {word}", None
    if stream.method != "GET":
        return f"method {stream.method} takes no condition", None
    style, remedy = stream.paginate or manifest.paginate, "where one answer is all there is: paginate: {type: none}"
    if style is None:
        return "nothing says that there are no further pages", remedy
    if isinstance(style, LinkHeader) or getattr(style, "header", None) is not None:
        return f"with paginate: {style.type} the answer's headers tell of a next page, its body does not", remedy
    return None


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str, str | None]]:
    if isinstance(value, str):
        yield from ((place, root, name) for root, name in templates(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*place, str(key)))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _texts(item, (*place, number))
    elif hasattr(value, "__dataclass_fields__"):
        for field in value.__dataclass_fields__:
            yield from _texts(getattr(value, field), (*place, field))


def _no_key(name: str | None, keys: list[str]) -> str:
    return f"config has no key {name!r}{did_you_mean(str(name), keys)}"


def _known(keys: list[str]) -> str:
    return f"declare it under config; there are: {', '.join(keys) or 'none'}"
