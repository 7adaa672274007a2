"""YAML, and JSON that is typed, as data: plain values, their lines, and limits on what a text may make us do.

Only mappings, lists and scalars; no tags that build objects, no merge keys, no duplicate keys. Everything is text but
null, true and false: whoever declares a key turns its text into a number, so that `no`, `08:30`, `2024-01-01` and the
password `0123` stay what they look like. Built from the parser's events, which need no recursion, under a limit of
depth: the composers of the YAML libraries end the process on a file of opening brackets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
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
_NULL = ("", "~", "null", "Null", "NULL")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?")
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


def parse(text: str, name: str, *, numbers: bool = False) -> Document:
    """The document in `text`; UsageError says `name` and the line.

    numbers: plain words that JSON would read as numbers are numbers; for documents that say of no key what it holds.
    """
    import yaml

    if len(text) > SIZE:
        raise UsageError(f"{name} is larger than {SIZE >> 20} MiB", next="split the project")
    events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    builder = _Builder(name, events, numbers)
    try:
        return Document(builder.document(), builder.lines)
    except yaml.MarkedYAMLError as error:
        unclosed = "end of stream" in (error.problem or "")  # where it began says more than where the file ends
        mark = (unclosed and error.context_mark) or error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.problem, error.context)))
        raise _error(name, mark.line + 1 if mark else 1, what) from None
    except yaml.YAMLError:
        raise _error(name, 1, "holds characters that YAML does not allow") from None


def parse_json(text: str) -> Any:
    """A JSON value that somebody typed; ValueError also for duplicate keys, numbers that are none, and great depth."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("too many levels") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


@dataclass(frozen=True, slots=True)
class _Built:
    """A value, how many values it holds with itself, and how deep it is."""

    value: Any
    size: int = 1
    depth: int = 0


class _Builder:
    def __init__(self, name: str, events: Iterator[Any], numbers: bool) -> None:
        self.name = name
        self._numbers = numbers
        self.lines: dict[Path, int] = {}
        self._events = events
        self._anchors: dict[str, _Built] = {}
        self._count = 0

    def document(self) -> Any:
        """The value of the only document, None if there is none."""
        next(self._events)  # the stream starts
        event = next(self._events)
        if self._is(event, "StreamEnd"):
            return None
        built = self._build(next(self._events), ())
        next(self._events)  # the document ends
        after = next(self._events)
        if not self._is(after, "StreamEnd"):
            raise self._refuse(after, "holds a second document: expected a single document")
        return built.value

    def _build(self, event: Any, path: Path) -> _Built:
        self.lines.setdefault(path, event.start_mark.line + 1)
        if self._is(event, "Alias"):
            known = self._anchors.get(event.anchor)
            if known is None:
                raise self._refuse(event, f"the alias *{event.anchor} names nothing that stands before it")
            self._check(event, known, path)
            return known
        self._check(event, _Built(None), path)
        built = self._content(event, path)
        if event.anchor:
            self._anchors[event.anchor] = built
        return built

    def _content(self, event: Any, path: Path) -> _Built:
        if self._is(event, "Scalar"):
            self._tagged(event, "str")
            return _Built(_scalar(event, self._numbers))
        if self._is(event, "SequenceStart"):
            self._tagged(event, "seq")
            items: list[_Built] = []
            while not self._is(event := next(self._events), "SequenceEnd"):
                items.append(self._build(event, (*path, len(items))))
            return _around([item.value for item in items], items)
        self._tagged(event, "map")
        return self._mapping(path)

    def _mapping(self, path: Path) -> _Built:
        found: dict[str, _Built] = {}
        while not self._is(event := next(self._events), "MappingEnd"):
            if not self._is(event, "Scalar") or (event.value == "<<" and not event.style):
                raise self._refuse(event, "keys are plain words; merge keys (<<) are not read")
            self._tagged(event, "str")
            inner = (*path, event.value)
            if event.value in found:
                raise self._refuse(event, f"key {event.value!r} stands already on line {self.lines[inner]}")
            self.lines[inner] = event.start_mark.line + 1
            found[event.value] = self._build(next(self._events), inner)
        return _around({key: item.value for key, item in found.items()}, list(found.values()))

    def _check(self, event: Any, built: _Built, path: Path) -> None:
        self._count += built.size
        if self._count > NODES or len(path) + built.depth > DEPTH:
            raise self._refuse(event, f"more than {NODES} values or {DEPTH} levels, aliases included")

    def _tagged(self, event: Any, allowed: str) -> None:
        if event.tag not in (None, "!", f"{_TAG}{allowed}"):
            raise self._refuse(event, f"the tag {event.tag.replace(_TAG, '!!')} is not allowed")

    def _is(self, event: Any, kind: str) -> bool:
        return bool(type(event).__name__ == f"{kind}Event")

    def _refuse(self, event: Any, what: str) -> UsageError:
        return _error(self.name, event.start_mark.line + 1, what)


def _around(value: Any, items: list[_Built]) -> _Built:
    return _Built(value, 1 + sum(i.size for i in items), 1 + max((i.depth for i in items), default=0))


def _scalar(event: Any, numbers: bool) -> Any:
    text = event.value
    if event.style or event.tag:  # quoted, or said to be text
        return text
    if text in _NULL:
        return None
    if text in _TRUE + _FALSE:
        return text in _TRUE
    return json.loads(text) if numbers and _NUMBER.fullmatch(text) else text


def _error(name: str, line: int, what: str) -> UsageError:
    return UsageError(f"{name}, line {line}: {' '.join(what.split())}", next=f"correct line {line} of {name}")
