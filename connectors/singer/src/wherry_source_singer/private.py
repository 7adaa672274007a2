"""A folder for what a tap gets in files: its user's alone, and gone afterwards, also after a kill."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wherry import PolicyError, exhausted


class Folder:
    """A private folder. While it is in use its lock file is locked; one that nobody locks was left by a killed run."""

    def __init__(self) -> None:
        base = _base()
        with _alone(base):
            _clear(base)
            try:
                self.path = Path(tempfile.mkdtemp(prefix="run-", dir=base))
                self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise exhausted(error, base) or error from error

    def write(self, name: str, content: Any) -> Path:
        """A file for the tap; content: JSON, or text that is JSON already."""
        path = self.path / name
        text = content if isinstance(content, str) else json.dumps(content)
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
                file.write(text)
        except OSError as error:
            raise exhausted(error, path) or error from error
        return path

    def remove(self) -> None:
        """Once; again is fine."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _base() -> Path:
    """Where such folders are: of this user alone."""
    base = Path(tempfile.gettempdir(), f"wherry-singer-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PolicyError(
            f"{base} is not a folder of this user alone", next="remove it, or set TMPDIR to another place"
        )
    return base


@contextlib.contextmanager
def _alone(base: Path) -> Iterator[None]:
    """No other process makes or clears folders meanwhile."""
    held = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _clear(base: Path) -> None:
    """Remove what killed runs left."""
    for folder in base.glob("run-*"):
        if not _in_use(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
