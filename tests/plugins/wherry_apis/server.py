"""An HTTP server on 127.0.0.1 whose answers are methods of a class, and whose log is what a test believes."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request as it came. query: the last value of each name. names: what stood in the braces of the route.

    at, done: when it came and was answered, seconds of `time.monotonic`.  status, given: what was answered.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None
    names: dict[str, str] = field(default_factory=dict)
    at: float = 0.0
    done: float = 0.0
    status: int = 0
    given: Any = field(default=None, repr=False)

    def whole(self, name: str, default: int) -> int:
        """A number in the query."""
        return int(self.query.get(name, default))


@dataclass(frozen=True)
class Reply:
    """An answer: `body` as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def route(*patterns: str) -> Callable[[Any], Any]:
    """The method answers `GET /repos/{owner}/{name}`; a part in braces takes one segment of the path."""

    def mark(method: Any) -> Any:
        method.routes = [_compiled(pattern) for pattern in patterns]
        return method

    return mark


class Api:
    """Base of the servers: `with Github() as api: … api.url, api.log`. Data are attributes that tests change.

    A method under `route` returns a `Reply`, or the body of one. planned: answers that are given to the next requests,
    whatever they ask for.
    """

    routes: ClassVar[list[tuple[str, re.Pattern[str], str]]] = []

    def __init_subclass__(cls) -> None:
        """Collect the routes."""
        cls.routes = [
            (verb, pattern, name)
            for name, method in vars(cls).items()
            for verb, pattern in getattr(method, "routes", ())
        ]

    def __init__(self) -> None:
        self.log: list[Call] = []
        self.planned: deque[Reply] = deque()
        self.url = ""
        self._server: ThreadingHTTPServer | None = None

    def refusal(self, call: Call) -> Reply | None:
        """What a request without the right token gets."""
        return None

    def always(self) -> Mapping[str, str]:
        """Headers of every answer."""
        return {}

    def answer(self, call: Call) -> tuple[Call, Reply]:
        """The request with the names of its route, and what is answered."""
        if self.planned:
            return call, self.planned.popleft()
        refused = self.refusal(call)
        if refused is not None:
            return call, refused
        for verb, pattern, name in self.routes:
            match = pattern.fullmatch(call.path)
            if match and verb == call.method:
                values = {key: unquote(value) for key, value in match.groupdict().items()}
                call = Call(**{**vars(call), "names": values})
                found = getattr(self, name)(call)
                return call, found if isinstance(found, Reply) else Reply(found)
        return call, Reply({"message": "Not Found"}, 404)

    def asked(self, part: str) -> list[Call]:
        """Requests whose path ends so, in order, those that were refused too."""
        return [call for call in self.log if call.path.endswith(part)]

    def forget(self) -> None:
        """Begin a new log."""
        self.log.clear()

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


def _compiled(text: str) -> tuple[str, re.Pattern[str]]:
    verb, path = text.split(" ", 1)
    parts = re.split(r"\{(\w+)\}", path)
    return verb, re.compile("".join(f"(?P<{p}>[^/]+)" if n % 2 else re.escape(p) for n, p in enumerate(parts)))


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet an answer

        def do_GET(self) -> None:
            place = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            call = Call(
                method=self.command, path=place.path, at=time.monotonic(),
                query={name: values[-1] for name, values in parse_qs(place.query, keep_blank_values=True).items()},
                headers={name.lower(): value for name, value in self.headers.items()},
                body=json.loads(self.rfile.read(length)) if length else None,
            )  # fmt: skip
            call, reply = api.answer(call)
            api.log.append(
                Call(**{**vars(call), "done": time.monotonic(), "status": reply.status, "given": reply.body})
            )
            content = json.dumps(reply.body, separators=(",", ":")).encode()
            self.send_response_only(reply.status)
            for name, value in {"Content-Type": "application/json", **api.always(), **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
