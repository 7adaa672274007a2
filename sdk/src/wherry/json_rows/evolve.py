"""Which type a column gets, given what is known of its values and the type that its earlier rows were given out in."""

from __future__ import annotations

import pyarrow as pa

from wherry.contracts.values import KIND
from wherry.json_rows.number import NumberFacts
from wherry.json_rows.shape import JSON_TEXT, JsonShape

MOST_DIGITS = 38


def evolve(name: str, given: pa.Field | None, shape: JsonShape) -> pa.Field:
    """The field for the next rows.

    Along the pipeline's lattice: an integer becomes a decimal, a scalar becomes text (texts as they are, others as
    their JSON), a nested value becomes JSON text; JSON text stays JSON text.
    """
    if given is None or pa.types.is_null(given.type):
        return _natural(name, shape)
    if pa.types.is_string(given.type) or not shape.kinds:
        return given
    if pa.types.is_nested(given.type):
        return _nested(name, given, shape)
    if shape.kinds == {"bool"} and pa.types.is_boolean(given.type):
        return given
    number = shape.number
    if shape.kinds == {"number"} and number is not None and not pa.types.is_boolean(given.type):
        return pa.field(name, _number(given.type, number) or pa.string())
    return pa.field(name, pa.string())


def is_json(field: pa.Field) -> bool:
    """Whether the column holds JSON text."""
    return (field.metadata or {}).get(KIND) == b"json"


def _natural(name: str, shape: JsonShape) -> pa.Field:
    if not shape.kinds:
        return pa.field(name, pa.null())
    if shape.as_text():
        return pa.field(name, pa.string(), metadata=JSON_TEXT)
    if "object" in shape.kinds:
        return pa.field(name, pa.struct([_natural(key, inner) for key, inner in shape.fields.items()]))
    if "array" in shape.kinds:
        return pa.field(name, pa.list_(_natural("item", shape.item or JsonShape())))
    return shape.arrow(name)


def _nested(name: str, given: pa.Field, shape: JsonShape) -> pa.Field:
    """Members are widened; anything that is not of the same kind makes JSON text of it all."""
    if shape.as_text() or shape.kinds != {"object" if pa.types.is_struct(given.type) else "array"}:
        return pa.field(name, pa.string(), metadata=JSON_TEXT)
    if pa.types.is_list(given.type):
        return pa.field(name, pa.list_(evolve("item", given.type.value_field, shape.item or JsonShape())))
    have = {member.name: member for member in given.type}
    return pa.field(name, pa.struct([evolve(key, have.get(key), inner) for key, inner in shape.fields.items()]))


def _number(given: pa.DataType, number: NumberFacts) -> pa.DataType | None:
    """A type that holds these numbers and that values of `given` turn into; None: only text does."""
    if pa.types.is_floating(given):
        return given if number.double else None
    if pa.types.is_integer(given) and number.whole and number.int64:
        return given
    if not number.plain:
        return None
    before, after = (given.precision - given.scale, given.scale) if pa.types.is_decimal(given) else (19, 0)
    before, after = max(before, number.left), max(after, number.most_scale)
    return pa.decimal128(before + after, after) if before + after <= MOST_DIGITS else None
