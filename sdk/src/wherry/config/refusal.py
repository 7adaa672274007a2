"""What pydantic says about a value, as one line for the person who wrote it."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic_core import ErrorDetails

from wherry.near import did_you_mean, near

Path = tuple[str | int, ...]
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first thing wrong. path: keys that lead to it.  message: without where the value came from.

    shown: the value itself belongs into the message, if it is no secret.  remedy: what would help, if that is known.
    """

    path: Path
    message: str
    shown: bool = False
    remedy: str | None = None


def explain(error: ValidationError, model: type[Any], data: Any) -> Refusal:
    """The first error of a validation of `data`, the raw input: it tells keys from pydantic's names of branches."""
    details = error.errors(include_url=False, include_input=False)
    located = [(_path(detail["loc"], data), detail) for detail in details]
    # of the branches of a union, the one that got furthest is the one that was meant
    path, detail = max(located, key=lambda item: (len(item[0]), item[1]["type"] in _UNKNOWN))
    first, first_detail = located[0]
    if path[: len(first)] != first:
        path, detail = first, first_detail
    kind, key = detail["type"], str(path[-1]) if path else "the file"
    if kind in _UNKNOWN:
        known = list(fields(model_at(model, path[:-1], data)))
        remedy = None if near(key, known) else f"keys known here: {', '.join(known)}"
        return Refusal(path, f"unknown key {key!r}{did_you_mean(key, known)}", remedy=remedy)
    if kind == "missing":
        return Refusal((*path, str(detail["loc"][-1])), f"key {detail['loc'][-1]!r} is missing")
    return Refusal(path, f"{key} {_accepted(detail)}", shown=True)


def fields(model: type[Any] | None) -> dict[str, Any]:
    """Fields of a model (or pydantic dataclass) by the name that users write."""
    found = {} if model is None else model.__pydantic_fields__
    return {info.alias or info.serialization_alias or name: info for name, info in found.items()}


def model_at(model: type[Any] | None, path: Path, data: Any = None) -> type[Any] | None:
    """The model that the keys of `path` lead to, if there is one; of several, the one whose `type` the data name."""
    annotation: Any = model
    for step in path:
        found = _meant(annotation, data)
        data = _within(data, step)
        if found is not None:
            annotation = fields(found)[str(step)].annotation if str(step) in fields(found) else None
        else:
            annotation = next((a for a in reversed(typing.get_args(annotation)) if a is not ...), None)
    return _meant(annotation, data)


def model_of(annotation: Any) -> type[Any] | None:
    """The model in a type such as `Model | None`, if there is one."""
    return next(_models(annotation), None)


def _models(annotation: Any) -> Iterator[type[Any]]:
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_pydantic_dataclass(annotation)):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from _models(part)


def _meant(annotation: Any, data: Any) -> type[Any] | None:
    found = list(_models(annotation))
    word = _within(data, "type")
    of_type = [model for model in found if word is not None and _default(model, "type") == word]
    return next(iter(of_type or found), None)


def _default(model: type[Any], name: str) -> Any:
    return model.__pydantic_fields__[name].default if name in model.__pydantic_fields__ else None


def _within(data: Any, step: str | int) -> Any:
    try:
        return data[step]
    except (TypeError, KeyError, IndexError):
        return None


def _path(location: Sequence[str | int], data: Any) -> Path:
    path: list[str | int] = []
    for step in location:
        try:
            data = data[step]
        except (TypeError, KeyError, IndexError):
            continue  # the name of a branch of a union, or of a missing key
        path.append(step)
    return tuple(path)


def _accepted(detail: ErrorDetails) -> str:
    text = re.sub(r"^(Value error|Assertion failed), |, unable to parse string as an? .*$", "", detail["msg"])
    return " ".join(text.replace("Input should", "should", 1).split())
