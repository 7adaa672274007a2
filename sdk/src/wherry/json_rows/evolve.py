"""Which type a column gets, given what is known of its values and the type that its earlier rows were given out in."""

from __future__ import annotations

import pyarrow as pa

from wherry.contracts.values import KIND
from wherry.json_rows.number import NumberFacts
from wherry.json_rows.shape import JSON_TEXT, JsonShape

MOST_DIGITS = 38


def evolve(name: str, given: pa.Field | None, shape: JsonShape, declared: pa.Field | None = None) -> pa.Field:
    """The field for the next rows.

    Along the pipeline's lattice: an integer becomes a decimal, a scalar becomes text (texts as they are, others as
    their JSON), a nested value becomes JSON text; JSON text stays JSON text. What is declared stays; an object may have
    members beside the declared ones.
    """
    if declared is not None and not pa.types.is_nested(declared.type):
        return declared.with_name(name)
    if given is None or pa.types.is_null(given.type):
        given = declared
    if given is None:
        return natural(name, shape)
    if pa.types.is_nested(given.type):
        return _nested(name, given, shape, declared)
    if pa.types.is_string(given.type) or not shape.kinds:
        return given
    if shape.kinds == {"bool"} and pa.types.is_boolean(given.type):
        return given
    number = shape.number
    if shape.kinds == {"number"} and number is not None and not pa.types.is_boolean(given.type):
        return pa.field(name, _number(given.type, number) or pa.string())
    return pa.field(name, pa.string())


def natural(name: str, shape: JsonShape) -> pa.Field:
    """The field of values of this shape when nothing was given out before. Without any value its type is null."""
    if not shape.kinds:
        return pa.field(name, pa.null())
    if shape.as_text():
        return pa.field(name, pa.string(), metadata=JSON_TEXT)
    if "object" in shape.kinds:
        return pa.field(name, pa.struct([natural(key, inner) for key, inner in shape.fields.items()]))
    if "array" in shape.kinds:
        return pa.field(name, pa.list_(natural("item", shape.item or JsonShape())))
    return shape.arrow(name)


def is_json(field: pa.Field) -> bool:
    """Whether the column holds JSON text."""
    return (field.metadata or {}).get(KIND) == b"json"


def member(field: pa.Field | None, name: str) -> pa.Field | None:
    """A member of a struct field, if there is one."""
    if field is None or not pa.types.is_struct(field.type):
        return None
    index = field.type.get_field_index(name)
    return None if index < 0 else field.type.field(index)


def item(field: pa.Field | None) -> pa.Field | None:
    """The field of what a list field holds."""
    return field.type.value_field if field is not None and pa.types.is_list(field.type) else None


def _nested(name: str, given: pa.Field, shape: JsonShape, declared: pa.Field | None) -> pa.Field:
    """Members are widened; anything that is not of the same kind makes JSON text of it all, if it may."""
    if not shape.kinds:
        return given
    if shape.as_text() or shape.kinds != {"object" if pa.types.is_struct(given.type) else "array"}:
        return given if declared is not None else pa.field(name, pa.string(), metadata=JSON_TEXT)
    if pa.types.is_list(given.type):
        inner = evolve("item", given.type.value_field, shape.item or JsonShape(), item(declared))
        return pa.field(name, pa.list_(inner))
    names = dict.fromkeys([*(inner.name for inner in given.type), *shape.fields])
    return pa.field(
        name,
        pa.struct([
            evolve(key, member(given, key), shape.fields.get(key, JsonShape()), member(declared, key)) for key in names
        ]),
    )  # fmt: skip


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
