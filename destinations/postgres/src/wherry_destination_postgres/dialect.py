"""What PostgreSQL does in its own way: locks, leases, upserts, widening."""

from __future__ import annotations

import secrets
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
from wherry import KIND, SQL, Connection, Dialect, Identifier, Lease, LeaseError, Literal, Part

from wherry_destination_postgres import ddl, types
from wherry_destination_postgres.config import PostgresConfig
from wherry_destination_postgres.connection import WHO, PostgresConnection, connect, holder
from wherry_destination_postgres.idle import Idle

_LOCK = 0x77686572
"""First half of our advisory locks."""

_UPSERT = SQL("""
    with done as (
        insert into {table} as t ({into}) select {values} from {source} as s where {where}
        on conflict ({keys}) do {action} returning t.xmax = 0 as fresh
    ) select count(*) filter (where fresh), count(*) filter (where not fresh) from done""")

_SESSIONS = SQL(
    "select pid, coalesce(state, 'active') from pg_stat_activity "
    "where application_name = {name} and pid <> pg_backend_pid()"
)
_BLOCKERS = SQL("""
    select {who} from pg_stat_activity as a where a.pid in (
        select unnest(pg_blocking_pids(w.pid)) from pg_stat_activity as w
         where w.application_name = {name} and w.wait_event_type = 'Lock')
     order by a.xact_start limit 1""")
_STARTED = SQL("select (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint")
_MANY = 10_000
"""Rows from which on the planner has to know of a table, and an index is worth its making."""
_FILLED = 90
"""Percent of a page of a merged table that its first rows take."""
_NOTICED = 1.5
"""Seconds after which the server has ended the busy sessions of a client that is gone."""


