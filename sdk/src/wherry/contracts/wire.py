"""The wire format: `Selection`, `Split`, `ReadPlan`, `Entry`, `Receipt`, `Lease` (and what they hold) as JSON.

Together with the four author errors (`WherryError.to_json`) this is all that a worker elsewhere has to speak.
Arrow schemas travel as IPC bytes in base64; fields at their default are left out; unknown fields are ignored, so that
a newer side may add some.
"""

from __future__ import annotations

import base64
import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

from wherry.contracts import loading, values

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """A JSON value that `from_json` turns back into an equal one."""
    if dataclasses.is_dataclass(value):
        return {
            f.name: to_json(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if not _is_default(f, getattr(value, f.name))
        }
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(v) for v in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if hasattr(value, "serialize"):
        return base64.b64encode(value.serialize().to_pybytes()).decode()
    return value


def from_json(kind: type[T], data: Any) -> T:
    """The `kind` (a contract dataclass) that `to_json` described."""
    hints = _hints(cast(Any, kind))
    known = {k: v for k, v in data.items() if k in hints}
    return kind(**{name: _decode(hints[name], item) for name, item in known.items()})


def _is_default(spec: dataclasses.Field[Any], value: Any) -> bool:
    if spec.default is not dataclasses.MISSING:
        return bool(value == spec.default)
    if spec.default_factory is not dataclasses.MISSING:
        return bool(value == spec.default_factory())
    return False


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    import pyarrow as pa

    space = vars(values) | vars(loading) | {"pa": pa}
    return typing.get_type_hints(kind, globalns=space)


def _decode(hint: Any, data: Any) -> Any:
    import pyarrow as pa

    if data is None or hint is Any:
        return data
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode(next(a for a in args if a is not type(None)), data)
    if hint is pa.Schema:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(data)))
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type[Any], hint), data)
    if origin is tuple:
        return tuple(_decode(args[0], item) for item in data)
    if origin is frozenset:
        return frozenset(data)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {k: _decode(args[1], v) for k, v in data.items()}
    return data
