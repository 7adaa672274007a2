"""The configuration that a manifest gathers while it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.guess.words import snake

_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean"}


class Config:
    """Keys in the order in which they were asked for."""

    def __init__(self) -> None:
        self.fields: dict[str, dict[str, Any]] = {}

    def secret(self, key: str, text: str = "") -> str:
        """A key that is never shown; returns its template."""
        return self._add(key, {"type": "secret"} | _described(text))

    def key(self, key: str, kind: str = "text", text: str = "", **more: Any) -> str:
        """A key for a value of a description's type; returns its template."""
        return self._add(key, {"type": _TYPES.get(kind, "string")} | {k: v for k, v in more.items() if v is not None}
                         | _described(text))  # fmt: skip

    def free(self, name: str, around: str) -> str:
        """A name for a key: that of a parameter, with what it belongs to where the name alone says too little."""
        word = snake(name) or "value"
        vague = word in ("id", "uuid", "guid", "key", "name", "slug", "code", "type", "number", "value")
        taken = self.fields.get(word, {}).get("type") == "secret" or word in ("username", "client_id")
        word = f"{around}_{word}" if around and (vague or taken) else word
        return word if word[:1].isalpha() else f"key_{word}"

    def _add(self, key: str, field: Mapping[str, Any]) -> str:
        self.fields.setdefault(key, dict(field))
        return f"{{config.{key}}}"


def _described(text: str) -> dict[str, str]:
    short = text.partition(". ")[0][:100].strip()
    return {"description": short} if short else {}


def literal(text: str) -> str:
    """A text that stays what it is where templates are looked for."""
    return text.replace("{{", "{{{{").replace("{config.", "{{config.").replace("{parent.", "{{parent.").replace(
        "{item}", "{{item}").replace("{start}", "{{start}").replace("{end}", "{{end}")  # fmt: skip
