"""What the catalogue says of tables, and changes to them that keep what hangs on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from wherry import SQL, DataError, DestinationError, Identifier, Literal, Part, SchemaError

from wherry_destination_postgres import types

if TYPE_CHECKING:
    from wherry_destination_postgres.connection import PostgresConnection

_COLUMNS = SQL("""
    select a.attname::text, format_type(a.atttypid, a.atttypmod)
      from pg_attribute as a
     where a.attrelid = to_regclass({table}) and a.attnum > 0 and not a.attisdropped
     order by a.attnum""")

_TABLES = SQL("""
    select c.relname::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
     where n.nspname = {namespace} and c.relkind in ('r', 'p', 'v', 'm', 'f')""")

_UNIQUE = SQL("""
    select 1 from pg_index as i
     where i.indrelid = to_regclass({table}) and i.indisunique and i.indisvalid and i.indimmediate
       and i.indpred is null and i.indexprs is null
       and (select array_agg(a.attname::text order by a.attname::text)
              from unnest(i.indkey[0:i.indnkeyatts - 1]) as k(n)
              join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.n)
           = (select array_agg(c order by c) from unnest(array[{keys}]::text[]) as c)
     limit 1""")

_VIEWS = SQL("""
    with recursive dependent (oid, depth) as (
        select r.ev_class, 1 from pg_depend as d join pg_rewrite as r on r.oid = d.objid
         where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
           and d.refobjid = to_regclass({table}) and d.refobjsubid = {column} and r.ev_class <> d.refobjid
        union
        select r.ev_class, v.depth + 1 from dependent as v
          join pg_depend as d on d.refobjid = v.oid and d.refclassid = 'pg_class'::regclass
          join pg_rewrite as r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass and r.ev_class <> v.oid
    )
    select n.nspname::text, c.relname::text, c.relkind::text, pg_get_viewdef(c.oid), r.rolname::text,
           coalesce(array_to_string(c.reloptions, ', '), ''), obj_description(c.oid, 'pg_class'),
           c.relacl is not null, pg_has_role(c.relowner, 'MEMBER'), c.oid::bigint
      from (select oid, max(depth) as depth from dependent group by oid) as v
      join pg_class as c on c.oid = v.oid
      join pg_namespace as n on n.oid = c.relnamespace
      join pg_roles as r on r.oid = c.relowner
     order by v.depth, c.oid""")

_GRANTS = SQL("""
    select a.attname::text, case g.grantee when 0 then null else r.rolname::text end, g.privilege_type, g.is_grantable
      from (select null::name as attname, c.relacl as acl from pg_class as c where c.oid = {view}
            union all
            select a.attname, a.attacl from pg_attribute as a where a.attrelid = {view} and a.attacl is not null) as a
     cross join lateral aclexplode(a.acl) as g
      left join pg_roles as r on r.oid = g.grantee""")

_COMMENTS = SQL("""
    select a.attname::text, d.description from pg_description as d
      join pg_attribute as a on a.attrelid = d.objoid and a.attnum = d.objsubid
     where d.classoid = 'pg_class'::regclass and d.objoid = {view} and d.objsubid > 0""")

_HANGING = SQL("""
    select t.tgname::text from pg_trigger as t where t.tgrelid = {view} and not t.tgisinternal
    union all
    select r.rulename::text from pg_rewrite as r where r.ev_class = {view} and r.rulename <> '_RETURN'
    limit 1""")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A view as it has to be made again."""

    name: Identifier
    query: str
    owner: str
    options: str
    comment: str | None
    guarded: bool
    grants: tuple[tuple[str | None, str | None, str, bool], ...]
    comments: tuple[tuple[str, str], ...]


def columns(connection: PostgresConnection, table: Identifier) -> pa.Schema | None:
    """Columns as storage fields; None if there is no such table or view."""
    found = kinds(connection, table)
    return pa.schema([types.arrow_field(name, kind) for name, kind in found.items()]) if found else None


def kinds(connection: PostgresConnection, table: Identifier) -> dict[str, str]:
    """The server's type of each column; nothing if there is no such table or view."""
    return dict(connection.rows(_COLUMNS.format(table=_path(table))))


def tables(connection: PostgresConnection, namespace: str) -> set[str]:
    """Names of the tables and views of a schema."""
    return {name for (name,) in connection.rows(_TABLES.format(namespace=Literal(namespace)))}


