"""Which operations are streams, what they are called, and what each of them says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wherry.guess.openapi.operations import Operation
from wherry.guess.openapi.shapes import Shapes
from wherry.guess.paging import Paging, paging
from wherry.guess.rows import NotRowsError, Rows, key, rows
from wherry.guess.shape import Shape
from wherry.guess.words import snake

_VERSION = re.compile(r"(v\d+(\.\d+)*|api|rest|latest|public)", re.IGNORECASE)
_PARAM = re.compile(r"\{([^{}]*)\}")


@dataclass(slots=True)
class Draft:
    """A stream in the making. key: (field, why) or None."""

    operation: Operation
    rows: Rows
    key: tuple[str, str] | None
    paging: Paging
    name: str = ""
    parent: Draft | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path without a slash at its end, to compare."""
        return self.operation.path.rstrip("/")


def drafts(operations: Iterable[Operation], shapes: Shapes, server: str) -> tuple[list[Draft], list[tuple[str, str]]]:
    """The streams, named, and (operation, why) of those that are left out. server: that of the whole document."""
    found, left = [], []
    for operation in operations:
        shown = f"{operation.method.upper()} {operation.path}"
        try:
            _same_server(operation, server)
            found.append(_draft(operation, shapes))
        except NotRowsError as reason:
            left.append((shown, str(reason)))
    _name(found)
    return found, left


def _same_server(operation: Operation, server: str) -> None:
    urls = [str(one.get("url")) for one in operation.servers if isinstance(one, Mapping)]
    if urls and server not in urls:
        raise NotRowsError(f"it is at {urls[0]}")


def _draft(operation: Operation, shapes: Shapes) -> Draft:
    if operation.method != "get":
        raise NotRowsError("it is no GET")
    if operation.deprecated:
        raise NotRowsError("it is deprecated")
    if operation.answer is None and operation.media:
        raise NotRowsError(f"it answers {', '.join(operation.media[:3])}, not JSON")
    if operation.answer is None:
        raise NotRowsError("its answer is not described")
    answer = shapes.of(operation.answer)
    segments = statics(operation.path)
    name = segments[-1] if segments else "rows"
    if answer.kind == "object" and _PARAM.fullmatch(operation.path.rstrip("/").rpartition("/")[2]):
        raise NotRowsError("it answers one object")
    return made(operation, answer, rows(answer, name), name)


def made(operation: Operation, answer: Shape, found: Rows, name: str) -> Draft:
    """A draft, from where its records are."""
    own = key(found.item, name)
    parameters = [one.shape for one in operation.parameters("query")]
    return Draft(operation, found, own, paging(answer, found.path, own and own[0], parameters, operation.linked))


def statics(path: str) -> list[str]:
    """The segments of a path that are no parameters; versions and the like are left out."""
    segments = [snake(_PARAM.sub("", segment).removesuffix(".json")) for segment in path.split("/")]
    return [s for s in segments if s and not _VERSION.fullmatch(s)] or [s for s in segments if s]


def _name(found: list[Draft]) -> None:
    """The shortest ends of paths that tell the streams apart: `issues`, `user_issues`."""
    words = [statics(draft.path) or ["rows"] for draft in found]
    taken = [1] * len(found)
    names = [_joined(one, 1) for one in words]
    for _ in range(max(map(len, words), default=0)):
        again = {n for n in names if names.count(n) > 1}
        if not again:
            break
        for index, name in enumerate(names):
            if name in again and taken[index] < len(words[index]):
                taken[index] += 1
                names[index] = _joined(words[index], taken[index])
    again = {n for n in names if names.count(n) > 1}
    for index, draft in enumerate(found):
        params = _PARAM.findall(draft.path) if names[index] in again else []
        draft.name = names[index] = _distinct(names[:index], names[index], params)


def _joined(words: list[str], count: int) -> str:
    name = "_".join(words[-count:])
    return name if name[0].isalpha() else f"s_{name}"


def _distinct(before: list[str], name: str, params: list[str]) -> str:
    """The name, different from those of the streams before; params: of its path, if it is not the only one."""
    name = f"{name}_by_{snake(params[-1]) or 'key'}" if params else name
    tried, number = name, 2
    while tried in before:
        tried, number = f"{name}_{number}", number + 1
    return tried


def common(drafts: list[Draft]) -> Mapping[str, Any] | None:
    """The paging that most of the streams share, if it is at least half of them and more than one."""
    ways = [dict(draft.paging.fields) for draft in drafts if draft.paging.fields["type"] != "none"]
    best = max(ways, key=ways.count, default=None)
    return best if best and ways.count(best) > 1 and ways.count(best) * 2 >= len(drafts) else None
