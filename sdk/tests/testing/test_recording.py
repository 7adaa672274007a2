"""Recorded traffic: what is kept of it, what is not, and what is answered from it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from wherry import SourceError, UsageError
from wherry.testing.recording import Tape

WHERRY = Path(sys.executable).with_name("wherry")
SECRET = "sesame-open-7"
ROWS = [{"id": n, "price": 1.5 if n else 1, "at": f"2024-01-01T00:00:{n:02}Z"} for n in range(40)]


class Handler(BaseHTTPRequestHandler):
    """Logs in, and lists in pages by tokens."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        query = dict(parse_qsl(urlsplit(self.path).query))
        if self.path == "/busy":
            busy = self.server.asked.count("/busy") < 2  # type: ignore[attr-defined]
            self.answer(b'{"busy": true}' if busy else b'{"busy": false}', 503 if busy else 200)
        elif self.path.startswith("/exact"):
            self.answer(b'{"n": 1.10, "n2": 12345678901234567890.5}')
        elif self.path.startswith("/bytes"):
            self.answer(b"\xff\xfe\x00")
        else:
            rows = [row for row in ROWS if str(row["at"]) >= query.get("since", "")]
            start = int(query.get("page_token", "token-of-page-0").rpartition("-")[2])
            more = len(rows) > start + 15
            found = {"data": rows[start : start + 15], "next_token": f"token-of-page-{start + 15}" if more else None}
            self.answer(json.dumps({**found, "echo": f"you are {self.headers['Authorization']}"}).encode())

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append(f"{self.path} {sent}")  # type: ignore[attr-defined]
        self.answer(json.dumps({"access_token": "given-token-1234", "token_type": "bearer"}).encode())

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", "session=very-secret-cookie")
        self.send_header("X-Page", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def session(tape: Tape) -> requests.Session:
    found = requests.Session()
    found.mount("http://", tape.wrap(HTTPAdapter()))
    return found


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_recorded_and_replayed_without_secrets(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    file = tmp_path / "tests" / "acme.json"
    url = address(server)

    def talk(tape: Tape, secret: str, pin: str) -> list[Any]:
        with session(tape) as http:
            form = {"client_secret": secret, "pin": pin, "grant": "x"}
            token = http.post(f"{url}/token", data=form).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            first = http.get(f"{url}/rows", headers=headers, params={"api_key": secret})
            second = http.get(f"{url}/rows", headers=headers, params={"page_token": first.json()["next_token"]})
            exact, odd = http.get(f"{url}/exact"), http.get(f"{url}/bytes")
            tape.save()
            return [first.json()["data"], second.json()["data"], exact.text, odd.content, first.headers["X-Page"]]

    recorded = talk(Tape(file, {"secret": SECRET, "pin": "12"}, record=True), SECRET, "12")
    assert recorded[0] + recorded[1] == ROWS[:30]
    asked = len(server.asked)  # type: ignore[attr-defined]
    text = file.read_text()
    for secret in (SECRET, "given-token-1234", "very-secret-cookie", "Bearer", "pin=12"):
        assert (secret in text) == (secret == "Bearer")  # the API's own echo of the header, its token scrubbed
    assert "you are Bearer scrubbed-2" in text
    assert json.loads(text)["exchanges"][0]["asked"].count("scrubbed-") == 2
    assert talk(Tape(file, {"secret": "another", "pin": "9"}), "another", "9")[1:] == recorded[1:]
    assert len(server.asked) == asked  # type: ignore[attr-defined]


def test_what_was_not_recorded_fails_and_goes_nowhere(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    url, file = address(server), tmp_path / "acme.json"
    tape = Tape(file, {"token": SECRET}, record=True)
    session(tape).get(f"{url}/rows")
    tape.save()
    with pytest.raises(SourceError, match="is not in the recording") as refused:
        session(Tape(file, {"token": SECRET})).get(f"{url}/rows?token={SECRET}&page=2")
    assert SECRET not in refused.value.message
    assert "page=2" in refused.value.message
    assert "--record" in str(refused.value.next)
    assert len(server.asked) == 1  # type: ignore[attr-defined]


def test_while_recording_an_answer_stays_and_a_busy_server_is_asked_again(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    tape = Tape(tmp_path / "acme.json", {}, record=True)
    url = f"{address(server)}/busy"
    assert [session(tape).get(url).status_code for _ in range(4)] == [503, 200, 200, 200]
    tape.save()
    assert server.asked == ["/busy", "/busy"]  # type: ignore[attr-defined]
    assert session(Tape(tmp_path / "acme.json", {})).get(url).json() == {"busy": False}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"exchanges": [{}]}'])
def test_a_recording_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "acme.json").write_text(text)
    with pytest.raises(UsageError, match="cannot be read"):
        Tape(tmp_path / "acme.json", {})


STREAMS = '''"""Rows of Acme."""
import wherry


@wherry.stream(primary_key="id", cursor="at", ordered=True)
def rows(url: str, token: wherry.Secret, since: str | None = None):
    yield from wherry.pages(
        f"{url}/rows", auth=wherry.Bearer(token), params={"since": since}, records="data",
        paginate=wherry.Cursor("page_token", path="next_token"),
    )
'''


def test_the_kit_on_a_file_recorded_then_replayed(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    """The whole kit, with the server and then without it; a changed request is not answered."""
    (tmp_path / "acme.py").write_text(STREAMS)

    def test(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [WHERRY, "test", "acme.py", "--set", f"url={address(server)}", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    recorded = test("--set", f"token={SECRET}", "--record")
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    asked = list(server.asked)  # type: ignore[attr-defined]
    file = tmp_path / "tests" / "recordings" / "acme.json"
    assert SECRET not in file.read_text()
    assert len(asked) == len(set(asked)) == len(json.loads(file.read_text())["exchanges"])
    replayed = test("--report", "report.json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert json.loads((tmp_path / "report.json").read_text())["counts"]["passed"] >= 20
    (tmp_path / "acme.py").write_text(STREAMS.replace('"since"', '"after"'))
    changed = test("--only", "resumes")
    assert changed.returncode == 10
    assert "is not in the recording acme.json" in changed.stdout
    assert server.asked == asked  # type: ignore[attr-defined]