def unique(connection: PostgresConnection, table: Identifier, keys: Sequence[str]) -> bool:
    """Make sure of a unique index over the key; False when its values are too long for one, or we may make none."""
    if connection.rows(_UNIQUE.format(table=_path(table), keys=[Literal(key) for key in keys])):
        return True
    may_create = SQL("select has_schema_privilege({schema}, 'create')").format(schema=Literal(table.names[0]))
    if not connection.rows(may_create)[0][0]:
        return False
    connection.run(SQL("savepoint wherry_index"))
    try:
        connection.run(
            SQL("create unique index on {table} ({keys})").format(table=table, keys=[Identifier(n) for n in keys])
        )
    except (DestinationError, DataError) as error:
        if "SQLSTATE 54000" not in error.message and "SQLSTATE 42704" not in error.message:
            raise
        connection.run(SQL("rollback to savepoint wherry_index"))
        return False
    connection.run(SQL("release savepoint wherry_index"))
    return True


def widen(connection: PostgresConnection, table: Identifier, field: pa.Field, empty: bool = False) -> None:
    """Change a column's type; views on it are dropped and made again as they were, in the caller's transaction."""
    views = _views(connection, table, field.name)
    for view in reversed(views):
        connection.run(SQL("drop view {view}").format(view=view.name))
    kind = types.column_type(field)
    statement = SQL("alter table {table} alter column {column} type {type} using {value}::{type}")
    column = Identifier(field.name)
    try:
        connection.run(statement.format(table=table, column=column, type=kind, value=SQL("null") if empty else column))
    except DestinationError as error:
        if "SQLSTATE 0A000" not in error.message:
            raise
        raise SchemaError(f"column {field.name} has to become wider: {error.message}", next=error.next) from error
    for view in views:
        try:
            _restore(connection, view)
        except DestinationError as error:
            name = ".".join(view.name.names)
            raise SchemaError(
                f"column {field.name} has to become wider, and view {name} cannot be made again on it: {error.message}",
                next=f"drop view {name}, run again, then create it again",
            ) from error


def _views(connection: PostgresConnection, table: Identifier, column: str) -> list[View]:
    """Views that show the column, directly or through others, the deepest last."""
    number = connection.rows(
        SQL("select attnum::int from pg_attribute where attrelid = to_regclass({table}) and attname = {column}").format(
            table=_path(table), column=Literal(column)
        )
    )[0][0]
    rows = connection.rows(_VIEWS.format(table=_path(table), column=Literal(number)))
    return [_view(connection, *row) for row in rows]


def _view(
    connection: PostgresConnection, namespace: str, name: str, kind: str, query: str, owner: str, options: str,
    comment: str | None, guarded: bool, ours: bool, oid: int,
) -> View:  # fmt: skip
    if kind != "v" or not ours or connection.rows(_HANGING.format(view=Literal(oid))):
        what = "materialized view" if kind == "m" else "view"
        raise SchemaError(
            f"{what} {namespace}.{name} shows a column that has to become wider, and cannot be made again by itself",
            next=f"drop {what} {namespace}.{name}, run again, then create it again",
        )
    return View(
        name=Identifier(namespace, name), query=query, owner=owner, options=options, comment=comment, guarded=guarded,
        grants=tuple(connection.rows(_GRANTS.format(view=Literal(oid)))),
        comments=tuple(connection.rows(_COMMENTS.format(view=Literal(oid)))),
    )  # fmt: skip


def _restore(connection: PostgresConnection, view: View) -> None:
    options = SQL(" with ({o})").format(o=SQL(view.options)) if view.options else SQL("")
    create = SQL("create view {view}{options} as {query}")
    connection.run(create.format(view=view.name, options=options, query=SQL(view.query)))
    if view.guarded:  # someone was granted something, or the owner's own rights were cut
        connection.run(SQL("revoke all on {view} from public, current_user").format(view=view.name))
    for column, grantee, right, grantable in view.grants:
        connection.run(_grant(view.name, column, grantee, right, grantable))
    for column, text in view.comments:
        place = Identifier(*view.name.names, column)
        connection.run(SQL("comment on column {place} is {text}").format(place=place, text=Literal(text)))
    if view.comment is not None:
        connection.run(SQL("comment on view {view} is {text}").format(view=view.name, text=Literal(view.comment)))
    connection.run(SQL("alter view {view} owner to {owner}").format(view=view.name, owner=Identifier(view.owner)))


def _grant(view: Identifier, column: str | None, grantee: str | None, right: str, grantable: bool) -> Part:
    return SQL("grant {right}{column} on {view} to {grantee}{option}").format(
        right=SQL(right),
        column=SQL(" ({c})").format(c=Identifier(column)) if column else SQL(""),
        view=view,
        grantee=Identifier(grantee) if grantee else SQL("public"),
        option=SQL(" with grant option") if grantable else SQL(""),
    )


def _path(table: Identifier) -> Literal:
    """The table's name as text for `to_regclass`."""
    from wherry_destination_postgres.connection import QUOTING

    return Literal(table.render(QUOTING))