class PostgresDialect(Dialect):
    """One database. All sessions of one opening bear the same application name, which is how a successor finds them."""

    fold = False
    limit = 63

    def __init__(self, config: PostgresConfig) -> None:
        self.config = config
        self.address = config.reference_text()
        self.lease = config.lease
        self.name = f"wherry {secrets.token_hex(6)}"
        self._idle = Idle()

    def connect(self) -> PostgresConnection:
        return connect(self.config, self.name, self._idle)

    def close(self) -> None:
        self._idle.close()

    @contextmanager
    def setup(self, connection: Connection, namespace: str) -> Iterator[None]:
        """Serialised over all processes by an advisory lock that ends with the transaction."""
        number = zlib.crc32(namespace.encode()) - 2**31
        with super().setup(connection, namespace):
            lock = SQL("select pg_advisory_xact_lock({space}, {number})")
            connection.rows(lock.format(space=Literal(_LOCK), number=Literal(number)))
            yield

    # --- leases

    def holder(self, connection: Connection) -> str:
        return f"{self.name}/{connection.rows(_STARTED)[0][0]}"

    def lives(self, connection: Connection, mark: str) -> bool | None:
        """Gone when no session bears its name; else, or when the server was started anew since, its heartbeat tells.

        A session that is idle has its client; a busy one learns a moment later that it was killed.
        """
        name, _, started = mark.partition("/")
        deadline = time.monotonic() + _NOTICED
        while rows := self._sessions(connection, name):
            if time.monotonic() > deadline or any(state == "idle" for _, state in rows):
                return None
            time.sleep(0.05)
        return False if connection.rows(_STARTED)[0][0] == int(started or 0) else None

    def evict(self, connection: Connection, lease: Lease, mark: str) -> None:
        """End every session of the former run; a stopped one may hold a lock, or a COMMIT half sent."""
        name = mark.partition("/")[0]
        deadline = time.monotonic() + self.config.lock_timeout
        while rows := self._sessions(connection, name):
            for pid, _ in rows:
                connection.rows(SQL("select pg_terminate_backend({pid})").format(pid=Literal(pid)))
            if time.monotonic() > deadline:
                raise LeaseError(
                    f"pipeline {lease.pipeline}: session {rows[0][0]} of the former run ({lease.holder}) does not end",
                    next="end it on the server, as its owner or a superuser, then run again",
                )
            time.sleep(0.05)

    def _sessions(self, connection: Connection, name: str) -> list[tuple[int, str]]:
        """(pid, state), as of now: a transaction would go on seeing what it saw first."""
        connection.rows(SQL("select pg_stat_clear_snapshot()"))
        return connection.rows(_SESSIONS.format(name=Literal(name)))

    def blocked(self, connection: Connection) -> str:
        found = connection.rows(_BLOCKERS.format(who=WHO, name=Literal(self.name)))
        return f"a lock held by {holder(*found[0])}" if found else ""

    # --- types and tables

    def column_type(self, field: pa.Field) -> Part:
        return types.column_type(field)

    def columns(self, connection: Connection, table: Identifier) -> pa.Schema | None:
        return ddl.columns(_ours(connection), table)

    def tables(self, connection: Connection, namespace: str) -> set[str]:
        return ddl.tables(_ours(connection), namespace)

    def create_namespace(self, connection: Connection, namespace: str) -> None:
        """Ask for the right to create schemas only when there is one to create."""
        if not self.namespace_exists(connection, namespace):
            connection.run(SQL("create schema {name}").format(name=Identifier(namespace)))

    def namespace_exists(self, connection: Connection, namespace: str) -> bool:
        query = SQL("select 1 from pg_namespace where nspname = {name}").format(name=Literal(namespace))
        return bool(connection.rows(query))

    def for_query(self, connection: Connection, namespace: str) -> None:
        """The namespace before `public`, and no writes."""
        _ours(connection).bound = True
        path = [Literal(namespace), Literal("public")]
        connection.run(SQL("set search_path to {path}").format(path=path))
        connection.run(SQL("set default_transaction_read_only to on"))

    def widen(self, connection: Connection, table: Identifier, field: pa.Field, empty: bool = False) -> None:
        ddl.widen(_ours(connection), table, field, empty)

    def staging(self, connection: Connection, name: str, schema: pa.Schema) -> Identifier:
        ours = _ours(connection)
        ours.staged = ours.staged or not ours.bound
        ours.bound = True
        return super().staging(connection, name, schema)

    # --- statements that differ

    def now(self) -> Part:
        return SQL("(extract(epoch from clock_timestamp()) * 1000000)::bigint")

    def moment(self, micros: Part) -> Part:
        """In days and microseconds: one interval of microseconds alone goes through a float."""
        return SQL(
            "(timestamptz 'epoch' + ({m} / 86400000000) * interval '1 day' + ({m} % 86400000000) * "
            "interval '1 microsecond')"
        ).format(m=micros)

    def micros(self, moment: Part) -> Part:
        return SQL("(extract(epoch from {m}) * 1000000)::bigint").format(m=moment)

    def same(self, field: pa.Field, left: Part, right: Part) -> Part:
        """json has no equality: its text is compared."""
        template = "{left} is not distinct from {right}"
        if (field.metadata or {}).get(KIND) == b"json":
            template = "{left}::text is not distinct from {right}::text"
        return SQL(template).format(left=left, right=right)

    def layout(self, mode: str) -> Part:
        """Merged tables keep room in each page: a row that changes stays in its own, and no index has to hear of it."""
        roomy = SQL(" with (fillfactor = {percent})").format(percent=Literal(_FILLED))
        return roomy if mode == "merge" else super().layout(mode)

    def joined(self, connection: Connection, table: Identifier, columns: Sequence[str], rows: int) -> None:
        """Only these columns are looked at: it takes longer than the load if they all are."""
        if rows >= _MANY:
            names = [Identifier(column) for column in columns]
            connection.run(SQL("analyze {table} ({columns})").format(table=table, columns=names))

    def keyed(self, connection: Connection, table: Identifier, keys: Sequence[str], rows: int) -> None:
        """The index over the rows of a first load; one of a few rows comes with the first upsert."""
        if rows >= _MANY:
            ddl.unique(_ours(connection), table, keys)

    def upsert(
        self, connection: Connection, table: Identifier, source: Identifier, keys: Sequence[str],
        columns: Sequence[str], where: Part, load_id: Part | None
    ) -> tuple[int, int]:  # fmt: skip
        """INSERT … ON CONFLICT over the unique index that a merged table gets with its first rows, or else now."""
        if not ddl.unique(_ours(connection), table, keys):
            self.joined(connection, source, keys, _MANY)
            return super().upsert(connection, table, source, keys, columns, where, load_id)
        into: list[Part] = [Identifier(column) for column in columns]
        values: list[Part] = [Identifier("s", column) for column in columns]
        if load_id is not None:
            into.append(Identifier("_wherry_load_id"))
            values.append(load_id)
        sets = [SQL("{c} = excluded.{c}").format(c=c) for c in into if c not in list(map(Identifier, keys))]
        action = SQL("update set {sets}").format(sets=sets) if sets else SQL("nothing")
        statement = _UPSERT.format(
            table=table, into=into, values=values, source=source, where=where, action=action,
            keys=[Identifier(key) for key in keys],
        )  # fmt: skip
        rows = connection.rows(statement)
        return int(rows[0][0]), int(rows[0][1])


def _ours(connection: Connection) -> PostgresConnection:
    assert isinstance(connection, PostgresConnection)
    return connection
