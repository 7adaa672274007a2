"""Queries of the configuration as streams: described by the server, run read-only, filtered like tables."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import pyarrow as pa
from wherry import SQL, AuthError, Quoting, Stream, TransientError, UsageError, WherryError

from wherry_source_postgres.catalog import Catalog
from wherry_source_postgres.client import Client
from wherry_source_postgres.queries import in_parentheses
from wherry_source_postgres.types import QUERY, field, reading

_ALL = SQL("select * from {query}")
_FORMATTED = (
    "select format_type(oid::oid, null) as name from unnest($1::int8[]) with ordinality as t(oid, n) order by n"
)


def streams(
    client: Client, queries: Mapping[str, str], only: Sequence[str], catalog: Catalog, taken: Collection[str]
) -> Iterator[Stream]:
    """A stream for each query whose name fits one of the globs. taken: paths of tables, which no query may have."""
    for name, text in queries.items():
        if name in taken:
            raise UsageError(f"queries: {name} is the name of a table", key="queries", next="give the query another")
        if any(fnmatchcase(name, glob) for glob in only):
            yield _stream(client, name, text.strip().rstrip(";"), catalog)


def _stream(client: Client, name: str, text: str, catalog: Catalog) -> Stream:
    columns = _columns(client, name, text)
    names = [column for column, _ in columns]
    if not names:
        raise UsageError(f"queries: {name} is not one SELECT: it gives no columns", key="queries", next="correct it")
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise UsageError(
            f"queries: {name} gives column {twice[0]} twice", key="queries", next="name each column: … AS name"
        )
    with client.snapshot():
        formatted = [row["name"] for row in client.fetch(_FORMATTED, [oid for _, oid in columns])]
    fields = [
        field(column, reading(catalog.types, oid, -1), type, True, None, False)
        for (column, oid), type in zip(columns, formatted, strict=True)
    ]
    mark = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Stream(
        name=name, schema=pa.schema(fields, metadata={QUERY: text.encode()}),
        description="a query of the configuration",
        incarnation=f"{catalog.incarnation}/{mark}" if catalog.incarnation else "",
    )  # fmt: skip


def _columns(client: Client, name: str, text: str) -> list[tuple[str, int]]:
    """Name and type of the query's columns: it is one statement by itself, and one that may stand in another."""
    try:
        with client.snapshot():
            client.describe(text)
            return client.describe(_ALL(query=in_parentheses(text, name)).render(Quoting()))
    except (TransientError, AuthError):
        raise
    except WherryError as error:
        said = error.__cause__.args[0] if error.__cause__ is not None and error.__cause__.args else error.message
        raise UsageError(
            f"queries: {name} is not one SELECT: {said}", key="queries",
            next="correct it: one statement that only reads, or the name of a view",
        ) from error  # fmt: skip
