"""What a user says: which manifest. The manifest's own keys come with it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from wherry import ConnectorConfig


class ManifestConfig(ConnectorConfig):
    """A manifest, and the keys that it declares under `config`."""

    reference: ClassVar[str | None] = "manifest"

    manifest: str = Field(description="path of the manifest; each key that it declares under config is a key here")
