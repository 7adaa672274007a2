"""Templates: `{config.x} {parent.x} {item} {start} {end}` in any text. Values are put in, nothing is evaluated.

Any other brace stays as it is, and `{{` writes one. A text that is one template takes the value with its type; in a
longer text values are written out, escaped for where they stand. What holds a secret becomes one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from wherry.errors import StreamError

_TEMPLATE = re.compile(r"\{\{|\{(?P<root>config|parent)\.(?P<name>\w+(?:\.\w+)*)\}|\{(?P<word>item|start|end)\}")


class Absent:
    """There is no value: whatever holds the template is left out."""


ABSENT = Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What templates may say. start, end: as the API writes them; ABSENT where there is no bound."""

    config: Mapping[str, Any] = field(default_factory=dict)
    parent: Mapping[str, Any] | None = None
    item: Any = ABSENT
    start: Any = ABSENT
    end: Any = ABSENT

    def find(self, root: str, name: str | None) -> Any:
        """The value of one template."""
        if root == "config":
            return self.config[name or ""]
        if root != "parent":
            return getattr(self, root)
        found: Any = self.parent
        for step in (name or "").split("."):
            if not isinstance(found, Mapping) or step not in found:
                raise StreamError(f"a row of the parent has no field {name!r}", next=f"correct {{parent.{name}}}")
            found = found[step]
        return found


def templates(text: str) -> Iterator[tuple[str, str | None]]:
    """(root, name) of each template in a text: ("config", "token"), ("item", None)."""
    for match in _TEMPLATE.finditer(text):
        if match[0] != "{{":
            yield match["root"] or match["word"], match["name"]


def rendered(value: Any, values: Values, write: Callable[[Any], str] | None = None) -> Any:
    """A value with its templates filled in: in texts, and in the texts of lists and mappings.

    write: how a value is put into a text; plain by default. What needs a value that is absent is left out of its list
    or mapping; alone it gives ABSENT.
    """
    if isinstance(value, str):
        return _text(value, values, write or plain)
    if isinstance(value, Mapping):
        items = ((key, rendered(item, values, write)) for key, item in value.items())
        return {key: item for key, item in items if item is not ABSENT}
    if isinstance(value, (list, tuple)):
        return [item for item in (rendered(item, values, write) for item in value) if item is not ABSENT]
    return value


def plain(value: Any) -> str:
    """A value as people write it: true, 10, 2024-01-31."""
    if isinstance(value, str):
        return value
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, default=str)


def segment(value: Any) -> str:
    """A value as one segment of a path: no slash, no query, no step up."""
    text = "" if value is None else plain(value)
    if text in ("", ".", ".."):
        raise StreamError(f"a path needs a value, and has {text!r}", next="look at the templates of the path")
    return quote(text, safe="")


def path(text: str, values: Values) -> Any:
    """A path with its templates filled in; an address that is one template stays a whole address."""
    found = whole(text, values)
    if isinstance(found, str) and found.startswith(("https://", "http://")):
        return found
    return rendered(text, _opened(values), segment)


def parameter(value: Any, values: Values) -> Any:
    """A query parameter: text, number, truth as true and false, or a list of them; ABSENT to leave it out."""
    found = rendered(value, values)
    if isinstance(found, list):
        return [parameter(item, Values()) for item in found]
    return plain(found) if isinstance(found, (bool, date)) else found


def header(name: str, value: Any, values: Values) -> Any:
    """A header's text; ABSENT to leave it out."""
    found = rendered(value, values)
    if found is ABSENT or found is None or isinstance(found, SecretStr):
        return found
    text = plain(found)
    if re.search(r"[\r\n\0]", text):
        raise StreamError(f"the value of header {name} holds a line break", next=f"correct the templates of {name}")
    return text


def body(value: Any, values: Values) -> Any:
    """A JSON body: secrets are opened, times are texts."""
    found = rendered(value, values)
    return _json(found)


def number(value: Any, values: Values, what: str) -> int:
    """A whole number, or the template of one."""
    found = rendered(value, values)
    try:
        return int(found)
    except (TypeError, ValueError):
        raise StreamError(f"{what} is no whole number", key=what, next=f"give {what} a number") from None


def whole(text: str, values: Values) -> Any:
    """The value of a text that is one template and nothing else; None for any other."""
    match = _TEMPLATE.fullmatch(text)
    return values.find(match["root"] or match["word"], match["name"]) if match and match[0] != "{{" else None


def _text(text: str, values: Values, write: Callable[[Any], str]) -> Any:
    match = _TEMPLATE.fullmatch(text)
    if match and match[0] != "{{" and write is plain:
        return values.find(match["root"] or match["word"], match["name"])
    parts: list[str] = []
    at, secret = 0, False
    for match in _TEMPLATE.finditer(text):
        parts.append(text[at : match.start()])
        at = match.end()
        if match[0] == "{{":
            parts.append("{")
            continue
        found = values.find(match["root"] or match["word"], match["name"])
        if found is ABSENT:
            return ABSENT
        secret = secret or isinstance(found, SecretStr)
        parts.append(write(found.get_secret_value() if isinstance(found, SecretStr) else found))
    filled = "".join([*parts, text[at:]])
    return SecretStr(filled) if secret else filled


def _opened(values: Values) -> Values:
    """The values with the secrets of the configuration as texts, for an address."""
    config = {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in values.config.items()}
    return Values(config=config, parent=values.parent, item=values.item, start=values.start, end=values.end)


def _json(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
