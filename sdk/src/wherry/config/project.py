"""`wherry.yaml`: sources, destinations, environments and pipelines under names, each value with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from wherry.config.document import Document, parse
from wherry.config.environment import Setting, read_small
from wherry.config.redact import one_line
from wherry.config.refusal import Refusal, explain
from wherry.contracts.values import Mode, Nulls
from wherry.errors import UsageError
from wherry.near import did_you_mean

FILE = "wherry.yaml"
Kind = Literal["source", "destination"]
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(value: Any) -> Any:
    """`5m`, `90s`, `2h`, `1d` as seconds; a plain number as it is, for cursors that are numbers."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*", str(value))
    if not match:
        raise ValueError("should be a number, or a time as in 90s, 5m, 2h, 1d")
    return float(match[1]) * _UNITS[match[2]]


def words(value: Any) -> Any:
    """`id, day` as a list; a list as it is."""
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(words, json_schema_input_type=str | list[str])]
Time = Annotated[float, BeforeValidator(seconds, json_schema_input_type=str | float)]
Text = Annotated[str, WithJsonSchema({"type": ["string", "number"]})]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class StreamOptions(_Strict):
    """How one stream, or all that match a glob, is synced; what is left out keeps its default."""

    mode: Mode | None = Field(default=None, description="append, merge, replace or history")
    key: Words | None = Field(default=None, description="columns that identify a row")
    cursor: str | None = Field(default=None, description="column that only grows: read what is new since the last run")
    lookback: Time | None = Field(
        default=None, description="read again so much before the bookmark: 5m, 2h, or units of a numeric cursor"
    )
    null_cursor: Nulls | None = Field(
        default=None,
        description="rows without a cursor value: include (read by each run, kept once; the default), exclude or error",
    )
    columns: Words | None = Field(default=None, description='globs of columns to keep; "!note" leaves one out')
    where: str | None = Field(default=None, description="filter, in the source's own language")
    start: Text | None = Field(default=None, description="first cursor value to read")
    end: Text | None = Field(default=None, description="cursor value to stop before")
    table: str | None = Field(default=None, description="table to write")
    types: Mapping[str, str] = Field(default={}, description="column: type wanted in the destination")


class PipelineOptions(_Strict):
    """A source, a destination and what to move."""

    source: str = Field(description="name under sources, or any reference")
    destination: str = Field(description="name under destinations, or any reference")
    target_schema: str | None = Field(
        default=None, alias="schema", description="schema of the destination that rows land in"
    )
    mode: Mode | None = Field(default=None, description="mode of streams that name none")
    run_timeout: Time | None = Field(default=None, description="stop at the last bookmark after so long: 90s, 5m, 2h")
    stall_timeout: Time | None = Field(
        default=None, description="give up when nothing has moved for so long; default 6h, 0: never"
    )
    max_rejects: Text = Field(default="0", description="rejected rows allowed in a stream: a number or a percentage")
    streams: Mapping[str, StreamOptions | bool] = Field(
        default={}, description="by name or glob: options, or false to leave streams out"
    )


class ConnectorEntry(BaseModel):
    """A connector and its own keys: `wherry plugins info NAME` lists them."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)
    connector: str = Field(description="name of an installed connector, ./file.py or module:Object")


class EnvironmentOptions(_Strict):
    """What `--env NAME` puts in place of the entries of the same name."""

    sources: Mapping[str, ConnectorEntry] = {}
    destinations: Mapping[str, ConnectorEntry] = {}


class ProjectFile(_Strict):
    """The content of wherry.yaml."""

    sources: Mapping[str, ConnectorEntry] = Field(default={}, description="sources by name")
    destinations: Mapping[str, ConnectorEntry] = Field(default={}, description="destinations by name")
    environments: Mapping[str, EnvironmentOptions] = Field(default={}, description="other entries for --env NAME")
    pipelines: Mapping[str, PipelineOptions] = Field(default={}, description="pipelines by name, for `wherry run NAME`")


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
    content: ProjectFile = field(default_factory=ProjectFile)
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
        if name not in self.content.pipelines:
            known = ", ".join(self.content.pipelines)
            remedy = f"{FILE} has: {known}" if known else f"write it under `pipelines:` of a {FILE} here"
            raise UsageError(f"unknown pipeline {name!r}{did_you_mean(name, self.content.pipelines)}", next=remedy)
        return self.content.pipelines[name]

    def origin(self, *path: str | int) -> str:
        """Where a value stands: "wherry.yaml, line 12"."""
        return f"{FILE}, line {self.document.line(path)}"

    def _layers(self, kind: Kind) -> list[tuple[tuple[str, ...], Mapping[str, ConnectorEntry]]]:
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


def json_schema() -> dict[str, Any]:
    """JSON Schema of wherry.yaml, for editors."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FILE}
    return head | ProjectFile.model_json_schema(by_alias=True)
