"""What pydantic says about a value, as one line for the person who wrote it."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from wherry.near import did_you_mean, near

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first thing wrong. path: keys that lead to it.  message: without where the value came from.

    shown: the value itself belongs into the message, if it is no secret.  remedy: what would help, if that is known.
    """

    path: Path
    message: str
    shown: bool = False
    remedy: str | None = None


def explain(error: ValidationError, model: type[BaseModel], data: Any) -> Refusal:
    """The first error of a validation of `data`, the raw input: it tells keys from pydantic's names of branches."""
    details = error.errors(include_url=False, include_input=False)
    located = [(_path(detail["loc"], data), detail) for detail in details]
    # of the branches of a union, the one that got furthest is the one that was meant
    path, detail = max(located, key=lambda item: (len(item[0]), item[1]["type"] == "extra_forbidden"))
    first, first_detail = located[0]
    if path[: len(first)] != first:
        path, detail = first, first_detail
    kind, key = detail["type"], str(path[-1]) if path else "the file"
    if kind == "extra_forbidden":
        known = list(fields(model_at(model, path[:-1])))
        remedy = None if near(key, known) else f"keys known here: {', '.join(known)}"
        return Refusal(path, f"unknown key {key!r}{did_you_mean(key, known)}", remedy=remedy)
    if kind == "missing":
        return Refusal((*path, str(detail["loc"][-1])), f"key {detail['loc'][-1]!r} is missing")
    return Refusal(path, f"{key} {_accepted(detail)}", shown=True)


def fields(model: type[BaseModel] | None) -> dict[str, Any]:
    """Fields of a model by the name that users write."""
    return {info.alias or name: info for name, info in (model.model_fields if model else {}).items()}


def model_at(model: type[BaseModel] | None, path: Path) -> type[BaseModel] | None:
    """The model that the keys of `path` lead to, if there is one."""
    annotation: Any = model
    for step in path:
        found = model_of(annotation)
        if found is not None:
            annotation = fields(found)[str(step)].annotation if str(step) in fields(found) else None
        else:
            annotation = next((a for a in reversed(typing.get_args(annotation))), None)
    return model_of(annotation)


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model in a type such as `Model | None`, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return next(filter(None, map(model_of, typing.get_args(annotation))), None)
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
