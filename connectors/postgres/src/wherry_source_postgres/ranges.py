"""Where a large table is cut: how large it is, by which column or blocks, and at which values.

A range is [first, until]: two values of the key in the server's notation, None for an open end; the first one holds
rows without a key, too. Blocks are two numbers of pages, cut by ctid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from wherry import SQL, Identifier, Literal, Part, Quoting, Selection

from wherry_source_postgres.client import Client
from wherry_source_postgres.queries import table
from wherry_source_postgres.types import BASE, INDEX

Range = Sequence[str | None]

ROWS, BYTES = 2_500_000, 2 << 30
"""What a split holds at most, unless the number of splits is set: rows, bytes of the table."""
MOST, LEAST = 256, 1_000
"""The largest number of splits, and the rows that each should have."""
_KEYS = frozenset({
    "int2", "int4", "int8", "numeric", "oid", "float4", "float8", "text", "varchar", "bpchar", "name", "uuid", "date",
    "timestamp", "timestamptz", "bytea",
})  # fmt: skip
_SAMPLE = 30_000
_SIZES = """
with recursive leaves(path, kind, oid) as (
    select w.path, c.relkind, c.oid
    from unnest($1::text[], $2::text[], $3::text[]) as w(path, namespace, name)
    join pg_catalog.pg_namespace n on n.nspname = w.namespace
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name
    where c.relkind in ('r', 'm', 'p')
  union all
    select leaves.path, leaves.kind, i.inhrelid from leaves join pg_catalog.pg_inherits i on i.inhparent = leaves.oid
),
held as materialized (
    select relation from pg_catalog.pg_locks where mode = 'AccessExclusiveLock' and relation is not null
)
select path, max(pages)::int8 as pages, sum(bytes)::int8 as bytes,
       sum(case when relpages > 0 and reltuples >= 0 then reltuples / relpages * pages else pages * 80 end)::int8
           as rows,
       sum(relpages) >= 0.8 * sum(pages) and sum(relpages) <= 1.2 * sum(pages) as fresh,
       current_setting('server_version_num')::int4 as version
from leaves join pg_catalog.pg_class using (oid),
lateral (select oid in (select relation from held) as locked) as lock,
lateral (select case when not locked then pg_relation_size(oid) end as bytes) as size,
lateral (select bytes / current_setting('block_size')::int8 as pages) as blocks
group by path
having not bool_or(locked)
"""
_HISTOGRAM = """
select histogram_bounds::text::text[] as bounds from pg_catalog.pg_stats
where schemaname = $1 and tablename = $2 and attname = $3 and most_common_vals is null
order by inherited desc limit 1
"""
_SAMPLED = SQL(
    "select key::text as key from (select {column} as key from {table} tablesample system ({percent})) as sampled "
    "where key is not null order by sampled.key"
)


@dataclass(frozen=True, slots=True)
class Size:
    """Of a table and all its partitions. pages: of the largest of them.  fresh: its statistics are of today's size."""

    pages: int
    bytes: int
    rows: int
    fresh: bool
    version: int

    def splits(self, wanted: int | None) -> int:
        """How many splits it is read in: `wanted`, or by its size; none with less than `LEAST` rows."""
        number = wanted if wanted is not None else min(MOST, max(self.rows // ROWS, self.bytes // BYTES))
        return max(1, min(number, self.rows // LEAST))


def sizes(client: Client, selections: Iterable[Selection]) -> Mapping[str, Size]:
    """By path, of those that are tables. Asked in one query, in a transaction of its own, which waits for no lock: of a
    table that somebody keeps for himself no size is known."""
    streams = [s.stream for s in selections]
    names = [s.path for s in streams], [s.namespace or "public" for s in streams], [s.name for s in streams]
    with client.snapshot():
        rows = client.fetch(_SIZES, *names)
    return {r["path"]: Size(r["pages"], r["bytes"], r["rows"], r["fresh"], r["version"]) for r in rows}


def key_of(selection: Selection) -> str | None:
    """The column that a table may be cut by: the first of the key, if an index leads with it."""
    key = selection.key or selection.stream.primary_key
    if not key or key[0] not in selection.stream.schema.names:
        return None
    metadata = selection.stream.schema.field(key[0]).metadata or {}
    return key[0] if metadata.get(INDEX) == b"1" and metadata.get(BASE, b"").decode() in _KEYS else None


def base_of(selection: Selection, column: str) -> str:
    """The catalog's name of the column's type."""
    return str((selection.stream.schema.field(column).metadata or {}).get(BASE, b"").decode())


def cut(client: Client, selection: Selection, column: str, number: int, size: Size) -> list[Range]:
    """About `number` ranges of about equal size: by the histogram of the statistics, else by a sample."""
    stream = selection.stream
    found: list[Any] = []
    if size.fresh:
        found = client.fetch(_HISTOGRAM, stream.namespace or "public", stream.name, column)
    values = list(found[0]["bounds"] or ()) if found else []
    if len(values) < 2 * number:
        percent = min(100.0, max(0.01, 100.0 * _SAMPLE / max(1, size.rows)))
        sql = _SAMPLED(column=Identifier(column), table=table(selection), percent=Literal(percent))
        values = [row["key"] for row in client.fetch(sql.render(Quoting()), subject=stream.path)]
    at = [values[len(values) * n // number] for n in range(1, number)] if values else []
    edges = [None, *dict.fromkeys(at), None]
    return list(pairwise(edges))


def within(column: str, type: str, range: Range) -> Part:
    """The condition of a range."""
    key, (first, until) = Identifier(column), range
    conditions: list[Part] = []
    if first is not None:
        conditions.append(SQL("{key} >= {value}")(key=key, value=_literal(first, type)))
    if until is not None:
        below = SQL("{key} < {value}")(key=key, value=_literal(until, type))
        conditions.append(below if first is not None else SQL("({below} or {key} is null)")(below=below, key=key))
    return SQL(" and ").join(conditions) if conditions else SQL("true")


def any_of(column: str, type: str, ranges: Sequence[Range]) -> Part:
    """The condition of several ranges, in their order; neighbours become one."""
    joined: list[list[str | None]] = []
    for first, until in ranges:
        if joined and joined[-1][1] is not None and joined[-1][1] == first:
            joined[-1][1] = until
        else:
            joined.append([first, until])
    return SQL("({any})")(any=SQL(" or ").join([SQL("({r})")(r=within(column, type, r)) for r in joined]))


def blocks(number: int, size: Size) -> list[tuple[int, int | None]]:
    """Ranges of pages: [first, until), the last one open."""
    edges = [size.pages * n // number for n in range(number)]
    return list(zip(edges, [*edges[1:], None], strict=True))


def in_blocks(first: int, until: int | None) -> tuple[Part, ...]:
    """The conditions of a range of pages."""
    found = [SQL("ctid >= {value}")(value=_tid(first))]
    return (*found, SQL("ctid < {value}")(value=_tid(until))) if until is not None else tuple(found)


def _tid(page: int) -> Part:
    return SQL("{value}::tid")(value=Literal(f"({page},0)"))


def _literal(value: str, type: str) -> Part:
    return SQL("{value}::{type}")(value=Literal(value), type=Identifier("pg_catalog", type))
