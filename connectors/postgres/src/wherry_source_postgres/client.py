"""A small synchronous client over asyncpg: queries, and COPY in blocks of whole rows.

Each client has its own event loop and at most one connection; it is used by one thread at a time. Everything runs in
a read-only transaction whose settings make the server's text independent of roles, databases and time zones.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import threading
from collections.abc import Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from wherry import (
    SQL,
    AuthError,
    Literal,
    Part,
    Quoting,
    SourceError,
    StreamError,
    TransientError,
    UsageError,
    WherryError,
)

from wherry_source_postgres.config import PostgresConfig
from wherry_source_postgres.failures import no_tls, translated
from wherry_source_postgres.feed import ClosedError, Feed
from wherry_source_postgres.watched import watched

T = TypeVar("T")
_BEGIN = SQL("""
begin isolation level {level} read only;{shared}
set local statement_timeout = {milliseconds};
set local lock_timeout = {lock};
set local datestyle = 'ISO, YMD';
set local timezone = 'UTC';
set local intervalstyle = 'postgres';
set local bytea_output = 'hex';
set local extra_float_digits = 3;
set local idle_in_transaction_session_timeout = 0;
set local standard_conforming_strings = on;
""")
_STILL, _MOVING = SQL("repeatable read"), SQL("read committed")
_SHARED = SQL(" set transaction snapshot {name};")
_HOLDER = r"""
    select a.pid, a.usename, a.application_name, a.state,
           left(regexp_replace(regexp_replace(a.query, '[''$].*', '…'), '\s+', ' ', 'g'), 100)
      from pg_locks as l join pg_stat_activity as a on a.pid = l.pid join pg_class as c on c.oid = l.relation
     where l.granted and l.mode = 'AccessExclusiveLock' and a.datname = current_database()
     order by c.relname = $1 desc, a.xact_start
     limit 1"""
_AHEAD, _SCANT, _NAP = 1 << 20, 128 << 10, 0.002
"""Bytes of a COPY after which one that brings fewer bytes at a time than this is left alone for so many seconds: to be
woken for each few rows costs both sides more than the rows do."""
_PATIENCE = 5.0
"""Seconds that an abandoned COPY may take to end before its connection is cut."""
_FAREWELLS = 0.01
"""Seconds for what is still under way when a connection did not end in good order."""


class Client:
    """A connection that opens when it is needed, and again after it was lost. copied: rows of the last `copy`."""

    def __init__(self, config: PostgresConfig) -> None:
        self.config = config
        self.address, self.database = config.address()
        self.copied = 0
        self._pid = self._own = 0
        """The server's process in this transaction; in all of this connection's, where that is known."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: asyncpg.Connection[Any] | None = None

    @contextlib.contextmanager
    def snapshot(self, shared: str | None = None, *, moving: bool = False) -> Iterator[None]:
        """A read-only transaction around several queries; not nested. shared: what `export` of another client gave.

        moving: each query sees what there is when it begins, as it does once a lock is held.
        """
        self._begin(shared, _MOVING if moving else _STILL)
        try:
            yield
        finally:
            if self._connection is not None and not self._connection.is_closed():
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    self._run(self._connection.execute("rollback", timeout=_PATIENCE))

    def export(self) -> str:
        """Begin a transaction that stays open until `close`; the name under which others may see what it sees."""
        self._begin()
        return str(self.fetch("select pg_export_snapshot() as name")[0]["name"])

    def _begin(self, shared: str | None = None, level: Part = _STILL) -> None:
        values: dict[str, Part] = {
            "level": level,
            "milliseconds": Literal(self.config.statement_timeout * 1000),
            "lock": Literal(round(self.config.lock_timeout * 1000)),
            "shared": SQL("") if shared is None else _SHARED(name=Literal(shared)),
        }
        connection = self._connected()
        with self._errors():
            self._pid = self._own
            try:
                self._ask(connection.execute(_BEGIN(**values).render(Quoting())))
            except (asyncpg.InvalidParameterValueError, asyncpg.UndefinedObjectError) as error:
                if shared is None:
                    raise
                raise StreamError(
                    "the snapshot that all splits share is gone: the session that held it was ended",
                    next="run it again",
                ) from error
            if not self._pid:
                self._pid = self._ask(connection.fetchval("select pg_backend_pid()"))
                # a pooler, which may give each transaction another process, has a number of its own for itself
                self._own = self._pid if self._pid == connection.get_server_pid() else 0

    def fetch(self, sql: str, *arguments: Any, subject: str = "") -> list[Any]:
        """All rows of a query inside `snapshot`. subject: what it is about, for messages."""
        with self._errors(subject):
            return list(self._ask(self._connected().fetch(sql, *arguments)))

    def describe(self, sql: str, subject: str = "") -> list[tuple[str, int]]:
        """(name, type) of the columns of what has to be one statement, inside `snapshot`."""
        with self._errors(subject):
            statement = self._run(self._connected().prepare(sql))
            if statement.get_parameters():
                raise UsageError("it has parameters, for which there are no values")
            return [(column.name, int(column.type.oid)) for column in statement.get_attributes()]

    def refuse_several(self, sql: str, subject: str = "") -> None:
        """Raise unless this is one statement that the server understands: COPY would run what follows a semicolon."""
        with self._errors(subject):
            self._run(self._connected().prepare(sql))

    def copy(
        self, sql: str, size: int, subject: str = "", *, binary: bool = False
    ) -> Generator[bytes | None, None, None]:
        """The rows of a query inside `snapshot` as CSV, or in the server's own form, in blocks of about `size` bytes.

        Yields None after each second without a block. Closing the generator ends the statement on the server.
        """
        feed = Feed()
        loop, connection = self._event_loop(), self._connected()
        copy = _Copy(connection, feed, size, binary, loop)
        task = loop.create_task(self._watched(connection, copy, sql))
        thread = threading.Thread(target=_drive, args=(loop, task, feed), name="postgres-copy", daemon=True)
        try:
            with self._errors(subject):
                while not self._run(_either(task, copy.filled)):
                    yield None
                if task.done():  # of a small table: a thread would only have taken time
                    _drive(loop, task, feed)
                else:
                    copy.followed.set_result(None)
                    thread.start()
                while (block := feed.get(timeout=1.0)) != b"":
                    yield block
            if thread.ident is not None:
                thread.join()
            self.copied = _copied(task.result(), subject)
        finally:
            feed.close()
            if not task.done() and thread.ident is None:
                thread.start()
            if thread.is_alive():
                loop.call_soon_threadsafe(task.cancel)
                thread.join(_PATIENCE)
            if connection.is_closed():
                self._connection = None

    def close(self) -> None:
        """Disconnect; safe to call at any time."""
        if self._loop is None:
            return
        left = _FAREWELLS
        if self._connection is not None and not self._loop.is_running():
            with contextlib.suppress(Exception):
                self._run(self._connection.close(timeout=_PATIENCE))
                left = 0.0
            self._connection.terminate()
        self._connection = None
        if not self._loop.is_running():
            with contextlib.suppress(Exception):
                self._run(_settle(left))
            self._loop.close()
        self._loop = None

    @contextlib.contextmanager
    def _errors(self, subject: str = "") -> Iterator[None]:
        user = self.config.role() or _system_user()
        try:
            with translated(self.address, self.database, user, subject):
                yield
        except AuthError as error:
            error.where = error.where or self.config.password_origin()
            raise
        except WherryError as error:
            if isinstance(error, TransientError) and error.key == "host":
                error.where = self.config.host_origin()
            if isinstance(error.__cause__, (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)):
                error.message += self._blocker(subject)
            raise

    def _blocker(self, subject: str) -> str:
        """Who keeps readers off the stream, or off anything; asked in a session of its own. No values of its query."""
        other = Client(self.config)
        try:
            with other.snapshot():
                found = other.fetch(_HOLDER, subject.rpartition(".")[2])
        except WherryError:
            return ""
        finally:
            other.close()
        if not found:
            return ""
        pid, user, application, state, query = found[0]
        return f", held by pid {pid} (user {user}, application {application!r}, {state or 'at work'}: {query or '?'})"

    def _connected(self) -> asyncpg.Connection[Any]:
        if self._connection is None or self._connection.is_closed():
            config = self.config
            for key, path in config.files().items():
                if not Path(path).expanduser().is_file():
                    raise UsageError(f"{key}: no file {path}", key=key, next="correct the path")
            with self._errors():
                self._connection, self._own = self._run(self._connect()), 0
                _keep_alive(self._connection)
            if config.plain(_encrypted(self._connection)):
                self.close()
                raise no_tls(self.address)
        return self._connection

    async def _connect(self) -> asyncpg.Connection[Any]:
        config = self.config
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            config.dsn(),
            host=config.host,
            port=config.port,
            user=config.user,
            database=config.database,
            password=config.secret(),
            timeout=config.connect_timeout,
            statement_cache_size=0,  # poolers that switch servers between transactions have no statements
            server_settings={"application_name": "wherry"},
        )
        return connection

    def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a query, with an eye on the server."""
        assert self._connection is not None
        return self._run(watched(work, self._connection, self._pid, self._connect, self._silence))

    async def _watched(self, connection: asyncpg.Connection[Any], copy: _Copy, sql: str) -> str:
        return await watched(copy.run(sql), connection, self._pid, self._connect, self._silence, lambda: copy.taken)

    @property
    def _silence(self) -> float:
        """Seconds without a byte after which the server is asked."""
        return 2.0 * self.config.connect_timeout

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            _afford_loop()
            self._loop = asyncio.new_event_loop()
        return self._loop

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._event_loop()
        except OSError:
            work.close()
            raise
        return loop.run_until_complete(work)


class _Copy:
    """One COPY; what it receives ends with whole rows, as the protocol sends one row in each message.

    taken: bytes so far.  filled: done with the first whole block; no more comes before `followed` is done, for it
    would wait for a reader that waits for this loop.
    """

    def __init__(
        self, connection: asyncpg.Connection[Any], feed: Feed, size: int, binary: bool, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.taken = 0
        self.filled: asyncio.Future[None] = loop.create_future()
        self.followed: asyncio.Future[None] = loop.create_future()
        self._connection = connection
        self._feed = feed
        self._size = size
        self._form = {"format": "binary"} if binary else {"format": "csv", "encoding": "utf8"}
        self._parts: list[bytes] = []
        self._held = 0

    async def run(self, sql: str) -> str:
        """The server's last word."""
        try:
            status: str = await self._connection.copy_from_query(sql, output=self._take, **self._form)
            if self._parts:
                self._feed.put(b"".join(self._parts))
        except (ClosedError, asyncio.CancelledError):
            await self._connection.close(timeout=_PATIENCE)  # sends the cancel request first
            raise
        return status

    async def _take(self, data: bytes) -> None:
        self._parts.append(data)
        self._held += len(data)
        self.taken += len(data)
        if self._held >= self._size:
            block, self._held = b"".join(self._parts), 0
            self._parts.clear()
            self._feed.put(block)
            if not self.filled.done():
                self.filled.set_result(None)
                await self.followed
        if len(data) < _SCANT and self.taken > _AHEAD:
            await asyncio.sleep(_NAP)


