"""Configuration of connectors: pydantic models whose JSON Schema is the spec, the docs and the prompts."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, SecretStr

Secret = SecretStr
"""A text that no repr, log or traceback shows; `.get_secret_value()` where it is used, and nowhere else."""


def public(text: str) -> str:
    """A URI without its password; any other text as it is."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    if "@" not in parts.netloc:
        return text
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}"))


class ConnectorConfig(BaseModel):
    """Base of every connector's configuration: unknown keys are refused, defaults are checked.

    `reference` names the field that takes what the user typed: the URI, or the text after `connector:`.
    Field descriptions end up in `wherry plugins info`; write them for users.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)
    reference: ClassVar[str | None] = None

    def reference_text(self) -> str:
        """What the user typed for this connector, without its password."""
        value: Any = getattr(self, self.reference) if self.reference else ""
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        return public(str(value or ""))
