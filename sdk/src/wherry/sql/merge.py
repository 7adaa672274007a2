"""Merge: the last version of each key replaces the one in the table; deletes remove it."""

from __future__ import annotations

from wherry.contracts.loading import Applied
from wherry.contracts.values import POSITION
from wherry.failpoints import failpoint
from wherry.sql.apply import (
    Work,
    delete_earlier,
    is_delete,
    last_versions,
    refuse_difference,
    refuse_null_keys,
    rows_of,
)
from wherry.sql.compose import SQL, Identifier
from wherry.sql.dialect import insert, match
from wherry.sql.resolve import resolve


def apply_merge(work: Work) -> Applied:
    """Upserts and deletes by key, in the order of `_wherry_pos`; partial updates are completed first."""
    refuse_null_keys(work)
    removed = delete_earlier(work)
    if work.target.changes:
        work.dialect.joined(work.connection, work.stage.table, [*work.target.key, POSITION], work.stage.rows)
    source = last_versions(work, resolve(work, SQL("true")))
    keep = SQL("not {gone}").format(gone=is_delete(work, "s"))
    deleted = _delete(work, source) if work.target.changes else 0
    if work.connection.rows(SQL("select 1 from {table} limit 1").format(table=work.table)):
        inserted, updated = work.dialect.upsert(
            work.connection, work.table, source, work.target.key, work.columns, keep, work.mark
        )
    else:
        inserted, updated = insert(work.connection, work.table, source, work.columns, keep, work.mark), 0
        work.dialect.keyed(work.connection, work.table, work.target.key, inserted)
    refuse_difference(work.target, rows_of(work, source, keep), inserted + updated)
    return Applied(staged=work.stage.rows, inserted=inserted, updated=updated, deleted=deleted + removed)


def _delete(work: Work, source: Identifier) -> int:
    gone = work.connection.run(
        SQL("delete from {table} as t where exists (select 1 from {source} as s where {match} and {gone})").format(
            table=work.table, source=source, match=match(work.target.key), gone=is_delete(work, "s")
        )
    )
    failpoint("K16")
    return gone
