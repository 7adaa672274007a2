"""Relations of the catalog as streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from wherry import Stream

from wherry_source_postgres.catalog import Catalog, Relation
from wherry_source_postgres.types import field, reading

_STORED = frozenset("rpm")
"""Kinds that keep rows under a lasting identity; a view is often dropped and made again."""


def streams(catalog: Catalog) -> list[Stream]:
    """One stream a relation, in the order `public` first, then by namespace and name."""
    fields = Fields(catalog)
    return [_stream(catalog, fields, relation) for relation in catalog.relations]


class Fields:
    """Columns as Arrow fields, those that are alike made once: of thousands of tables most are."""

    def __init__(self, catalog: Catalog) -> None:
        self._types = catalog.types
        self._known: dict[tuple[Any, ...], pa.Field] = {}

    def of(self, row: Any, leads: bool) -> pa.Field:
        """The field of a column. leads: an index."""
        key = row["name"], row["type"], row["modifier"], row["required"], row["comment"], leads
        found = self._known.get(key)
        if found is None:
            how = reading(self._types, row["type"], row["modifier"])
            found = field(row["name"], how, row["formatted"], not row["required"], row["comment"], leads)
            self._known[key] = found
        return found


def _stream(catalog: Catalog, known: Fields, relation: Relation) -> Stream:
    about = relation.about
    leading = {row["columns"][0] for row in relation.indexes if row["sorted"]}
    fields = [known.of(row, row["number"] in leading) for row in relation.columns]
    identity = f"{catalog.incarnation}/{about['oid']}" if about["kind"] in _STORED else catalog.incarnation
    return Stream(
        name=about["name"],
        namespace=relation.namespace,
        schema=pa.schema(fields),
        primary_key=_key(relation),
        description=about["comment"],
        row_estimate=int(about["rows"]) if about["rows"] >= 0 and about["kind"] in "rpmf" else None,
        incarnation=identity if catalog.incarnation else "",
        notes=tuple(_notes(relation)),
    )


def _notes(relation: Relation) -> Iterator[str]:
    if not relation.about["readable"]:
        yield f"{relation.path}: this user may not select from it"
    if relation.about["filtered"]:
        yield f"{relation.path}: row-level security may hide rows from this user; it reads what it may see"


def _key(relation: Relation) -> tuple[str, ...]:
    """The primary key, else the narrowest unique index over columns that are never NULL."""
    columns: dict[int, Any] = {row["number"]: row for row in relation.columns}
    for index in relation.indexes:
        numbers = index["columns"][: index["keys"]]
        if index["primary"] or (index["unique"] and all(columns[n]["required"] for n in numbers)):
            return tuple(columns[n]["name"] for n in numbers)
    return ()
