"""Recorded HTTP traffic: what a source was answered, kept beside its tests without secrets, and answered again.

While recording, what was asked before is answered as before, so that data which changes meanwhile confuses no test and
the API is asked once. A request that a recording does not hold fails; nothing goes out.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

from wherry.errors import SourceError, UsageError
from wherry.telling import SECRET

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from requests.adapters import BaseAdapter

VERSION = 1
_MARK = "scrubbed-"
_LONG = 8
"""Characters from which on a value is looked for everywhere; shorter ones would be found in every word."""
_TELLING = re.compile(rf"(?i){SECRET.pattern.removeprefix('(?i)')}|token")
_DROPPED = re.compile(
    r"(?i)^(date|server|via|connection|keep-alive|vary|age|nel|report-to|alt-svc|cache-control|expires|pragma|expect-ct"
    r"|content-(length|encoding|security-policy.*)|transfer-encoding|strict-transport-security|referrer-policy"
    r"|set-cookie|www-authenticate|access-control-.*|cross-origin-.*|permissions-policy|server-timing|cf-.*"
    r"|x-(request-id|runtime|powered-by|frame-options|content-type-options|xss-protection|served-by|cache.*|trace.*))$"
)

_LOCAL = re.compile(r"(https?)://(?:127\.0\.0\.1|localhost)(?::\d+)?(?![\w.])")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as it was."""

    method: str
    url: str
    asked: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Tape:
    """A file of exchanges. secrets: of the configuration, by key.  record: ask the API for what is not there yet."""

    def __init__(self, file: Path, secrets: Mapping[str, str], *, record: bool = False) -> None:
        self._file, self._record = file, record
        self._known = {value: f"{_MARK}{key}" for key, value in secrets.items() if value}
        self._found: dict[tuple[str, str, str], Exchange] = {}
        self._saved = 0
        if not record:
            self._load()

    def wrap(self, own: BaseAdapter) -> BaseAdapter:
        """An adapter that answers from the tape; while recording, `own` answers what is new."""
        return _adapter(self, own)

    def send(self, own: BaseAdapter, request: PreparedRequest, **how: Any) -> Response:
        """The answer to a request."""
        method, url = request.method or "GET", request.url or ""
        asked = request.body if isinstance(request.body, str) else (request.body or b"").decode("utf-8", "replace")
        key = (method, _portless(url), asked) if self._record else (method, self._address(url), self._body(asked))
        if key not in self._found:
            if not self._record:
                raise SourceError(
                    f"{method} {key[1]} is not in the recording {self._file.name}",
                    next="record it anew: wherry test --record (nothing was sent)",
                )
            exchange = _exchange(own.send(request, **how), method, url, asked)
            if exchange.status in (408, 425, 429) or exchange.status >= 500:
                return _response(request, exchange)  # it will be asked again
            self._learn(exchange)
            self._found[key] = exchange
        return _response(request, self._found[key])

    def save(self) -> None:
        """Write what is new, secrets left out."""
        if not self._record or len(self._found) == self._saved:
            return
        lines = ",\n".join(json.dumps(self._told(e), indent=1, ensure_ascii=False) for e in self._found.values())
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(f'{{"version": {VERSION}, "exchanges": [\n{lines}\n]}}\n', encoding="utf-8")
        self._saved = len(self._found)

    # --- what is in the file

    def _load(self) -> None:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            exchanges = [_exchange_of(entry) for entry in found["exchanges"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"the recording {self._file} cannot be read: {type(error).__name__}", next="wherry test --record"
            ) from error
        for exchange in exchanges:
            self._found[exchange.method, exchange.url, exchange.asked] = exchange

    def _told(self, exchange: Exchange) -> dict[str, Any]:
        """An exchange as it is kept."""
        told: dict[str, Any] = {"request": f"{exchange.method} {self._address(exchange.url)}"}
        if exchange.asked:
            told["asked"] = self._body(exchange.asked)
        told["status"] = exchange.status
        told["headers"] = {
            name: self._text(value) for name, value in exchange.headers.items() if not _DROPPED.match(name)
        }
        try:
            text = self._text(exchange.body.decode())
        except UnicodeDecodeError:
            return told | {"base64": base64.b64encode(exchange.body).decode()}
        value = _exact(text)
        return told | ({"text": text} if value is None else {"json": value})

    # --- secrets

    def _learn(self, exchange: Exchange) -> None:
        """Tokens that came with an answer, or were sent; each gets a name of its own, the same wherever it stands."""
        for name, value in (
            *_named(_parsed(exchange.body)),
            *_named(_parsed(exchange.asked.encode())),
            *_query(exchange),
        ):
            if _TELLING.search(name) and len(value) >= _LONG and value not in self._known:
                self._known[value] = f"{_MARK}{len(self._known)}"

    def _text(self, text: str) -> str:
        text = _portless(text)
        for value in sorted(self._known, key=len, reverse=True):
            forms = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
            for form in sorted(forms, key=len, reverse=True) if len(value) >= _LONG else ():
                text = text.replace(form, self._known[value])
        return text

    def _body(self, text: str) -> str:
        """What was sent; in JSON and forms short secrets are known where they stand alone."""
        if not any(len(value) < _LONG for value in self._known):
            return self._text(text)
        value = _parsed(text.encode())
        if not isinstance(value, (dict, list)):
            return self._text(text)
        return self._text(json.dumps(_replaced(value, self._known), ensure_ascii=False))

    def _address(self, url: str) -> str:
        parts = urlsplit(_portless(url))
        query = [(name, self._known.get(value) or self._text(value)) for name, value in parse_qsl(parts.query, True)]
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, place, self._text(parts.path), urlencode(query, safe="/:,@*"), ""))


