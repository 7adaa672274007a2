"""`base_url`, from the servers that a description names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wherry.guess.openapi.config import Config, literal
from wherry.guess.openapi.document import Document
from wherry.guess.words import snake
from wherry.guess.writer import Noted, guessed, one_line


def base_url(document: Document, config: Config) -> Any:
    """The address with its variables as configuration; without a host, that is configuration too."""
    if document.swagger:
        return _swagger(document.root, config)
    servers = document.root.get("servers")
    known = [s for s in servers if isinstance(s, Mapping) and s.get("url")] if isinstance(servers, list) else []
    if not known:
        return guessed(config.key("base_url", text="address of the API"), "the file names no server")
    address = _filled(known[0], config)
    others = [one_line(str(server["url"])) for server in known[1:4]]
    note = f"or {', '.join(others)}" if others else ""
    if address.startswith(("http://", "https://", "{config.")):
        return Noted(address.rstrip("/"), note)
    host = config.key("host", text="where the API is: https://…")
    return guessed(f"{host}/{address.lstrip('/')}".rstrip("/"), "the file names no host")


def plain(base: Any) -> str:
    """The address without its note, for addresses that are relative to it."""
    return str(base.value if isinstance(base, Noted) else base)


def first_server(document: Document) -> str:
    """The address of the first server, as it is written."""
    servers = document.root.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else None
    return str(first.get("url")) if isinstance(first, Mapping) else ""


def _swagger(root: Mapping[str, Any], config: Config) -> Any:
    schemes = root.get("schemes")
    scheme = "http" if isinstance(schemes, list) and schemes and "https" not in schemes else "https"
    path = str(root.get("basePath") or "").strip("/")
    host = literal(str(root["host"])) if root.get("host") else None
    if host is None:
        template = config.key("host", text="where the API is: https://…")
        return guessed(f"{template}/{path}".rstrip("/"), "the file names no host")
    placeholder = re.match(r"(your|my|example|localhost|yoursubdomain)\b", host, re.IGNORECASE)
    if placeholder:
        template = config.key("host", text=f"the host in place of {host}")
        return guessed(f"{scheme}://{template}/{path}".rstrip("/"), f"{host} stands for your own")
    return f"{scheme}://{host}/{path}".rstrip("/")


def _filled(server: Mapping[str, Any], config: Config) -> str:
    variables = server.get("variables")
    known = variables if isinstance(variables, Mapping) else {}

    def template(match: re.Match[str]) -> str:
        variable = known.get(match[1])
        variable = variable if isinstance(variable, Mapping) else {}
        default, choices = variable.get("default"), variable.get("enum")
        text = one_line(str(variable.get("description") or ""))
        choices = [str(c) for c in choices] if isinstance(choices, list) and choices else None
        default = str(default) if default not in (None, "") else None
        return config.key(snake(match[1]) or "server", text=text, default=default, choices=choices)

    return re.sub(r"\{([^{}]+)\}", template, str(server["url"]).strip())
