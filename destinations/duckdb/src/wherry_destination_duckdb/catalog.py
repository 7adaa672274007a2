"""Questions to the engine's catalogue."""

from __future__ import annotations

from wherry import SQL, Identifier, Literal, Part

_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"


def called(column: str, name: str) -> Part:
    """Whether the catalog's name is this one: it takes letters of ASCII alone for the same in either case."""
    return SQL("translate({column}, {upper}, {lower}) = {name}").format(
        column=Identifier(column), upper=Literal(_UPPER), lower=Literal(_LOWER),
        name=Literal(name.translate(str.maketrans(_UPPER, _LOWER))),
    )  # fmt: skip


def a_view(table: Identifier) -> Part:
    """A statement that has a row if there is a view of this name. table: schema and name."""
    schema, name = (called(column, n) for column, n in zip(("schema_name", "view_name"), table.names, strict=True))
    views = SQL("select 1 from duckdb_views() where database_name = current_database() and {schema} and {name}")
    return views.format(schema=schema, name=name)
