"""Writes a new project from its templates, and never over anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from wherry.errors import ResourceError, UsageError

Kind = Literal["source", "manifest", "destination"]
NAME = re.compile(r"(?=.{2,32}$)[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_END = ".template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A project that was written. files: paths inside `folder`."""

    folder: Path
    distribution: str
    files: tuple[str, ...]


def make(kind: Kind, name: str, folder: Path) -> Made:
    """Write the project of a new connector into a folder of its own below `folder`.

    UsageError: a name that is none, a folder that is there already. ResourceError: it cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a connector", key="name",
            next=f"2 to 32 lower-case letters, digits and single hyphens: wherry new {kind} {proposed(name)}",
        )  # fmt: skip
    values = words(kind, name)
    place = folder / values["distribution"]
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{place} is there already, and nothing is written over it", next="move it, or choose --dir")
    made = contents(kind, values)
    try:
        for path, text in made.items():
            file = place / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as new:
                new.write(text)
    except OSError as error:
        raise ResourceError(
            f"{place} cannot be written: {(error.strerror or str(error)).lower()}", next="choose another place: --dir"
        ) from error
    return Made(folder=place, distribution=values["distribution"], files=tuple(made))


def words(kind: Kind, name: str) -> dict[str, str]:
    """What the templates' words stand for."""
    side = "destination" if kind == "destination" else "source"
    return {
        "name": name,
        "title": "".join(word.capitalize() for word in name.split("-")),
        "module": f"wherry_{side}_{name.replace('-', '_')}",
        "distribution": f"wherry-{side}-{name}",
        "side": side,
    }


def contents(kind: Kind, values: dict[str, str]) -> dict[str, str]:
    """Path -> text of each file of a project."""
    root = resources.files("wherry.scaffold") / "templates"
    found: dict[str, str] = {}
    for part in ("common", kind):
        for path, file in _files(root / part):
            found[_filled(path.removesuffix(_END), values)] = _filled(file.read_text(encoding="utf-8"), values)
    return dict(sorted(found.items()))


def proposed(name: str) -> str:
    """The nearest text that is a name."""
    found = re.sub(r"^[^a-z]+", "", "-".join(re.findall(r"[a-z0-9]+", name.lower())))[:32].strip("-")
    return found if NAME.fullmatch(found) else "acme"


def _files(folder: Traversable, path: str = "") -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        inside = f"{path}{entry.name}"
        if entry.is_dir():
            found += _files(entry, f"{inside}/")
        elif inside.endswith(_END):
            found.append((inside, entry))
    return found


def _filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"@(name|title|module|distribution|side)@", lambda match: values[match[1]], text)
