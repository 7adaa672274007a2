"""How a list is paged: from the names of parameters and from what stands beside the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wherry.guess.shape import Shape, walk
from wherry.guess.words import (
    CURSOR,
    CURSOR_SIZE,
    LAST,
    LIMIT,
    MORE,
    NEXT_URLS,
    OFFSET,
    PAGE,
    PAGE_SIZE,
    PAGES,
    TOKENS,
    first,
    snake,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter. most, least, default: as the description of an API says, if it does."""

    name: str
    kind: str = "text"
    most: int | None = None
    least: int | None = None
    default: Any = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Paging:
    """fields: of `paginate`. why: what it was guessed from. params: to be sent with each page (its size)."""

    fields: Mapping[str, Any]
    why: str
    params: Mapping[str, Any]


def paging(answer: Shape, records: str, key: str | None, parameters: Iterable[Parameter], linked: bool) -> Paging:
    """The likeliest way. records: their path in the answer. linked: answers have a `Link` header."""
    known = {parameter.name: parameter for parameter in parameters}
    if linked:
        return Paging({"type": "link_header"}, "the answer has a Link header", _size(known, PAGE_SIZE))
    beside = [(path, name, shape) for path, name, shape in walk(answer) if not _within(path, records)]
    for guess in (_cursor, _next_url):
        found = guess(known, beside, key)
        if found is not None:
            return found
    return _page(known, beside) or _offset(known) or Paging({"type": "none"}, "no parameter of a kind known", {})


def _within(path: str, records: str) -> bool:
    return bool(records) and (path == records or path.startswith(f"{records}."))


def _cursor(known: Mapping[str, Parameter], beside: list[tuple[str, str, Shape]], key: str | None) -> Paging | None:
    texts = [name for name, parameter in known.items() if parameter.kind in ("text", "integer", "any")]
    name = first(texts, CURSOR)
    if name is None:
        return None
    more = first_path(beside, MORE, ("boolean",))
    flag = {"more": more} if more else {}
    size = _size(known, CURSOR_SIZE)
    token = token_path(beside, name)
    if token is not None:
        why = f"parameter {name}, and {token} in the answer"
        return Paging({"type": "cursor", "param": name, "path": token, **flag}, why, size)
    if key is not None and snake(name) in LAST:
        why = f"parameter {name}, and no token in the answer"
        return Paging({"type": "cursor", "param": name, "last": key, **flag}, why, size)
    return None


def token_path(beside: list[tuple[str, str, Shape]], parameter: str) -> str | None:
    """Where the next value of a cursor parameter stands: under its own name, or one that is known."""
    own = snake(parameter)
    words = (f"next_{own}", *TOKENS, own)
    fields = [one for one in beside if one[2].format != "uri"]
    return first_path(fields, words, ("text", "integer", "any", "null"))


def _next_url(known: Mapping[str, Parameter], beside: list[tuple[str, str, Shape]], key: str | None) -> Paging | None:
    path = next_url_path(beside)
    if path is None:
        return None
    return Paging({"type": "next_url", "path": path}, f"{path} in the answer", _size(known, PAGE_SIZE))


def next_url_path(beside: list[tuple[str, str, Shape]]) -> str | None:
    """Where the next page's address stands: `links.next`, `_links.next.href`, `nextLink`."""
    for path, name, shape in beside:
        if snake(name) == "next" and shape.kind == "object" and first(shape.fields, ("href", "url")):
            return f"{path}.{first(shape.fields, ('href', 'url'))}"
    urls = [one for one in beside if one[2].kind in ("text", "any") and one[2].format in ("uri", "")]
    marked = [one for one in urls if one[2].format == "uri"]
    return first_path(marked, NEXT_URLS, ("text", "any")) or first_path(urls, NEXT_URLS, ("text", "any"))


def first_path(fields: list[tuple[str, str, Shape]], words: Iterable[str], kinds: Iterable[str]) -> str | None:
    """The path of the field that means the foremost of `words`; outer ones first."""
    by_word: dict[str, str] = {}
    for path, name, shape in fields:
        if shape.kind in kinds:
            by_word.setdefault(snake(name), path)
    return next((by_word[word] for word in words if word in by_word), None)


def _page(known: Mapping[str, Parameter], beside: list[tuple[str, str, Shape]]) -> Paging | None:
    name = first(known, PAGE)
    if name is None or known[name].kind not in ("integer", "number", "text", "any"):
        return None
    fields: dict[str, Any] = {"type": "page", "param": name}
    zero = 0 in (known[name].least, known[name].default) and known[name].default != 1
    if zero:
        fields["start"] = 0
    size, params = _counted(known, PAGE_SIZE, "size_param", "size")
    pages = first_path(beside, PAGES, ("integer", "number"))
    why = f"parameter {name}" + (", which begins with 0" if zero else "")
    return Paging(fields | size | ({"pages": pages} if pages else {}), why, params)


def _offset(known: Mapping[str, Parameter]) -> Paging | None:
    name = first(known, OFFSET)
    if name is None or known[name].kind not in ("integer", "number", "text", "any"):
        return None
    others = {other: parameter for other, parameter in known.items() if other != name}
    size, params = _counted(others, LIMIT, "limit_param", "limit")
    fields = {"type": "offset", "param": name, **({"start": 1} if known[name].least == 1 else {})}
    return Paging(fields | size, f"parameter {name}", params)


def _counted(known: Mapping[str, Parameter], words: Iterable[str], param: str, size: str) -> tuple[dict[str, Any], Any]:
    """The size of a page, where its limit is known: a page that is shorter then is the last one."""
    name = first(known, words)
    if name is None:
        return {}, {}
    most = _most(known[name])
    return ({param: name, size: most}, {}) if most else ({}, {})


def _size(known: Mapping[str, Parameter], words: Iterable[str]) -> dict[str, Any]:
    name = first(known, words)
    most = _most(known[name]) if name else None
    return {name: most} if name and most else {}


def _most(parameter: Parameter) -> int | None:
    """As many rows a page as the API says it gives; None if it says nothing, for then a short page means nothing."""
    numbers = [choice for choice in parameter.choices if isinstance(choice, int)]
    for value in (parameter.most, max(numbers, default=None), parameter.default):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return min(value, 1000)
    return None
