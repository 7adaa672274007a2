"""A REST source in words: the models behind a manifest, a `RestSource` and their JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator
from pydantic.dataclasses import dataclass

from wherry.http.models import STRICT, Auth, Count, Duration, NoAuth, OnResponse, Paginate, RateLimit, Retry, Seconds

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Value = str | int | float | bool | None
"""What a parameter or header may be; None leaves one out that the source sets."""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
"""One name, or a list of names."""
_PARENTS = re.compile(r"\{parent\.(\w+(?:\.\w+)*)\}")


@dataclass(frozen=True, config=STRICT)
class ConfigField:
    """One key of the source's configuration. required: by default, if there is no default."""

    type: Literal["string", "secret", "integer", "number", "boolean", "date", "datetime", "list"] = "string"
    default: Any = None
    description: str | None = None
    required: bool | None = None
    choices: tuple[str | int | float, ...] = ()


@dataclass(frozen=True, config=STRICT)
class Incremental:
    """Only what is new: `cursor` is a path in the record, `param` the parameter that takes the last one seen.

    param_is: whether the server gives rows equal to it again. end_param: the upper bound's parameter. start: the first
    run's value. format: how the parameter is written; `raw` sends the cursor as it came. lookback: read again so much
    before. step: cut a long window into bookmarked pieces. ordered: rows come in cursor order (within one parent or
    item). newest_first: they come in the opposite order: reading ends with the page that reaches behind the start; that
    spares an API without `param` all older pages. anew_after: after so many rows an ordered stream is asked anew from
    its last cursor value, not for further pages: where a server caps the rows of a query, or pages shift while rows
    change. filter: `client` drops rows outside the window that the server does not.

    A cursor "{parent.updated_at}" is the parent's own, among `include_parent`: the stream is read again, whole,
    for parents that are new or changed since then, and for no others.
    """

    cursor: str
    param: str | None = None
    param_is: Literal["inclusive", "exclusive"] = "inclusive"
    end_param: str | None = None
    start: str | int | float | None = None
    format: str = "iso"
    lookback: Duration | None = None
    step: Duration | None = None
    ordered: bool = False
    newest_first: bool = False
    anew_after: Annotated[int, Field(ge=2)] | None = None
    filter: Literal["server", "client"] = "server"

    @model_validator(mode="after")
    def _known(self) -> Incremental:
        if self.format not in ("iso", "iso_date", "epoch_s", "epoch_ms", "raw") and "%" not in self.format:
            raise ValueError("format is iso, iso_date, epoch_s, epoch_ms, raw or a pattern such as %Y-%m-%d")
        if self.ordered and self.newest_first:
            raise ValueError("rows are either ordered or newest_first")
        if self.anew_after is not None and not self.ordered:
            raise ValueError("anew_after needs ordered: true")
        alone = (self.param, self.end_param, self.step, self.anew_after)
        if self.parents is not None and (self.ordered or self.newest_first or any(v is not None for v in alone)):
            raise ValueError("with the parent's cursor it is the parent that says how rows are asked for")
        return self

    @property
    def parents(self) -> str | None:
        """The field of the parent that is the cursor, if it is one of the parent's."""
        found = _PARENTS.fullmatch(self.cursor)
        return found[1] if found else None


@dataclass(frozen=True, config=STRICT)
class Deleted:
    """The record means that its key was deleted, if the value at `path` is `equals`, or is there at all (`exists`)."""

    path: str
    equals: Value = None
    exists: bool = False

    @model_validator(mode="after")
    def _one(self) -> Deleted:
        if (self.equals is None) != self.exists:
            raise ValueError("one of equals, exists: true is needed")
        return self


