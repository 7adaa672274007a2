"""The file: read within limits, its references followed inside it alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.errors import UsageError

SIZE = 64 << 20
"""Bytes of a file."""
_NODES = 3_000_000
_DEPTH = 200
_HOPS = 20


class ElsewhereError(Exception):
    """A reference that leads out of the file, in a circle, or nowhere."""


@dataclass(frozen=True, slots=True)
class Document:
    """version: "2.0", "3.0.3", …"""

    name: str
    root: Mapping[str, Any]
    version: str

    @property
    def swagger(self) -> bool:
        """Whether it is of the generation 2.0."""
        return self.version.startswith("2")

    def follow(self, node: Any) -> tuple[Any, str | None]:
        """What a node that may be a reference stands for, and the last reference followed."""
        reference = None
        for _ in range(_HOPS):
            if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
                return node, reference
            reference = node["$ref"]
            node = self._at(reference)
        raise ElsewhereError(f"{reference} leads in a circle")

    def mapping(self, node: Any) -> Mapping[str, Any]:
        """What a node stands for, if that is an object; else an empty one."""
        found, _ = self.follow(node)
        return found if isinstance(found, Mapping) else {}

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise ElsewhereError(f"{reference} is not in this file")
        node: Any = self.root
        for step in reference[2:].split("/"):
            key = re.sub(r"%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), step).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, Mapping) and key in node:
                node = node[key]
            else:
                raise ElsewhereError(f"{reference} names nothing")
        return node


def read(path: Path) -> Document:
    """The description in a file; `UsageError` says what is wrong with it."""
    try:
        size = path.stat().st_size
        if size > SIZE:
            raise UsageError(f"{path} is larger than {SIZE >> 20} MiB", next="take out the paths you do not need")
        return parse(path.read_text(encoding="utf-8-sig"), path.name)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UsageError(f"{path}: {why}", next="name the file of an OpenAPI description") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no UTF-8 text", next="name the file of an OpenAPI description") from error


def parse(text: str, name: str) -> Document:
    """The description in a text."""
    root = _loaded(text, name)
    version = root.get("openapi") or root.get("swagger") if isinstance(root, Mapping) else None
    version = "" if version is None else str(version)
    if not re.match(r"(2\.0|3\.[01])(\.|$)", version):
        said = f"says version {version!r}" if version else "has neither `openapi` nor `swagger`"
        raise UsageError(f"{name} {said}", next="give a description in OpenAPI 2.0, 3.0 or 3.1")
    if not isinstance(root.get("paths"), Mapping):
        raise UsageError(f"{name} describes no paths", next="give a description with `paths`")
    return Document(name, root, version)


def _loaded(text: str, name: str) -> Any:
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text)
        return _yaml(text, name)
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply", next="give an OpenAPI description") from None
    except ValueError as error:
        raise UsageError(f"{name} is no JSON: {error}", next="give it as JSON or YAML") from None


def _yaml(text: str, name: str) -> Any:
    """YAML by its events first: a file of brackets or aliases is refused before anything is built of it."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for nodes, event in enumerate(yaml.parse(text, Loader=loader)):
            depth += {"SequenceStartEvent": 1, "MappingStartEvent": 1}.get(type(event).__name__, 0)
            depth -= {"SequenceEndEvent": 1, "MappingEndEvent": 1}.get(type(event).__name__, 0)
            if depth > _DEPTH or nodes > _NODES:
                raise UsageError(f"{name} is nested too deeply, or too large", next="give an OpenAPI description")
        safe = loader(text)
        try:
            return _plain(safe.get_single_data(), {})
        finally:
            safe.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read as YAML"
        raise UsageError(f"{name}{where}: {problem}", next="correct it, or give it as JSON") from None


def _plain(value: Any, known: dict[int, Any]) -> Any:
    """With every key a text, as in JSON: `200:` is an integer in YAML. What aliases share stays shared."""
    if not isinstance(value, dict | list):
        return value
    if id(value) not in known:
        if isinstance(value, dict):
            known[id(value)] = {str(key): _plain(inner, known) for key, inner in value.items()}
        else:
            known[id(value)] = [_plain(inner, known) for inner in value]
    return known[id(value)]
