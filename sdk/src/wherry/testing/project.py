"""A plugin project on disk, as its `pyproject.toml` tells of it: for running its suites without installing it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.errors import UsageError

FILE = "pyproject.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """suites, sources, destinations: name -> "module:object".  imports: the folder that modules are imported from."""

    folder: Path
    name: str
    version: str
    suites: dict[str, str]
    sources: dict[str, str]
    destinations: dict[str, str]
    imports: Path

    @property
    def recordings(self) -> Path:
        """Where its recorded traffic is."""
        return self.folder / "tests" / "recordings"


def is_project(folder: Path) -> bool:
    """Whether a folder is one of a project."""
    return (folder / FILE).is_file()


def read(folder: Path) -> Project:
    """The project in a folder; UsageError: there is none, or it offers no connector."""
    file = folder / FILE
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no {FILE} in {folder.absolute()}",
            next="name what to test: a connector, a file, a project's folder; or begin one: wherry new source NAME",
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}", next="correct it") from error
    project = found.get("project", {})
    points = project.get("entry-points", {})
    sources, destinations = _texts(points, "wherry.sources"), _texts(points, "wherry.destinations")
    if not sources and not destinations:
        raise UsageError(
            f"{file} offers no connector",
            next='name one under [project.entry-points."wherry.sources"]: NAME = "MODULE"',
        )
    return Project(
        folder=folder,
        name=str(project.get("name", folder.absolute().name)),
        version=str(project.get("version", "")),
        suites=_texts(points, "wherry.suites"),
        sources=sources,
        destinations=destinations,
        imports=folder / "src" if (folder / "src").is_dir() else folder,
    )


def _texts(points: Any, group: str) -> dict[str, str]:
    found = points.get(group, {}) if isinstance(points, dict) else {}
    return {str(name): str(value) for name, value in found.items()}
