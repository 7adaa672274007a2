"""The source `rest`: reads an API as a manifest says, which is known only when one is named."""

from __future__ import annotations

from wherry import RestSource, Source

from wherry_source_rest.config import ManifestConfig


class ManifestSource(RestSource):
    """REST and GraphQL APIs that a YAML manifest describes."""

    Config = ManifestConfig

    @classmethod
    def referred(cls, text: str) -> type[Source]:
        return RestSource.from_file(text, ManifestConfig)
