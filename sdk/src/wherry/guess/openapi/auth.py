"""Authentication, from the security schemes that the operations ask for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from wherry.guess.openapi.config import Config
from wherry.guess.openapi.document import Document, ElsewhereError
from wherry.guess.openapi.operations import Operation
from wherry.guess.writer import Noted, guessed, one_line

_FLOWS = {"application": "clientCredentials", "accessCode": "authorizationCode"}
_ORDER = ("bearer", "header", "basic", "client_credentials", "refresh_token", "query", "password", "token")


@dataclass(frozen=True, slots=True)
class Needed:
    """auth: of the manifest, None for none. headers, params: keys that are sent beside it."""

    auth: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


def needed(document: Document, operations: Iterable[Operation], base: str, config: Config) -> Needed:
    """What most of the operations can be asked with; the other ways are named in a comment."""
    schemes = _schemes(document)
    whole = document.root.get("security")
    common = [one for one in whole if isinstance(one, Mapping)] if isinstance(whole, list) else []
    ways = Counter(
        names for operation in operations
        for names in {tuple(sorted(way)) for way in (common if operation.security is None else operation.security)}
    )  # fmt: skip
    usable = [names for names in ways if names and all(name in schemes and _kind(schemes[name]) for name in names)]
    if not usable:
        return Needed()
    chosen = min(usable, key=lambda names: (-ways[names], len(names), _rank(schemes[names[0]]), names))
    main, *others = sorted(chosen, key=lambda name: _rank(schemes[name]))
    note = "; or " + ", ".join(" and ".join(names) for names in sorted(usable) if names != chosen)
    fields, doubt = _auth(schemes[main], base, config)
    said = f"scheme {main}" + (note if len(usable) > 1 else "")
    made = guessed(fields, f"{said}: {doubt}") if doubt else Noted(fields, said if len(usable) > 1 else "")
    return Needed(made, *_beside([schemes[name] for name in others], config))


def _schemes(document: Document) -> dict[str, Mapping[str, Any]]:
    try:
        if document.swagger:
            found = document.mapping(document.root.get("securityDefinitions"))
        else:
            found = document.mapping(document.mapping(document.root.get("components")).get("securitySchemes"))
        return {name: document.mapping(scheme) for name, scheme in found.items()}
    except ElsewhereError:
        return {}


def _kind(scheme: Mapping[str, Any]) -> str:
    kind, said = scheme.get("type"), str(scheme.get("scheme", "")).lower()
    if kind == "http":
        return said if said in ("bearer", "basic") else "token" if said else ""
    if kind == "basic":
        return "basic"
    if kind == "apiKey":
        return {"header": "header", "query": "query"}.get(str(scheme.get("in")), "")
    if kind == "oauth2":
        flows = _flows(scheme)
        if flows.get("clientCredentials", {}).get("tokenUrl"):
            return "client_credentials"
        if flows.get("authorizationCode", {}).get("tokenUrl"):
            return "refresh_token"
        return "password" if flows.get("password", {}).get("tokenUrl") else "token"
    return "token" if kind == "openIdConnect" else ""


def _rank(scheme: Mapping[str, Any]) -> int:
    kind = _kind(scheme)
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _flows(scheme: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    if "flow" in scheme:  # 2.0: the flow's fields stand in the scheme
        return {_FLOWS.get(str(scheme["flow"]), str(scheme["flow"])): scheme}
    flows = scheme.get("flows")
    return {k: v for k, v in flows.items() if isinstance(v, Mapping)} if isinstance(flows, Mapping) else {}


def _auth(scheme: Mapping[str, Any], base: str, config: Config) -> tuple[dict[str, Any], str]:
    """The fields of `auth`, and what is doubtful about them."""
    kind, text = _kind(scheme), one_line(str(scheme.get("description") or ""))
    match kind:
        case "basic":
            username = config.key("username")
            return {"type": "basic", "username": username, "password": config.secret("password")}, ""
        case "header" | "query":
            return _api_key(scheme, text, config)
        case "client_credentials" | "refresh_token" | "password":
            return _oauth(kind, scheme, base, config), "which grant your client may use"
    doubt = "" if kind == "bearer" else "get a token by hand: its flow needs a browser"
    return {"type": "bearer", "token": config.secret("token", text)}, doubt


def _api_key(scheme: Mapping[str, Any], text: str, config: Config) -> tuple[dict[str, Any], str]:
    name = str(scheme.get("name"))
    if name.lower() == "authorization":
        word = re.match(r"\W*([A-Za-z]+)\W+[{<\[$]", text)  # "SSWS {API token}"
        prefix = word[1] if word else "Bearer" if "bearer" in text.lower() else ""
        token = config.secret("token", text)
        if prefix.lower() == "bearer":
            return {"type": "bearer", "token": token}, "what its description says"
        doubt = "what stands before the token" if prefix else "whether a word such as Bearer stands before the token"
        return {"type": "api_key", "name": name, "value": f"{prefix} {token}".strip()}, doubt
    place = {"in": "query"} if scheme.get("in") == "query" else {}
    return {"type": "api_key", "name": name, "value": config.secret("api_key", text), **place}, ""


def _oauth(kind: str, scheme: Mapping[str, Any], base: str, config: Config) -> dict[str, Any]:
    names = {"client_credentials": "clientCredentials", "refresh_token": "authorizationCode", "password": "password"}
    flow = _flows(scheme)[names[kind]]
    address = str(flow.get("refreshUrl") if kind == "refresh_token" and flow.get("refreshUrl") else flow["tokenUrl"])
    fields: dict[str, Any] = {"type": "oauth2", "token_url": urljoin(f"{base}/", address), "grant": kind}
    fields |= {"client_id": config.key("client_id"), "client_secret": config.secret("client_secret")}
    if kind == "refresh_token":
        fields["refresh_token"] = config.secret("refresh_token")
    if kind == "password":
        fields |= {"username": config.key("username"), "password": config.secret("password")}
    return fields


def _beside(schemes: list[Mapping[str, Any]], config: Config) -> tuple[dict[str, str], dict[str, str]]:
    headers: dict[str, str] = {}
    params: dict[str, str] = {}
    for scheme in schemes:
        name = str(scheme.get("name") or "")
        if _kind(scheme) in ("header", "query") and name:
            template = config.secret(
                config.free(name.removeprefix("X-"), ""), one_line(str(scheme.get("description") or ""))
            )
            (headers if _kind(scheme) == "header" else params)[name] = template
    return headers, params
