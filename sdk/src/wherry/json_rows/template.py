"""Lines as machines write them, known by one regular expression: what it matches need not be looked at by a parser.

Such a line is an object of scalars: its keys in one order, each once (all but the first may be missing), each value
null or of its column's kind, its text UTF-8 and its escapes whole. Every parser reads it alike, and each number is what
its type prints.
"""

from __future__ import annotations

import re

import pyarrow as pa

from wherry.json_rows.bulk import JsonBlock, is_utf8, matches, read_lines
from wherry.json_rows.quotes import split
from wherry.json_rows.shape import JsonShape

MOST = 128
"""Columns; with many more the expression outgrows the memory of its machine, which then is slow."""
_HEX = "[0-9a-fA-F]"
_NOT_NUL = f"0(?:[1-9a-fA-F]{_HEX}{{2}}|0(?:[1-9a-fA-F]{_HEX}|0[1-9a-fA-F]))"
_PAIR = rf"[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
_CODE = f"(?:[1-9abcefABCEF]{_HEX}{{3}}|{_NOT_NUL}|[dD][0-7]{_HEX}{{2}}|{_PAIR})"
_DIGITS = 15
"""Digits of a number that every double keeps."""
_SPLITS = "|".join(rf"[1-9][0-9]{{0,{left - 1}}}\.[0-9]{{1,{_DIGITS - left}}}" for left in (3, 6, 9, 12, 14))
_LONG = "0|-?[1-9][0-9]{0,17}"
_BOOL = "true|false"
_USUAL = {
    "text": r'"[^"\\\x00-\x1f]*"', "int": "0|-?[1-9][0-9]{0,14}", "long": _LONG, "bool": _BOOL,
    "float": r"0|-?[1-9][0-9]{0,8}|-?(?:0|[1-9][0-9]{0,8})\.[0-9]{1,6}",
}  # fmt: skip
"""By kind what most files hold: in a small expression, which is faster."""
_ANY = {
    "text": rf'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u{_CODE}))*"',
    "int": "0|-?(?:[1-9][0-9]{0,14}|[1-8][0-9]{15})",  # a double holds it
    "long": _LONG, "bool": _BOOL,
    "float": rf"(?:0|-?(?:[1-9][0-9]{{0,14}}|0\.[0-9]{{1,15}}|{_SPLITS}))(?:[eE][+-]?[0-9]{{1,2}})?",
}  # fmt: skip
_KEY = re.compile(r'[^"\\\x00-\x1f]+')


class LineTemplate:
    """Tells lines of scalars that add nothing to what is known of their columns.

    kinds: "bool", "int", "float" or "text" by key; None for a column without a value so far.
    """

    def __init__(self, kinds: dict[str, str | None], usual: str, any: str) -> None:
        self.kinds = kinds
        self._usual = usual
        self._any = any

    def holds(self, data: bytes) -> bool:
        """Whether all of `data` are such lines. Other threads run meanwhile."""
        text = data if data.endswith(b"\n") else data + b"\n"
        return is_utf8(text) and (matches(text, self._usual) or matches(text, self._any))

    @classmethod
    def of(cls, shape: JsonShape, sample: bytes) -> LineTemplate | None:
        """That of the lines of `sample`, whose columns have this shape; None where they are not all alike."""
        if shape.inexact or shape.has_text or not 0 < len(shape.fields) <= MOST:
            return None
        kinds = {key: _kind(inner) for key, inner in shape.fields.items()}
        if "nested" in kinds.values() or not all(map(_KEY.fullmatch, kinds)):
            return None
        space = " " if b'": ' in sample[: sample.find(b"\n")] else ""
        found = cls(kinds, _lines(shape, space, _USUAL, ""), _lines(shape, space, _ANY, "?"))
        return found if found.holds(sample) else None

    def rows(self, block: JsonBlock, shape: JsonShape, names: list[str]) -> pa.RecordBatch:
        """The rows of a block that it holds, in the types of `shape`, none of which is JSON text. Other threads run."""
        schema = pa.schema([shape.fields[name].arrow(name) for name in names])
        found = split(block.data, self.kinds, schema, lambda data: read_lines(data, schema))
        return block.batch(shape, names, bulk=True, plain=True) if found is None else found


def _kind(shape: JsonShape) -> str | None:
    if shape.kinds == {"number"} and shape.number is not None:
        return "int" if shape.number.whole else "float"
    names: dict[str | None, str | None] = {None: None, "bool": "bool", "string": "text"}
    return names.get(next(iter(shape.kinds), None), "nested")


def _lines(shape: JsonShape, space: str, values: dict[str, str], missing: str) -> str:
    """The expression for whole lines. It reads bytes, not characters. space: behind colons and commas.

    missing: "?" where members behind the first may be.
    """
    first, *others = (f'"{_bytes(key)}":{space}(?:null|{_value(inner, values)})' for key, inner in shape.fields.items())
    rest = "".join(f"(?:,{space}{member}){missing}" for member in others)
    return rf"\A(?:\{{{first}{rest}\}}\r?\n)*\z"


def _value(shape: JsonShape, values: dict[str, str]) -> str:
    long = shape.number is not None and not shape.number.double
    kind = _kind(shape) or ""
    return values.get("long" if long and kind == "int" else kind, "null")


def _bytes(key: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in key.encode())
