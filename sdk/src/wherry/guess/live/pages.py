"""Ways of paging, the likeliest first; each is believed when a second page proves it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from wherry.guess.live.asking import Asker, Seen
from wherry.guess.paging import first_path, next_url_path
from wherry.guess.shape import Shape, walk
from wherry.guess.words import MORE, NEXT_URLS, OFFSET, PAGE, PAGES, ROWS, TOKENS, first, snake
from wherry.http.paging import Step, link

_FAR = 1_000_000
_TRIED = ("page", "page_number", "p")
_TRIED_OFFSETS = ("offset", "skip", "start", "startAt", "startIndex", "from")
_CURSORS = ("cursor", "after", "page_token", "starting_after", "next_token", "token", "start_cursor")


@dataclass(slots=True)
class Found:
    """fields: of `paginate`. why: the proof, or what it was guessed from. seen: pages beside the first, with new rows.

    rules: of `on_response`. unknown: what could not be found out. taken: a parameter of the address that it replaces.
    """

    fields: dict[str, Any]
    why: str
    sure: bool
    seen: list[Seen] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    taken: str | None = None


def paging(asker: Asker, one: Seen) -> Found:
    """How to get at the pages after the first one."""
    broken: list[str] = []
    for attempt in (_link_header, _address, _token, _last, _page, _offset, _none):
        found = attempt(asker, one)
        if found is not None:
            found.unknown += broken
            return found
        if attempt in (_link_header, _address) and asker.again:
            broken.append(f"why {asker.again} gave the first page again")
            asker.again = ""
    raise AssertionError("the last attempt finds something")


def _beside(asker: Asker, one: Seen) -> list[tuple[str, str, Shape]]:
    assert asker.found is not None
    path = asker.found.path
    if not path:
        return []
    inside = path.removesuffix("*").rstrip(".")
    return [found for found in walk(one.shape) if found[0] != path and not f"{found[0]}.".startswith(f"{inside}.")]


def _proven(asker: Asker, one: Seen, step: Step, fields: dict[str, Any], what: str) -> Found | None:
    """The way, if its next page holds other rows than the first; None if it holds the same ones."""
    other = asker.page(step)
    said = asker.compare(one, other)
    if said in ("new", "empty"):
        rows = f"{len(other.rows)} other rows" if other and other.rows else "no more rows"
        return Found(fields, f"{what}: the next page held {rows}", True, [other] if other and other.rows else [])
    if said == "mixed":
        unknown = ["some rows of the second page stood on the first: the API may order them anew for each request"]
        return Found(
            fields, f"{what}: the next page held some other rows", False, [other] if other else [], [], unknown
        )
    return None


def _link_header(asker: Asker, one: Seen) -> Found | None:
    address = link(one.answer.headers.get("link", ""), "next")
    if address is None:
        return None
    return _addressed(asker, one, address, {"type": "link_header"}, "the answer's Link header")


def _address(asker: Asker, one: Seen) -> Found | None:
    """An address in the body. An empty one tells as well, where its name leaves no doubt: there is one page."""
    beside = _beside(asker, one)
    path = next_url_path([found for found in beside if found[2].format == "uri" or found[2].kind == "object"])
    if path is not None and isinstance(one.at(path), str):
        return _addressed(asker, one, one.at(path), {"type": "next_url", "path": path}, f"{path} in the answer")
    empty = [found for found in beside if found[2].kind == "null"]
    links = first_path(empty, [word for word in NEXT_URLS if word.endswith(("url", "link", "href", "uri"))], ("null",))
    inside = next((p for p, name, _ in empty if snake(name) == "next" and "links" in p.lower()), None)
    path = links or inside
    if path is None:
        return None
    why = f"{path} in the answer, which is empty"
    return Found({"type": "next_url", "path": path}, why, False, unknown=["there was no second page to try it with"])


def _addressed(asker: Asker, one: Seen, address: str, fields: dict[str, Any], what: str) -> Found | None:
    found = _proven(asker, one, Step(url=urljoin(one.answer.url, address)), fields, what)
    if found is None and not asker.refused:
        asker.again = what
    if found is None and asker.refused:
        return Found(fields, what, False, unknown=[f"the next page was refused: {asker.refused}"])
    return found


def _token(asker: Asker, one: Seen) -> Found | None:
    beside = [
        found for found in _beside(asker, one) if found[2].kind in ("text", "integer") and found[2].format != "uri"
    ]
    path = first_path(beside, TOKENS, ("text", "integer"))
    if path is None or one.at(path) in ("", 0):
        return None
    more = first_path(_beside(asker, one), MORE, ("boolean",))
    flag = {"more": more} if more and one.at(more) is True else {}
    name = next(name for found, name, _ in beside if found == path)
    for parameter in _parameters(name, asker):
        fields = {"type": "cursor", "param": parameter, "path": path, **flag}
        found = _proven(
            asker, one, Step({parameter: one.at(path)}), fields, f"{path} in the answer, sent as {parameter}"
        )
        if found is not None:
            found.taken = parameter
            return found
    return None


def _parameters(token: str, asker: Asker) -> Iterator[str]:
    """Names by which a token may be sent back: those of the address, then what its own name says, then usual ones."""
    word = snake(token)
    words = [word.removeprefix("next_").removeprefix("end_"), *_CURSORS, word]
    camel = bool(re.search(r"[a-z][A-Z]", token))
    given = [name for name in asker.stream.params if snake(name) in words]
    names = [*given, *(_camel(one) if camel else one for one in words)]
    return iter(list(dict.fromkeys(names))[:8])


def _camel(word: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), word)


def _last(asker: Asker, one: Seen) -> Found | None:
    """A flag that there is more, and no token: the key of the last record is one."""
    more = first_path(_beside(asker, one), MORE, ("boolean",))
    last = one.rows[-1] if one.rows and isinstance(one.rows[-1], dict) else {}
    if more is None or one.at(more) is not True or "id" not in last:
        return None
    for parameter in ("starting_after", "after", "cursor", "last_id"):
        fields = {"type": "cursor", "param": parameter, "last": "id", "more": more}
        found = _proven(
            asker, one, Step({parameter: last["id"]}), fields, f"id of the last record, sent as {parameter}"
        )
        if found is not None:
            return found
    return None


def _page(asker: Asker, one: Seen) -> Found | None:
    given = first(asker.stream.params, PAGE)
    for name in [given] if given else _TRIED:
        second = asker.page(Step({name: 2}))
        said = asker.compare(one, second)
        if said not in ("new", "empty"):
            continue
        start = _start(asker, one, name)
        if start is None:
            continue
        seen = [second] if second is not None and second.rows else []
        told = f"{len(seen[0].rows)} other rows" if seen else "no rows, so that there is one page"
        fields = {"type": "page", "param": name, **({"start": start} if start != 1 else {})}
        found = Found(fields, f"{name}=2 gave {told}; {name}={start} is the first page", True, seen, taken=name)
        pages = _pages(asker, one, bool(seen), start)
        if pages is not None:
            found.fields["pages"] = pages
        else:
            _end(asker, one, found, name)
        return found
    return None


def _start(asker: Asker, one: Seen, name: str) -> int | None:
    """Whether the first page is number 1 or 0."""
    for number in (1, 0):
        if asker.compare(one, asker.page(Step({name: number}))) == "same":
            return number
    return None


def _pages(asker: Asker, one: Seen, more: bool, start: int) -> str | None:
    """The path of the count of pages, if it agrees with what came and with the count of rows."""
    beside = _beside(asker, one)
    path = first_path(beside, PAGES, ("integer",))
    if path is None:
        return None
    pages, rows = one.at(path), first_path(beside, ROWS, ("integer",))
    fits = (pages > 1) == more
    if rows is not None and one.rows:
        fits = fits and pages == -(-one.at(rows) // len(one.rows))
    return path if fits else None


def _end(asker: Asker, one: Seen, found: Found, name: str) -> None:
    """What the server says behind the last page: nothing, an error, or the last page again."""
    beyond = asker.page(Step({name: _FAR}))
    asker.compare(one, beyond)
    if beyond is None:
        if " answered 404" in asker.refused:
            found.rules.append({"status": 404, "do": "skip"})
        else:  # it may be a limit of the number, and no end of the list
            found.unknown.append(
                f"what the server says behind the last page; {name}={_FAR} was refused: {asker.refused}"
            )
            found.sure = False
    elif beyond.rows:
        found.unknown.append(
            f"{name}={_FAR} gives rows: the server does not say where the pages end, and a read would be refused as a "
            "circle. If it tells a count, give its path: pages or rows"
        )
        found.sure = False


def _offset(asker: Asker, one: Seen) -> Found | None:
    """By rows: asking from the last row of the first page on proves the unit, and whether it counts from 0 or 1."""
    given = first(asker.stream.params, OFFSET)
    count = len(one.rows)
    if not count:
        return None
    ours = asker.marks(one)
    for name in [given] if given else _TRIED_OFFSETS:
        second = asker.page(Step({name: max(1, count - 1)}))
        said = asker.compare(one, second)
        if second is None or said in ("same", "refused"):
            continue
        theirs = asker.marks(second)
        start = _origin(ours, theirs, count)
        if start is None:
            continue
        fields: dict[str, Any] = {"type": "offset", "param": name, **({"start": start} if start else {})}
        new = [row for row, mark in zip(second.rows, theirs, strict=True) if mark not in ours]
        told = f"{len(new)} other rows" if new else "no others, so that there is one page"
        seen = [Seen(second.answer, second.body, second.shape, new)] if new else []
        where = f"{name}={max(1, count - 1)} began with row {count - start if count > 1 else 2} of the first page"
        found = Found(fields, f"{where} and gave {told}", True, seen, taken=name)
        _end(asker, one, found, name)
        return found
    return None


def _origin(ours: list[str], theirs: list[str], count: int) -> int | None:
    if count == 1:
        return 0 if theirs[:1] != ours[:1] else None
    if theirs[:1] == ours[-1:]:
        return 0
    return 1 if theirs[:2] == ours[-2:] else None


def _none(asker: Asker, one: Seen) -> Found:
    rows = first_path(_beside(asker, one), ROWS, ("integer",))
    more = first_path(_beside(asker, one), MORE, ("boolean",))
    total = one.at(rows) if rows else None
    if isinstance(total, int) and total == len(one.rows):
        return Found({"type": "none"}, f"{rows} says {total}, and so many came", True,
                     unknown=["how pages are asked for once there are more rows than fit on one"])  # fmt: skip
    unknown = ["whether there are more pages: no parameter that is usual gave another one"]
    if isinstance(total, int) and total > len(one.rows):
        unknown = [f"how to get at all rows: {rows} says {total}, and {len(one.rows)} came"]
    elif more and one.at(more) is True:
        unknown = [f"how to get at all rows: {more} says that there are more"]
    return Found({"type": "none"}, "no second page was found", False, unknown=unknown)
