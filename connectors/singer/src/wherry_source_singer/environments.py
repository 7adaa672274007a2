"""Where a tap lives: a program that is installed already, or an environment of its own that `uv` makes on first use.

Environments are kept in the user's cache folder under what was asked for, exactly: `uv` is needed once, the network
too. One is made beside its place and renamed into it, so that it is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry import ResourceError, SourceError, UsageError, exhausted

from wherry_source_singer.client import guarded, variables
from wherry_source_singer.config import SingerConfig

FORM = 1
"""Of the environments; another number, other folders."""
_SCRIPTS = """
import importlib.metadata as m, json, sys
d = m.distribution(sys.argv[1])
print(json.dumps([d.version, sorted(e.name for e in d.entry_points if e.group == "console_scripts")]))
"""


@dataclass(frozen=True, slots=True)
class Tap:
    """A tap that can be started. command: without arguments.  notes: a file for what was found out about it, if any."""

    name: str
    command: tuple[str, ...]
    notes: Path | None = None


def tap_of(config: SingerConfig) -> Tap:
    """The tap that a configuration means, installed if need be."""
    if config.executable:
        program = shutil.which(str(Path(config.executable).expanduser()))
        if program is None:
            raise UsageError(
                f"no program {config.executable!r}", key="executable", next="name the program of the tap, with its path"
            )
        return _program(program)
    program = None if config.package else shutil.which(config.tap)
    if program is not None:
        return _program(program)
    if "/" in config.tap and "@" not in config.tap and not config.package:
        raise UsageError(f"no program {config.tap!r}", key="tap", next="name the program of the tap, with its path")
    return _installed(config)


def cache_folder() -> Path:
    """WHERRY_CACHE_DIR, else the place for caches that the XDG specification names."""
    if own := os.environ.get("WHERRY_CACHE_DIR"):
        return Path(own).expanduser() / "singer"
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return home / "wherry" / "singer"


def _program(path: str) -> Tap:
    """What was found out about a program is good until its file changes."""
    found = os.stat(path)
    told = f"{os.path.realpath(path)} {found.st_mtime_ns} {found.st_size}"
    name = hashlib.blake2b(told.encode(), digest_size=12).hexdigest()
    return Tap(Path(path).name, (os.path.abspath(path),), cache_folder() / "programs" / f"{name}.json")


def _installed(config: SingerConfig) -> Tap:
    requirements = config.requirements()
    asked = json.dumps([FORM, requirements, config.python or "", sys.version_info[:2], sys.platform])
    name = re.sub(r"[^A-Za-z0-9.]+", "-", requirements[0])[:60].strip("-")
    place = cache_folder() / f"{name}-{hashlib.blake2b(asked.encode(), digest_size=6).hexdigest()}"
    if not (place / "tap.json").exists():
        _make(place, requirements, config)
    told = json.loads((place / "tap.json").read_text())
    script = _choose(told["scripts"], config, requirements[0])
    return Tap(script, (str(place / "bin" / script),), place / "known.json")


def _make(place: Path, requirements: Sequence[str], config: SingerConfig) -> None:
    uv = _uv(requirements[0])
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    except OSError as error:
        raise exhausted(error, place) or _unwritable(place.parent, error) from error
    try:
        _uv_run([uv, "venv", "-q", "--relocatable", "--python", _python(config), str(aside / "env")], config, aside)
        python = str(aside / "env" / "bin" / "python")
        _uv_run([uv, "pip", "install", "-q", "--python", python, *requirements], config, aside)
        distribution = re.split(r"[^A-Za-z0-9._-]", requirements[0].strip(), maxsplit=1)[0]
        version, scripts = json.loads(_uv_run([python, "-c", _SCRIPTS, distribution], config, aside))
        told = {"distribution": distribution, "version": version, "scripts": scripts}
        (aside / "env" / "tap.json").write_text(json.dumps(told))
        with contextlib.suppress(OSError):  # another run was faster
            os.rename(aside / "env", place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _uv(requirement: str) -> str:
    beside = Path(sys.executable).with_name("uv")
    found = shutil.which("uv") or (str(beside) if beside.exists() else None)
    if found is None:
        raise UsageError(
            f"uv is not there, which makes an environment for {requirement}", key="package",
            next="pip install uv, or install the tap yourself and name its program: --set executable=PATH",
        )  # fmt: skip
    return found


def _python(config: SingerConfig) -> str:
    """The interpreter asked for; ours, if it is of that version."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    return getattr(sys, "_base_executable", sys.executable) if config.python in (None, ours) else config.python or ours


def _uv_run(command: Sequence[str], config: SingerConfig, folder: Path) -> str:
    """Its output. folder: goes with us, if we are killed meanwhile. Raises `SourceError` that quotes what it said."""
    kept = {k: v for k, v in os.environ.items() if k.startswith(("UV_", "PIP_"))}
    done = guarded(command, folder, variables(kept))
    if done.returncode == 0:
        return done.stdout
    said = " ".join(done.stderr.split())
    key = "python" if "venv" in command[1:2] else "package" if config.package else "tap"
    if re.search(r"was not found in the (package registry|cache|provided)|no versions? of|no such file", said):
        what = config.requirements()[0]
        raise UsageError(
            f"no package {what} is to be had", key=key,
            next="name its distribution: --set package=NAME==VERSION; or its program: --set executable=PATH",
        )  # fmt: skip
    raise SourceError(
        f"uv could not make the environment of {config.requirements()[0]}: {said[-400:] or f'exit {done.returncode}'}",
        key=key, next="correct package or python; a tap installed elsewhere goes with --set executable=PATH",
    )  # fmt: skip


def _choose(scripts: Sequence[str], config: SingerConfig, requirement: str) -> str:
    """The program of the distribution that is the tap."""
    taps = [name for name in scripts if name.startswith("tap-")] or list(scripts)
    if config.tap in scripts:
        return config.tap
    if len(taps) == 1:
        return taps[0]
    if not taps:
        raise UsageError(f"{requirement} brings no program", key="package", next="name the distribution of a tap")
    raise UsageError(
        f"{requirement} brings several programs: {', '.join(taps)}", key="tap",
        next=f"name the tap by its program: singer:{taps[0]}, and its distribution: --set package={requirement}",
    )  # fmt: skip


def _unwritable(folder: Path, error: OSError) -> ResourceError:
    reason = (error.strerror or str(error)).lower()
    return ResourceError(f"{folder}: {reason}", next="set WHERRY_CACHE_DIR to a folder that is yours to write")


def known(tap: Tap) -> dict[str, Any]:
    """What was found out about the tap earlier."""
    if tap.notes is None:
        return {}
    try:
        found = json.loads(tap.notes.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def keep(tap: Tap, facts: dict[str, Any]) -> None:
    """For the next run; whoever cannot write it asks again."""
    if tap.notes is None:
        return
    aside = tap.notes.with_name(f".{tap.notes.name}-{os.getpid()}")
    with contextlib.suppress(OSError):
        tap.notes.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside.write_text(json.dumps(facts))
        os.replace(aside, tap.notes)
