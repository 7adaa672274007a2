"""Configuration of connectors: pydantic models whose JSON Schema is the spec, the docs and the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, SecretStr

from wherry.telling import SECRET

Secret = SecretStr
"""A text that no repr, log or traceback shows; `.get_secret_value()` where it is used, and nowhere else."""


def public(text: str) -> str:
    """A URI without its secrets: the password, also one that holds a raw `/`, and parameters that are called like one.

    Any other text is left as it is.
    """
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    place, question, query = rest.partition("?")
    login, at, host = place.rpartition("@")
    if at:
        place = f"{login.partition(':')[0]}@{host}"
    kept = [pair for pair in query.split("&") if not SECRET.search(unquote(pair.partition("=")[0]))]
    return f"{scheme}://{place}" + (question + "&".join(kept) if question and any(kept) else "")


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

    def warnings(self) -> Sequence[str]:
        """What a user should hear of at the start of a run, such as a protection that was switched off."""
        return ()
