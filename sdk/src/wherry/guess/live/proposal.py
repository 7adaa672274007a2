"""From a stream that is described in part to lines that say the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from wherry.errors import UsageError
from wherry.guess.live.asking import Asker
from wherry.guess.live.changes import Changes, changes
from wherry.guess.live.pages import Found, paging
from wherry.guess.rows import key
from wherry.guess.shape import merged, of_value
from wherry.guess.words import KEYS, snake
from wherry.guess.writer import Noted, guessed
from wherry.http.models import NoPaging
from wherry.rest.models import RestStream
from wherry.rest.reading import Api, Pages


@dataclass(frozen=True, slots=True)
class Proposal:
    """fields: of the stream, with notes. unknown: what could not be found out. asked: requests sent."""

    name: str
    fields: Mapping[str, Any]
    unknown: tuple[str, ...]
    asked: int


def propose(api: Api, stream: RestStream, tell: Callable[[str], None]) -> Proposal:
    """What a stream of the API lacks. `tell` hears each request, and what came of it."""
    plain = replace(stream, paginate=NoPaging())
    scope = next(iter(Pages(api, plain).scopes()), None)
    if scope is None:
        raise UsageError(f"stream {stream.name}: its parent has no rows", next="look at the parent first")
    asker = Asker(api, plain, scope, tell)
    one = asker.first()
    if not one.rows:
        raise UsageError(f"stream {stream.name}: the first page has no rows", next="guess where there are some")
    found = paging(asker, one)
    rows = [row for seen in (one, *found.seen) for row in seen.rows]
    own = _key(stream, rows) if not stream.primary_key else None
    keyed = bool(own or stream.primary_key)
    since = changes(asker, one, rows)
    unknown = [*found.unknown, *([] if keyed else ["a key: rows are loaded whole each time, mode replace"])]
    return Proposal(stream.name, _fields(stream, asker, found, own, since), tuple(unknown), asker.count)


def _fields(
    stream: RestStream, asker: Asker, found: Found, own: tuple[str, str] | None, since: Changes | None
) -> dict[str, Any]:
    assert asker.found is not None
    params = {name: value for name, value in stream.params.items() if name != found.taken}
    path = asker.found.path
    fields: dict[str, Any] = {
        "path": stream.path if stream.path not in (None, stream.name) else None,
        "params": params or None,
        "records": (guessed(path, asker.found.why) if asker.found.why else path) if path else None,
        "include_key": "key" if asker.found.keyed else None,
        **({"primary_key": Noted(own[0], own[1])} if own else {}),
        "paginate": Noted(found.fields, f"proven: {found.why}" if found.sure else f"guessed: {found.why}"),
        **({"on_response": [*_told(stream).get("on_response", ()), *found.rules]} if found.rules else {}),
    }
    if since is not None and since.sure and (own or stream.primary_key):
        fields["incremental"] = Noted(dict(since.fields), f"proven: {since.why}")
    kept = {name: value for name, value in _told(stream).items() if name not in ("params", "paginate", *fields)}
    return {name: value for name, value in {**kept, **fields}.items() if value is not None}


def _told(stream: RestStream) -> dict[str, Any]:
    """What the author says of the stream already, but for its name."""
    found: dict[str, Any] = TypeAdapter(RestStream).dump_python(
        stream, mode="json", by_alias=True, exclude_defaults=True, exclude={"name"}
    )
    keys = found.get("primary_key")
    return found | ({"primary_key": keys[0]} if keys and len(keys) == 1 else {})


def _key(stream: RestStream, rows: list[Any]) -> tuple[str, str] | None:
    """A field that no two of the rows seen share, called as keys are."""
    shape = merged(map(of_value, rows))
    guess = key(shape, stream.name) if shape is not None else None
    if guess is None or not all(isinstance(row, Mapping) for row in rows):
        return None
    name = guess[0]
    values = [row.get(name) for row in rows]
    if None in values or len({repr(value) for value in values}) < len(values):
        return None
    mark = "seen" if snake(name) in KEYS else "guessed"
    return name, f"{mark}: different in each of the {len(rows)} rows that came"


__all__ = ["Proposal", "propose"]
