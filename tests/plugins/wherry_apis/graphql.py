"""The part of GraphQL that connectors speak: one query, its variables, and the fields it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_WORD = re.compile(r'\s+|(\.\.\.|[{}():,!]|\$\w+|\w+|"[^"]*")')


@dataclass
class Field:
    """A field that is asked for: arguments with the variables put in, and what of it is wanted."""

    arguments: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=dict)


def asked(query: str, variables: Mapping[str, Any]) -> dict[str, Field]:
    """The fields at the top of a query; ValueError for what is no query."""
    words = [match[1] for match in _WORD.finditer(query) if match[1]]
    if "".join(words) != re.sub(r"\s+", "", query):
        raise ValueError("characters that are none of the language")
    rest = iter(words)
    if next(rest) != "query":
        raise ValueError("a query begins with query")
    for word in rest:  # declarations of variables
        if word == "{":
            return _fields(rest, variables)
    raise ValueError("no selection")


def chosen(value: Any, fields: Mapping[str, Field]) -> Any:
    """Of a value, what is asked for; ValueError for a field that it has not."""
    if isinstance(value, list):
        return [chosen(item, fields) for item in value]
    if not isinstance(value, Mapping) or not fields:
        return value
    unknown = fields.keys() - value.keys()
    if unknown:
        raise ValueError(f"Field '{min(unknown)}' doesn't exist on type")
    return {name: chosen(value[name], wanted.fields) for name, wanted in fields.items()}


def _fields(words: Iterator[str], variables: Mapping[str, Any]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    name = ""
    for word in words:
        if word == "}":
            return found
        if word == "...":  # on a type: its fields as if they stood here
            assert next(words) == "on"
            next(words)
            assert next(words) == "{"
            found |= _fields(words, variables)
        elif word == "{":
            found[name].fields = _fields(words, variables)
        elif word == "(":
            found[name].arguments = _arguments(words, variables)
        else:
            name = word
            found[name] = Field()
    raise ValueError("a brace is not closed")


def _arguments(words: Iterator[str], variables: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        if word == ")":
            return found
        if word == ",":
            continue
        assert next(words) == ":"
        value = next(words)
        found[word] = variables.get(value[1:]) if value.startswith("$") else int(value) if value.isdigit() else value
    raise ValueError("a bracket is not closed")