@dataclass(frozen=True, config=STRICT)
class RestStream:
    """One stream of an API.

    path: below `base_url`, the stream's name by default. records: path of the records in the body. include_key: with
    `*` over a map, the column that takes the map's key. schema: column -> type, for those that are known; nested ones
    as maps and one-element lists. parent: the stream whose rows fill `{parent.…}`; include_parent: its fields that
    become columns `_<parent>_<field>`. for_each: items that fill `{item}`, or "{config.…}" of type list. flatten:
    nested objects become columns `outer__inner`. conditional: the server is asked for an answer only if that changed
    since the table was made (`ETag`, `Last-Modified`); for streams that are one answer.
    """

    name: Name
    path: str | None = None
    method: Literal["GET", "POST"] = "GET"
    params: dict[str, Value | list[Value]] = field(default_factory=dict, kw_only=True)
    headers: dict[str, Value] = field(default_factory=dict, kw_only=True)
    body: Any = field(default=None, kw_only=True)
    records: str = field(default="", kw_only=True)
    include_key: str | None = field(default=None, kw_only=True)
    schema: dict[str, Any] | None = field(default=None, kw_only=True)
    primary_key: Names = field(default=(), kw_only=True)
    incremental: Incremental | None = field(default=None, kw_only=True)
    deleted: Deleted | None = field(default=None, kw_only=True)
    paginate: Paginate | None = field(default=None, kw_only=True)
    parent: str | None = field(default=None, kw_only=True)
    include_parent: Names = field(default=(), kw_only=True)
    for_each: list[Value] | str | None = field(default=None, kw_only=True)
    on_response: tuple[OnResponse, ...] = field(default=(), kw_only=True)
    flatten: bool = field(default=False, kw_only=True)
    conditional: bool = field(default=False, kw_only=True)
    description: str | None = field(default=None, kw_only=True)

    @model_validator(mode="after")
    def _sound(self) -> RestStream:
        if self.include_parent and self.parent is None:
            raise ValueError("include_parent needs parent")
        if self.deleted is not None and not self.primary_key:
            raise ValueError("deleted needs primary_key")
        parents = self.incremental.parents if self.incremental is not None else None
        if parents is not None and parents not in self.include_parent:
            raise ValueError(f"cursor {{parent.{parents}}} needs include_parent: {parents}")
        return self


def _streams(value: Any) -> Any:
    """Manifests write a map by name, classes a list."""
    if not isinstance(value, Mapping):
        return value
    return [{"name": name, **(fields or {})} if isinstance(fields, Mapping | None) else fields
            for name, fields in value.items()]  # fmt: skip


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Manifest:
    """A whole source. `defaults` are fields for each stream that does not say otherwise; they are worked in here.

    version: of this vocabulary. check: a path that `wherry check` asks for; by default the first stream's first page.
    timeout: seconds without a byte.
    """

    version: Literal[1] = 1
    name: Name
    description: str | None = None
    config: dict[str, ConfigField] = field(default_factory=dict)
    base_url: str
    headers: dict[str, Value] = field(default_factory=dict)
    params: dict[str, Value | list[Value]] = field(default_factory=dict)
    auth: Auth = field(default_factory=NoAuth)
    paginate: Paginate | None = None
    rate_limit: RateLimit | None = None
    retry: Retry = field(default_factory=Retry)
    on_response: tuple[OnResponse, ...] = ()
    timeout: Seconds = 60
    check: str | None = None
    defaults: dict[str, Any] = field(default_factory=dict)
    streams: Annotated[tuple[RestStream, ...], BeforeValidator(_streams)] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _work_in(cls, data: Any) -> Any:
        given = data.kwargs if hasattr(data, "kwargs") else data
        if not isinstance(given, Mapping) or not isinstance(given.get("defaults"), Mapping):
            return data
        streams = [
            {**given["defaults"], **stream} if isinstance(stream, Mapping) else stream
            for stream in _streams(given.get("streams", ()))
        ]
        return {**given, "defaults": {}, "streams": streams}

    @field_validator("streams")
    @classmethod
    def _related(cls, streams: tuple[RestStream, ...]) -> tuple[RestStream, ...]:
        by_name = {stream.name: stream for stream in streams}
        if len(by_name) < len(streams):
            names = [stream.name for stream in streams]
            raise ValueError(f"two streams are called {next(n for n in names if names.count(n) > 1)}")
        for stream in streams:
            line, parent = [stream.name], stream.parent
            while parent is not None:
                if parent not in by_name:
                    raise ValueError(f"stream {line[-1]}: there is no stream {parent} to be its parent")
                if parent in line:
                    raise ValueError(f"stream {stream.name} is its own ancestor: {' → '.join([*line, parent])}")
                line.append(parent)
                parent = by_name[parent].parent
            if stream.parent is not None:
                _fits(stream, by_name[stream.parent])
        return streams


def _fits(stream: RestStream, parent: RestStream) -> None:
    """A cursor that is the parent's must be the one that the parent goes by."""
    own, theirs = stream.incremental, parent.incremental
    if own is None or own.parents is None:
        return
    if theirs is None or (theirs.cursor, theirs.format) != (own.parents, own.format):
        told = f"{theirs.cursor}, format {theirs.format}" if theirs is not None else "none"
        raise ValueError(f"stream {stream.name}: cursor and format are not those of {parent.name}, which has {told}")


__all__ = ["ConfigField", "Count", "Deleted", "Incremental", "Manifest", "RestStream"]
