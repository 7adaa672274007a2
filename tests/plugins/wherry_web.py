"""A web server on 127.0.0.1 that misbehaves as told; what it was asked for, in order, is the oracle of tests.

with Web(lambda asked: said({"rows": []})) as web:
    ...
assert [asked.path for asked in web.log] == ["/v1/items"]
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request. headers: names in lower case. number: from 0. at: when it was read, seconds of the monotonic clock."""

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def route(self) -> str:
        """The path without its query."""
        return urlsplit(self.path).path

    @property
    def query(self) -> dict[str, str]:
        """Parameters, the last of each name."""
        return {
            name: values[-1] for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()
        }

    @property
    def form(self) -> dict[str, str]:
        """The body of a form."""
        return {name: values[-1] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}

    @property
    def auth(self) -> str | None:
        """What stands under Authorization."""
        return self.headers.get("authorization")


@dataclass(frozen=True)
class Said:
    """Bytes to write, piece by piece, then: "keep" the connection, "close" it, or "reset" it."""

    pieces: Iterable[bytes]
    then: str = "keep"


def said(
    body: Any = b"", status: int = 200, headers: Mapping[str, str] | None = None, *, length: int | None = None,
    then: str = "keep",
) -> Said:  # fmt: skip
    """An answer. body: bytes, or a value that becomes JSON. length: a Content-Length other than the body's."""
    kind = {} if isinstance(body, bytes) else {"Content-Type": "application/json"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {**kind, "Content-Length": str(len(data) if length is None else length), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return Said([f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + data], then)


@dataclass
class Web:
    """Serves until the end of its `with`. answer: what to say; None: close without a word."""

    answer: Callable[[Asked], Said | None]
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    log: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Web:
        self._socket = socket.create_server((self.host, 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._over = False
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}"

    def to(self, route: str) -> list[Asked]:
        """What was asked of a path."""
        return [asked for asked in self.log if asked.route == route]

    def _serve(self) -> None:
        while not self._over:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._connected, args=(connection,), daemon=True).start()

    def _connected(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connection)
        with contextlib.suppress(OSError, ValueError):
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection.makefile("rb") as file:
                while (asked := self._read(file)) is not None and self._say(connection, self.answer(asked)):
                    pass
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def _read(self, file: Any) -> Asked | None:
        line = file.readline()
        if not line.strip():
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := file.readline()) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = file.read(int(headers.get("content-length", 0)))
        with self._lock:
            asked = Asked(len(self.log), method, path, headers, body, time.monotonic())
            self.log.append(asked)
        return asked

    def _say(self, connection: socket.socket, answer: Said | None) -> bool:
        if answer is None:
            return False
        for piece in answer.pieces:
            if self._over:
                return False
            connection.sendall(piece)
        if answer.then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        return answer.then == "keep"


def chunked(body: bytes, size: int = 100, *, ends: bool = True, headers: str = "") -> Said:
    """The body in chunks; without an end, the connection is closed where the last chunk should be."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    lines = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode()
    return Said([head, *lines, *([b"0\r\n\r\n"] if ends else [])], "keep" if ends else "close")


class Provider:
    """An API with its own token endpoint: access tokens are good for so many uses, refresh tokens for one."""

    def __init__(self, *, expires: Any = 3600, uses: int = 10**9, rotates: bool = True) -> None:
        self.expires, self.uses, self.rotates = expires, uses, rotates
        self.issued = 0
        self.used = 0
        self.refresh = "refresh-0"
        self.lock = threading.Lock()

    def __call__(self, asked: Asked) -> Said:
        with self.lock:
            if asked.route == "/token":
                return self.token(asked)
            self.used += 1
            if asked.auth != f"Bearer access-{self.issued}" or self.used > self.uses:
                return said({"error": "expired"}, 401)
            return said([1])

    def token(self, asked: Asked) -> Said:
        if asked.form["grant_type"] == "refresh_token" and asked.form["refresh_token"] != self.refresh:
            return said({"error": "invalid_grant"}, 400)
        self.issued += 1
        self.used = 0
        answer = {"access_token": f"access-{self.issued}", "expires_in": self.expires}
        if asked.form["grant_type"] == "refresh_token" and self.rotates:
            self.refresh = answer["refresh_token"] = f"refresh-{self.issued}"
        return said(answer)
