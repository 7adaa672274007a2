"""`@wherry.stream`: a function that yields the rows of a stream, and what is said about them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    import pyarrow as pa

F = TypeVar("F", bound=Callable[..., Any])
FILLED = ("since", "until", "parent", "run", "log")
"""Arguments that are filled in, where a function names them; all others are configuration."""
_MARK = "__wherry_stream__"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A decorated function and what was said about its rows. doc: its docstring."""

    function: Callable[..., Any]
    name: str
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None
    ordered: bool = False
    changes: bool = False
    schema: Any = None
    parent: str | None = None
    description: str | None = None
    doc: str = ""
    parameters: Mapping[str, inspect.Parameter] = field(default_factory=dict)


@overload
def stream(function: F, /) -> F: ...
@overload
def stream(
    *,
    name: str | None = None,
    primary_key: str | Sequence[str] = (),
    cursor: str | None = None,
    ordered: bool = False,
    schema: pa.Schema | Mapping[str, Any] | None = None,
    parent: str | Callable[..., Any] | None = None,
    changes: bool = False,
    description: str | None = None,
) -> Callable[[F], F]: ...
def stream(function: Any = None, /, **said: Any) -> Any:
    """Make a function a stream of the source that its module is. It stays an ordinary function.

    It yields rows: dicts, lists of dicts, Arrow data, pages of `wherry.pages`, a `Batch` or a `Mark`. `since` is the
    last value of `cursor` that earlier runs saw, as it came; on the first run its default, or None. `until`: where to
    stop, if the user said so. `parent`: a row of the parent stream; the function is called once for each. `run`, `log`:
    see `wherry.Run`. Every other argument is a key of the source's configuration.

    name: the function's by default.  primary_key: column, or columns.  ordered: rows come in cursor order, so that a
    bookmark may stand in the middle.  schema: of the columns that are known, an Arrow schema, or column -> type
    as in a manifest ("timestamptz", "decimal(12,2)", ["text"]).
    changes: rows carry `_wherry_op`.  description: the docstring's first line by default.
    """
    if function is not None:
        return _declare(function, {})
    return lambda found: _declare(found, said)


def declared(value: Any) -> Declared | None:
    """What was said about a function, if it is a stream."""
    found = getattr(value, _MARK, None) if callable(value) else None
    return found if isinstance(found, Declared) else None


def _declare(function: Any, said: dict[str, Any]) -> Any:
    name = said.pop("name", None) or getattr(function, "__name__", "")
    if not inspect.isfunction(function):
        raise TypeError(f"wherry.stream decorates functions, not {function!r}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"stream {name!r}: a name is of letters, digits, _ and -, and begins with a letter")
    key, parent = said.pop("primary_key", ()), said.pop("parent", None)
    above = declared(parent)
    found = Declared(
        function=function,
        name=name,
        primary_key=(key,) if isinstance(key, str) else tuple(key),
        parent=above.name if above else parent,
        doc=inspect.getdoc(function) or "",
        parameters=_parameters(name, function),
        **said,
    )
    _refuse_nonsense(found)
    setattr(function, _MARK, found)
    return function


def _parameters(name: str, function: Any) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(function).parameters)
    for parameter in found.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ValueError(f"stream {name}: argument {parameter} cannot be a key: give each one a name of its own")
    return found


def _refuse_nonsense(found: Declared) -> None:
    if found.ordered and found.cursor is None:
        raise ValueError(f"stream {found.name}: ordered needs cursor, the column that rows are in the order of")
    if found.changes and not found.primary_key:
        raise ValueError(f"stream {found.name}: changes needs primary_key, by which they are applied")
    if found.parent is not None and not isinstance(found.parent, str):
        raise ValueError(f"stream {found.name}: parent is the name of a stream, not {found.parent!r}")
    if (found.parent is not None) != ("parent" in found.parameters):
        missing = "an argument parent, a row of it" if found.parent else "parent=, the stream whose rows it takes"
        raise ValueError(f"stream {found.name} needs {missing}")
