"""The source `pocketbase`: asks a server for its collections, and reads them as a REST source would."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from wherry import (
    Batch,
    ConfigField,
    Login,
    Manifest,
    Mark,
    Page,
    Progress,
    ReadPlan,
    RestSource,
    RestStream,
    Selection,
    Send,
    Source,
    SourceError,
    Split,
    Stream,
)

from wherry_source_pocketbase.config import PocketBaseConfig
from wherry_source_pocketbase.streams import stream_of

COLLECTIONS = RestStream(
    "collections",
    path="api/collections",
    records="items",
    schema={"name": "text", "type": "text", "system": "boolean", "fields": "json"},
)
PAGE = 500


def manifest(streams: Sequence[RestStream]) -> Manifest:
    """A server with these streams."""
    return Manifest(
        name="pocketbase",
        config={
            "url": ConfigField(),
            "identity": ConfigField(),
            "password": ConfigField(type="secret"),
            "deleted": ConfigField(required=False),
        },
        base_url="{config.url}",
        auth=Login(
            path="api/collections/_superusers/auth-with-password",
            body={"identity": "{config.identity}", "password": "{config.password}"},
            send=Send(format="{token}"),
        ),
        paginate=Page(size_param="perPage", size=PAGE),
        streams=tuple(streams),
    )


class PocketBaseSource(Source):
    """The collections of a PocketBase server, but those that it keeps for itself."""

    Config = PocketBaseConfig
    config: PocketBaseConfig

    def __init__(self, config: PocketBaseConfig) -> None:
        super().__init__(config)
        self._made: list[RestSource] = []

    def identity(self) -> tuple[str, str]:
        return "pocketbase", self.config.reference_text()

    def check(self) -> None:
        self._reader([COLLECTIONS]).check()

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        return self._collections().discover(only)

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        return self._collections().plan(selected, progress)

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        return self._collections().read(split)

    def close(self) -> None:
        for reader in self._made:
            reader.close()

    def _collections(self) -> RestSource:
        """A reader of the collections; the server is asked for them once a run."""
        found = self.run.shared.get(("pocketbase", self.config.url), self._asked)
        return self._reader([stream_of(collection, self.config.deleted) for collection in found])

    def _asked(self) -> list[dict[str, Any]]:
        reader = self._reader([COLLECTIONS])
        (stream,) = reader.discover()
        items = reader.read(Split(key="collections", streams=(Selection(stream=stream),)))
        found = [row for item in items if isinstance(item, Batch) for row in item.data.to_pylist()]
        own = [row | {"fields": json.loads(row["fields"])} for row in found if not row["system"]]
        if not own:
            raise SourceError(f"{self.config.url} has no collections", next="make one there")
        return own

    def _reader(self, streams: Sequence[RestStream]) -> RestSource:
        kind = RestSource.of(manifest(streams))
        made = kind(kind.Config.model_validate(self.config.model_dump()))
        made.run = self.run
        self._made.append(made)
        return made