async def _either(*futures: asyncio.Future[Any]) -> bool:
    """Whether one of them is done within a second."""
    return bool((await asyncio.wait(futures, timeout=1.0, return_when=asyncio.FIRST_COMPLETED))[0])


def _afford_loop() -> None:
    """Raises when there are too few descriptors: a loop that is built by half would complain on standard error."""
    with selectors.DefaultSelector():
        for end in socket.socketpair():
            end.close()


def _drive(loop: asyncio.AbstractEventLoop, task: asyncio.Task[str], feed: Feed) -> None:
    """Run the loop until the COPY is over, on a thread of its own; the reader gets what went wrong."""
    try:
        loop.run_until_complete(task)
    except BaseException as error:
        feed.end(error)
    else:
        feed.end()


def _copied(status: str, subject: str) -> int:
    """The number in "COPY 42": an end without it is no end."""
    word, _, rows = status.partition(" ")
    if word != "COPY" or not rows.isdigit():
        raise SourceError(f"{subject}: the server ended the copy with {status!r}")
    return int(rows)


async def _settle(seconds: float) -> None:
    """Let what a failed connection left behind (cancel requests, TLS farewells) come to its end."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.sleep(seconds)


def _encrypted(connection: asyncpg.Connection[Any]) -> bool:
    transport: Any = connection._transport
    return transport.get_extra_info("ssl_object") is not None


def _keep_alive(connection: asyncpg.Connection[Any]) -> None:
    """Notice within a minute or two that the other side is gone."""
    transport: Any = connection._transport
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _system_user() -> str:
    import getpass

    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return ""
