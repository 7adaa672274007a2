"""A tap that does what a test tells it (`wherry_tap_script.py`), and messages for it to send."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry.pipeline.select import Wishes
from wherry.testing import MemoryDestination, Store, Wish, run_sync
from wherry_source_singer.source import SingerSource

TAP = Path(__file__).with_name("wherry_tap_script.py")
ID = {"type": ["null", "integer"]}
TEXT = {"type": ["null", "string"]}
WHEN = {"type": ["null", "string"], "format": "date-time"}


def entry(name: str, properties: Mapping[str, Any], *, key: Sequence[str] = ("id",), **root: Any) -> dict[str, Any]:
    """A stream of a catalog. root: metadata of the stream, `_` for `-`."""
    about = {"inclusion": "available", **{k.replace("_", "-"): v for k, v in root.items()}}
    return {
        "tap_stream_id": name, "stream": name, "key_properties": list(key),
        "schema": {"type": "object", "properties": dict(properties)},
        "metadata": [{"breadcrumb": [], "metadata": about}],
    }  # fmt: skip


def schema(name: str, properties: Mapping[str, Any], key: Sequence[str] = ("id",), **more: Any) -> dict[str, Any]:
    told = {"type": "object", "properties": dict(properties), **more}
    return {"say": {"type": "SCHEMA", "stream": name, "schema": told, "key_properties": list(key)}}


def record(stream: str, version: int | None = None, /, **values: Any) -> dict[str, Any]:
    more = {} if version is None else {"version": version}
    return {"say": {"type": "RECORD", "stream": stream, "record": values, **more}}


def records(name: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    return [record(name, id=n, name=f"n{n}") for n in range(first, first + count)]


def state(**marks: Any) -> dict[str, Any]:
    return {"say": {"type": "STATE", "value": {"bookmarks": marks}}}


def activate(name: str, version: int) -> dict[str, Any]:
    return {"say": {"type": "ACTIVATE_VERSION", "stream": name, "version": version}}


class Script:
    """The tap and what became of its rows. programs: where the program is, which may serve many.

    streams: of its catalog.
    """

    def __init__(self, folder: Path, programs: Path | None = None) -> None:
        self.folder = folder
        self.store = Store()
        self.program = (programs or folder) / "tap-script"
        self.streams = [entry("users", {"id": ID, "name": TEXT})]
        if not self.program.exists():
            self._make()

    def _make(self) -> None:
        self.program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{TAP}" "$@"\n')
        self.program.chmod(0o755)

    def source(self, steps: Sequence[Any] = (), **config: Any) -> SingerSource:
        settings = {"catalog": {"streams": self.streams}, "steps": list(steps)}
        return SingerSource(
            SingerSource.Config.model_validate({"tap": str(self.program), "config": settings, **config})
        )

    def sync(self, *steps: Any, wish: Wish | None = None, code: int | None = 0, **settings: Any) -> Any:
        """One run; its outcome. code: the exit code that it must have."""
        config = settings.pop("config", {})
        if isinstance(settings.get("wishes"), dict):
            settings["wishes"] = Wishes(**settings["wishes"])
        made = lambda: self.source(steps, **config)  # noqa: E731
        outcome = run_sync(made, MemoryDestination.of(self.store), wish=wish, connector="singer", **settings)
        if code is not None:
            told = [(s.stream, s.error) for s in outcome.streams if s.error is not None]
            assert outcome.exit_code == code, told
        return outcome

    def rows(self, name: str = "users") -> list[dict[str, Any]]:
        """As they are in the destination, by id."""
        table = self.store.table("script", name)
        rows: list[dict[str, Any]] = table.to_pylist()
        return sorted(rows, key=lambda row: row.get("id") or 0)

    def ids(self, name: str = "users") -> list[int]:
        return [row["id"] for row in self.rows(name)]

    def said(self, outcome: Any) -> str:
        """Why it failed."""
        return "; ".join(str(s.error) for s in outcome.streams if s.error is not None)

    def kept(self, name: str = "kept.json") -> Any:
        return json.loads((self.folder / name).read_text())


PLAIN = {"id": ID, "name": TEXT}
INCREMENTAL = {"forced_replication_method": "INCREMENTAL", "valid_replication_keys": ["id"]}


class Commanded:
    """The tap for the real command: in a folder, its steps in a file that a test may change between runs."""

    def __init__(self, folder: Path, streams: Sequence[Mapping[str, Any]] | None = None) -> None:
        self.folder = folder
        self.streams = list(streams or [entry("users", PLAIN, **INCREMENTAL)])
        self.program = folder / "tap-script"
        self.program.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I -S "{TAP}" "$@" --script "{folder / "script.json"}"\n'
        )
        self.program.chmod(0o755)

    def does(self, *steps: Any) -> list[str]:
        """What is told from now on; the arguments that name the tap."""
        (self.folder / "script.json").write_text(json.dumps({"catalog": {"streams": self.streams}, "steps": steps}))
        return [f"singer:{self.program}"]
