"""`RestSource`: a source that a manifest, or a class with the same words, describes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SecretStr

from wherry.contracts.config import ConnectorConfig, public
from wherry.contracts.source import Source
from wherry.contracts.values import Batch, Mark, Progress, ReadPlan, Selection, Split, Stream
from wherry.errors import UsageError
from wherry.http.client import Client
from wherry.http.paging import Step
from wherry.rest.conditional import Conditional, asking
from wherry.rest.config import config_fields, config_model
from wherry.rest.fetch import Api, Pages
from wherry.rest.manifest import Wrong, build_manifest, parse_manifest, read_manifest
from wherry.rest.models import Manifest, RestStream
from wherry.rest.offer import offered
from wherry.rest.reading import Reading
from wherry.rest.requests import base_url, new_client, request
from wherry.rest.rows import cursor_column
from wherry.rest.template import Values, templates

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
        return offered(cls.manifest(), None) if told else ()

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
            asked = RestStream(first.name, path=manifest.check)
            api.client.send(request(manifest, asked, Values(config=api.config), {}, Step()))
            return
        next(iter(Pages(api, first).windows(None)), None)

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        return offered(self.manifest(), self._values())

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        streams = {stream.name: stream for stream in self.manifest().streams}
        for selection in selected:
            stream = streams[selection.stream.name]
            if stream.incremental is None:
                known = progress.get(selection.stream.path, Progress())
                yield from (asking(plan, known, stream) for plan in super().plan([selection], progress))
            else:
                yield from super().plan([selection], progress if selection.mode != "replace" else {})

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        selection = split.streams[0]
        api = self._api()
        stream = api.stream(selection.stream.name)
        if selection.cursor is not None and (known := cursor_column(stream)) != selection.cursor:
            raise UsageError(
                f"stream {stream.name} cannot be read by {selection.cursor!r}", key="cursor",
                next=f"use {known}" if known else "the API takes no cursor there: read it whole, --mode replace",
            )  # fmt: skip
        if stream.conditional and selection.limit is None:
            conditional = Conditional(api, stream, split)
            api = replace(api, client=conditional)
            yield from self._wanted(conditional.items(Reading(api, stream, selection, None).items()), None)
        else:
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


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


__all__ = ["RestSource"]
