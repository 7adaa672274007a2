"""What `wherry.yaml` may say, as models; only who has such a file waits until they are built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from wherry.config.project import FILE
from wherry.contracts.values import Mode, Nulls

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


def json_schema() -> dict[str, Any]:
    """JSON Schema of wherry.yaml, for editors."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FILE}
    return head | ProjectFile.model_json_schema(by_alias=True)
