"""A source's way to its API: one request in, one whole answer out, however often it has to be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests
from pydantic import SecretStr

from wherry.contracts.source import Run
from wherry.errors import SourceError
from wherry.http.models import Auth, Bearer, OnResponse, RateLimit, Retry
from wherry.http.values import Answer, Request


class Client:
    """Sends requests below `base_url` for one lane; budgets, tokens and back-offs are shared through `run.shared`.

    `send` retries, waits, refreshes and follows redirects by itself; what it raises is final.
    """

    def __init__(
        self, *, base_url: str, auth: Auth, headers: Mapping[str, Any], params: Mapping[str, Any],
        rate_limit: RateLimit | None, retry: Retry, on_response: Sequence[OnResponse], timeout: float, run: Run,
        name: str,
    ) -> None:  # fmt: skip
        self._base, self._auth, self._retry, self._run, self._timeout = base_url, auth, retry, run, timeout
        self._headers, self._params, self._rules, self._name = dict(headers), dict(params), tuple(on_response), name
        self._session = requests.Session()

    def send(self, request: Request, rules: Sequence[OnResponse] = ()) -> Answer:
        """The answer to the request. rules: of the stream, before those of the source."""
        url = request.url if "://" in request.url else f"{self._base.rstrip('/')}/{request.url.lstrip('/')}"
        headers = {**self._headers, **request.headers}
        if isinstance(self._auth, Bearer):
            headers["Authorization"] = f"Bearer {_text(self._auth.token)}"
        for _ in range(6):
            found = self._session.request(
                request.method, url, params={**self._params, **request.params}, headers=headers, json=request.json,
                timeout=self._timeout, allow_redirects=False,
            )  # fmt: skip
            for rule in (*rules, *self._rules):
                if rule.fits(found.status_code, found.text) and rule.do in ("skip", "stop"):
                    return self._answer(found, rule.do)
            if found.status_code not in self._retry.statuses:
                break
            self._run.stop.wait(0.2)
        if found.status_code >= 400:
            raise SourceError(f"{self._name}: {url} answered {found.status_code}")
        return self._answer(found, "ok")

    def _answer(self, found: requests.Response, outcome: Any) -> Answer:
        headers = {name.lower(): value for name, value in found.headers.items()}
        return Answer(outcome=outcome, status=found.status_code, url=found.url, headers=headers, body=found.content)

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()


def _text(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
