"""Publishing a generation: its rows become the table's in one transaction, and the table stays the same table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from wherry.contracts.loading import Applied, Entry, Receipt, Target
from wherry.contracts.values import ReadPlan
from wherry.failpoints import failpoint
from wherry.sql import state
from wherry.sql.apply import refuse_difference
from wherry.sql.compose import SQL, Identifier, Value, names
from wherry.sql.ddl import stored, unlike
from wherry.sql.dialect import Connection
from wherry.sql.runs import loaded_rows

if TYPE_CHECKING:
    from wherry.sql.session import SqlSession


def publish(
    session: SqlSession,
    connection: Connection,
    plan: ReadPlan,
    targets: Sequence[Target],
    generation: int,
    entry: Entry,
) -> Receipt:
    """Swap the generation in, make the bookmark lasting, close the plan: one transaction.

    Default: the rows of the table are rewritten in place, so that views, grants, comments and indexes stay. A table
    that does not exist yet, or on which nothing depends, gives its name to the generation's table instead.
    """
    rebuilt = {
        target.stream: dataclasses.replace(target, generation=generation)
        for target in targets
        if target.generation is not None
    }
    place = (plan.key, "", "")
    with session.dialect.lock(*(session.tables.live(target).names for target in rebuilt.values())):
        earlier = state.published(session.meta, connection, session.lease, plan)
        if earlier is not None:
            return earlier
        seq, load_id = session.sequence(place), session.meta.next_load_id(connection)
        ways = {stream: _prepare(session, connection, plan, target) for stream, target in rebuilt.items()}
        connection.begin()
        now = session.meta.now(connection)
        applied = {
            stream: _swap_in(session, connection, plan, target, ways[stream]) for stream, target in rebuilt.items()
        }
        session.record(connection, load_id, place, entry, applied, rebuilt, now)
        receipt = Receipt(load_id=load_id, seq=seq + 1, committed_at=now, applied=applied)
        state.close_plan(session.meta, connection, session.lease, plan, receipt)
        change: dict[str, Value] = {"load_id": load_id, "changed": now}
        change |= state.bookmark_change(entry.bookmark)
        state.swap(session.meta, connection, session.lease, place, seq, change)
        connection.commit()
    session.moved(place, seq + 1)
    session.tables.sweep(connection)
    return receipt


def _prepare(session: SqlSession, connection: Connection, plan: ReadPlan, target: Target) -> list[pa.Field] | None:
    """Additive DDL before the transaction; None when the generation's table may simply take the name.

    Else the columns that have to become another type once their old values are gone.
    """
    tables, dialect = session.tables, session.dialect
    new = tables.ready(connection, plan.key, target)
    live = tables.live(target)
    have = dialect.columns(connection, live)
    if have is None:
        tables.refuse(connection, target)
        return None
    retyped = unlike(have, stored(target), dialect.fold)
    left = pa.schema([f for f in target.schema if f.name not in {r.name for r in retyped}])
    tables.ready(connection, plan.key, dataclasses.replace(target, generation=None, schema=left), rewritten=True)
    return None if not retyped and dialect.swappable(connection, live, new) else retyped


def _swap_in(
    session: SqlSession, connection: Connection, plan: ReadPlan, target: Target, retyped: list[pa.Field] | None
) -> Applied:
    new, live = session.tables.place(connection, target), session.tables.live(target)
    loaded = loaded_rows(session.meta, connection, session.lease, plan.key, target)
    if retyped is None:
        if session.dialect.columns(connection, live) is not None and session.dialect.swappable(connection, live, new):
            connection.run(SQL("drop table {live}").format(live=live))
        failpoint("K14")
        statement = SQL("alter table {new} rename to {name}")
        connection.run(statement.format(new=new, name=Identifier(live.names[-1])))
        session.tables.forget(connection, *new.names)
        session.tables.claim(connection, plan.key, target)
        counted = connection.rows(SQL("select count(*) from {live}").format(live=live))
        refuse_difference(target, loaded, counted[0][0])
        return Applied(staged=counted[0][0], inserted=counted[0][0])
    columns = names(stored(target).names)
    deleted = connection.run(SQL("delete from {live}").format(live=live))
    failpoint("K14")
    for field in retyped:
        session.dialect.widen(connection, live, field, empty=True)
    if retyped:
        session.tables.claim(connection, plan.key, target)
    inserted = connection.run(
        SQL("insert into {live} ({columns}) select {columns} from {new}").format(live=live, columns=columns, new=new)
    )
    refuse_difference(target, loaded, inserted)
    return Applied(staged=inserted, inserted=inserted, deleted=deleted)
