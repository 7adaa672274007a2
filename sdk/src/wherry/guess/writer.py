"""Manifests as people write them: short things on one line, and the reason of a guess behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WIDTH = 118
_PLAIN = re.compile(r"[A-Za-z_/](:?[\w./@+-])*( [\w./@+-](:?[\w./@+-])*)*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True, slots=True)
class Noted:
    """A value of which the reader is told something. block: it is written over several lines, however short."""

    value: Any
    note: str = ""
    block: bool = False


def guessed(value: Any, why: str) -> Noted:
    """A value that may be wrong, and what it was guessed from."""
    return Noted(value, f"guessed: {why}")


def plain(value: Any) -> Any:
    """The value without its notes, as a loader would give it back."""
    if isinstance(value, Noted):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def write(tree: Mapping[str, Any]) -> str:
    """The tree as YAML; its own entries, and those that hold notes or are too long for a line, as blocks."""
    return "".join(f"{line}\n" for line in _mapping(tree, ""))


def comment(text: str, indent: str = "") -> list[str]:
    """Lines of comments, folded."""
    lines, line = [], f"{indent}#"
    for word in one_line(text).split(" "):
        if len(line) + len(word) >= _WIDTH and not line.endswith("#"):
            lines.append(line)
            line = f"{indent}#"
        line += f" {word}"
    return [*lines, line]


def one_line(text: str) -> str:
    """A text that can stand in a comment: whatever it holds, it cannot end the line."""
    return "".join(sign for sign in " ".join(str(text).split()) if sign.isprintable())


def _mapping(tree: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, given in tree.items():
        value, note, block = (given.value, given.note, given.block) if isinstance(given, Noted) else (given, "", False)
        yield from _entry(f"{indent}{scalar(key)}:", value, note, block, indent)


def _entry(head: str, value: Any, note: str, block: bool, indent: str) -> Iterator[str]:
    behind = f"  # {one_line(note)}" if note else ""
    line = None if block or _noted(value) else f"{head} {flow(value)}"
    single = not isinstance(value, Mapping | list | tuple) or not value
    if line is not None and (single or len(line) <= _WIDTH):
        if behind and len(line) + len(behind) > _WIDTH:
            yield from comment(note, indent)
            behind = ""
        yield line + behind
    elif isinstance(value, Mapping):
        if len(head) + len(behind) > _WIDTH:
            yield from comment(note, indent)
            behind = ""
        yield head + behind
        yield from _mapping(value, f"{indent}  ")
    else:
        yield head + behind
        for inner in value:
            yield from _listed(inner, f"{indent}  ")


def _listed(value: Any, indent: str) -> Iterator[str]:
    line = f"{indent}- {flow(plain(value))}"
    if len(line) <= _WIDTH or not isinstance(value, Mapping):
        yield line
        return
    first, *rest = _mapping(value, f"{indent}  ")
    yield f"{indent}- {first.strip()}"
    yield from rest


def _noted(value: Any) -> bool:
    if isinstance(value, Noted):
        return True
    if isinstance(value, Mapping):
        return any(map(_noted, value.values()))
    return isinstance(value, list | tuple) and any(map(_noted, value))


def flow(value: Any) -> str:
    """The value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """A scalar; a text that YAML would take for something else is quoted."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.isascii() and value.lower() not in _WORDS:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    if sign.isprintable():
        return sign
    code = ord(sign)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
