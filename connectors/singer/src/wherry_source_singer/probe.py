"""What a tap says of itself: the options that it takes, and the types of its configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wherry import Run

from wherry_source_singer import environments
from wherry_source_singer.client import called
from wherry_source_singer.environments import Tap


@dataclass(frozen=True, slots=True)
class Facts:
    """catalog: options that take the catalog.  types: JSON Schema of its configuration, by key; empty: not told."""

    catalog: tuple[str, ...] = ("--catalog",)
    types: Mapping[str, Any] = field(default_factory=dict)


def facts(tap: Tap, run: Run, folder: Path, env: Mapping[str, str]) -> Facts:
    """Asked once for each tap that is installed, each time of programs that may change."""
    told = environments.known(tap)
    if not told:
        told = _ask(tap, run, folder, env)
        environments.keep(tap, told)
    return Facts(tuple(told.get("catalog", ("--catalog",))), told.get("types", {}))


def _ask(tap: Tap, run: Run, folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    status, output = called([*tap.command, "--about", "--format=json"], run, name=tap.name, folder=folder, env=env)
    if not status:
        try:
            about = json.loads(output[max(output.find(b"{"), 0) :])
            return {"catalog": ["--catalog"], "types": dict(about["settings"].get("properties", {}))}
        except (ValueError, KeyError, AttributeError, TypeError):
            pass
    _, output = called([*tap.command, "--help"], run, name=tap.name, folder=folder, env=env)
    options = [name for name in ("--catalog", "--properties") if re.search(rb"(?<![\w-])%b\b" % name.encode(), output)]
    return {"catalog": options or ["--catalog"]}
