"""Which tap, where it is installed from, and the configuration that it gets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, SecretStr, field_validator
from wherry import ConnectorConfig, UsageError, public

_TELLING = (
    "host", "hostname", "server", "port", "database", "dbname", "account", "account_id", "subdomain", "domain", "site",
    "shop", "base_url", "api_url", "url", "sqlalchemy_url", "bucket", "project_id", "organization", "repository",
)  # fmt: skip
"""Keys of a tap's configuration that say what it reads, none a secret: they are part of what a bookmark is of."""
_SECRET = re.compile(
    r"(?i)pass(word|wd|phrase)?$|pwd$|token$|secret$|(api|access|secret|private|auth)[-_]?(key|code)$|credentials?"
)


class SingerConfig(ConnectorConfig):
    """Every key that is none of these goes to the tap."""

    model_config = ConfigDict(extra="allow")
    reference: ClassVar[str | None] = "tap"

    tap: str = Field(
        description="the tap: a program on PATH, or a distribution that is installed on first use, in an environment "
        "of its own (`tap-github`, `meltanolabs-tap-postgres==0.10.0`)",
        min_length=1,
    )
    package: str | list[str] | None = Field(
        None, description="what to install, if it is called otherwise than the tap; with a list, all of it"
    )
    python: str | None = Field(None, description="the Python that the tap runs on (`3.11`, or a path); ours by default")
    executable: str | None = Field(None, description="the program itself: nothing is installed")
    catalog: str | None = Field(None, description="a catalog file, for taps that cannot discover")
    config: dict[str, Any] = Field(
        {}, description="the tap's configuration; keys that are none of ours may also stand beside it"
    )
    env: dict[str, SecretStr] = Field(
        {}, description="environment variables for the tap: of ours it gets PATH, HOME, proxies and TAP_… only"
    )

    @field_validator("tap", "executable", "package")
    @classmethod
    def _no_option(cls, value: Any) -> Any:
        for text in [value] if isinstance(value, str) else value or []:
            if text.startswith("-"):
                raise ValueError("must not begin with a dash")
        return value

    def requirements(self) -> list[str]:
        """What is installed, the tap's own distribution first."""
        package = self.package or self.tap
        return [package] if isinstance(package, str) else list(package)

    def settings(self, types: Mapping[str, Any]) -> dict[str, Any]:
        """The tap's configuration. types: JSON Schema by key, as far as the tap tells; texts become what it says.

        A key with dots leads into a mapping: `config.ssl.mode`, `ssl.mode`.
        """
        found: dict[str, Any] = json.loads(json.dumps(self.config))
        for key, value in (self.__pydantic_extra__ or {}).items():
            way = key.removeprefix("config.").split(".")
            at = found
            for step in way[:-1]:
                at = at.setdefault(step, {})
                if not isinstance(at, dict):
                    raise UsageError(f"{key!r} leads into {step!r}, which has a value already", key=key)
            at[way[-1]] = _typed(value, types.get(way[0], {}) if len(way) == 1 else None, way[-1])
        return found

    def secrets(self, types: Mapping[str, Any]) -> list[str]:
        """Texts that must not be shown."""
        return [*_secrets(self.settings(types), types), *(value.get_secret_value() for value in self.env.values())]

    def variables(self) -> dict[str, str]:
        """Of the environment, for the tap."""
        return {name: value.get_secret_value() for name, value in self.env.items()}

    def label(self) -> str:
        """The tap's name without `tap-`, a version, and who publishes it."""
        name = re.split(r"[^A-Za-z0-9._-]", self.tap.rpartition("/")[2], maxsplit=1)[0]
        return re.sub(r"^(.*[-_])?tap[-_]", "", name.removesuffix(".py")) or name

    def address(self) -> str:
        """What is read, as far as names of keys tell: tap, host, database; no user, no secret."""
        told = self.settings({})
        name = re.split(r"[^A-Za-z0-9._-]", self.tap.rpartition("/")[2], maxsplit=1)[0]
        parts = [f"{key}={public(str(told[key]))}" for key in _TELLING if isinstance(told.get(key), str | int)]
        return " ".join([f"singer:{name}", *parts])


def _secrets(value: Any, types: Mapping[str, Any], inside: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            told = types.get(key)
            marked = isinstance(told, Mapping) and bool(told.get("secret") or told.get("writeOnly"))
            yield from _secrets(item, {}, inside or marked or bool(_SECRET.search(str(key))))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, {}, inside)
    elif inside and value is not None and not isinstance(value, bool):
        yield str(value)


def _typed(value: Any, told: Mapping[str, Any] | None, key: str) -> Any:
    """A text as the type that the tap wants; where that is not known, what looks like JSON is taken for it."""
    if not isinstance(value, str):
        return value
    wanted = told.get("type", []) if told else []
    kinds = {wanted} if isinstance(wanted, str) else set(wanted)
    for branch in (told or {}).get("anyOf", ()):
        inner = branch.get("type", ()) if isinstance(branch, Mapping) else ()
        kinds |= {inner} if isinstance(inner, str) else set(inner)
    if "string" in kinds or (not kinds and _SECRET.search(key)):
        return value
    if not kinds and not re.fullmatch(
        r'\s*(true|false|null|-?(0|[1-9]\d{0,14})(\.\d+)?|[\[{"].*[\]}"])\s*', value, re.DOTALL
    ):
        return value
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = [word.strip() for word in value.split(",")] if "array" in kinds else value
    if "boolean" in kinds and isinstance(parsed, str) and parsed.lower() in ("true", "false", "yes", "no", "on", "off"):
        return parsed.lower() in ("true", "yes", "on")
    return [value] if kinds - {"null"} == {"array"} and not isinstance(parsed, list) else parsed
