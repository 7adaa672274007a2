"""Single values out of a body, a token, a flag, a count, a field of the last record, without parsing all of it.

The text is walked by its brackets and strings at its end and its head, where tokens stand. What is not looked at is not
checked to be JSON: whoever parses the records does that. What is not found there is looked for by parsing it all.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from wherry.errors import DataError
from wherry.json_rows.blocks import INSIDE
from wherry.json_rows.paths import ALL, MISSING, Step, at, steps, walk

BOM = b"\xef\xbb\xbf"
WINDOW = 4096
"""Bytes at the head and the end that are looked at first."""
LARGE = 1 << 16
"""Bytes from which on Arrow's parser is worth its start."""
_ALL = rb"(?:%b)*+" if sys.version_info >= (3, 11, 5) else rb"(?>(?:%b)*)"
_KEY = re.compile(rb'\s*"(' + _ALL % rb'[^"\\]++|\\.' + rb')"\s*:\s*', re.DOTALL)
_SCALAR = re.compile(rb'"' + _ALL % rb'[^"\\]++|\\.' + rb'"|[^\s,\]}"]++', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_AFTER = re.compile(rb"\s*([,}\]])")
_BACKWARDS = re.compile(_ALL % rb'[^{}\[\]",]++|"[^"]*+(?:"\\[^"]*+)*+"' + rb"([{}\[\],])", re.DOTALL)
"""Over scalars of a reversed text: in it, a quote inside of a string has its backslash behind it."""


class _UnevenError(Exception):
    """The text is not walked so easily, or is no JSON."""


def find(body: bytes, path: str) -> Any:
    """The value at a path of a JSON document, as Python's parser gives it, or `MISSING`.

    Of several (`*` in the path) the first. Raises `DataError` for what is no JSON, as far as it is looked at.
    """
    key, *below = steps(path) or (ALL,)
    if isinstance(key, str):
        try:
            return at(json.loads(_member(body, key)), tuple(below))
        except (_UnevenError, ValueError, RecursionError):
            pass
    return at(_parsed(body), steps(path))


def count(body: bytes, records: str, most: int | None = None) -> int | None:
    """How many records there are at the path (of a list: its members; of an object: 1; of null: 0); None: no such path.

    most: stop counting there: `count(body, path, 1) == 0` is a cheap question for an empty page.
    """
    path = steps(records)
    number = None
    if most == 1 and ALL not in path:
        number = _none_or_one(body, path)
    elif ALL not in path and len(body) > LARGE:
        number = _length(body, path)
    if number is None:
        found = _records(_parsed(body), path)
        number = None if found is None else len(found)
    return number if number is None or most is None else min(most, number)


def last(body: bytes, records: str, field: str) -> Any:
    """The value at the path `field` of the last record, or `MISSING`, also if there is no record."""
    found = _records(_parsed(body), steps(records))
    return at(found[-1], steps(field)) if found else MISSING


def _member(body: bytes, key: str) -> bytes:
    """The text of a member's value, from the end or from the head."""
    for name, text in _last_members(body):
        if name == key:
            return text
    head = body[:WINDOW]
    for name, start in _members(head, _solid(head, 0)):
        if name == key:
            return head[start : _end(head, start)]
    raise _UnevenError


def _last_members(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The members of the outer object from the end on, as far as they are within the window."""
    window = body[-WINDOW:].rstrip()[::-1]
    if not window.startswith(b"}"):
        raise _UnevenError
    place = end = 1
    depth = 1
    while token := _BACKWARDS.match(window, place):
        sign = token[1]
        depth += (sign in b"}]") - (sign in b"{[")
        if depth == 0 or (depth == 1 and sign == b","):
            if whole := _KEY.match(text := window[end : token.start(1)][::-1]):
                yield _name(whole[1]), text[whole.end() :]
            end = token.end()
        if depth == 0:
            return
        place = token.end()


def _none_or_one(body: bytes, path: tuple[Step, ...]) -> int | None:
    """Whether any record is there; None if that is not seen within the window, or no record could be there."""
    head = body[:WINDOW]
    place = _solid(head, 0)
    try:
        for step in path:
            place = next(value for name, value in _members(head, place) if name == step)
        sign = head[place : place + 1]
        if sign == b"[":
            inside = _solid(head, place + 1)
            return None if inside == len(head) else int(head[inside : inside + 1] != b"]")
    except (_UnevenError, StopIteration, ValueError):
        return None
    return 1 if sign == b"{" else None


def _length(body: bytes, path: tuple[Step, ...]) -> int | None:
    """The members of a list of objects, counted by Arrow's parser; None if something else is there."""
    import pyarrow as pa
    import pyarrow.json as pj

    type: pa.DataType = pa.list_(pa.struct([]))
    for step in reversed(path):
        type = pa.struct([(str(step), type)])
    wrapped = b'{"r":%b}' % body.removeprefix(BOM)
    try:
        table = pj.read_json(
            pa.BufferReader(wrapped),
            read_options=pj.ReadOptions(block_size=len(wrapped) + 64, use_threads=False),
            parse_options=pj.ParseOptions(
                explicit_schema=pa.schema([("r", type)]), unexpected_field_behavior="ignore", newlines_in_values=True
            ),
        )
    except pa.ArrowInvalid:
        return None
    value = table.column(0)[0]
    for step in path:
        value = value[str(step)] if value.is_valid else value
    return len(value) if value.is_valid else None


def _members(body: bytes, brace: int) -> Iterator[tuple[str, int]]:
    """Keys of the object that begins there, and where their values begin."""
    if body[brace : brace + 1] != b"{":
        raise _UnevenError
    place = brace + 1
    while key := _KEY.match(body, place):
        yield _name(key[1]), key.end()
        after = _AFTER.match(body, _end(body, key.end()))
        if after is None or after[1] != b",":
            return
        place = after.end()


def _end(body: bytes, start: int) -> int:
    """Where the value that begins there ends: before the end of the text."""
    if body[start : start + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(body, start)
        if scalar is None or scalar.end() == len(body):
            raise _UnevenError
        return scalar.end()
    place, depth = start + 1, 1
    while depth:
        token = INSIDE.match(body, place)
        if token is None or token[1] == b'"':
            raise _UnevenError
        depth += 1 if token[1] in b"{[" else -1
        place = token.end()
    return place


def _solid(body: bytes, place: int) -> int:
    """The place of the next sign that is not white space."""
    if place == 0 and body.startswith(BOM):
        place = 3
    found = _SPACE.match(body, place)
    return found.end() if found else place


def _name(text: bytes) -> str:
    return str(json.loads(b'"%b"' % text)) if b"\\" in text else text.decode()


def _records(document: Any, path: tuple[Step, ...]) -> list[Any] | None:
    found: list[Any] | None = None
    for _, value in walk(document, path):
        if isinstance(value, list):
            found = [*(found or ()), *value]
        elif isinstance(value, dict):
            found = [*(found or ()), value]
        elif value is None:
            found = found or []
    return found


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.removeprefix(BOM).decode())
    except UnicodeDecodeError:
        raise DataError("the body is not UTF-8") from None
    except RecursionError:
        raise DataError("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise DataError(f"the body is not JSON: {error.msg.lower()} at character {error.pos + 1}") from None
