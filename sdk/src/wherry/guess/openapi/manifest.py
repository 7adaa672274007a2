"""The whole manifest, as a text that people go on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from wherry.errors import UsageError
from wherry.guess.openapi.address import base_url, first_server, plain
from wherry.guess.openapi.auth import needed
from wherry.guess.openapi.config import Config, literal
from wherry.guess.openapi.document import Document, parse, read
from wherry.guess.openapi.operations import operations
from wherry.guess.openapi.parents import fill, parameters
from wherry.guess.openapi.shapes import Shapes
from wherry.guess.openapi.streams import Draft, common, drafts
from wherry.guess.shape import declared
from wherry.guess.since import since
from wherry.guess.writer import Noted, comment, guessed, one_line, write
from wherry.rest.manifest import parse_manifest

_LISTED = 40
"""Operations named for each reason to leave some out."""


@dataclass(frozen=True, slots=True)
class Made:
    """text: the manifest. streams: their names. left_out: (operation, why)."""

    text: str
    streams: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def from_file(path: Path, name: str, only: Sequence[str] = ("*",)) -> Made:
    """A manifest from a description; `only`: globs of the streams wanted. `UsageError` where it cannot be had."""
    return _made(read(path), name, only)


def from_text(text: str, name: str, only: Sequence[str] = ("*",), file: str = "openapi") -> Made:
    """The same from a text; `file` is what messages call it."""
    return _made(parse(text, file), name, only)


def _made(document: Document, name: str, only: Sequence[str]) -> Made:
    found, left = drafts(operations(document), Shapes(document), first_server(document))
    config = Config()
    kept = [draft for draft in found if any(fnmatchcase(draft.name, glob) for glob in only)]
    if not kept:
        reason = f"no stream is called {', '.join(only)}" if found else "none of its operations is a GET of a list"
        names = ", ".join(draft.name for draft in found[:10])
        raise UsageError(f"{document.name}: {reason}", next=f"there are: {names}" if found else "describe its lists")
    kept = _with_parents(kept, found, config, document)
    tree = _tree(document, name, kept, config)
    lines = [*_head(document, len(kept)), write(tree).rstrip("\n"), *_foot(left)]
    text = "\n".join(lines) + "\n"
    _checked(text, name, len(kept))
    return Made(text, tuple(draft.name for draft in kept), tuple(left))


def _with_parents(kept: list[Draft], found: list[Draft], config: Config, document: Document) -> list[Draft]:
    """Those wanted, and those whose rows they need."""
    fill(found, Config())
    wanted = set(map(id, kept))
    for draft in kept:
        above = draft.parent
        while above is not None:
            wanted.add(id(above))
            above = above.parent
    return [draft for draft in found if id(draft) in wanted]


def _tree(document: Document, name: str, kept: list[Draft], config: Config) -> dict[str, Any]:
    base = base_url(document, config)
    security = needed(document, [draft.operation for draft in kept], plain(base), config)
    for draft in kept:
        draft.fields, draft.parent = {}, None
    fill(kept, config)
    shared = common(kept)
    streams = {draft.name: _stream(draft, shared, config) for draft in kept}
    info = document.root.get("info")
    title = one_line(str(info.get("title") or "")) if isinstance(info, dict) else ""
    fields = {
        "version": 1,
        "name": name,
        "description": title or None,
        "config": Noted(config.fields, block=True) if config.fields else None,
        "base_url": base,
        "headers": dict(security.headers) or None,
        "params": dict(security.params) or None,
        "auth": security.auth,
        "paginate": guessed(shared, "most of the streams have it") if shared else None,
        "streams": Noted(streams, block=True),
    }
    return {key: value for key, value in fields.items() if value is not None}


def _stream(draft: Draft, shared: Any, config: Config) -> Noted:
    found = since(draft.rows.item, [one.shape for one in draft.operation.parameters("query")])
    if found is not None and draft.key is not None:
        draft.fields["incremental"] = guessed(*found)
    params, headers = parameters(draft, config)
    own = dict(draft.paging.fields)
    paged = own != (shared or {"type": "none"})
    schema = declared(draft.rows.item)
    fields = {
        "description": literal(draft.operation.summary[:100]) or None,
        "path": draft.fields.get("path"),
        "parent": draft.fields.get("parent"),
        "include_parent": draft.fields.get("include_parent"),
        "for_each": draft.fields.get("for_each"),
        "params": params or None,
        "headers": headers or None,
        "records": _records(draft) if draft.rows.path else None,
        "include_key": "key" if draft.rows.keyed else None,
        "primary_key": _key(draft),
        "paginate": guessed(own, draft.paging.why) if paged else None,
        "incremental": draft.fields.get("incremental"),
        "schema": schema,
    }
    return Noted({key: value for key, value in fields.items() if value is not None}, block=True)


def _records(draft: Draft) -> Any:
    return guessed(draft.rows.path, draft.rows.why) if draft.rows.why else draft.rows.path


def _key(draft: Draft) -> Any:
    if draft.key is None:
        return None
    name, why = draft.key
    above = draft.fields.get("include_parent")
    if above and name in ("number", "key", "slug", "name", "code", "sha"):  # they count anew below each parent
        parent = draft.parent
        return guessed([f"_{parent.name}_{above[0]}", name], why) if parent else guessed(name, why)
    return guessed(name, why)


def _checked(text: str, name: str, count: int) -> None:
    """That it can be read as manifests are. Otherwise this part is wrong, or the file larger than a manifest may be."""
    try:
        parse_manifest(text, f"{name}.yaml")
    except UsageError as error:
        raise UsageError(
            f"the manifest of {count} streams cannot be used: {error.message}", next="name the streams you want"
        ) from error


def _head(document: Document, count: int) -> list[str]:
    info = document.root.get("info")
    version = one_line(str(info.get("version") or "")) if isinstance(info, dict) else ""
    return comment(
        f"Made from {document.name} (OpenAPI {document.version}{', of API version ' + version if version else ''}): "
        f'{count} {"stream" if count == 1 else "streams"}. What is marked "guessed" may be wrong: wherry preview shows '
        "a stream's first rows, and streams that nobody needs can go."
    )


def _foot(left: list[tuple[str, str]]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for shown, why in left:
        reasons.setdefault(why, []).append(shown)
    lines = ["", "# Left out:"] if reasons else []
    for why, named in reasons.items():
        if why == "it is no GET":
            lines += comment(f"- {len(named)} operations that are no GET")
            continue
        more = f" and {len(named) - _LISTED} more" if len(named) > _LISTED else ""
        lines += comment(f"- {why}: {', '.join(named[:_LISTED])}{more}")
    return lines
