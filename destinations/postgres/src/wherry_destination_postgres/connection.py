"""One session on the server: statements from parts, COPY both ways, and a COMMIT that is checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import pq
from wherry import (
    SQL,
    Connection,
    DestinationError,
    Identifier,
    Literal,
    Part,
    Quoting,
    Taker,
    Target,
    TransientError,
    UsageError,
    WherryError,
    Writer,
    failpoint,
)

from wherry_destination_postgres.config import PostgresConfig
from wherry_destination_postgres.errors import AGAIN, denied, no_tls, refused, translated
from wherry_destination_postgres.handed import CopyTaker
from wherry_destination_postgres.idle import Idle
from wherry_destination_postgres.load import CopyWriter
from wherry_destination_postgres.query import answer
from wherry_destination_postgres.watched import Watched

QUOTING = Quoting()
_SILENCE = 2.0
"""Seconds without a word after which `ping` says one."""


def connect(config: PostgresConfig, name: str, idle: Idle | None = None) -> PostgresConnection:
    """A session under an application name, in UTC, that the server ends when this process is gone or stands still.

    idle: one of these if there is any, and where it goes afterwards.
    """
    kept = idle.take() if idle is not None else None
    return PostgresConnection(kept or _session(config, name), config, name, idle)


def _session(config: PostgresConfig, name: str) -> Watched:
    options: dict[str, Any] = {
        "application_name": name, "client_encoding": "UTF8", "connect_timeout": str(config.connect_timeout),
        "keepalives": "1", "keepalives_idle": str(max(1, config.lease // 3)), "keepalives_interval": "5",
        "keepalives_count": "3", "tcp_user_timeout": str(config.lease * 1000),
    }  # fmt: skip
    url = config.url.get_secret_value() if config.url else ""
    try:
        if (mode := config.tls()) is not None:
            options["sslmode"] = mode
        session = Watched.connect(url, autocommit=True, prepare_threshold=None, **(options | config.options()))
    except psycopg.ProgrammingError:  # its text may quote a part of the password
        raise UsageError(
            "the URL cannot be read as postgresql://user@host:port/database", key="url",
            next="percent-encode special characters in user and password, and check the parameters after the ?",
        ) from None  # fmt: skip
    except psycopg.Error as error:
        reason = refused(error, config.reference_text())
        reason.where = config.origin(reason.key)
        raise reason from None
    if config.plain(session.pgconn.ssl_in_use):
        session.close()
        raise no_tls(config.reference_text())
    try:
        session.patience = max(1.0, config.lease / 3)
        session.pid = session.execute(text(_settings(config))).fetchall()[0][1]
        with suppress(psycopg.errors.InvalidParameterValue):  # not on every platform
            session.execute("select set_config('client_connection_check_interval', '1000', false)")
    except psycopg.Error as error:
        session.close()
        raise translated(error, config.reference_text()) from None
    return session


def _settings(config: PostgresConfig) -> Part:
    """Those that this version of the server knows. Limits meant for people at a prompt do not apply to a load."""
    milliseconds = str(config.lease * 1000)
    values = {
        "timezone": "UTC", "datestyle": "ISO", "intervalstyle": "postgres", "extra_float_digits": "1",
        "standard_conforming_strings": "on", "default_transaction_isolation": "read committed",
        "row_security": "off",  # a policy that hides rows from us is an error, not a partial rewrite
        "lock_timeout": str(round(config.lock_timeout * 1000)), "transaction_timeout": "0",
        "statement_timeout": _milliseconds(config.statement_timeout),
        "idle_session_timeout": "0", "idle_in_transaction_session_timeout": milliseconds,
        "tcp_keepalives_idle": str(max(1, config.lease // 3)), "tcp_user_timeout": milliseconds,
    }  # fmt: skip
    rows = [SQL("({name}, {value})").format(name=Literal(name), value=Literal(value)) for name, value in values.items()]
    return SQL(
        "select set_config(s.name, v.value, false), pg_backend_pid() from (values {rows}) as v (name, value) "
        "join pg_settings as s on lower(s.name) = v.name union all "
        "select set_config(name, 'on', false), 0 from pg_settings where name = 'synchronous_commit' and setting = 'off'"
    ).format(rows=rows)  # a commit that was reported has to be on disk


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


class PostgresConnection(Connection):
    """A psycopg session. At most one COPY is under way; whatever else comes ends it first.

    A session that was lost is replaced by a new one outside of transactions. bound: unless it holds what a new one
    would not have (temporary tables, a search path): then its loss is reported.  staged: temporary tables are all it
    holds.  idle: where its session goes in the end, as good as new.
    """

    def __init__(self, session: Watched, config: PostgresConfig, name: str, idle: Idle | None = None) -> None:
        self.session = session
        self.name = name
        self.copying: CopyWriter | CopyTaker | None = None
        self.bound = self.staged = False
        self._idle = idle
        self._over = False
        self._spoke = time.monotonic()
        self._config = config
        self._place = config.reference_text()
        self._begun = False
        self._unlimited = False

    @property
    def pid(self) -> int:
        """The server process of this session."""
        return self.session.pid

    def run(self, statement: Part) -> int:
        with self.cursor(statement) as cursor:
            return max(cursor.rowcount, 0)

    def rows(self, statement: Part) -> list[tuple[Any, ...]]:
        with self.cursor(statement) as cursor:
            return cursor.fetchall()

    def reader(self, statement: Part) -> pa.RecordBatchReader | None:
        return answer(self, statement)

    @contextmanager
    def cursor(self, statement: Part) -> Iterator[psycopg.Cursor[Any]]:
        """The statement's cursor, after it ran."""
        self.settle()
        if not self._begun and self.session.ended:
            if self.bound:
                raise TransientError(f"{self._place}: the connection was lost", next=AGAIN)
            self.session.close()
            self.session = _session(self._config, self.name)
        self._spoke = time.monotonic()
        if self._unlimited and self.session.info.transaction_status != pq.TransactionStatus.INERROR:
            self._limit(self._config.statement_timeout)
        with self.translating(statement), self.session.cursor() as cursor:
            cursor.execute(text(statement))
            yield cursor

    @contextmanager
    def translating(self, statement: Part) -> Iterator[None]:
        """Errors of the server leave as ours; one about a lock names who held it."""
        try:
            yield
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
            raise translated(error, self._place, self._blocker(statement)) from None
        except psycopg.errors.InsufficientPrivilege as error:
            raise denied(error, self._place, self.session.info.user, text(statement).decode()) from None
        except psycopg.Error as error:
            raise translated(error, self._place) from None

    def ping(self) -> None:
        lasts = isinstance(self.copying, CopyTaker)  # cannot be ended and gone on with; the session is not idle in it
        if time.monotonic() - self._spoke > _SILENCE and not lasts:
            self.run(SQL("select 1"))

    def unlimited(self) -> None:
        """Before a COPY, which lasts as long as the source takes: no time limit, up to the next statement."""
        if self._config.statement_timeout:
            self._limit(0)

    def _limit(self, seconds: float) -> None:
        statement = SQL("set statement_timeout to {ms}").format(ms=Literal(_milliseconds(seconds)))
        with self.translating(statement):
            self.session.execute(text(statement))
        self._unlimited = not seconds

    def settle(self) -> None:
        """End a COPY that is under way, its rows taken."""
        if self.copying is not None:
            self.copying.settle()

    def begin(self) -> None:
        self.run(SQL("begin"))
        self._begun = True

    def commit(self) -> None:
        """COMMIT; the server answers that of an aborted transaction with ROLLBACK, and with no error."""
        with self.cursor(SQL("commit")) as cursor:
            failpoint("K10")
            status = cursor.statusmessage
        if status != "COMMIT":
            raise DestinationError(f"{self._place}: nothing was committed (the server said {status})")
        self._begun = False

    def rollback(self) -> None:
        self._begun = False
        if self.copying is not None:
            self.copying.drop()
        if self.session.info.transaction_status not in (pq.TransactionStatus.IDLE, pq.TransactionStatus.UNKNOWN):
            with suppress(psycopg.Error):
                self.session.execute("rollback")

    def close(self) -> None:
        if self._over:
            return
        self._over = True
        with suppress(psycopg.Error):
            if self.copying is not None:
                self.copying.drop()
        with suppress(psycopg.Error, WherryError):
            if self._given_back():
                return
        with suppress(psycopg.Error):
            self.session.close()

    def _given_back(self) -> bool:
        """Whether the session went back for others: nothing is under way on it, and nothing is left in it."""
        if self._idle is None or (self.bound and not self.staged):
            return False
        if self.session.closed or self.session.info.transaction_status != pq.TransactionStatus.IDLE:
            return False
        if self._unlimited:
            self._limit(self._config.statement_timeout)
        if self.staged:
            self.session.execute("discard temp")
        return self._idle.give(self.session)

    def writer(self, table: Identifier, schema: pa.Schema) -> Writer:
        return CopyWriter(self, table, schema)

    def taker(self, form: str, table: Identifier, target: Target, load_id: int) -> Taker:
        return CopyTaker(self, form, table, target, load_id)

    def _blocker(self, statement: Part) -> str:
        """Who holds a lock on what the statement names; asked in a session of its own, as ours may be aborted."""
        tables = [Literal(table.render(QUOTING)) for table in _tables(statement)]
        query = _HOLDERS.format(who=WHO, tables=tables or [Literal(None)], me=Literal(self.pid))
        try:
            with psycopg.connect(self.session.info.dsn, password=self.session.info.password, autocommit=True) as other:
                found = other.execute(text(query)).fetchone()
        except psycopg.Error:
            return ""
        if not found:
            return ""
        return f" held by {holder(*found)}"


