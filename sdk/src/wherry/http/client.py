"""A source's way to its API: one request in, one whole answer out, however often it has to be asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from pydantic import SecretStr

from wherry.contracts.source import Run
from wherry.errors import PolicyError
from wherry.http import bodies
from wherry.http.answers import Verdict, failure, judged
from wherry.http.auth import fetches, grant, log_in, plain, revealed, secrets, secrets_of, signature
from wherry.http.host import Host
from wherry.http.models import Auth, Login, OAuth2, OnResponse, RateLimit, Retry
from wherry.http.places import Place, allowed, base_of, below, redirected, url_shown
from wherry.http.tokens import Fetched, Tokens
from wherry.http.transport import Call, Reply
from wherry.http.values import CONDITIONS, Answer, Request
from wherry.http.waits import Clock

HOPS = 10
"""Redirects that a request follows."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request as it goes out, but for what is signed into it."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    data: bytes | None = field(repr=False)


class Client:
    """Sends requests below `base_url` for one lane; budgets, tokens and back-offs are shared through `run.shared`.

    It retries, waits, fetches tokens and follows redirects within its host by itself; what it raises is final: nobody
    needs to try again. Values may be secrets. name: of the source, for messages and the User-Agent.
    """

    def __init__(
        self, *, base_url: str, auth: Auth, headers: Mapping[str, Any], params: Mapping[str, Any],
        rate_limit: RateLimit | None, retry: Retry, on_response: Sequence[OnResponse], timeout: float, run: Run,
        name: str, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self._base, self._auth, self._retry, self._timeout = base_url, auth, retry, float(timeout)
        self._params, self._rules, self._name = dict(params), tuple(on_response), name
        self._run, self._clock = run, clock or Clock()
        self._headers = {"User-Agent": _agent(name), "Accept": "application/json, */*;q=0.5", **_texts(headers)}
        self._secrets: set[str] = set()
        self._conceal(*secrets_of(auth), *secrets(headers), *secrets(params))
        self._home = base_of(base_url, "base_url")
        self._host = self._to(self._home, rate_limit)
        self._provider = self._to_provider(auth, rate_limit)
        self._tokens = run.shared.get(("http token", _login_key(auth, base_url)), lambda: Tokens(self._clock))
        self._warn_of_plain_text()

    def send(self, request: Request, rules: Sequence[OnResponse] = ()) -> Answer:
        """The answer. rules: of the stream, before those of the source.

        SourceError, StreamError: what the answer is, or that there is none after `retry.max_seconds`. LaterError: the
        host asks for more time than that. AuthError: the credentials were refused. PolicyError: it would have to go
        elsewhere, or what came is too large. Stopped: the run is to stop.
        """
        sent, all_rules, renewed = self._prepared(request), (*rules, *self._rules), False
        for _ in range(HOPS + 2):
            token, number = self._token()
            reply, verdict = self._exchanged(sent, token, all_rules)
            if verdict.meaning == "redirect":
                sent = self._redirected(sent, reply)
            elif verdict.meaning == "auth" and fetches(self._auth) and not renewed:
                self._tokens.refused(number)
                renewed = True
            elif verdict.meaning in ("auth", "fail"):
                raise failure(reply, self._shown(sent.url), verdict, self._secrets, renewed)
            else:
                return self._answer(sent, reply, verdict)
        raise PolicyError(
            f"{self._shown(sent.url)} redirects again and again, more than {HOPS} times",
            next="see that base_url and path are right",
        )

    def _exchanged(self, sent: _Sent, token: str, rules: Sequence[OnResponse]) -> tuple[Reply, Verdict]:
        signed = signature(self._auth, token)
        call = Call(
            method=sent.method, url=_signed(sent.url, signed.params), shown=self._shown(sent.url),
            headers={**sent.headers, **signed.headers}, data=sent.data,
        )  # fmt: skip
        conditional = not CONDITIONS.isdisjoint(name.lower() for name in sent.headers)
        return self._host.ask(call, lambda reply: judged(reply, rules, self._retry, conditional))

    def _answer(self, sent: _Sent, reply: Reply, verdict: Verdict) -> Answer:
        shown = self._shown(sent.url)
        body = reply.body
        if verdict.meaning == "ok":
            body = bodies.utf8(body, reply.headers, shown)
            bodies.refuse_pages(body, reply.status, reply.headers, shown)
        outcome: Any = verdict.meaning
        return Answer(
            outcome=outcome, status=reply.status, url=shown, headers=reply.headers, body=body, address=sent.url
        )

    def _prepared(self, request: Request) -> _Sent:
        absolute = "://" in request.url.partition("?")[0]
        url = below(self._base, request.url)
        url = allowed(self._home, url, "the next address is" if absolute else "the address is")
        headers = {**self._headers, **_texts(request.headers)}
        self._conceal(*secrets(request.headers), *secrets(request.params), *secrets(request.json))
        data = None
        if request.json is not None:
            data = json.dumps(revealed(request.json)).encode()
            headers.setdefault("Content-Type", "application/json")
        url = _with(url, {**self._params, **request.params}, keep=absolute)
        return _Sent(request.method, url, headers, data)

    def _redirected(self, sent: _Sent, reply: Reply) -> _Sent:
        url = redirected(sent.url, reply.headers["location"])
        allowed(self._home, url, f"{self._shown(sent.url)} redirects to")
        if sent.method == "POST" and reply.status in (301, 302, 303):
            return _Sent("GET", url, {n: v for n, v in sent.headers.items() if n != "Content-Type"}, None)
        return _Sent(sent.method, url, sent.headers, sent.data)

    def _token(self) -> tuple[str, int]:
        """The token that requests carry now, and its number; nothing where none is fetched."""
        return self._tokens.get(self._run, self._fetched) if fetches(self._auth) else ("", 0)

    def _fetched(self) -> Fetched:
        auth = self._auth
        if isinstance(auth, OAuth2):
            found = grant(auth, self._run, self._ask_provider)
        else:
            assert isinstance(auth, Login)
            url = allowed(self._home, below(self._base, auth.path), "the login is at")
            found = log_in(auth, url, self._ask_provider)
        self._conceal(found.value)
        return found

    def _ask_provider(self, call: Call) -> Reply:
        call = Call(
            method=call.method, url=call.url, shown=call.shown, data=call.data,
            headers={"User-Agent": self._headers["User-Agent"], **call.headers},
        )  # fmt: skip
        again = self._retry.statuses
        return self._provider.ask(call, lambda reply: Verdict("retry" if reply.status in again else "ok"))[0]

    def _to(self, place: Place, limit: RateLimit | None) -> Host:
        return Host(place, self._run, limit=limit, retry=self._retry, timeout=self._timeout, clock=self._clock)

    def _to_provider(self, auth: Auth, limit: RateLimit | None) -> Host:
        """The host that tokens are fetched from. PolicyError: they would go over plain HTTP, unlike the API's."""
        if not isinstance(auth, OAuth2):
            return self._host
        place = base_of(auth.token_url, "token_url")
        if place == self._home:
            return self._host
        if place.scheme == "http" and not place.local and self._home.scheme != "http":
            raise PolicyError(
                f"token_url {url_shown(auth.token_url)} would send the credentials in plain text",
                next="write it with https://",
            )
        return self._to(place, None)

    def _warn_of_plain_text(self) -> None:
        place = self._home
        if place.scheme == "http" and not place.local and getattr(self._auth, "type", "none") != "none":

            def warn() -> bool:
                self._run.log.warning(
                    "%s is asked over plain HTTP: everybody on the way can read the credentials", place
                )
                return True

            self._run.shared.get(("http plain text", str(place)), warn)

    def _conceal(self, *secrets: str) -> None:
        """From now on these are shown nowhere: they may stand in the source itself, not in its configuration."""
        for secret in set(secrets) - self._secrets:
            self._run.conceal(secret)
        self._secrets.update(secrets)

    def _shown(self, url: str) -> str:
        return url_shown(url, self._secrets)

    def close(self) -> None:
        """Let go of the connections."""
        self._host.close()
        self._provider.close()


def _login_key(auth: Auth, base_url: str) -> Any:
    """What lanes have to have in common to share a token."""
    fields = (getattr(auth, name, None) for name in ("token_url", "grant", "client_id", "username", "path"))
    texts = tuple(plain(value) if isinstance(value, str | SecretStr) else "" for value in fields)
    return (base_url, *texts, *sorted(secrets_of(auth)))


@cache
def _agent(name: str) -> str:
    try:
        number = version("wherry")
    except PackageNotFoundError:
        number = "0"
    return f"wherry/{number} ({''.join(c for c in name if c.isascii() and (c.isalnum() or c in '-_.'))})"


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Headers as texts; None leaves one out."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with(url: str, params: Mapping[str, Any], keep: bool) -> str:
    """The address with parameters. keep: those that it carries already are not added again; else they are replaced."""
    front, _, query = url.partition("?")
    if keep:
        carried = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
        params = {name: value for name, value in params.items() if name not in carried}
    elif query:
        query = _without(query, params)
    pairs = [
        (name, _text(item))
        for name, value in params.items()
        for item in (value if isinstance(value, list | tuple) else [value])
        if item is not None
    ]
    added = urlencode(pairs, quote_via=quote, safe="")
    return front + ("?" if query or added else "") + "&".join(part for part in (query, added) if part)


def _signed(url: str, params: Mapping[str, str]) -> str:
    return _with(url, params, keep=False) if params else url


def _without(query: str, names: Iterable[str]) -> str:
    """The query without parameters of these names; the others as they are written."""
    gone = set(names)
    return "&".join(
        pair for pair in query.split("&") if not gone & {name for name, _ in parse_qsl(pair, keep_blank_values=True)}
    )
