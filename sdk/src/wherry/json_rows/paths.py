"""Paths into a JSON document: dotted keys, `*` over lists and the values of maps, `""` for the document itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from wherry.errors import UsageError


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


class Every(Enum):
    """The type of `ALL`."""

    ALL = "*"


MISSING: Final = Missing.MISSING
"""There is nothing at a path, not even null."""
ALL: Final = Every.ALL
"""The step `*`."""

Step = str | Every
_STEP = re.compile(r'("(?:[^"\\]|\\.)*")|([^."\s]+)')


@lru_cache(maxsize=1000)
def steps(path: str) -> tuple[Step, ...]:
    r"""The steps of a path: `data.items`, `groups.*.members`, `"a key.with a dot".id`. `""`: no step.

    A key with a dot, a space or a quote, and one that is `*`, is quoted as a JSON string. Raises `UsageError`.
    """
    found: list[Step] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None or (match.end() < len(path) and path[match.end()] != "."):
            raise _unreadable(path)
        found.append(_unquoted(match[1], path) if match[1] else ALL if match[2] == "*" else match[2])
        at = match.end() + 1
        if at == len(path):  # it ends with a dot
            raise _unreadable(path)
    return tuple(found)


def walk(value: Any, path: tuple[Step, ...]) -> Iterator[tuple[str | None, Any]]:
    """Every value at the path, with the key of the last map that a `*` went over; nothing where there is none."""
    yield from _walk(value, path, None)


def at(value: Any, path: tuple[Step, ...]) -> Any:
    """The first value at the path, or `MISSING`."""
    return next((found for _, found in walk(value, path)), MISSING)


def _walk(value: Any, path: tuple[Step, ...], key: str | None) -> Iterator[tuple[str | None, Any]]:
    if not path:
        yield key, value
    elif path[0] is ALL:
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from _walk(inner, path[1:], name)
        elif isinstance(value, list):
            for inner in value:
                yield from _walk(inner, path[1:], key)
    elif isinstance(value, dict) and path[0] in value:
        yield from _walk(value[path[0]], path[1:], key)


def _unquoted(text: str, path: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        raise _unreadable(path) from None


def _unreadable(path: str) -> UsageError:
    return UsageError(
        f"path {path!r} cannot be read", next='keys are joined by dots; one with a dot or space is quoted: "a key".id'
    )
