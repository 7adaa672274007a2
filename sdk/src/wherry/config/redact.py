"""Secrets are redacted by value, in whatever form they turn up, on every text that leaves the process."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from wherry.telling import HEADER, SECRET

MASK = "***"
_PAIR = re.compile(r'"([\w.-]+)"\s*:\s*"((?:[^"\\]|\\.)*)"')
"""Of JSON."""
_NAMED = re.compile(r"(?<![\w.-])([\w.-]+)\s*=\s*")
_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s&;]+")
_SCHEME = re.compile(r"(?i)(?:basic|bearer|digest|token)\s+(\S.*)")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = 4
"""Shorter secrets are redacted only where they stand alone: "a" is a poor password, and in every word."""
_ADDRESS = 1 << 15
"""Characters of a text that are looked through: no address or connection string is longer."""
_LONG = 8
"""Characters of a variable's value that its name alone makes a secret."""


class Redactor:
    """Secret values known so far; `redact` removes them from a text. Safe to use from any thread."""

    def __init__(self, spoken: Iterable[str] = ()) -> None:
        """spoken: words that are said anyway, such as names of connectors: masking them hides nothing."""
        self._spoken = frozenset(spoken)
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, secret: Any) -> None:
        """Remember a secret: text, a pydantic secret, or any nesting of them in lists and mappings."""
        with self._lock:
            for text in _texts(secret):
                self._learn(text)
                for part in _inside(text):
                    self._learn(part)
            self._pattern = None

    def add_inside(self, value: Any) -> None:
        """Remember what is secret inside an address, a `KEY=VALUE`, or lists and mappings of such: passwords, values of
        keys such as `token` and of headers such as `Authorization`."""
        with self._lock:
            for part in _within(value):
                self._learn(part)
            self._pattern = None

    def _learn(self, text: str) -> None:
        if text and text not in self._spoken:
            self._forms |= _forms(text)

    def redact(self, text: str) -> str:
        """`text` with every known secret masked."""
        with self._lock:
            if not self._forms:
                return text
            if self._pattern is None:
                ordered = sorted(self._forms, key=lambda form: (-len(form), form))
                self._pattern = re.compile("|".join(map(_exactly, ordered)))
            pattern = self._pattern
        return pattern.sub(MASK, text)

    def json(self, value: Any) -> Any:
        """A JSON value with every known secret masked in its texts, keys included."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {self.redact(str(key)): self.json(item) for key, item in value.items()}
        return [self.json(item) for item in value] if isinstance(value, (list, tuple)) else value


class RedactingFilter(logging.Filter):
    """Put on a handler: its records are redacted, tracebacks too, and a message stays on one line."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; it is never dropped."""
        record.msg, record.args = one_line(self._redactor.redact(record.getMessage())), ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = self._redactor.redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
            record.exc_info = None
        if record.stack_info:
            record.stack_info = self._redactor.redact(record.stack_info)
        return True


def one_line(text: str) -> str:
    """`text` on one line, control characters spelled out: a value cannot forge a line or drive a terminal."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def _exactly(form: str) -> str:
    pattern = re.escape(form)
    return rf"(?<!\w){pattern}(?!\w)" if len(form) < _SHORT else pattern


def _texts(secret: Any) -> Iterator[str]:
    reveal = getattr(secret, "get_secret_value", None)
    value = reveal() if reveal else secret
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        yield from filter(None, (value, value.strip()))
        if scheme := _SCHEME.fullmatch(value):  # of a header
            yield scheme[1]
        lines = [line.strip() for line in value.splitlines()]
        if len(lines) > 1:  # a key file may be shown line by line
            yield from (line for line in lines if len(line) > 8 and not line.startswith("-----"))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def named_secrets(variables: Mapping[str, str]) -> Iterator[str]:
    """Values of variables whose names say that they are secret: `…PASSWORD`, `…_TOKEN`, `…_SECRET_ACCESS_KEY`."""
    named = (name for name in variables if SECRET.search(name) and name not in ("PWD", "OLDPWD"))
    return (variables[name] for name in named if len(variables[name]) >= _LONG)


def _within(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if SECRET.search(str(name)) or HEADER.search(str(name)):
                yield from _texts(item)
            else:
                yield from _within(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _within(item)
    elif value is not None:
        yield from _inside(str(value))


def _inside(text: str) -> Iterator[str]:
    """Passwords in an address, and values of telling names in `--set` texts, queries and connection strings."""
    name, equals, rest = text.partition("=")
    if equals and re.fullmatch(r"[\w.-]+", name) and SECRET.search(name):
        yield rest
    text = text[:_ADDRESS]
    for found in _NAMED.finditer(text):
        if SECRET.search(found[1]) and (standing := _VALUE.match(text, found.end())):
            value = standing[0]
            yield from {value.strip("'\""), value.partition("#")[0], unquote(value)}
    for name, value in _PAIR.findall(text):
        if SECRET.search(name) or HEADER.search(name):
            yield from _texts(re.sub(r"\\(.)", r"\1", value))
    lines = [line for line in text.splitlines() if "://" in line and "@" in line]
    widest = [line[line.index("://") + 3 : line.rfind("@")] for line in lines]  # a password may hold a raw / or @
    for userinfo in re.findall(r"://([^/?#@]*)@", text) + widest:
        password = userinfo.partition(":")[2]
        yield from {password, unquote(password)}


def _forms(text: str) -> set[str]:
    data = text.encode(errors="surrogatepass")  # the environment may hold bytes that are no text
    quoted = quote(data, safe="")
    forms = {text, quoted, quote(data), quote_plus(data), text.replace("'", "''")}
    forms |= {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in (quoted, quote_plus(data))}
    once = _escaped(text)
    forms |= once.union(*map(_escaped, once))  # what is quoted may stand in something that is
    if len(text) >= _SHORT:
        forms |= set(_base64(data))
    return forms


def _escaped(text: str) -> set[str]:
    """As JSON, Python and our own lines write it inside of quotes of either kind."""
    plain = repr(text + "'" + '"')[1:-4].replace("\\'", "'")
    forms = {plain, plain.replace("'", "\\'"), plain.replace('"', '\\"'), one_line(text)}
    forms.add(re.sub("(['\"])", r"\\\1", plain))
    return forms | {json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (True, False)}


def _base64(data: bytes) -> Iterator[str]:
    """The base64 text that any encoding of something around `data` must contain, by its offset in a group of three."""
    for offset in range(3):
        whole = (offset + len(data)) // 3 * 3 - offset
        skip = -offset % 3
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            if whole - skip >= 3:
                yield encode(data[skip:whole]).decode()
    yield base64.b64encode(data).decode().rstrip("=")
    yield base64.urlsafe_b64encode(data).decode().rstrip("=")
