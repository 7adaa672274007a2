"""Connections that look at whom they are connected to before they send, and end when an answer takes too long."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

SLOWEST = 1024
"""Bytes a second: an answer that comes slower than that for longer than the timeout is given up."""
_TICK = 0.25


class Guard:
    """Ends an exchange that takes too long, or that the run no longer wants, by shutting its socket.

    Time limits of sockets count from byte to byte: against a byte a second they do not help.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._until: float | None = None
        self._answered = False
        self._thread: threading.Thread | None = None
        self.late = self.stopped = False

    @contextmanager
    def over(self, seconds: float) -> Iterator[None]:
        """The body is an exchange that may take so long, and longer for what comes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="http guard", daemon=True)
            self._thread.start()
        with self._lock:
            self.late = self.stopped = self._answered = False
            self._until = time.monotonic() + 2 * seconds  # to connect, and for the headers
        try:
            yield
        finally:
            with self._lock:
                self._until = self._socket = None

    def uses(self, connection: socket.socket | None) -> None:
        """The exchange goes over this socket."""
        with self._lock:
            self._socket = connection

    def answered(self) -> None:
        """The headers are there: more time is granted for what comes from now on."""
        self._answered = True

    def came(self, size: int) -> None:
        """So many bytes came."""
        with self._lock:
            if self._until is not None and self._answered:
                self._until += size / SLOWEST

    def _run(self) -> None:
        while not self._closed.wait(_TICK):
            with self._lock:
                late = self._until is not None and time.monotonic() > self._until
                stopped = self._until is not None and self._stop.is_set()
                if self._socket is not None and (late or stopped):
                    self.late, self.stopped = self.late or late, stopped
                    _shut(self._socket)
                    self._socket = None

    def close(self) -> None:
        """Guard no more."""
        self._closed.set()


def _shut(connection: socket.socket) -> None:
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS, which would wait for the other side
    except OSError:
        return


class Adapter(HTTPAdapter):
    """`requests`' own, with connections that look at whom they are connected to before they send."""

    def __init__(self, admit: Callable[[str], None], guard: Guard) -> None:
        self._admit = admit
        self._guard = guard
        self._known: dict[tuple[str, str], Any] = {}
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Looked for once for a place, which is never asked with other certificates or proxies."""
        scheme, _, rest = str(request.url).partition("://")
        place = (scheme, rest.partition("/")[0])
        if place not in self._known:
            self._known[place] = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return self._known[place]

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        return str(super().request_url(request, proxies) if proxies else request.path_url)

    def close(self) -> None:
        self._known.clear()
        super().close()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._admit, self._guard)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _pools(lambda address: None, self._guard)  # the proxy may be anywhere
        return manager


class _Counted(io.RawIOBase):
    """What comes from a socket, counted as it comes, so that a body may be read in one piece.

    came: is told the bytes of each reading.
    """

    def __init__(self, raw: io.RawIOBase, came: Callable[[int], None]) -> None:
        self._raw, self._came = raw, came

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        size: int | None = self._raw.readinto(buffer)
        self._came(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


def _pools(admit: Callable[[str], None], guard: Guard) -> dict[str, type[HTTPConnectionPool]]:
    class Counted(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            self.fp = io.BufferedReader(_Counted(self.fp.detach(), guard.came))

    class Looking:
        response_class: Any = Counted
        sock: socket.socket | None
        host: str
        port: int

        def connect(self) -> None:
            with contextlib.suppress(OSError):  # a name that is not known: to connect says so
                for found in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
                    admit(str(found[4][0]))
            super().connect()  # type: ignore[misc]
            if self.sock is not None:
                admit(self.sock.getpeername()[0])

        def getresponse(self) -> Any:
            guard.uses(self.sock)
            response = super().getresponse()  # type: ignore[misc]
            guard.answered()
            return response

    class Plain(Looking, HTTPConnection):
        pass

    class Safe(Looking, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SafePool(HTTPSConnectionPool):
        ConnectionCls = Safe

    return {"http": PlainPool, "https": SafePool}