WHO = SQL(
    r"a.pid, a.usename, a.application_name, a.state, "
    r"left(regexp_replace(regexp_replace(a.query, '[''$].*', '…'), '\s+', ' ', 'g'), 100)"
)
"""What `holder` needs of a row of pg_stat_activity: of the query nothing that may be a value."""
_HOLDERS = SQL("""
    select {who}
      from pg_locks as l join pg_stat_activity as a on a.pid = l.pid
     where l.granted and l.pid <> {me}
       and (l.locktype = 'advisory'
            or l.relation in (select to_regclass(t) from unnest(array[{tables}]::text[]) as t))
     order by l.locktype = 'advisory', l.mode = 'AccessExclusiveLock' desc, l.mode = 'AccessShareLock', a.xact_start
     limit 1""")


def holder(pid: int, user: str, application: str, state: str | None, query: str | None) -> str:
    """A session that holds something, for people."""
    return f"pid {pid} (user {user}, application {application!r}, {state or 'at work'}: {query or '?'})"


def text(statement: Part) -> bytes:
    """What goes over the wire."""
    return statement.render(QUOTING).encode()


def _tables(statement: Part) -> Iterator[Identifier]:
    if isinstance(statement, Identifier) and len(statement.names) == 2:
        yield statement
    for part in getattr(statement, "parts", ()):
        yield from _tables(part)
