"""`RestSource`: a source that a manifest, or a class with the same words, describes."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import SecretStr

from wherry.contracts.config import ConnectorConfig, public
from wherry.contracts.source import Source
from wherry.contracts.values import Batch, Mark, Progress, ReadPlan, Selection, Split, Stream
from wherry.errors import UsageError
from wherry.http.client import Client
from wherry.json_rows import declared
from wherry.rest.config import config_fields, config_model
from wherry.rest.fetch import Api, Pages, ordered_by
from wherry.rest.manifest import Wrong, build_manifest, parse_manifest, read_manifest
from wherry.rest.models import Manifest, RestStream
from wherry.rest.reading import Reading
from wherry.rest.requests import base_url, new_client
from wherry.rest.rows import column, cursor_column
from wherry.rest.template import Values, rendered, templates
from wherry.rest.window import lookback

_WORDS = {field.name for field in fields(Manifest)} - {"config", "check"}


class RestSource(Source):
    """Reads an API as its class attributes say: `base_url`, `auth`, `paginate`, `streams` and the other words of a
    manifest; `check_path` stands for the manifest's `check`, `name` is the class's own by default."""

    _manifest: ClassVar[Manifest | None] = None
    now: ClassVar[Callable[[], int]] = staticmethod(time.time_ns)
    """Nanoseconds since 1970."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._client: Client | None = None

    @classmethod
    def from_manifest(cls, package: str | None, name: str) -> type[RestSource]:
        """The source that the manifest `name` among a package's files describes: a whole plugin in one line."""
        text = resources.files(str(package)).joinpath(name).read_text(encoding="utf-8")
        return cls.of(parse_manifest(text, name))

    @classmethod
    def from_file(cls, path: str, base: type[ConnectorConfig] = ConnectorConfig) -> type[RestSource]:
        """The source that a manifest in a file describes. base: of its configuration."""
        return cls.of(read_manifest(Path(path).expanduser()), base)

    @classmethod
    def of(cls, manifest: Manifest, base: type[ConnectorConfig] = ConnectorConfig) -> type[RestSource]:
        """The source that a manifest describes. base: of its configuration."""
        body = {
            "__doc__": manifest.description or f"Reads {manifest.name} as its manifest says.",
            "__module__": cls.__module__, "_manifest": manifest,
            "called": manifest.name,
            "Config": config_model(manifest.name, manifest.config, base),
        }  # fmt: skip
        return type(re.sub(r"\W", "", manifest.name.title()), (cls,), body)

    @classmethod
    def manifest(cls) -> Manifest:
        """The manifest that says what this class says."""
        if cls.__dict__.get("_manifest") is None:
            if cls._manifest is not None and not _WORDS & set(cls.__dict__):
                return cls._manifest
            cls._manifest = _manifest_of(cls)
        found = cls._manifest
        assert found is not None
        return found

    @classmethod
    def known_streams(cls) -> Iterable[Stream]:
        """What `discover` gives, without any configuration; nothing before there is a manifest."""
        told = cls._manifest is not None or bool(_WORDS & set(vars(cls)))
        return cls(cls.Config.model_construct()).discover() if told else ()

    def identity(self) -> tuple[str, str]:
        manifest = self.manifest()
        config = {k: "***" if isinstance(v, SecretStr) else v for k, v in self._values().items()}
        told = {name or "" for s in manifest.streams for root, name in templates(s.path or "") if root == "config"}
        parts = [f"{name}={config[name]}" for name in sorted(told)]
        return manifest.name, " ".join([public(base_url(manifest, config)), *parts])

    def check(self) -> None:
        api = self._api()
        manifest = api.manifest
        first = next((s for s in manifest.streams if s.parent is None), manifest.streams[0])
        if manifest.check is not None:
            first = RestStream(first.name, path=manifest.check)
            from wherry.http.paging import Step
            from wherry.rest.requests import request

            api.client.send(request(manifest, first, Values(config=api.config), {}, Step()), first.on_response)
            return
        next(iter(Pages(api, first).windows(None)), None)

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        return [self._stream(stream) for stream in self.manifest().streams]

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        yield from super().plan([s for s in selected if s.mode == "replace"], {})
        yield from super().plan([s for s in selected if s.mode != "replace"], progress)

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        selection = split.streams[0]
        api = self._api()
        stream = api.stream(selection.stream.name)
        if selection.cursor is not None and (known := self._cursor(stream)) != selection.cursor:
            raise UsageError(
                f"stream {stream.name} cannot be read by {selection.cursor!r}", key="cursor",
                next=f"use {known}" if known else "the API takes no cursor there: read it whole, --mode replace",
            )  # fmt: skip
        yield from self._wanted(Reading(api, stream, selection, split.bookmark).items(), selection.limit)

    def _wanted(self, items: Iterator[Batch | Mark], limit: int | None) -> Iterator[Batch | Mark]:
        """The items, until there were so many rows, or the run is to stop."""
        for item in items:
            if limit is not None and isinstance(item, Batch):
                item = replace(item, data=item.data.slice(0, limit))
                limit -= item.data.num_rows
            yield item
            if limit == 0 or self.run.stop.is_set():
                items.close()  # type: ignore[attr-defined]
                return

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _api(self) -> Api:
        manifest, values = self.manifest(), self._values()
        if self._client is None:
            self._client = new_client(manifest, values, self.run)
        return Api(manifest=manifest, config=values, client=self._client, run=self.run, now=type(self).now)

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self.config, name) for name in type(self.config).model_fields}

    def _cursor(self, stream: RestStream) -> str | None:
        return cursor_column(stream)

    def _items(self, stream: RestStream) -> str:
        """What the stream and its ancestors are asked for, item by item, as a hash: a bookmark knows of no others."""
        manifest, values = self.manifest(), Values(config=self._values())
        line, parent = [stream], stream.parent
        while parent is not None:
            line.append(next(s for s in manifest.streams if s.name == parent))
            parent = line[-1].parent
        lists = [rendered(s.for_each, values) for s in line if s.for_each is not None]
        if stream.incremental is None or not lists:
            return ""
        told = json.dumps([sorted(map(str, found if isinstance(found, list) else [found])) for found in lists])
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    def _resumes(self, stream: RestStream) -> bool:
        """Whether a read goes on in the middle though rows come in no order: by windows, or by parents in theirs."""
        incremental = stream.incremental
        if incremental is None:
            return False
        if stream.parent is not None:
            return bool(stream.primary_key) and ordered_by(self.manifest(), stream) is not None
        many = stream.for_each is not None
        return bool(incremental.step and incremental.end_param and (many or not incremental.ordered))

    def _stream(self, stream: RestStream) -> Stream:
        """What is known of a stream without a request: its columns only as far as they are declared."""
        many = stream.parent is not None or stream.for_each is not None
        incremental, cursor = stream.incremental, self._cursor(stream)
        whole = many and not stream.primary_key
        return Stream(
            name=stream.name, schema=_offered(stream), primary_key=tuple(column(path) for path in stream.primary_key),
            cursor=None if whole else cursor, cursors=(cursor,) if cursor and not whole else (),
            resumes=self._resumes(stream),
            ordered=bool(incremental and incremental.ordered and not many), changes=stream.deleted is not None,
            description=stream.description, lookback=lookback(incremental), incarnation=self._items(stream),
            notes=("read whole each time: it has no primary_key",) if whole and cursor else (),
        )  # fmt: skip


def _manifest_of(cls: type[RestSource]) -> Manifest:
    """The manifest that a class says in Python."""
    given = {word: getattr(cls, word) for word in _WORDS if hasattr(cls, word)}
    given.setdefault("name", _snake(cls.__name__.removesuffix("Source") or cls.__name__))
    if "check_path" in dir(cls):
        given["check"] = cls.check_path  # type: ignore[attr-defined]
    given["config"] = config_fields(cls.Config)
    try:
        return build_manifest(given)
    except Wrong as error:
        path = ".".join(map(str, error.refusal.path))
        what = f"{cls.__name__}: {path + ': ' if path else ''}{error.refusal.message}"
        raise UsageError(what, next=error.refusal.remedy or f"correct class {cls.__name__}") from None


def _offered(stream: RestStream) -> pa.Schema:
    """The declared columns; none, where key or cursor is not among them: the rows tell of the others then."""
    schema = declared(stream.schema) if stream.schema else pa.schema([])
    needed = {*map(column, stream.primary_key), cursor_column(stream)} - {None}
    return schema if needed <= set(schema.names) else pa.schema([])


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


__all__ = ["RestSource"]