def _adapter(tape: Tape, own: BaseAdapter) -> BaseAdapter:
    from requests.adapters import BaseAdapter

    class Taped(BaseAdapter):
        """Answers from a tape."""

        def send(self, request: PreparedRequest, *_: Any, **how: Any) -> Response:
            return tape.send(own, request, **how)

        def close(self) -> None:
            own.close()

    return Taped()


def _exchange(response: Response, method: str, url: str, asked: str) -> Exchange:
    body = response.raw.read(decode_content=True) if response.raw is not None else response.content
    return Exchange(method, url, asked, response.status_code, dict(response.headers), body)


def _exchange_of(entry: Mapping[str, Any]) -> Exchange:
    method, _, url = entry["request"].partition(" ")
    if "base64" in entry:
        body = base64.b64decode(entry["base64"])
    else:
        text = entry["text"] if "text" in entry else json.dumps(entry["json"], ensure_ascii=False)
        body = text.encode()
    return Exchange(method, url, entry.get("asked", ""), entry["status"], entry.get("headers", {}), body)


def _response(request: PreparedRequest, exchange: Exchange) -> Response:
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPResponse

    kept = {name: value for name, value in exchange.headers.items() if not _DROPPED.match(name)}
    headers, body = {name: _here(value, request) for name, value in kept.items()}, exchange.body
    if b"://127.0.0.1" in body:
        body = _here(body.decode("utf-8", "surrogateescape"), request).encode("utf-8", "surrogateescape")
    raw = HTTPResponse(
        body=io.BytesIO(body), headers=headers, status=exchange.status, preload_content=False,
        request_method=exchange.method,
    )  # fmt: skip
    return HTTPAdapter().build_response(request, raw)


def _portless(text: str) -> str:
    """Addresses of servers on this machine without their ports, which are others each time."""
    return _LOCAL.sub(r"\1://127.0.0.1", text)


def _here(text: str, request: PreparedRequest) -> str:
    """The same addresses with the port that is asked now."""
    place = urlsplit(request.url or "").netloc
    return _LOCAL.sub(rf"\1://{place}", text) if _LOCAL.match(request.url or "") else text


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        text = body.decode("utf-8", "replace")
        return dict(parse_qsl(text)) if "=" in text[:200] and "<" not in text[:200] else None


def _named(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of every text in a JSON value."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _named(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner, name)


def _replaced(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, known) for inner in value]
    return known.get(value, value) if isinstance(value, str) else value


def _query(exchange: Exchange) -> list[tuple[str, str]]:
    return [(name, value) for name, value in parse_qsl(urlsplit(exchange.url).query) if not value.startswith(_MARK)]


def _exact(text: str) -> Any:
    """The text as a JSON value from which the very same values come again; None: there is none, keep the text."""
    lost: list[str] = []

    def number(literal: str) -> float:
        found = float(literal)
        if json.dumps(found) != literal:
            lost.append(literal)
        return found

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        lost.extend(["twice"] if len(found) < len(pairs) else [])
        return found

    try:
        value = json.loads(text, parse_float=number, object_pairs_hook=members, parse_constant=lost.append)
    except ValueError:
        return None
    return None if lost or value is None else value
