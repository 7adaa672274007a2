"""JSON by Python's own parser, number literals kept: for what the bulk parser cannot hold, or gets wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import reduce
from itertools import chain
from typing import Any

import pyarrow as pa

from wherry.errors import DataError
from wherry.json_rows.blocks import DEEPEST, shallow
from wherry.json_rows.number import NumberFacts
from wherry.json_rows.shape import JsonShape

HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""What may be half of a surrogate pair."""
SHORT = 15
PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class Literal(str):
    """The text of a number."""

    __slots__ = ()


class _MalformedError(Exception):
    """What is wrong with one row, without its values."""


def parse(rows: Iterable[bytes], name: str, first: int) -> list[dict[str, Any]]:
    """Rows as objects whose numbers are `Literal`. name, first: of their file, and number (from 0) of the first row.

    Raises `DataError` for what is no JSON object, a key given twice, a lone surrogate, or nesting over `DEEPEST`.
    """
    found = []
    for row, text in enumerate(rows, first):
        if not text.strip():
            continue
        try:
            found.append(_row(text))
        except _MalformedError as error:
            raise DataError(f"{name}, row {row + 1}: {error}", row=row, next="correct or remove the row") from None
    return found


def document(text: bytes, where: str) -> Any:
    """A whole document, its numbers as `Literal`. Raises `DataError` as `parse` does, and for NaN and Infinity."""
    try:
        value = _decoded(text, _STRICT)
    except _MalformedError as error:
        raise DataError(f"{where}: {error}", next="the server's answer is to be corrected") from None
    return value


def observe(rows: Iterable[dict[str, Any]]) -> JsonShape:
    """The shape of parsed rows."""
    shape = JsonShape({"object"})
    _see_members(shape, list(rows))
    return shape


def observe_values(values: Sequence[Any]) -> JsonShape:
    """The shape of parsed values at one place."""
    shape = JsonShape()
    _see(shape, values)
    return shape


def columns(rows: list[dict[str, Any]], shape: JsonShape, names: list[str]) -> pa.RecordBatch:
    """Columns of the rows in the types of their shape."""
    if not names:  # rows there are all the same
        return pa.RecordBatch.from_struct_array(pa.array([{} for _ in rows], pa.struct([])))
    fields = [shape.fields[name].arrow(name) for name in names]
    arrays = [pa.array([_value(row.get(f.name), shape.fields[f.name]) for row in rows], f.type) for f in fields]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def dump(value: Any) -> str:
    """Compact JSON text, number literals as they were."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _row(text: bytes) -> dict[str, Any]:
    value = _decoded(text, _DECODER)
    if not isinstance(value, dict):
        raise _MalformedError("not a JSON object")
    return value


def _decoded(text: bytes, decoder: json.JSONDecoder) -> Any:
    try:
        value = decoder.decode(text.decode())
    except UnicodeDecodeError:
        raise _MalformedError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _MalformedError(f"not JSON: {error.msg.lower()} at character {error.pos + 1}") from None
    except RecursionError:
        raise _MalformedError(f"nested deeper than {DEEPEST} levels") from None
    if HALF.search(text) or not shallow(text):
        _check(value, 1)
    return value


def _check(value: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise _MalformedError(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _MalformedError("a text holds half of a surrogate pair, which is no character") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _MalformedError(f"key {next(key for key in found if keys.count(key) > 1)!r} is given twice in one object")
    return found


def _refuse(constant: str) -> Any:
    raise _MalformedError(f"{constant.lstrip('-')} is no number in JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=Literal, parse_float=Literal, parse_constant=Literal)
_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_int=Literal, parse_float=Literal, parse_constant=_refuse)


def _see(shape: JsonShape, values: Sequence[Any]) -> None:
    for kind in set(map(type, values)):
        some: Any = values if kind is not dict and kind is not list else [v for v in values if type(v) is kind]
        if kind is dict:
            shape.kinds.add("object")
            _see_members(shape, some)
        elif kind is list:
            shape.kinds.add("array")
            shape.item = shape.item or JsonShape()
            _see(shape.item, list(chain.from_iterable(some)))
        elif kind is Literal:
            shape.kinds.add("number")
            number = _numbers({v for v in some if type(v) is Literal})
            shape.number = shape.number.merge(number) if shape.number else number
        elif kind is not type(None):
            shape.kinds.add("bool" if kind is bool else "string")


def _see_members(shape: JsonShape, rows: Sequence[dict[str, Any]]) -> None:
    for key in dict.fromkeys(chain.from_iterable(rows)):
        _see(shape.fields.setdefault(key, JsonShape()), [row.get(key) for row in rows])


def _numbers(literals: set[str]) -> NumberFacts:
    """Facts of some numbers, at least one; of short ones, which a double surely keeps, together."""
    short = {literal for literal in literals if len(literal) <= SHORT and PLAIN.fullmatch(literal)}
    facts = [_number(literal) for literal in literals - short]
    points = {literal: literal.find(".") for literal in short}
    whole = [literal for literal, point in points.items() if point < 0]
    broken = [literal for literal, point in points.items() if point >= 0]
    if whole:
        facts.append(NumberFacts(left=max(len(literal.lstrip("-")) for literal in whole)))
    if broken:
        scales = [len(literal) - points[literal] - 1 for literal in broken]
        fact = NumberFacts(
            whole=False, broken=True, int64=False,
            left=max(points[literal] - literal.startswith("-") for literal in broken),
            plain=not any(literal[0] == "-" and not literal.strip("-0.") for literal in broken),
            least_scale=min(scales), most_scale=max(scales),
        )  # fmt: skip
        facts.append(fact)
    return reduce(NumberFacts.merge, facts)


def _number(literal: str) -> NumberFacts:
    """Facts of one number. An exponent is worked out: 1e2 is the integer's value, kept as a double."""
    if literal.lstrip("-").isdigit() and len(literal) < 1000:
        integer = int(literal)
        return NumberFacts(
            left=len(literal.lstrip("-")),
            double=abs(integer) <= NumberFacts.EXACT_INTEGER,
            int64=-(1 << 63) <= integer < 1 << 63,
            whole=True,
        )
    exact = Decimal(literal)
    if not exact.is_finite():
        return NumberFacts(whole=False, broken=True, plain=False)
    double = len(literal) < 1000 and exact == Decimal(repr(float(literal)))
    exponent = int(exact.as_tuple().exponent)
    left = max(1, len(exact.as_tuple().digits) + exponent)
    scale = max(0, -exponent)
    plain = not (exact.is_zero() and exact.is_signed())
    return NumberFacts(
        whole=False,
        broken=True,
        int64=False,
        double=double,
        plain=plain,
        left=left,
        least_scale=scale,
        most_scale=scale,
    )


def _value(value: Any, shape: JsonShape) -> Any:
    """The Python value that `pa.array` turns into the shape's type."""
    if shape.as_text():
        return None if value is None else dump(value)
    if isinstance(value, dict):
        return {key: _value(item, shape.fields[key]) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item, shape.item or JsonShape()) for item in value]
    if not isinstance(value, Literal):
        return value
    type = shape.arrow("").type
    return int(value) if type == pa.int64() else float(value) if type == pa.float64() else Decimal(value)
