"""Which recording a suite's requests go through: one tape a connector and run of pytest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from wherry.contracts.source import Source
from wherry.testing.recording import Tape

_TAPES = pytest.StashKey[dict[Path, Tape]]()
FOLDER = Path("tests", "recordings")


def tape_of(config: pytest.Config, own: Path | None, connector: type[Source], values: Any) -> Tape | None:
    """The tape to play or to record; None where there is no recording, and none is wanted."""
    record = bool(config.getoption("--wherry-record", default=False))
    folder = config.getoption("--wherry-recordings", default=None)
    file = own or recording_of(connector, Path(folder) if folder else config.rootpath / FOLDER)
    tapes = config.stash.setdefault(_TAPES, {})
    if file not in tapes:
        if not record and not file.is_file():
            return None
        tapes[file] = Tape(file, dict(_secrets(connector.Config.model_validate(values))), record=record)
    return tapes[file]


def recording_of(connector: type[Source], folder: Path) -> Path:
    """Where a connector's traffic is recorded, if it says nothing of it."""
    return folder / f"{connector.__name__.removesuffix('Source').lower() or 'source'}.json"


def _secrets(value: Any, name: str = "secret") -> Iterator[tuple[str, str]]:
    if isinstance(value, SecretStr):
        yield name, value.get_secret_value()
    elif isinstance(value, BaseModel):
        for key in type(value).model_fields:
            yield from _secrets(getattr(value, key), key)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets(inner, str(key))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _secrets(inner, name)
