"""Waiting for a server, but not for ever: when nothing comes, another session asks what it is doing."""

from __future__ import annotations

import asyncio
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
    received: Callable[[], int] = int,
) -> T:
    """What the work on a connection returns. `ConnectionError`: the server is gone, or we are for it.

    pid: the connection's process on the server.  another: opens a session to ask in.  patience: seconds of silence
    before it is asked.  received: bytes so far.
    """
    task = asyncio.ensure_future(work)
    seen: tuple[Any, ...] | None = None
    try:
        while not (await asyncio.wait({task}, timeout=patience))[0]:
            now = (received(), *await _doing(pid, another))
            if now == seen:
                raise ConnectionResetError("the server waits for us: what it sends does not arrive")
            seen = now
    except BaseException as error:
        if not isinstance(error, asyncio.CancelledError):  # the work itself sees to that
            connection.terminate()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    return task.result()


async def _doing(pid: int, another: Callable[[], Awaitable[asyncpg.Connection[Any]]]) -> tuple[Any, ...]:
    """What the server does for us; never the same twice while it works."""
    try:
        session = await another()
    except asyncpg.PostgresError:  # it answers, if only to say that it takes no more sessions
        return (object(),)
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise ConnectionResetError("the server does not answer any more") from error
    try:
        doing = await session.fetchrow(_DOING, pid, timeout=10)
    finally:
        session.terminate()
    if doing is None:
        raise ConnectionResetError("the server has ended this session")
    waits = doing["state"] != "active" or doing["wait_event"] in _FOR_US
    return tuple(doing) if waits else (object(),)
