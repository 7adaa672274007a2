"""What JSON values are: a tree of facts, merged over a whole file, and turned into an exact Arrow type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from wherry.contracts.values import KIND
from wherry.json_rows.number import NumberFacts

WIDEST_STRUCT = 1000
"""An object with more keys than this, below the top, is a map in disguise: it is kept as JSON text."""
JSON_TEXT = {KIND: b"json"}


@dataclass(slots=True)
class JsonShape:
    """Facts about the values at one place. kinds: of bool, string, number, object, array; null counts for nothing.

    number: facts of the numbers. fields: shapes by key of objects. item: shape of what arrays hold.
    """

    kinds: set[str] = field(default_factory=set)
    number: NumberFacts | None = None
    fields: dict[str, JsonShape] = field(default_factory=dict)
    item: JsonShape | None = None

    def merge(self, other: JsonShape) -> None:
        """Take in the facts about other values at the same place."""
        self.kinds |= other.kinds
        if other.number is not None:
            self.number = self.number.merge(other.number) if self.number else other.number
        for key, shape in other.fields.items():
            self.fields.setdefault(key, JsonShape()).merge(shape)
        if other.item is not None:
            self.item = self.item or JsonShape()
            self.item.merge(other.item)

    @property
    def inexact(self) -> bool:
        """Whether some number here or below fits neither int64 nor double."""
        own = self.number is not None and not self.number.double and not (self.number.whole and self.number.int64)
        return own or any(shape.inexact for shape in self.below())

    @property
    def has_text(self) -> bool:
        """Whether something here or below is kept as JSON text."""
        return self.as_text() or any(shape.has_text for shape in self.below())

    def below(self) -> Iterator[JsonShape]:
        """The shapes one level down."""
        yield from self.fields.values()
        if self.item is not None:
            yield self.item

    def as_text(self) -> bool:
        """Whether no Arrow type holds all values here: kinds differ, a number too long, an object without keys."""
        if len(self.kinds) > 1:
            return True
        if "number" in self.kinds and self.number is not None:
            return self.number.in_json() is None
        return "object" in self.kinds and not 0 < len(self.fields) <= WIDEST_STRUCT

    def arrow(self, name: str) -> pa.Field:
        """The field of a column, item or struct member of this shape."""
        if self.as_text():
            return pa.field(name, pa.string(), metadata=JSON_TEXT)
        return pa.field(name, self._type())

    def schema(self) -> pa.Schema:
        """The schema of rows whose shape this is."""
        return pa.schema([shape.arrow(key) for key, shape in self.fields.items()])

    def _type(self) -> pa.DataType:
        match next(iter(self.kinds), "null"):
            case "bool":
                return pa.bool_()
            case "number" if self.number is not None:
                return self.number.in_json()
            case "object":
                return pa.struct([shape.arrow(key) for key, shape in self.fields.items()])
            case "array":
                return pa.list_((self.item or JsonShape()).arrow("item"))
        return pa.string()


def shape_of(type: pa.DataType) -> JsonShape:
    """The shape that a type inferred by Arrow stands for, its numbers taken as exact."""
    if pa.types.is_struct(type):
        return JsonShape({"object"}, fields={f.name: shape_of(f.type) for f in type})
    if pa.types.is_list(type):
        return JsonShape({"array"}, item=shape_of(type.value_type))
    if pa.types.is_null(type):
        return JsonShape()
    if pa.types.is_boolean(type):
        return JsonShape({"bool"})
    if pa.types.is_integer(type):
        return JsonShape({"number"}, number=NumberFacts())
    if pa.types.is_floating(type):
        return JsonShape({"number"}, number=NumberFacts(whole=False, broken=True))
    return JsonShape({"string"})
