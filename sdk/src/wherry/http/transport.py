"""One exchange: a request out, its whole answer in, within limits of time and size, to an address that is allowed."""

from __future__ import annotations

import http.client
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from wherry.contracts.source import Run
from wherry.errors import Stopped, UsageError
from wherry.http import bodies
from wherry.http.connections import Adapter, Guard
from wherry.http.context import adapter
from wherry.http.failures import Failed, translated
from wherry.http.places import Addresses

_READ = 256 << 10
_PLACE = re.compile(r"^[^/?#]*(?://[^/?#]*)?")
"""Scheme, host and port of an address."""


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
        self._guard = Guard(run.stop)
        self._proxies: dict[str, dict[str, str]] = {}
        self._adapter = adapter(run, Adapter(addresses.admit, self._guard))
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
            raise translated(error, call.shown, self._timeout) from None
        if self._guard.stopped:
            raise Stopped
        if self._guard.late:  # where no length is told, a body that is cut looks whole
            raise Failed(f"no whole answer within {self._timeout:g} s")
        if _bare(reply):
            raise Failed("the connection was closed before a body came")
        self._run.log.debug(
            "%s %s: %d, %d bytes, %.3f s", call.method, call.shown, reply.status, len(reply.body),
            time.monotonic() - began,
        )  # fmt: skip
        return reply

    def _exchange(self, call: Call) -> Reply:
        response = self._adapter.send(
            _prepared(call), stream=True, timeout=self._timeout, verify=self._verify,
            proxies=self._proxies_of(call.url),
        )  # fmt: skip
        try:
            said = {name.lower(): value for name, value in response.headers.items()}
            most = self._run.memory // 4
            size = said.get("content-length", "")
            if size.isdecimal() and int(size) > most:
                raise bodies.too_large(most, call.shown)
            whole = int(size) if size.isdecimal() and not bodies.packing(said) else None
            body = bodies.unpacked(_chunks(response.raw, whole), said, most, call.shown)
        except BaseException:
            response.raw.close()  # what is left of it is not wanted
            raise
        finally:
            response.close()
        return Reply(status=response.status_code, headers=said, body=body)

    def _proxies_of(self, url: str) -> dict[str, str]:
        """Those of the environment for the host: to look through it takes as long as a small request."""
        host = _PLACE.findall(url)[0]
        if host not in self._proxies:
            self._proxies[host] = get_environ_proxies(url, no_proxy=None)
        return self._proxies[host]

    def close(self) -> None:
        """Let go of the connections."""
        self._guard.close()
        self._adapter.close()


def _prepared(call: Call) -> requests.PreparedRequest:
    """The request as it is sent: nobody's cookies, hooks or credentials are looked for."""
    request = requests.PreparedRequest()
    try:
        request.prepare_method(call.method)
        request.prepare_url(call.url, None)
        request.prepare_headers({"Accept-Encoding": bodies.PACKED} | {n: _bytes(v) for n, v in call.headers.items()})
        request.prepare_body(call.data, None)
    except requests.exceptions.InvalidHeader:
        raise UsageError(
            f"{call.shown}: a header holds a line break or a space in front", next="correct headers or auth"
        ) from None
    return request


def _chunks(raw: Any, whole: int | None) -> Iterator[bytes]:
    """Pieces of the body. whole: its length, if it may come in one piece, else they are small."""
    if getattr(raw, "chunked", False):
        yield from raw.stream(_READ, decode_content=False)
    elif whole:
        yield from iter(lambda: raw.read(whole, decode_content=False) or b"", b"")
    else:
        yield from iter(lambda: raw.read1(_READ, decode_content=False) or b"", b"")


def _bytes(text: str) -> bytes:
    """A header's value as it is sent: headers are Latin-1, and UTF-8 where that does not do."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode(errors="replace")


def _bare(reply: Reply) -> bool:
    """Whether its headers may be cut off: they tell of no body, and there is none, although there should be."""
    framed = reply.headers.keys() & {"content-length", "transfer-encoding"}
    return not reply.body and not framed and reply.status in (200, 201, 202, 203)
