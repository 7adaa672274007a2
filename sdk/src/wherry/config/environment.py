"""Environment variables and the project's `.env`, each value with where it came from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wherry.errors import UsageError

LIMIT = 1 << 20
"""Bytes that a `.env` or a `${file:…}` may have."""
# An atomic group, no possessive one: before Python 3.11.5 that loses matches.
_LINE = re.compile(
    r"""[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*
        (?: '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)"
          | (?P<plain>(?!['"])(?>(?:[^\s\#]++|[ \t\f\v]++(?!\#|\r?(?:\n|\Z))|\r(?!\n|\Z)|(?<![ \t])\#)*)) )
        [ \t]*(?:(?<=[ \t'"])\#[^\n]*)?\r?(?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A value somebody gave for a key. origin: where, as messages say it ("wherry.yaml, line 12")."""

    value: Any = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables of the process, and under them those of `.env`."""

    variables: Mapping[str, Setting]

    @classmethod
    def load(cls, folder: Path, environ: Mapping[str, str] | None = None) -> Environment:
        """The process's variables (or `environ`) over those of `folder/.env`."""
        process = os.environ if environ is None else environ
        merged = dict(read_dotenv(folder / ".env"))
        merged.update((name, Setting(value, f"environment {name}")) for name, value in process.items())
        return cls(merged)

    def get(self, name: str) -> Setting | None:
        """A variable that is set, also to nothing."""
        return self.variables.get(name)

    def starting(self, prefix: str) -> Iterator[tuple[str, Setting]]:
        """Variables whose names start with `prefix`, the rest of the name in lower case."""
        for name, setting in self.variables.items():
            if name.startswith(prefix) and len(name) > len(prefix):
                yield name[len(prefix) :].lower(), setting


def read_dotenv(path: Path) -> Iterator[tuple[str, Setting]]:
    """Variables of a `.env`: `NAME=value`, `export`, single and double quotes (also over several lines), `#`.

    A line that is none of these is skipped, for other programs read the file too, unless it speaks of wherry.
    """
    text = read_small(path)
    at = counted = 0
    line = 1
    while at < len(text):
        match = _LINE.match(text, at)
        line += text.count("\n", counted, at)
        counted = at
        if match:
            yield match["name"], Setting(_unquoted(match), f"{match['name']} (.env, line {line})")
            at = match.end()
            continue
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if "WHERRY_" in text[at:end].partition("#")[0]:
            raise UsageError(
                f".env, line {line}: expected NAME=value, with quotes closed", next=f"correct line {line} of {path}"
            )
        at = end + 1


def read_small(path: Path) -> str:
    """Text of a file; empty if there is none. UsageError: too large, not UTF-8, not readable."""
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", next="make it a readable file") from error
    if len(data) > LIMIT:
        raise UsageError(f"{path} is larger than {LIMIT >> 20} MiB", next="keep large values elsewhere")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: byte {error.start}", next="save it as UTF-8") from error


def _unquoted(match: re.Match[str]) -> str:
    if match["double"] is not None:
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), match["double"], flags=re.DOTALL)
    return match["single"] if match["single"] is not None else match["plain"].strip()
