"""`wherry.yaml`: sources, destinations, environments and pipelines under names, each value with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wherry.config.document import Document, parse
from wherry.config.environment import Setting, read_small
from wherry.config.redact import one_line
from wherry.errors import UsageError
from wherry.near import did_you_mean

if TYPE_CHECKING:
    from wherry.config.content import ConnectorEntry, PipelineOptions, ProjectFile
    from wherry.config.refusal import Refusal

FILE = "wherry.yaml"
Kind = Literal["source", "destination"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One source or destination of the project. origin: "wherry.yaml, line 3"."""

    connector: str
    settings: Mapping[str, Setting]
    origin: str


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with, or without, a `wherry.yaml`."""

    folder: Path
    content: ProjectFile | None = None
    document: Document = field(default_factory=lambda: Document({}, {}))
    environment: str | None = None

    @classmethod
    def find(cls, start: Path | None = None, *, environment: str | None = None) -> Project:
        """The project of `start` (default: the current directory) or of the nearest parent that has the file."""
        here = (start or Path.cwd()).absolute()
        home = next((folder for folder in (here, *here.parents) if (folder / FILE).is_file()), None)
        if home is not None:
            return cls.read(home / FILE, environment=environment)
        if environment is not None:
            raise UsageError(f"environment {environment!r} needs a {FILE}: there is none here", next="leave out --env")
        return cls(here)

    @classmethod
    def read(cls, path: Path, *, environment: str | None = None) -> Project:
        """The project of one file; UsageError with the line of what is wrong."""
        from pydantic import ValidationError

        from wherry.config.content import ProjectFile
        from wherry.config.refusal import explain

        document = parse(read_small(path), FILE)
        try:
            content = ProjectFile.model_validate({} if document.value is None else document.value)
        except ValidationError as error:
            raise _refused(explain(error, ProjectFile, document.value), document) from None
        if environment is not None and environment not in content.environments:
            hint = did_you_mean(environment, content.environments)
            known = ", ".join(content.environments) or "none"
            raise UsageError(f"unknown environment {environment!r}{hint}", next=f"{FILE} has: {known}")
        return cls(path.parent, content, document, environment)

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Names of the project's sources or destinations, those of the environment included."""
        return tuple(dict.fromkeys(name for _, entries in self._layers(kind) for name in entries))

    def entry(self, kind: Kind, name: str) -> Entry | None:
        """The source or destination of this name; the environment's own entry replaces the general one whole."""
        for path, entries in self._layers(kind):
            if name in entries:
                extra = entries[name].model_extra or {}
                settings = {key: Setting(value, self.origin(*path, name, key)) for key, value in extra.items()}
                return Entry(entries[name].connector, settings, self.origin(*path, name))
        return None

    def pipeline(self, name: str) -> PipelineOptions:
        """The pipeline of this name; UsageError with near names."""
        pipelines = self.content.pipelines if self.content is not None else {}
        if name not in pipelines:
            known = ", ".join(pipelines)
            remedy = f"{FILE} has: {known}" if known else f"write it under `pipelines:` of a {FILE} here"
            raise UsageError(f"unknown pipeline {name!r}{did_you_mean(name, pipelines)}", next=remedy)
        return pipelines[name]

    def origin(self, *path: str | int) -> str:
        """Where a value stands: "wherry.yaml, line 12"."""
        return f"{FILE}, line {self.document.line(path)}"

    def _layers(self, kind: Kind) -> list[tuple[tuple[str, ...], Mapping[str, ConnectorEntry]]]:
        if self.content is None:
            return []
        general: Mapping[str, ConnectorEntry] = getattr(self.content, f"{kind}s")
        if self.environment is None:
            return [((f"{kind}s",), general)]
        special = getattr(self.content.environments[self.environment], f"{kind}s")
        return [(("environments", self.environment, f"{kind}s"), special), ((f"{kind}s",), general)]


def _refused(refusal: Refusal, document: Document) -> UsageError:
    line = document.line(refusal.path)
    value = document.value
    for step in refusal.path if refusal.shown else ():
        value = value[step]
    shown = f", not {one_line(value)[:80]!r}" if refusal.shown and isinstance(value, str) else ""
    remedy = refusal.remedy or f"correct line {line} of {FILE}"
    return UsageError(f"{FILE}, line {line}: {refusal.message}{shown}", next=remedy)
