"""Waiting for a server, but not for ever: when nothing comes, another session asks what it is doing."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")
_DOING = "select state, wait_event from pg_stat_activity where pid = $1"
_FOR_US = ("ClientRead", "ClientWrite")


async def watched(
    work: Coroutine[Any, Any, T],
    connection: asyncpg.Connection[Any],
    pid: int,
    another: Callable[[], Awaitable[asyncpg.Connection[Any]]],
    patience: float,
    taken: Callable[[], int] = int,
) -> T:
    """What the work on a connection returns. `ConnectionError`: the server is gone, or we are for it.

    pid: the connection's process on the server.  another: opens a session to ask in.  patience: seconds between two
    looks; when the server waits for us, and no byte has come through since the last look, the connection is lost.
    taken: bytes that the work has taken so far; it may be slow to take them.
    """
    task = asyncio.ensure_future(work)
    seen: object = None
    before = (taken(), _moved(connection))
    try:
        while not (await asyncio.wait({task}, timeout=patience))[0]:
            now = (taken(), _moved(connection))
            if now == before:
                doing = await _doing(pid, another)
                if doing == seen and now[1] is not None:
                    raise ConnectionResetError("the server waits for us: what it sends does not arrive")
                seen = doing
            before = now
    except BaseException as error:
        if not isinstance(error, asyncio.CancelledError):  # the work itself sees to that
            connection.terminate()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    return task.result()


async def _doing(pid: int, another: Callable[[], Awaitable[asyncpg.Connection[Any]]]) -> object:
    """What the server does for us; never the same twice while it works."""
    try:
        session = await another()
        try:
            doing = await session.fetchrow(_DOING, pid, timeout=10) if pid else ("active", None)
        finally:
            session.terminate()
    except asyncpg.PostgresError:  # it answers, if only to say that it takes no more sessions
        return object()
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise ConnectionResetError("the server does not answer any more") from error
    if doing is None:
        raise ConnectionResetError("the server has ended this session")
    return tuple(doing) if doing[0] != "active" or doing[1] in _FOR_US else object()


def _moved(connection: asyncpg.Connection[Any]) -> tuple[Any, ...] | None:
    """Bytes sent and arrived, and received, as the system counts them; None where it does not."""
    transport: Any = connection._transport
    sock = transport and transport.get_extra_info("socket")
    try:
        return struct.unpack_from("QQ", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136), 120)
    except (AttributeError, OSError, struct.error):
        return None
