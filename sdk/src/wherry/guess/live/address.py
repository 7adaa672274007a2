"""A manifest to begin with, from nothing but the address of a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import TypeAdapter

from wherry.errors import UsageError
from wherry.guess.openapi.config import literal
from wherry.guess.words import snake
from wherry.rest.models import Manifest

_SECRETS = {"api_key", "apikey", "key", "token", "access_token", "auth_token", "apitoken", "api_token"}
_USED = {"token": ("token",), "basic": ("username", "password")}


def begun(url: str, config: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The manifest as plain values, and the values of its configuration.

    config: `token` for a bearer token, or `username` and `password`. A key in the address becomes configuration.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None:
        raise UsageError(f"{parts.scheme}://… is no address of a list", next="write it as https://HOST/PATH")
    where, _, last = parts.path.rstrip("/").rpartition("/")
    name = _named(snake(unquote(last).partition(".")[0]) or "rows")
    params: dict[str, Any] = {k: v[0] if len(v) == 1 else v for k, v in parse_qs(parts.query).items()}
    path = literal(unquote(last) + ("/" if parts.path.endswith("/") and last else ""))
    fields = {"path": path} if path != name else {}
    auth, given = _auth(params, config)
    tree: dict[str, Any] = {"version": 1, "name": _host(parts.hostname)}
    if given:
        kinds = {key: {"type": "string" if key == "username" else "secret"} for key in given}
        tree["config"] = kinds
    tree["base_url"] = literal(f"{parts.scheme}://{parts.netloc}{unquote(where)}")
    if auth:
        tree["auth"] = auth
    texts = {k: [literal(one) for one in v] if isinstance(v, list) else literal(v) for k, v in params.items()}
    tree["streams"] = {name: fields | ({"params": texts} if texts else {})}
    return tree, given


def manifest(tree: Mapping[str, Any]) -> Manifest:
    """The models of plain values."""
    return TypeAdapter(Manifest).validate_python(tree)


def _auth(params: dict[str, Any], config: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    unknown = set(config) - {key for keys in _USED.values() for key in keys}
    if unknown:
        raise UsageError(
            f"--set {sorted(unknown)[0]} means nothing for a bare address", key="set",
            next="--set token=… for a bearer token, username=… and password=…; else write a manifest with auth",
        )  # fmt: skip
    if "token" in config:
        return {"type": "bearer", "token": "{config.token}"}, dict(config)
    if "username" in config:
        auth = {"type": "basic", "username": "{config.username}", "password": "{config.password}"}
        return auth, {"password": "", **config}
    secret = next((name for name in params if snake(name) in _SECRETS and isinstance(params[name], str)), None)
    if secret is None:
        return {}, {}
    value = params.pop(secret)
    return {"type": "api_key", "name": secret, "value": "{config.api_key}", "in": "query"}, {"api_key": value}


def _host(host: str) -> str:
    """`api.acme.dev` is acme."""
    labels = [label for label in host.split(".") if label not in ("www", "api", "rest")]
    if re.fullmatch(r"[\d.:]+", host) or ":" in host or host == "localhost":
        return "api"
    label = labels[-2] if len(labels) > 1 else (labels or ["api"])[0]
    return _named(snake(label))


def _named(word: str) -> str:
    return word if word[:1].isalpha() else f"s_{word}"
