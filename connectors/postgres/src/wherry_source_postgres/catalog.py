"""The server's catalog in a few round trips: relations, columns, keys, indexes, types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from wherry_source_postgres.client import Client
from wherry_source_postgres.types import TypeInfo

# Partitions are read through their table. What an extension owns, or a loader keeps its books in, is not data.
_RELATIONS = """
select c.oid::int8 as oid, n.nspname as namespace, c.relname as name, c.relkind::text as kind,
       c.reltuples::float8 as rows, obj_description(c.oid, 'pg_class') as comment,
       has_schema_privilege(n.oid, 'usage') and (has_table_privilege(c.oid, 'select')
           or has_any_column_privilege(c.oid, 'select')) as readable,
       c.relrowsecurity and row_security_active(c.oid) as filtered
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition and ($1::text[] is null or c.relname = any($1))
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and c.relname !~ '^_wherry_'
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname <> 'public', n.nspname, c.relname
"""
_COLUMNS = """
select a.attrelid::int8 as relation, a.attnum::int4 as number, a.attname as name, a.atttypid::int8 as type,
       a.atttypmod as modifier, format_type(a.atttypid, a.atttypmod) as formatted, a.attnotnull as required,
       d.description as comment
from pg_catalog.pg_attribute a
left join pg_catalog.pg_description d
    on d.classoid = 'pg_catalog.pg_class'::regclass and d.objoid = a.attrelid and d.objsubid = a.attnum
where a.attrelid = any($1::int8[]::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""
_INDEXES = """
select i.indrelid::int8 as relation, i.indkey::int2[]::int4[] as columns, i.indisprimary as primary,
       i.indisunique and i.indimmediate and i.indpred is null as unique, i.indnkeyatts::int4 as keys,
       i.indpred is null and m.amname = 'btree' as sorted
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_am m on m.oid = c.relam
where i.indrelid = any($1::int8[]::oid[]) and i.indisvalid and i.indexprs is null
order by i.indrelid, i.indisprimary desc, i.indnkeyatts, c.relname
"""
# each table has a type of its own, and an array of it: of thousands only those that columns are made of
_TYPES = """
with recursive used(oid) as (
    select unnest($1::int8[]::oid[])
  union
    select part.oid
    from used join pg_catalog.pg_type t on t.oid = used.oid,
    lateral (select t.typelem union select t.typbasetype union
             select a.atttypid from pg_catalog.pg_attribute a
             where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) as part(oid)
    where part.oid <> 0
)
select t.oid::int8 as oid, t.typname as name, t.typtype::text as kind, n.nspname = 'pg_catalog' as stock,
       t.typoutput = 'array_out'::regproc as array, t.typelem::int8 as element, t.typbasetype::int8 as base,
       t.typtypmod as base_modifier,
       case when t.typtype = 'c' then array(
           select a.atttypid::int8 from pg_catalog.pg_attribute a
           where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) end as attributes
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where $1 is null or t.oid in (select oid from used)
"""
_SYSTEM = "select (select system_identifier from pg_control_system())::text as system"
_DATABASE = """
select d.oid::int8 as database, has_function_privilege('pg_control_system()', 'execute') as readable
from pg_catalog.pg_database d where d.datname = current_database()
"""


@dataclass(slots=True)
class Relation:
    """A table, view, materialized view, foreign or partitioned table, and what the catalog says about it."""

    about: Any
    columns: list[Any] = field(default_factory=list)
    indexes: list[Any] = field(default_factory=list)

    @property
    def path(self) -> str:
        """As `Stream.path`: the default namespace is left out."""
        name = str(self.about["name"])
        return f"{self.namespace}.{name}" if self.namespace else name

    @property
    def namespace(self) -> str | None:
        """None for the default one, unless a dot in the name would make its path that of another table."""
        namespace = str(self.about["namespace"])
        return None if namespace == "public" and "." not in self.about["name"] else namespace


@dataclass(frozen=True, slots=True)
class Catalog:
    """What `load` found. incarnation: of the database, "" when the server does not tell."""

    relations: list[Relation]
    types: dict[int, TypeInfo]
    incarnation: str
    paths: frozenset[str] = frozenset()
    """Of all relations, where all types were asked for; else of some."""


def load(client: Client, only: Sequence[str], typed: bool = False) -> Catalog:
    """Relations whose path fits one of the globs, of all namespaces but the system's. typed: all types there are."""
    with client.snapshot():
        relations = [Relation(row) for row in client.fetch(_RELATIONS, None if typed else _named(only))]
        chosen = [r for r in relations if any(fnmatchcase(r.path, glob) for glob in only)]
        by_oid = {relation.about["oid"]: relation for relation in chosen}
        used: set[int] = set()
        for row in client.fetch(_COLUMNS, list(by_oid)):
            by_oid[row["relation"]].columns.append(row)
            used.add(row["type"])
        for row in client.fetch(_INDEXES, list(by_oid)):
            by_oid[row["relation"]].indexes.append(row)
        types = {row["oid"]: _type(row) for row in client.fetch(_TYPES, None if typed else list(used))}
        database = client.fetch(_DATABASE)[0]
        system = client.fetch(_SYSTEM)[0]["system"] if database["readable"] else ""
    incarnation = f"{system}/{database['database']}" if system else ""
    return Catalog(chosen, types, incarnation, frozenset(r.path for r in relations))


def _named(only: Sequence[str]) -> list[str] | None:
    """Names that relations of these paths may have; None: any. A path is a name, or has one after some of its dots."""
    found: list[str] = []
    for glob in only:
        if any(sign in glob for sign in "*?["):
            return None
        parts = glob.split(".")
        found += [".".join(parts[n:]) for n in range(len(parts))]
    return found


def _type(row: Any) -> TypeInfo:
    return TypeInfo(
        name=row["name"],
        kind=row["kind"],
        stock=row["stock"],
        array=row["array"],
        element=row["element"],
        base=row["base"],
        base_modifier=row["base_modifier"],
        attributes=tuple(row["attributes"] or ()),
    )
