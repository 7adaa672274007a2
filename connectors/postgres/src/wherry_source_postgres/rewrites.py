"""What a snapshot does not hold still: a table that is truncated, rewritten or loses a partition under it.

One statement keeps such changes waiting while it reads. Splits are several, with nothing between them: under the
snapshot of before, a table that was truncated or rewritten by ALTER is empty, one that VACUUM FULL or CLUSTER has
written anew has its rows at other places, and a partition that was taken out is not read any more. Their part in the
files of the server tells: the catalog as the snapshot sees it has to be the catalog as it is.
"""

from __future__ import annotations

from wherry import SQL, Literal, Part, Quoting, Selection, StreamError

from wherry_source_postgres.client import Client
from wherry_source_postgres.queries import table

# SELECTs of the catalog see the snapshot; functions over it see what is. A partition that was made since holds nothing
# that the snapshot would see.
_REWRITTEN = SQL("""
with recursive known(oid, listed) as (
    select c.oid, true from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = {namespace} and c.relname = {name}
  union all
    select c.oid, c.relispartition
    from known join pg_catalog.pg_inherits i on i.inhparent = known.oid join pg_catalog.pg_class c on c.oid = i.inhrelid
),
listed(oid) as (
    select oid
    from (select to_regclass({path})::oid union select relid::oid from pg_partition_tree(to_regclass({path}))) as n(oid)
    where oid is not null
)
select exists (
    select from known join pg_catalog.pg_class c using (oid)
    where c.relfilenode <> coalesce(pg_relation_filenode(oid), 0)
       or known.listed and oid not in (select oid from listed)
) or exists (
    select from listed join pg_catalog.pg_class using (oid) where oid not in (select oid from known)
) as rewritten
""")
SINCE = 120_000
"""The first server that lists the partitions of a table as they are."""


def happened(client: Client, selection: Selection) -> bool:
    """Whether the selection's table is another one than the snapshot that the client is in sees."""
    stream = selection.stream
    values: dict[str, Part] = {
        "namespace": Literal(stream.namespace or "public"), "name": Literal(stream.name),
        "path": Literal(table(selection).render(Quoting())),
    }  # fmt: skip
    return bool(client.fetch(_REWRITTEN(**values).render(Quoting()), subject=stream.path)[0]["rewritten"])


def refuse(client: Client, selection: Selection) -> None:
    """Raise if so. To be asked when the rows are read: what they were read from stays as it is until the end of the
    transaction."""
    if happened(client, selection):
        raise StreamError(
            f"{selection.stream.path} was truncated, rewritten or given other partitions while its splits were read, "
            "so they do not make one table",
            next="run it again; where that happens often, --set splits=1 reads it in one piece",
        )
