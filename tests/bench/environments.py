"""Environments of the peers: one each, versions pinned, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class NotInstalled(Exception):
    """A peer that cannot be had here. It is reported and not counted."""


def cache() -> Path:
    """Where they are kept: WHERRY_BENCH_CACHE, or a folder of the user's cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("WHERRY_BENCH_CACHE") or base / "wherry-bench")


def nothing(_: Path) -> None:
    """No more to do."""


@dataclass(frozen=True)
class Environment:
    """packages: requirements with `==`.  finish: what pip does not do; it gets the environment's folder."""

    name: str
    packages: Sequence[str]
    finish: Callable[[Path], None] = field(default=nothing)

    @property
    def folder(self) -> Path:
        """Its place; another one when the packages are others."""
        pins = hashlib.blake2b(" ".join(self.packages).encode(), digest_size=4).hexdigest()
        return cache() / f"{self.name}-{pins}"

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def library(self) -> Path:
        """Where its packages are."""
        return next(self.folder.glob("lib/python*/site-packages"))

    def ready(self) -> Environment:
        """Make it if it is not there; raises NotInstalled with the reason."""
        if (self.folder / "complete").exists():
            return self
        shutil.rmtree(self.folder, ignore_errors=True)
        uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
        try:
            run([uv, "venv", "-q", "--python", sys.executable, str(self.folder)])
            install = [uv, "pip", "install", "-q", "--python", self.python, *self.packages]
            run(install, cwd=self.folder)  # not here, where the workspace's own pins would count
            self.finish(self.folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise NotInstalled(f"{self.name}: {_reason(error)}") from None
        (self.folder / "complete").touch()
        return self


def run(command: Sequence[str], cwd: Path | None = None) -> str:
    """What a command prints; it must succeed within ten minutes."""
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=600).stdout


def _reason(error: Exception) -> str:
    said = (getattr(error, "stderr", "") or str(error)).strip()
    return said.splitlines()[-1] if said else type(error).__name__
