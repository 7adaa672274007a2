"""The configuration of a REST source: a pydantic model from what a manifest declares, and back from a class."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field, SecretStr, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from wherry.contracts.config import ConnectorConfig
from wherry.rest.models import ConfigField

TYPES: Mapping[str, Any] = {
    "string": str, "secret": SecretStr, "integer": int, "number": float, "boolean": bool, "date": date,
    "datetime": datetime, "list": list[str],
}  # fmt: skip


def config_model(name: str, fields: Mapping[str, ConfigField], base: type[ConnectorConfig]) -> type[ConnectorConfig]:
    """A model with a field for each key that the manifest declares, beside those of `base`."""
    made = {key: _model_field(field) for key, field in fields.items()}
    return create_model(f"{name.title().replace('_', '').replace('-', '')}Config", __base__=base, **made)


def config_fields(model: type[ConnectorConfig]) -> dict[str, ConfigField]:
    """What a manifest would declare for a class's own configuration."""
    return {key: _config_field(info) for key, info in model.model_fields.items()}


def _model_field(field: ConfigField) -> Any:
    kind: Any = Literal[field.choices] if field.choices else TYPES[field.type]
    if field.default is not None:
        return kind, Field(default=field.default, description=field.description)
    if field.required is False:
        return kind | None, Field(default=None, description=field.description)
    return kind, Field(description=field.description)


def _config_field(info: FieldInfo) -> ConfigField:
    kinds = [k for k in _branches(info.annotation) if k is not type(None)]
    optional = len(kinds) < len(list(_branches(info.annotation)))
    kind = kinds[0] if kinds else str
    choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
    plain = type(choices[0]) if choices else typing.get_origin(kind) or kind
    word = next((word for word, known in TYPES.items() if (typing.get_origin(known) or known) is plain), "string")
    default = None if info.default is PydanticUndefined else info.default
    required = False if default is None and optional else None
    return ConfigField(
        type=typing.cast(Any, word), default=default, description=info.description, required=required, choices=choices
    )


def _branches(annotation: Any) -> typing.Iterator[Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for branch in typing.get_args(annotation):
            yield from _branches(branch)
    else:
        yield annotation
