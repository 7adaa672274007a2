"""One exchange: a request out, its whole answer in, within limits of time and size, to an address that is allowed."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from wherry.contracts.source import Run
from wherry.errors import PolicyError, Stopped, UsageError
from wherry.http import bodies
from wherry.http.context import adapter
from wherry.http.places import Addresses

SLOWEST = 1024
"""Bytes a second: an answer that comes slower than that for longer than the timeout is given up."""
_TICK = 0.25
_READ = 256 << 10


class Failed(Exception):
    """There was no whole answer. why: for people.  reached: the host was there."""

    def __init__(self, why: str, reached: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.reached = reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, complete. url: with its query.  shown: the address for messages and logs, without secrets."""

    method: str
    url: str
    shown: str
    headers: Mapping[str, str] = field(repr=False)
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back. headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Wire:
    """Connections of one lane to one host, on `requests`: TLS is verified, proxies are those of the environment.

    No redirect is followed, no `.netrc` is read. timeout: seconds without a byte.
    """

    def __init__(self, run: Run, timeout: float, addresses: Addresses) -> None:
        self._run = run
        self._timeout = timeout
        self._guard = _Guard(run.stop)
        self._session = requests.Session()
        self._session.trust_env = False
        own = _Adapter(addresses.admit, self._guard)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter(run, own))
        environ = os.environ
        self._verify = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or True

    def exchange(self, call: Call) -> Reply:
        """The whole answer. Failed: there is none, and there may be one if it is asked for again.

        PolicyError: what came is too large, from a wrong address, or not to be trusted.
        """
        began = time.monotonic()
        try:
            with self._guard.over(self._timeout):
                reply = self._exchange(call)
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError) as error:
            if self._guard.stopped:
                raise Stopped from None
            if self._guard.late:
                raise Failed(f"no whole answer within {self._timeout:g} s") from None
            raise self._translated(error, call.shown) from None
        if self._guard.stopped:
            raise Stopped
        if self._guard.late:  # where no length is told, a body that is cut looks whole
            raise Failed(f"no whole answer within {self._timeout:g} s")
        self._run.log.debug(
            "%s %s: %d, %d bytes, %.3f s", call.method, call.shown, reply.status, len(reply.body),
            time.monotonic() - began,
        )  # fmt: skip
        return reply

    def _exchange(self, call: Call) -> Reply:
        try:
            headers = {"Accept-Encoding": bodies.PACKED, **call.headers}
            request = requests.Request(call.method, call.url, headers=headers, data=call.data).prepare()
        except requests.exceptions.InvalidHeader:
            raise UsageError(f"{call.shown}: a header holds a line break", next="correct headers or auth") from None
        response = self._session.send(
            request, stream=True, timeout=self._timeout, allow_redirects=False, verify=self._verify,
            proxies=get_environ_proxies(call.url, no_proxy=None),
        )  # fmt: skip
        try:
            said = {name.lower(): value for name, value in response.headers.items()}
            most = self._run.memory // 4
            size = said.get("content-length", "")
            if size.isdecimal() and int(size) > most:
                raise bodies.too_large(most, call.shown)
            body = bodies.unpacked(self._chunks(response.raw), said, most, call.shown)
        except BaseException:
            response.raw.close()  # what is left of it is not wanted
            raise
        finally:
            response.close()
        framed = "content-length" in said or "transfer-encoding" in said
        if not body and not framed and response.status_code in (200, 201, 202, 203):  # its headers may be cut off
            raise Failed("the connection was closed before a body came")
        return Reply(status=response.status_code, headers=said, body=body)

    def _chunks(self, raw: Any) -> Iterator[bytes]:
        """Pieces of the body as they come; more time is granted for each."""
        if getattr(raw, "chunked", False):
            pieces: Iterator[bytes] = raw.stream(_READ, decode_content=False)
        else:
            pieces = iter(lambda: raw.read1(_READ, decode_content=False) or b"", b"")
        for piece in pieces:
            self._guard.came(len(piece))
            yield piece

    def _translated(self, error: BaseException, shown: str) -> Exception:
        """What a library raised, as something to be tried again or not."""
        causes = list(_causes(error))
        text = " ".join(f"{type(cause).__name__} {cause}" for cause in causes)
        if "CERTIFICATE_VERIFY_FAILED" in text or "CertificateError" in text:
            reason = next((str(getattr(c, "verify_message", "")) for c in causes if hasattr(c, "verify_message")), "")
            return PolicyError(
                f"{shown}: its certificate is not trusted: {reason or 'it is of another host'}",
                next="see that base_url names the right host; an authority of your own: REQUESTS_CA_BUNDLE=FILE",
            )
        if any(isinstance(c, http.client.LineTooLong) for c in causes) or "got more than" in text:
            return PolicyError(
                f"{shown}: the headers of its answer are too large", next="report it to whoever runs the API"
            )
        if any(isinstance(c, requests.exceptions.InvalidURL) for c in causes):
            return UsageError(f"{shown}: the address cannot be read", next="write it as https://HOST/PATH")
        return _failure(error, causes, text, self._timeout)

    def close(self) -> None:
        """Let go of the connections."""
        self._guard.close()
        self._session.close()


