"""One request and its answer, as the layers above HTTP see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
"""Headers that ask for "not modified" in the place of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask for. url: absolute, or below the client's `base_url`. params: in order; a list repeats its name.

    json: body of a POST. headers: beside those of the client.
    """

    url: str
    method: Literal["GET", "POST"] = "GET"
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole, decoded answer. outcome: "ok"; or what a rule makes of it: "skip" (no rows here), "stop" (the end).

    url: as asked for in the end, without secrets, for messages. headers: names in lower case; several of one name are
    joined by ", ". body: decompressed bytes, UTF-8 if it is text. address: what links in it are relative to; it may
    hold secrets.
    """

    outcome: Literal["ok", "skip", "stop", "unchanged"] = "ok"
    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    address: str = field(default="", repr=False)
