"""Who we are to an API: what is written into each request, and how a token is come by."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr

from wherry.contracts.source import Run
from wherry.errors import AuthError, DataError, SourceError
from wherry.failpoints import failpoint
from wherry.http.models import ApiKey, Auth, Basic, Bearer, Login, OAuth2
from wherry.http.places import url_shown
from wherry.http.tokens import Fetched, Kept
from wherry.http.transport import Call, Reply
from wherry.http.waits import seconds_of

Ask = Callable[[Call], Reply]
"""Sends a request for a token, again while it fails; the last answer."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a request carries for us."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)


def signature(auth: Auth, token: str = "") -> Signature:
    """What is written into a request. token: that was fetched, for the kinds that fetch one."""
    if isinstance(auth, Bearer):
        return Signature({"Authorization": f"Bearer {plain(auth.token)}"})
    if isinstance(auth, ApiKey):
        entry = {auth.name: plain(auth.value)}
        return Signature(entry) if auth.in_ == "header" else Signature(params=entry)
    if isinstance(auth, Basic):
        return Signature({"Authorization": _basic(auth.username, auth.password)})
    if isinstance(auth, OAuth2):
        return Signature({"Authorization": f"Bearer {token}"})
    if isinstance(auth, Login):
        return Signature({auth.send.header: auth.send.format.replace("{token}", token)})
    return Signature()


def fetches(auth: Auth) -> bool:
    """Whether its token is fetched, and can be fetched again."""
    return isinstance(auth, OAuth2 | Login)


def plain(value: str | SecretStr | None) -> str:
    """The text of a value that may be a secret."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value or ""


def revealed(value: Any) -> Any:
    """A JSON value with the texts of its secrets."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {name: revealed(item) for name, item in value.items()}
    return [revealed(item) for item in value] if isinstance(value, list | tuple) else value


def secrets(value: Any) -> Iterator[str]:
    """The texts in a value that must not be shown, longer than three characters."""
    if isinstance(value, SecretStr):
        if len(value.get_secret_value()) > 3:
            yield value.get_secret_value()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets(item)


def secrets_of(auth: Auth) -> Iterator[str]:
    """The same of an auth: whatever it sends, written as a secret or not."""
    if isinstance(auth, Login):
        yield from secrets(auth.body)
        return
    for name in ("token", "value", "password", "client_secret", "refresh_token"):
        if len(text := plain(getattr(auth, name, None))) > 3:
            yield text


def log_in(auth: Login, url: str, ask: Ask) -> Fetched:
    """The token that a login gives. AuthError: it was refused."""
    from wherry.json_rows.find import find

    shown = url_shown(url)
    data = json.dumps(revealed(auth.body)).encode()
    reply = ask(Call(method="POST", url=url, shown=shown, headers=_JSON, data=data))
    if reply.status in (400, 401, 403, 422):
        raise AuthError(
            f"{shown} refused the login: it answered {reply.status}", key="auth",
            next="see that user and password are right, and that the account may use the API",
        )  # fmt: skip
    try:
        token = find(reply.body, auth.token) if reply.status < 300 else None
    except DataError:
        token = None
    if not isinstance(token, str | int) or not token:
        raise SourceError(
            f"{shown} answered {reply.status} to the login, without a token at {auth.token!r}",
            next="see auth.path and auth.token",
        )
    return Fetched(str(token), None if auth.expires is None else seconds_of(auth.expires))


def grant(auth: OAuth2, run: Run, ask: Ask) -> Fetched:
    """An access token. A refresh token that came in place of ours is on disk before this returns."""
    if auth.grant != "refresh_token":
        return _granted(auth, _asked(auth, "", ask), "the credentials")
    configured = plain(auth.refresh_token)
    if run.folder is None:
        answer = _asked(auth, configured, ask)
        if answer.get("refresh_token") not in (None, configured):
            run.log.warning("the refresh token was replaced, and there is no folder to keep the new one in")
        return _granted(auth, answer, "the refresh token")
    kept = Kept(run.folder, auth.token_url, plain(auth.client_id), configured)
    with kept.held(run):
        used = kept.read()
        if used is not None:
            run.conceal(used)
        answer = _asked(auth, used or configured, ask)
        found = _granted(auth, answer, f"the refresh token kept in {kept.path}" if used else "the refresh token")
        rotated = answer.get("refresh_token")
        if isinstance(rotated, str) and rotated and rotated != (used or configured):
            run.conceal(rotated)
            failpoint("K18")
            kept.write(rotated)
            failpoint("K18")
    return found


def _asked(auth: OAuth2, refresh_token: str, ask: Ask) -> dict[str, Any]:
    form: dict[str, str] = {"grant_type": auth.grant}
    if auth.grant == "refresh_token":
        form["refresh_token"] = refresh_token
    elif auth.grant == "password":
        form |= {"username": plain(auth.username), "password": plain(auth.password)}
    if auth.scopes:
        form["scope"] = " ".join(auth.scopes)
    headers = dict(_FORM)
    if auth.send == "basic":
        headers["Authorization"] = _basic(auth.client_id, auth.client_secret)
    else:
        told = {"client_id": auth.client_id, "client_secret": auth.client_secret}
        form |= {name: plain(value) for name, value in told.items() if value is not None}
    shown = url_shown(auth.token_url)
    reply = ask(Call(method="POST", url=auth.token_url, shown=shown, headers=headers, data=urlencode(form).encode()))
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        answer = None
    found = answer if isinstance(answer, dict) else {}
    return {"": reply.status, **found}


def _granted(auth: OAuth2, answer: Mapping[str, Any], what: str) -> Fetched:
    token, status, shown = answer.get("access_token"), answer[""], url_shown(auth.token_url)
    if status < 300 and isinstance(token, str) and token:
        return Fetched(token, _seconds(answer.get("expires_in")))
    code = str(answer.get("error", ""))[:60]
    if status in (400, 401, 403) or code:
        again = "authorise anew, and put the new refresh_token into the configuration"
        raise AuthError(
            f"{shown} refused {what}: it answered {status}" + (f" {code}" if code.isprintable() and code else ""),
            key="auth",
            next=again if auth.grant == "refresh_token" else "see that they are right, and may be used for this grant",
        )
    raise SourceError(f"{shown} answered {status}, without an access_token", next="see that auth.token_url is right")


def _seconds(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _basic(username: str | SecretStr | None, password: str | SecretStr | None) -> str:
    return "Basic " + base64.b64encode(f"{plain(username)}:{plain(password)}".encode()).decode()


_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
