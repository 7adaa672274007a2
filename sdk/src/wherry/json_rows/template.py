"""Lines as machines write them, known by one regular expression: what it matches need not be looked at by a parser.

Such a line is an object of scalars: its keys in one order, each once (all but the first may be missing), each value null
or of its column's kind, its text UTF-8 and its escapes whole. Every parser reads it alike, and each number is what its
type prints.
"""

from __future__ import annotations

import re

from wherry.json_rows.bulk import is_utf8, matches
from wherry.json_rows.shape import JsonShape

MOST = 128
"""Columns; with many more the expression outgrows the memory of its machine, which then is slow."""
DIGITS = 15
"""Digits of a number that every double keeps."""
_SPACE = "[ \t]*"
_HEX = "[0-9a-fA-F]"
_NOT_NUL = f"0(?:[1-9a-fA-F]{_HEX}{{2}}|0(?:[1-9a-fA-F]{_HEX}|0[1-9a-fA-F]))"
_PAIR = rf"[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
_CODE = f"(?:[1-9abcefABCEF]{_HEX}{{3}}|{_NOT_NUL}|[dD][0-7]{_HEX}{{2}}|{_PAIR})"
_TEXT = rf'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u{_CODE}))*"'
_EXACT = r"0|-?(?:[1-9][0-9]{0,14}|[1-8][0-9]{15})"
"""An integer that a double holds, as `NumberFacts.EXACT_INTEGER` has it."""
_LONG = r"0|-?[1-9][0-9]{0,17}"
_PLAIN_KEY = re.compile(r'[^"\\\x00-\x1f]+')


class LineTemplate:
    """Tells lines of scalars that add nothing to what is known of their columns.

    kinds: "bool", "int", "float" or "text" by key; None for a column without a value so far.
    """

    def __init__(self, kinds: dict[str, str | None], pattern: str) -> None:
        self.kinds = kinds
        self._pattern = pattern

    def holds(self, data: bytes) -> bool:
        """Whether all of `data` are such lines. Other threads run meanwhile."""
        text = data if data.endswith(b"\n") else data + b"\n"
        return is_utf8(text) and matches(text, self._pattern)


def template_of(shape: JsonShape) -> LineTemplate | None:
    """The template of lines that have this shape; None where one expression cannot tell them."""
    if shape.inexact or shape.has_text or not 0 < len(shape.fields) <= MOST:
        return None
    kinds = {key: _kind(inner) for key, inner in shape.fields.items()}
    if "nested" in kinds.values() or not all(map(_PLAIN_KEY.fullmatch, kinds)):
        return None
    members = [f'"{_literal(key)}"{_SPACE}:{_SPACE}(?:null|{_value(shape.fields[key])})' for key in kinds]
    rest = "".join(f"(?:,{_SPACE}{member}{_SPACE})?" for member in members[1:])
    line = rf"{_SPACE}\{{{_SPACE}{members[0]}{_SPACE}{rest}\}}{_SPACE}\r?\n"
    return LineTemplate(kinds, rf"\A(?:{line})*\z")


def _kind(shape: JsonShape) -> str | None:
    match next(iter(shape.kinds), None):
        case None:
            return None
        case "bool":
            return "bool"
        case "string":
            return "text"
        case "number" if shape.number is not None:
            return "int" if shape.number.whole else "float"
    return "nested"


def _value(shape: JsonShape) -> str:
    match _kind(shape):
        case "bool":
            return "true|false"
        case "text":
            return _TEXT
        case "int" if shape.number is not None:
            return _EXACT if shape.number.double else _LONG
        case "float":
            return _float()
    return "null"


def _float() -> str:
    """A number of at most `DIGITS` digits before and behind the point, not far from 1; no integer -0."""
    splits = [rf"[1-9][0-9]{{0,{left - 1}}}\.[0-9]{{1,{DIGITS - left}}}" for left in (3, 6, 9, 12, 14)]
    broken = "|".join([rf"0\.[0-9]{{1,{DIGITS}}}", *splits])
    return rf"(?:-?(?:{broken}|[1-9][0-9]{{0,{DIGITS - 1}}})|0)(?:[eE][+-]?[0-9]{{1,2}})?"


def _literal(key: str) -> str:
    """The bytes of a key, each by itself: the expression reads bytes, not characters."""
    return "".join(f"\\x{byte:02x}" for byte in key.encode())
