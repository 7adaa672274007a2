"""What an answer means: by the rules of stream and source, in this order, then by its status."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wherry.errors import AuthError, SourceError, StreamError, WherryError
from wherry.http.models import OnResponse, Retry
from wherry.http.places import MASK
from wherry.http.transport import Reply

Meaning = Literal["ok", "skip", "stop", "unchanged", "retry", "wait", "auth", "redirect", "fail"]
_LONG = 200
_TELLING = ("message", "error_description", "error", "detail", "title", "errors", "reason")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an answer. rule: that said so, if one did."""

    meaning: Meaning
    rule: OnResponse | None = None


def judged(reply: Reply, rules: Sequence[OnResponse], retry: Retry, conditional: bool = False) -> Verdict:
    """The first rule that fits, else what the status means. conditional: "not modified" was asked for; no rule can
    make an answer without rows of it."""
    if reply.status == 304 and conditional:
        return Verdict("unchanged")
    text: str | None = None
    for rule in rules:
        if rule.contains is not None and text is None:
            text = reply.body.decode(errors="replace")
        if rule.fits(reply.status, text or ""):
            return Verdict(rule.do, rule)
    status = reply.status
    if status in retry.statuses:
        return Verdict("retry")
    if status in (204, 205):
        return Verdict("skip")
    if 200 <= status < 300:
        return Verdict("ok")
    if status in (301, 302, 303, 307, 308) and reply.headers.get("location"):
        return Verdict("redirect")
    return Verdict("auth" if status == 401 else "fail")


def failure(reply: Reply, shown: str, verdict: Verdict, secrets: Iterable[str], fetched: bool) -> WherryError:
    """The error of an answer that is final. fetched: the token was fetched anew before it was refused again."""
    status = reply.status
    text = f"{shown} answered {status}{_words(reply, secrets)}"
    if verdict.meaning == "auth":
        step = "see that the credentials are right, have not expired and are meant for this API"
        return AuthError(f"{text}: the credentials were refused" + (", a new token too" if fetched else ""), next=step)
    if verdict.rule is not None:
        what = f"status: {verdict.rule.status}" if verdict.rule.status is not None else ""
        what += f"{', ' if what else ''}contains: {verdict.rule.contains!r}" if verdict.rule.contains else ""
        return StreamError(f"{text}, which on_response calls a failure ({what})", key="on_response")
    return _by_status(status, text)


def _by_status(status: int, text: str) -> WherryError:
    skip = f"or, if that is normal here, on_response: [{{status: {status}, do: skip}}]"
    if status == 403:
        step = f"let them read this, or leave the stream out: --exclude NAME; {skip}"
        return AuthError(f"{text}: the credentials may not read this", next=step)
    if status in (404, 410):
        return StreamError(f"{text}: there is nothing", next=f"see base_url and path; {skip}")
    if status in (400, 405, 406, 409, 413, 414, 415, 422):
        return StreamError(f"{text}: it does not take this request", next="see path, params, headers and body")
    if 300 <= status < 400:
        return SourceError(f"{text}, without saying where to", next="see that base_url is right")
    return SourceError(text, next=f"to ask again instead: on_response: [{{status: {status}, do: retry}}]")


def _words(reply: Reply, secrets: Iterable[str]) -> str:
    """What the server says of it, if that is short, without secrets."""
    if reply.status < 400 or len(reply.body) > 64 << 10:
        return ""
    try:
        said = _telling(json.loads(reply.body))
    except (ValueError, RecursionError):
        return ""
    for secret in secrets:
        said = said.replace(secret, MASK)
    said = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return f" ({said[:_LONG]})" if said else ""


def _telling(value: Any, deep: int = 3) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and deep:
        return _telling(value[0], deep - 1)
    if isinstance(value, dict) and deep:
        return next((said for name in _TELLING if (said := _telling(value.get(name), deep - 1))), "")
    return ""