def _failure(error: BaseException, causes: list[BaseException], text: str, timeout: float) -> Failed:
    if any(isinstance(cause, NameResolutionError | socket.gaierror) for cause in causes):
        return Failed("its name is not known", reached=False)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Failed(f"it cannot be reached within {timeout:g} s", reached=False)
    if isinstance(error, requests.exceptions.ProxyError):
        return Failed("the proxy of the environment (HTTPS_PROXY, HTTP_PROXY) cannot be reached", reached=False)
    if any(isinstance(cause, NewConnectionError) for cause in causes):
        refused = any(isinstance(cause, ConnectionRefusedError) for cause in causes) or "refused" in text
        return Failed("connection refused" if refused else "it cannot be reached", reached=False)
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in text:
        return Failed(f"nothing came for {timeout:g} s")
    if any(isinstance(c, http.client.IncompleteRead) or "IncompleteRead" in type(c).__name__ for c in causes):
        return Failed("the body of its answer is cut off")
    if "InvalidChunkLength" in text or "chunk" in text.lower():
        return Failed("the body of its answer is cut off or damaged")
    if "reset" in text or "Broken pipe" in text:
        return Failed("the connection was reset")
    if "RemoteDisconnected" in text or "closed connection" in text:
        return Failed("the connection was closed without an answer")
    return Failed(f"no answer that can be read ({type(causes[-1]).__name__})")


def _causes(error: BaseException | None, deep: int = 8) -> Iterator[BaseException]:
    """The error and what it was made of, outermost first."""
    while error is not None and deep:
        yield error
        inside = [arg for arg in (*error.args, getattr(error, "reason", None)) if isinstance(arg, BaseException)]
        for cause in inside:
            yield from _causes(cause, deep - 1)
        error, deep = error.__cause__ or error.__context__, deep - 1


class _Guard:
    """Ends an exchange that takes too long, or that the run no longer wants, by shutting its socket.

    Time limits of sockets count from byte to byte: against a byte a second they do not help.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._until: float | None = None
        self._thread: threading.Thread | None = None
        self.late = self.stopped = False

    @contextmanager
    def over(self, seconds: float) -> Iterator[None]:
        """The body is an exchange that may take so long, and longer for what comes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="http guard", daemon=True)
            self._thread.start()
        with self._lock:
            self.late = self.stopped = False
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

    def came(self, size: int) -> None:
        """So many bytes came."""
        with self._lock:
            if self._until is not None:
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


class _Adapter(HTTPAdapter):
    """`requests`' own, with connections that look at whom they are connected to before they send."""

    def __init__(self, admit: Callable[[str], None], guard: _Guard) -> None:
        self._admit = admit
        self._guard = guard
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._admit, self._guard)


def _pools(admit: Callable[[str], None], guard: _Guard) -> dict[str, type[HTTPConnectionPool]]:
    class Looking:
        sock: socket.socket | None

        def connect(self) -> None:
            super().connect()  # type: ignore[misc]
            if self.sock is not None:
                admit(self.sock.getpeername()[0])

        def getresponse(self) -> Any:
            guard.uses(self.sock)
            return super().getresponse()  # type: ignore[misc]

    class Plain(Looking, HTTPConnection):
        pass

    class Safe(Looking, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SafePool(HTTPSConnectionPool):
        ConnectionCls = Safe

    return {"http": PlainPool, "https": SafePool}
