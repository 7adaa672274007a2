"""From the arguments of functions to a configuration: one pydantic field for each name."""

from __future__ import annotations

import inspect
import re
import types
import typing
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from pydantic import Field, SecretStr, create_model

from wherry.contracts.config import ConnectorConfig
from wherry.functions.declare import FILLED, Declared
from wherry.telling import SECRET

PLAIN = (str, int, float, bool, date, datetime, Decimal, SecretStr)
KINDS = "wherry.Secret, str, int, float, bool, date, datetime, Decimal, list of one of them, Literal, or one or None"
_TAKEN = frozenset({"reference", "reference_text", "warnings", "model_config"})
_EMPTY = inspect.Parameter.empty


class FunctionConfig(ConnectorConfig):
    """Arguments of functions."""

    def warnings(self) -> Sequence[str]:
        """Arguments that are called like secrets and are not declared as such."""
        return [
            f"{name} is called like a secret: declare it {name}: wherry.Secret, so that no message shows it"
            for name, field in type(self).model_fields.items()
            if SECRET.search(name) and field.annotation in (str, str | None) and getattr(self, name)
        ]


def model(functions: Iterable[Declared], doc: str) -> type[ConnectorConfig]:
    """A configuration with a key for each argument that is not filled in; equal names are one key.

    ValueError: an annotation that no key can have, or two functions that mean different things by one name.
    """
    found: dict[str, tuple[Any, Any, Declared]] = {}
    users: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for declared in functions:
        hints = hints_of(declared)
        for name, parameter in declared.parameters.items():
            if name in FILLED:
                continue
            meant = (*_meaning(declared, parameter, hints.get(name, _EMPTY)), declared)
            found[name] = _agreed(name, found.get(name), meant)
            users.setdefault(name, []).append(declared.name)
        words = _described(declared) | words
    fields: dict[str, Any] = {}
    for name, (annotation, default, _) in found.items():
        text = _said(annotation) or words.get(name) or f"for {', '.join(users[name])}"
        fields[name] = (annotation, Field(... if default is _EMPTY else default, description=text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `schema` or `copy` are good names for keys, whatever pydantic calls so
        return create_model("Config", __base__=FunctionConfig, __doc__=doc, **fields)


def hints_of(declared: Declared) -> dict[str, Any]:
    """Annotations of the arguments, resolved, `Annotated` kept; that of what it returns does not matter."""
    wanted = {
        name: parameter.annotation
        for name, parameter in declared.parameters.items()
        if parameter.annotation is not _EMPTY and name not in ("parent", "run", "log")
    }
    space = getattr(declared.function, "__globals__", {})
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__=wanted), globalns=space, include_extras=True)
    except NameError as error:
        raise ValueError(f"stream {declared.name}: an annotation needs {error.name}, which is not there") from None


def _meaning(declared: Declared, parameter: inspect.Parameter, hint: Any) -> tuple[Any, Any]:
    """(annotation or empty, default or empty) of one argument."""
    name, default = parameter.name, parameter.default
    where = f"stream {declared.name}: argument {name}"
    if name in _TAKEN or name.startswith(("_", "model_")):
        raise ValueError(f"{where} cannot be a key of the configuration: call it otherwise")
    if hint is _EMPTY and default not in (_EMPTY, None):
        hint = list[str] if isinstance(default, (list, tuple)) else type(default)
    elif hint is not _EMPTY and default is None and type(None) not in typing.get_args(_bare(hint)):
        hint = typing.Optional[hint]  # noqa: UP045 - it may be Annotated
    elif hint is _EMPTY and default is None:
        hint = str | None
    if hint is not _EMPTY and not _known(_bare(hint)):
        shown = getattr(_bare(hint), "__name__", None) or str(hint)
        raise ValueError(f"{where} is a {shown}; a key is {KINDS}")
    return hint, default


def _agreed(name: str, one: Any, other: Any) -> Any:
    """What two functions mean by one name; an argument without annotation and default leaves it to the other."""
    if one is None:
        return other if other[:2] != (_EMPTY, _EMPTY) else (str, _EMPTY, other[2])
    if other[:2] in ((_EMPTY, _EMPTY), one[:2]):
        return one
    if one[:2] == (str, _EMPTY):
        return other
    raise ValueError(f"streams {one[2].name} and {other[2].name} mean different things by {name}: declare it alike")


def _bare(annotation: Any) -> Any:
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def _known(annotation: Any) -> bool:
    """Whether a text on the command line can become such a value."""
    annotation = _bare(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return all(arg is type(None) or _known(arg) for arg in args)
    if origin is list:
        return all(map(_known, args))
    return origin is typing.Literal or annotation in (*PLAIN, list)


def _said(annotation: Any) -> str | None:
    """The description in `Annotated`: a text, or that of pydantic's own `Field`."""
    found = [getattr(extra, "description", extra) for extra in getattr(annotation, "__metadata__", ())]
    return next((text for text in found if isinstance(text, str)), None)


def _described(declared: Declared) -> dict[str, str]:
    """Lines `name: what it is` of the docstring, further indented lines included."""
    return {name: " ".join(text.split()).rstrip(".") for name, text in _entries(declared.doc, declared.parameters)}


def _entries(doc: str, names: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"^([ \t]*)(\w+): +(\S.*(?:\n\1[ \t]+\S.*)*)", doc, re.MULTILINE):
        if match[2] in names:
            yield match[2], match[3]
