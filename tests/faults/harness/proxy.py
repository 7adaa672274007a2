"""A TCP proxy on loopback that can be told to fail: between a client and a PostgreSQL server, or any other.

    with Proxy(port=5432) as proxy:
        proxy.cut(after=4096)                  # the connection that carries the 4,096th byte from now on is reset
        proxy.commit(nth=3, answer="lost")     # the third COMMIT from now on is done, and its answer never arrives
        ... proxy.url("postgresql://postgres@127.0.0.1:5432/shop")

Verbs may be called from any thread, at any time; each counts from its call. `cut`, `corrupt` and `commit` happen once.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal

COMMIT = b"Q\x00\x00\x00\x0bcommit\x00"
"""A simple query of its own; clients that wait for each answer send it as one piece."""
TLS_WANTED = struct.pack("!ii", 8, 80877103)
CHUNK = 16 << 10

End = Literal["rst", "close", "half", "freeze"]
Answer = Literal["lost", "never", "late"]


@dataclass(eq=False)
class Link:
    """One client and its connection to the server."""

    client: socket.socket
    server: socket.socket
    last: float = field(default_factory=time.monotonic)
    frozen: bool = False
    over: bool = False
    doubt: Answer | None = None
    work: asyncio.Future[Any] | None = None

    def end(self, how: End) -> None:
        """rst: reset both sides; close: end both in order; half: say to the client that no more comes, and go on."""
        if how == "freeze":
            self.frozen = True
        elif how == "half":
            with contextlib.suppress(OSError):
                self.client.shutdown(socket.SHUT_WR)
        else:
            self.over = True
            if how == "rst":
                _resets(self.client)
                _resets(self.server)
            if self.work is not None:
                self.work.cancel()  # who waits for the sockets, so that they can be closed


def _resets(side: socket.socket) -> None:
    """Its close will be a reset."""
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Proxy:
    """Listens on a free port of loopback, in a thread of its own.

    Counts since it was made: links (connections), sent (bytes both ways), commits, done (what verbs did, in order).
    """

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.target = port
        self.links: list[Link] = []
        self.opened = self.sent = self.commits = 0
        self.done: list[str] = []
        self._rate = self._delay = self._idle = 0.0
        self._refusing = self._plain = self._frozen = False
        self._at: dict[int, End | Literal["corrupt"]] = {}
        self._doubts: dict[int, tuple[Answer, float]] = {}
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server((self.host, 0))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def url(self, url: str, host: str | None = None) -> str:
        """The URL with the proxy in the server's place. host: another name for it."""
        return re.sub(r"(://(?:[^@/]*@)?)[^/?]*", lambda m: f"{m[1]}{host or self.host}:{self.port}", url, count=1)

    # --- verbs

    def clear(self) -> None:
        """Pass everything from now on; what is frozen goes on."""
        self._rate = self._delay = self._idle = 0.0
        self._refusing = self._plain = self._frozen = False
        self._at.clear()
        self._doubts.clear()
        for link in self.links:
            link.frozen = False

    def delay(self, seconds: float) -> None:
        """Hold each piece back for so long."""
        self._delay = seconds

    def limit(self, rate: float) -> None:
        """So many bytes a second, each way of each connection."""
        self._rate = rate

    def idle(self, seconds: float) -> None:
        """Close a connection over which nothing went for so long."""
        self._idle = seconds

    def refuse(self) -> None:
        """Reset new connections at once."""
        self._refusing = True

    def downgrade(self) -> None:
        """Answer to every client that asks for TLS that the server has none."""
        self._plain = True

    def freeze(self, forever: bool = False) -> None:
        """Pass nothing on over connections that there are, and say nothing of it. forever: nor over new ones."""
        self._frozen = forever
        self._now("freeze", "freeze")

    def cut(self, after: int = 0, how: End = "rst") -> None:
        """End the connection that carries the nth byte from now on, behind that byte; with 0 all, at once."""
        if after:
            self._at[self.sent + after] = how
        else:
            self._now(f"cut {how}", how)

    def corrupt(self, after: int) -> None:
        """Turn the bits of the nth byte from now on."""
        self._at[self.sent + after] = "corrupt"

    def commit(self, nth: int = 1, answer: Answer = "lost", seconds: float = 0.5) -> None:
        """Leave the client of the nth COMMIT from now on in doubt: its connection is reset.

        lost: the server has committed.  never: it has never got the COMMIT.  late: it gets it `seconds` later.
        """
        self._doubts[self.commits + nth] = (answer, seconds)

    # --- inside

    def _now(self, what: str, how: End) -> None:
        def act() -> None:
            self.done.append(what)
            for link in list(self.links):
                link.end(how)

        self._loop.call_soon_threadsafe(act)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._start(self._accept())
        self._start(self._watch())
        self._loop.run_forever()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._listener.close()
        self._loop.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            self._start(self._link(client))

    async def _link(self, client: socket.socket) -> None:
        server = socket.socket()
        server.setblocking(False)
        for side in (client, server):  # a slow line holds little
            if self._rate:
                side.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
                side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._refusing:
                raise ConnectionRefusedError
            await self._loop.sock_connect(server, (self.host, self.target))
        except OSError:
            for side in (client, server):
                _resets(side)
                side.close()
            return
        self.opened += 1
        link = Link(client, server, frozen=self._frozen)
        self.links.append(link)
        try:
            if self._plain and await self._loop.sock_recv(client, 8) == TLS_WANTED:
                await self._loop.sock_sendall(client, b"N")
            ways = [self._pump(link, client, server), self._pump(link, server, client)]
            link.work = asyncio.gather(*ways)
            await link.work
        except (OSError, asyncio.CancelledError):
            link.over = True
        finally:
            self.links.remove(link)
            client.close()
            server.close()

    async def _pump(self, link: Link, source: socket.socket, target: socket.socket) -> None:
        """From one side to the other until one of them is gone."""
        up = source is link.client
        try:
            while data := await self._loop.sock_recv(source, CHUNK):
                while link.frozen:
                    await asyncio.sleep(0.02)
                link.last = time.monotonic()
                await asyncio.sleep(self._delay + (len(data) / self._rate if self._rate else 0))
                if not up and link.doubt is not None:  # the server has answered a COMMIT
                    self.done.append(f"commit {link.doubt}")
                    link.end("rst")
                elif up and data == COMMIT:
                    await self._committing(link)
                else:
                    await self._send(link, target, data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            link.end("rst")

    async def _send(self, link: Link, target: socket.socket, data: bytes) -> None:
        """Pass data on; up to each byte at which something happens by itself."""
        while (at := min(self._at, default=None)) is not None and at <= self.sent + len(data):
            what, part, data = self._at.pop(at), data[: at - self.sent], data[at - self.sent :]
            self.done.append(f"{what} at {at}")
            self.sent += len(part)
            if what == "corrupt":
                part = part[:-1] + bytes([part[-1] ^ 0xFF])
            await self._loop.sock_sendall(target, part)
            if what != "corrupt":
                link.end(what)
                if link.over or link.frozen:
                    return
        self.sent += len(data)
        await self._loop.sock_sendall(target, data)

    async def _committing(self, link: Link) -> None:
        self.commits += 1
        answer, seconds = self._doubts.pop(self.commits, (None, 0.0))
        if answer == "never":
            self.done.append("commit never")
            link.end("rst")
            return
        link.doubt = answer
        if answer == "late":
            _resets(link.client)
            link.client.close()
            await asyncio.sleep(seconds)
        self.sent += len(COMMIT)
        await self._loop.sock_sendall(link.server, COMMIT)
        if answer == "late":
            await asyncio.sleep(60)  # until the answer ends the link

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            for link in list(self.links):
                if self._idle and time.monotonic() - link.last > self._idle:
                    self.done.append("idle")
                    link.end("close")
