"""PocketBase itself: the server from the package index, and a proxy before it that keeps a log of requests."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from wherry_apis.server import Api, Call, Reply

IDENTITY, PASSWORD = "ana@example.com", "only-for-tests"


class PocketBase(Api):
    """A server with its data in `folder`; what goes through `url` is logged, `ask` goes past the log."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._program = Path(sys.prefix, "bin", "pocketbase")
        self._folder = folder
        self._token = ""

    def __enter__(self) -> Self:
        place = ["--dir", str(self._folder)]
        user = [self._program, "superuser", "upsert", IDENTITY, PASSWORD, *place]
        subprocess.run(user, check=True, capture_output=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        serve = [self._program, "serve", "--http", f"127.0.0.1:{self._port}", "--automigrate=false", *place]
        self._process = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()
        path = "/api/collections/_superusers/auth-with-password"
        self._token = self.ask("POST", path, {"identity": IDENTITY, "password": PASSWORD})["token"]
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._process.terminate()
        self._process.wait()

    def _wait(self) -> None:
        for _ in range(400):
            try:
                return self.ask("GET", "/api/health")
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("PocketBase did not start")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the server answers a superuser; AssertionError for a refusal."""
        status, content = self._send(method, path, body, {"Authorization": self._token} if self._token else {})
        assert status < 300, (method, path, content)
        return json.loads(content) if content else None

    def answer(self, call: Call) -> tuple[Call, Reply]:
        if self.planned:
            return call, self.planned.popleft()
        path = call.path + (f"?{urlencode(call.query)}" if call.query else "")
        kept = {name: value for name, value in call.headers.items() if name == "authorization"}
        status, content = self._send(call.method, path, call.body, kept)
        return call, Reply(json.loads(content), status)

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, {"Content-Type": "application/json", **headers})
            found = connection.getresponse()
            return found.status, found.read()
        finally:
            connection.close()

    def collection(self, name: str, *fields: dict[str, Any], kind: str = "base", stamped: bool = True) -> Any:
        """A new collection; `stamped` ones have the fields created and updated."""
        times = [
            {"name": "created", "type": "autodate", "onCreate": True, "onUpdate": False},
            {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
        ]
        body = {"name": name, "type": kind, "fields": [*fields, *(times if stamped else [])]}
        return self.ask("POST", "/api/collections", body)

    def insert(self, collection: str, **values: Any) -> Any:
        """A new record."""
        return self.ask("POST", f"/api/collections/{collection}/records", values)

    def records(self, collection: str) -> dict[str, Any]:
        """All records, by id, read in another way."""
        found: dict[str, Any] = {}
        for page in itertools.count(1):
            path = f"/api/collections/{collection}/records?sort=id&perPage=1000&page={page}"
            items = self.ask("GET", path)["items"]
            found |= {row["id"]: row for row in items}
            if len(items) < 1000:
                break
        return found
