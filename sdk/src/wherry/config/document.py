"""YAML as data: plain values with the line of each, and limits on what a file may make us do.

Only mappings, lists and scalars; no tags that build objects, no merge keys, no duplicate keys. Everything is text but
null, true and false: whoever declares a key turns its text into a number, so that `no`, `08:30`, `2024-01-01` and the
password `0123` stay what they look like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wherry.errors import UsageError

SIZE = 1 << 20
"""Bytes of text."""
NODES = 50_000
"""Values, each use of an alias counted anew."""
DEPTH = 50

Path = tuple[str | int, ...]
_TAG = "tag:yaml.org,2002:"
_SCALARS = ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")
_NULL = ("", "~", "null", "Null", "NULL")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")


@dataclass(frozen=True, slots=True)
class Document:
    """value: dicts, lists, text, booleans, None.  lines: from 1, by path; for a mapping's items, the key's."""

    value: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(text: str, name: str) -> Document:
    """The document in `text`; UsageError says `name` and the line."""
    import yaml

    if len(text) > SIZE:
        raise UsageError(f"{name} is larger than {SIZE >> 20} MiB", next="split the project")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.problem, error.context)))
        raise _error(name, mark.line + 1 if mark else 1, what or "not YAML") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise _error(name, 1, "nested too deeply" if isinstance(error, RecursionError) else "not YAML text") from None
    builder = _Builder(name)
    value = builder.build(root, ()) if root is not None else None
    return Document(value, builder.lines)


class _Builder:
    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        self.count = 0

    def build(self, node: Any, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self.count += 1
        if self.count > NODES or len(path) > DEPTH:
            raise _error(self.name, line, f"more than {NODES} values or {DEPTH} levels, aliases included")
        kind = node.tag.removeprefix(_TAG)
        if node.id == "mapping" and kind == "map":
            return self._mapping(node, path)
        if node.id == "sequence" and kind == "seq":
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        if node.id == "scalar" and kind in _SCALARS:
            return _scalar(node, kind)
        raise _error(self.name, line, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed")

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if key.id != "scalar" or key.tag == f"{_TAG}merge":
                raise _error(self.name, line, "keys are plain words; merge keys (<<) are not read")
            if key.value in found:
                first = self.lines[*path, key.value]
                raise _error(self.name, line, f"key {key.value!r} stands already on line {first}")
            self.lines[*path, key.value] = line
            found[key.value] = self.build(item, (*path, key.value))
        return found


def _scalar(node: Any, kind: str) -> Any:
    text = node.value
    if node.style is not None or kind == "str":
        return text
    if text in _NULL:
        return None
    return text in _TRUE if text in _TRUE + _FALSE else text


def _error(name: str, line: int, what: str) -> UsageError:
    return UsageError(f"{name}, line {line}: {' '.join(what.split())}", next=f"correct line {line} of {name}")
