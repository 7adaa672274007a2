"""What libraries raise when there is no answer, as what happens next: ask again, or an error with its remedy."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator

import requests
from urllib3.exceptions import IncompleteRead, InvalidChunkLength, NameResolutionError, NewConnectionError

from wherry.errors import PolicyError, UsageError


class Failed(Exception):
    """There was no whole answer. why: for people.  reached: the host was there."""

    def __init__(self, why: str, reached: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.reached = reached


def translated(error: BaseException, shown: str, timeout: float) -> Exception:
    """The error to raise. Failed: asking again may help. shown: the address, without secrets."""
    causes = list(_causes(error))
    untrusted = next((c for c in causes if isinstance(c, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        reason = untrusted.verify_message or "it is of another host"
        return PolicyError(
            f"{shown}: its certificate is not trusted: {reason[:200]}",
            next="see that base_url names the right host; for an authority of your own: REQUESTS_CA_BUNDLE=FILE",
        )
    if any(isinstance(c, http.client.LineTooLong) or str(c).startswith("got more than") for c in causes):
        return PolicyError(
            f"{shown}: the headers of its answer are too large", next="report it to whoever runs the API"
        )
    if any(isinstance(c, requests.exceptions.InvalidURL) for c in causes):
        return UsageError(f"{shown}: the address cannot be read", next="write it as https://HOST/PATH")
    return _unreached(error, causes, timeout) or _cut_off(error, causes, timeout)


def _unreached(error: BaseException, causes: list[BaseException], timeout: float) -> Failed | None:
    def among(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    why = None
    if among(NameResolutionError, socket.gaierror):
        why = "its name is not known"
    elif isinstance(error, requests.exceptions.ConnectTimeout):
        why = f"it cannot be reached within {timeout:g} s"
    elif isinstance(error, requests.exceptions.ProxyError):
        why = "the proxy that the environment names (HTTPS_PROXY, HTTP_PROXY) cannot be reached"
    elif among(NewConnectionError):
        why = "connection refused" if among(ConnectionRefusedError) else "it cannot be reached"
    return None if why is None else Failed(why, reached=False)


def _cut_off(error: BaseException, causes: list[BaseException], timeout: float) -> Failed:
    def among(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if isinstance(error, requests.exceptions.Timeout) or among(TimeoutError):
        return Failed(f"nothing came for {timeout:g} s")
    if among(IncompleteRead, InvalidChunkLength, http.client.IncompleteRead):
        return Failed("the body of its answer is cut off")
    if among(http.client.RemoteDisconnected):
        return Failed("the connection was closed without an answer")
    if among(ConnectionResetError, BrokenPipeError):
        return Failed("the connection was reset")
    return Failed(f"there is no answer that can be read ({type(causes[-1]).__name__})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made of, outermost first, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop(0)
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            yield found
            inside = [part for part in (*found.args, getattr(found, "reason", None)) if isinstance(part, BaseException)]
            waiting += [*inside, found.__cause__, found.__context__]
