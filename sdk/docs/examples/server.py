"""A small API to try the guides with: `python server.py` serves http://localhost:8765 until it is interrupted.

It wants `Authorization: Bearer sesame`, and has

    GET  /v1/issues?since=…              20 issues a page, oldest change first; the next page's address in links.next
    GET  /v1/issues/{id}/comments        comments of one issue
    GET  /v1/labels?page=1&per_page=10   labels, by page number; a count of them in total; with an ETag
    POST /v1/issues/{id}/close           an issue changes
"""

import hashlib
import json
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

START = datetime(2024, 5, 1)


def issues():
    """Fifty issues, one an hour."""
    return [
        {
            "id": n,
            "title": f"issue {n}",
            "state": "closed" if n % 3 else "open",
            "author": {"login": ["ana", "bo", "cy"][n % 3], "admin": n % 3 == 0},
            "labels": ["bug", "ui"][: n % 3],
            "updated_at": f"{START + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ}",
        }
        for n in range(1, 51)
    ]


class Acme(ThreadingHTTPServer):
    """The API. log: the requests that came."""

    daemon_threads = True

    def __init__(self, port=8765):
        super().__init__(("127.0.0.1", port), Handler)
        self.issues = {issue["id"]: issue for issue in issues()}
        self.log = []


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece

    def do_GET(self):
        """Lists."""
        self.server.log.append(self.path)
        place = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(place.query).items()}
        if self.headers["Authorization"] != "Bearer sesame":
            return self.answer(401, {"error": "who are you?"})
        match place.path.strip("/").split("/"):
            case ["v1", "issues"]:
                since = asked.get("since", "")
                changed = [issue for issue in self.server.issues.values() if issue["updated_at"] >= since]
                return self.page(sorted(changed, key=lambda issue: issue["updated_at"]), asked)
            case ["v1", "issues", number, "comments"] if number.isdigit():
                ids = range(int(number) * 10, int(number) * 10 + int(number) % 3)
                return self.page([{"id": n, "text": f"comment {n % 10} on issue {number}"} for n in ids], asked)
            case ["v1", "labels"]:
                labels = [{"key": f"label-{n}", "color": f"#{n:06x}"} for n in range(25)]
                size = int(asked.get("per_page", 10))
                start = (int(asked.get("page", 1)) - 1) * size
                return self.answer(200, {"labels": labels[start : start + size], "total": len(labels)})
        return self.answer(404, {"error": "there is nothing"})

    def do_POST(self):
        """Changes."""
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        issue = self.server.issues[int(urlsplit(self.path).path.split("/")[3])]
        issue |= {"state": "closed", "updated_at": "2024-06-01T00:00:00Z"}
        self.answer(200, issue)

    def page(self, rows, asked, size=20):
        """Some of the rows, and where the next ones are."""
        start = int(asked.get("from", 0))
        path = urlsplit(self.path).path
        more = f"{path}?{urlencode({**asked, 'from': start + size})}" if start + size < len(rows) else None
        self.answer(200, {"data": rows[start : start + size], "links": {"next": more}})

    def answer(self, status, value):
        """Send it."""
        body = json.dumps(value).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"' if "labels" in value else None
        if tag is not None and self.headers["If-None-Match"] == tag:
            status, body = 304, b""
        self.send_response(status)
        if tag is not None:
            self.send_header("ETag", tag)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        """Be quiet."""


if __name__ == "__main__":
    Acme().serve_forever()
