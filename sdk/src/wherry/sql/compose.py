"""SQL put together from parts, never from pasted text: names and values are quoted here and nowhere else.

    SQL("delete from {table} where {column} = {value}").format(
        table=Identifier("main", "orders"), column=Identifier("id"), value=Literal(7))

A part becomes text only in `render`, under the `Quoting` of the engine that will read it.
"""

from __future__ import annotations

import math
import string
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import lru_cache

from wherry.errors import DataError

Value = str | int | float | bool | None


class Quoting:
    """How one engine writes names and values. Engines that differ override a method."""

    mark = '"'

    def identifier(self, name: str) -> str:
        """The name as a quoted identifier; empty names and NUL are refused."""
        if not name or "\0" in name:
            raise DataError(
                f"name {name!r} cannot be written in SQL: it is empty or holds a NUL", next="choose another name"
            )
        return self.mark + name.replace(self.mark, self.mark * 2) + self.mark

    def literal(self, value: Value) -> str:
        """The value as an SQL literal; text with NUL is refused."""
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return str(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise DataError("a number that is not finite has no SQL literal")
            return repr(value)
        return self.text(value)

    def text(self, value: str) -> str:
        """Text between single quotes."""
        if "\0" in value:
            raise DataError("a text that holds a NUL has no SQL literal")
        return "'" + value.replace("'", "''") + "'"


class Part(ABC):
    """A piece of SQL."""

    @abstractmethod
    def render(self, quoting: Quoting) -> str:
        """The text that the engine reads."""


class Identifier(Part):
    """A name, or a path of names: `Identifier("main", "orders")`."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def render(self, quoting: Quoting) -> str:
        return ".".join(quoting.identifier(name) for name in self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identifier) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"Identifier{self.names!r}"


class Literal(Part):
    """A value: text, number, truth or null."""

    def __init__(self, value: Value) -> None:
        self.value = value

    def render(self, quoting: Quoting) -> str:
        return quoting.literal(self.value)


class Composed(Part):
    """Parts one after the other."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts

    def render(self, quoting: Quoting) -> str:
        return "".join(part.render(quoting) for part in self.parts)


class SQL(Part):
    """Text written by a programmer, with `{places}` for parts; it is never made of data."""

    def __init__(self, text: str) -> None:
        self.text = text

    def render(self, quoting: Quoting) -> str:
        return self.text

    def format(self, **parts: Part | Iterable[Part]) -> Composed:
        """The template with its places filled; several parts for one place are joined with a comma."""
        pieces: list[Part] = []
        for text, place in _places(self.text):
            if text:
                pieces.append(SQL(text))
            if place is not None:
                pieces.append(_part(place, parts[place]))
        return Composed(pieces)

    __call__ = format

    def join(self, parts: Iterable[Part]) -> Composed:
        """The parts with this text between them."""
        pieces: list[Part] = []
        for part in parts:
            if pieces:
                pieces.append(self)
            pieces.append(part)
        return Composed(pieces)


def names(columns: Iterable[str], table: str | None = None) -> list[Identifier]:
    """One identifier a column, in front of it the table's alias if one is given."""
    return [Identifier(table, name) if table else Identifier(name) for name in columns]


@lru_cache(maxsize=1024)
def _places(template: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((text, place) for text, place, _, _ in string.Formatter().parse(template))


def _part(place: str, value: Part | Iterable[Part]) -> Part:
    if isinstance(value, Part):
        return value
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{{{place}}} wants an Identifier, a Literal or SQL, not {type(value).__name__}")
    return SQL(", ").join([_part(place, item) for item in value])
