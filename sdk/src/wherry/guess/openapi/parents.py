"""What fills the parameters of a path: a row of another stream, a list of choices, or the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wherry.guess.openapi.config import Config, literal
from wherry.guess.openapi.operations import Given
from wherry.guess.openapi.streams import Draft, statics
from wherry.guess.words import first, singular, snake
from wherry.guess.writer import Noted, guessed

_PARAM = re.compile(r"\{([^{}]*)\}")


def fill(drafts: list[Draft], config: Config) -> None:
    """Give each draft its `path`, and where that is a template its `parent`, `include_parent` or `for_each`."""
    by_path = {draft.path: draft for draft in drafts}
    for draft in sorted(drafts, key=lambda one: one.path.count("{")):
        _fill(draft, by_path, config)


def _fill(draft: Draft, by_path: Mapping[str, Draft], config: Config) -> None:
    path, known = draft.operation.path, {one.name: one for one in draft.operation.parameters("path")}
    templates: dict[int, str] = {}
    places = list(_PARAM.finditer(path))
    from_parent = _parent(draft, path, places, by_path)
    for number, place in enumerate(places):
        if number in from_parent:
            templates[number] = from_parent[number]
        else:
            templates[number] = _single(draft, known.get(place[1]), place, path, config)
    parts, at = [], 0
    for number, place in enumerate(places):
        parts += [literal(path[at : place.start()]), templates[number]]
        at = place.end()
    whole = "".join([*parts, literal(path[at:])]).lstrip("/")
    if whole != draft.name:
        draft.fields["path"] = whole


def _parent(draft: Draft, path: str, places: list[re.Match[str]], by_path: Mapping[str, Draft]) -> dict[int, str]:
    """Templates of the parameters that rows of one other stream fill: that listed just before the last of them."""
    for number in range(len(places) - 1, -1, -1):
        place = places[number]
        parent = by_path.get(path[: place.start()].rstrip("/"))
        if parent is None or parent is draft or path[place.start() - 1 : place.start()] != "/":
            continue
        field = _field(parent, place[1])
        if field is None or not re.fullmatch(r"\w+", field):
            continue
        found = {number: f"{{parent.{field}}}"}
        if parent.parent is not None:
            above = _above(parent, number)
            if above is None:
                continue
            found |= above
        draft.parent = parent
        draft.fields["parent"] = guessed(parent.name, f"{place[0]} is {field} of its rows")
        draft.fields["include_parent"] = [field]
        return found
    return {}


def _above(parent: Draft, count: int) -> dict[int, str] | None:
    """The parent's own templates, as columns that it takes over from its parent."""
    found = {}
    for number, template in enumerate(re.findall(r"\{(?:parent|config|item)[^{}]*\}", str(parent.fields.get("path")))):
        match = re.fullmatch(r"\{parent\.(\w+)\}", template)
        if number < count and match:
            assert parent.parent is not None
            found[number] = f"{{parent._{parent.parent.name}_{match[1]}}}"
            if match[1].startswith("_"):
                return None  # a column of a column: no further up than that
    return found


def _field(parent: Draft, parameter: str) -> str | None:
    """The field of the parent's rows that a parameter names: `issue_number` is `number` of issues."""
    fields = [name for name, shape in parent.rows.item.fields.items() if shape.scalar]
    word, own = snake(parameter), singular((statics(parent.path) or [""])[-1])
    words = [word, word.removeprefix(f"{own}_"), word.removeprefix(own.rpartition("_")[2] + "_")]
    found = first(fields, words)
    if found is not None:
        return found
    return parent.key[0] if parent.key and (word in ("id", "uuid", own) or word.endswith(("_id", "_uuid"))) else None


def _single(draft: Draft, given: Given | None, place: re.Match[str], path: str, config: Config) -> str:
    choices = [c for c in given.shape.choices if isinstance(c, str)] if given else []
    if choices and "for_each" not in draft.fields:
        draft.fields["for_each"] = guessed(choices, f"the choices of {place[0]}")
        return "{item}"
    before = statics(path[: place.start()])
    key = config.free(place[1], singular(before[-1]) if before else "")
    kind, text = (given.shape.kind, given.text) if given else ("text", "")
    return config.key(key, kind, text, required=False)


def parameters(draft: Draft, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """(params, headers) that an operation cannot do without; what paging and windows send is not among them."""
    incremental = draft.fields.get("incremental")
    sent = {str(value) for value in draft.paging.fields.values()} | set(draft.paging.params)
    sent |= {str(incremental.value.get("param"))} if isinstance(incremental, Noted) else set()
    params: dict[str, Any] = dict(draft.paging.params)
    headers: dict[str, Any] = {}
    for given in draft.operation.given:
        if not given.required or given.name in sent or given.place not in ("query", "header"):
            continue
        if given.place == "header" and given.name.lower() in ("accept", "content-type", "authorization"):
            continue
        (params if given.place == "query" else headers)[given.name] = _value(given, draft, config)
    return params, headers


def _value(given: Given, draft: Draft, config: Config) -> Any:
    default, choices = given.shape.default, given.shape.choices
    if default is not None:
        return guessed(literal(default) if isinstance(default, str) else default, "its default")
    if choices:
        first_choice = choices[0]
        value = literal(first_choice) if isinstance(first_choice, str) else first_choice
        return guessed(value, f"the first of {len(choices)} choices" if len(choices) > 1 else "the only choice")
    around = statics(draft.operation.path)
    key = config.free(given.name, singular(around[-1]) if around else "")
    return config.key(key, given.shape.kind, given.text, required=False)
