"""A tap of the Singer SDK as a source of its own: `source = tap_source("tap_x.tap:TapX")` is a whole plugin."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, create_model

from wherry_source_singer.config import SingerConfig
from wherry_source_singer.environments import Tap
from wherry_source_singer.source import SingerSource

_RUN = "import sys; from importlib import import_module as m; sys.argv[0] = {name!r}; m({module!r}).{object}.cli()"
_TYPES: dict[str, Any] = {
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list[Any],
    "object": dict[str, Any],
}


def tap_source(place: str) -> type[SingerSource]:
    """A source class for the tap at `module:Class`, a `singer_sdk.Tap` that is installed in this environment.

    Its configuration is what `config_jsonschema` says; it runs as a program of its own, as `singer:` runs taps.
    """
    module, _, object = place.partition(":")
    own: Any = getattr(import_module(module), object)
    name = str(getattr(own, "name", object))
    program = Tap(name, (sys.executable, "-c", _RUN.format(name=name, module=module, object=object)))

    class TapSource(SingerSource):
        """A tap of this environment."""

        Config = config_of(own.config_jsonschema, name)

        def tap(self) -> Tap:
            return program

    TapSource.__name__ = TapSource.__qualname__ = f"{object}Source"
    TapSource.__doc__ = (own.__doc__ or f"The tap {name}.").strip().splitlines()[0]
    return TapSource


def config_of(schema: Mapping[str, Any], name: str) -> type[SingerConfig]:
    """The configuration that a JSON Schema describes: its keys stand where those of the tap's place would."""
    required = set(schema.get("required", ()))
    fields: dict[str, Any] = {}
    for key, told in schema.get("properties", {}).items():
        if (
            re.fullmatch(r"[a-zA-Z]\w*", key)
            and key not in SingerConfig.model_fields
            and not hasattr(SingerConfig, key)
        ):
            fields[key] = _field(told if isinstance(told, Mapping) else {}, key in required)

    class Base(SingerConfig):
        """A tap that needs no place."""

        reference: ClassVar[str | None] = None
        tap: str = Field(name, description="the tap; it is installed with this source", pattern=f"^{re.escape(name)}$")

        def settings(self, types: Mapping[str, Any]) -> dict[str, Any]:
            own = {key: _plain(getattr(self, key)) for key in fields if key in self.model_fields_set}
            return super().settings(types) | own

    return create_model(f"{Base.__name__}Config", __base__=Base, __doc__=f"Configuration of {name}.", **fields)


def _field(told: Mapping[str, Any], required: bool) -> tuple[Any, Any]:
    kinds = told.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else [str(k) for k in kinds]
    known = [k for k in kinds if k != "null"]
    kind: Any = _TYPES.get(known[0], str) if len(known) == 1 else Any
    if kind is str and told.get("secret"):
        kind = SecretStr
    choices = told.get("enum")
    if kind is str and choices and all(isinstance(c, str) for c in choices):
        kind = Literal[tuple(choices)]
    about = str(told.get("description") or told.get("title") or "")
    if required and "default" not in told:
        return kind, Field(description=about)
    default = told.get("default")
    return kind | None if kind is not Any else Any, Field(default, description=about)


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
