"""Secrets planted wherever a configuration may have them, and a search of everything a run leaves and shows."""

from __future__ import annotations

import base64
import contextlib
import os
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from harness.places import Place

ERRORS = (
    "WherryError", "UsageError", "AuthError", "TransientError", "StreamError", "DataError", "SourceError",
    "DestinationError", "SchemaError", "LeaseError", "StateError", "ResourceError", "PluginError", "PolicyError",
    "Stopped", "KeyError", "OSError", "ValueError",
)  # fmt: skip
"""Every class of ours, and some that are nobody's."""


@dataclass
class Planted:
    """Secrets by where they were planted. Each holds a mark of its own, which no form of it can hide."""

    folder: Path
    marks: dict[str, str] = field(default_factory=dict)

    def secret(self, place: str) -> str:
        """A new one, with signs that are written differently in a URL, in JSON and in SQL."""
        mark = self.marks[place] = uuid.uuid4().hex
        return f"S3/CR+{mark}=T%'\\"

    def reference(self) -> str:
        """A URL with one in the userinfo and one in the query."""
        user, query = (quote(self.secret(place), safe="") for place in ("userinfo", "query"))
        return f"leaky://ana:{user}@example.invalid:1234/shop?mode=x&access_token={query}"

    def key_file(self) -> Path:
        """A file of several lines."""
        path = self.folder / "key.pem"
        lines = [f"{self.secret(f'line {n} of a file')}AbCdEfGh" for n in (1, 2, 3)]
        path.write_text("\n".join(["-----BEGIN KEY-----", *lines, "-----END KEY-----"]) + "\n")
        path.chmod(0o600)
        return path

    def options(self) -> list[str]:
        """Options with a header, a nested list and a file."""
        header, nested = quote(self.secret("header"), safe=""), quote(self.secret("nested"), safe="")
        return [
            "--set", f'headers={{"Authorization": "Bearer {header}", "X-Plain": "stays"}}',
            "--set", f'accounts=[{{"name": "ana", "token": "{nested}"}}]',
            "--set", f"key_file={self.key_file()}",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """Variables: one of ours, and those of others that their names give away."""
        return {
            "WHERRY_SOURCE_LEAKY_PASSWORD": self.secret("environment"),
            "PGPASSWORD": self.secret("PGPASSWORD"), "AWS_SECRET_ACCESS_KEY": self.secret("AWS"),
        }  # fmt: skip

    def found_in(self, data: bytes) -> list[str]:
        """Where the secrets that these bytes show were planted."""
        return [place for place, mark in self.marks.items() if any(form in data for form in _needles(mark))]

    def found_below(self, *folders: Path) -> list[str]:
        """Files that show a secret, but for those that were written to plant one."""
        shown = []
        for folder in folders:
            for path in folder.rglob("*"):
                if path.is_file() and not path.is_symlink() and path != self.folder / "key.pem":
                    with contextlib.suppress(FileNotFoundError):
                        shown += [f"{path}: {place}" for place in self.found_in(path.read_bytes())]
        return shown

    def found_at(self, place: Place) -> list[str]:
        """Tables of a destination that show one."""
        if not place.exists():
            return []
        names = place.query(
            "select table_schema, table_name from information_schema.tables where table_type = 'BASE TABLE' "
            "and table_schema not in ('pg_catalog', 'information_schema')"
        )
        shown = []
        for schema, name in names:
            rows = place.query(f'select * from "{schema}"."{name}"')
            shown += [f"{schema}.{name}: {found}" for found in self.found_in(repr(rows).encode())]
        return shown


def _needles(mark: str) -> Iterator[bytes]:
    """What every text with the mark in it must contain, plain or in base64: its middle by each offset."""
    yield mark.encode()
    for offset in range(3):
        skip = -offset % 3
        whole = (len(mark) - skip) // 3 * 3
        yield base64.b64encode(mark.encode()[skip : skip + whole])


class Watch:
    """While it is open: arguments and environments of all processes of a session but its leader. seen: how many."""

    def __init__(self, leader: int, planted: Planted) -> None:
        self.seen: set[int] = set()
        self.shown: list[str] = []
        self._leader, self._planted = leader, planted
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.01):
            with contextlib.suppress(OSError):
                mine = Path(f"/proc/{self._leader}/cmdline").read_bytes()
                for pid in _descendants(self._leader):
                    self._look(pid, mine)

    def _look(self, pid: int, parents: bytes) -> None:
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{pid}/cmdline").read_bytes()
            if told != parents:  # it is no copy of its parent any more, but a program of its own
                self.seen.add(pid)
                told += Path(f"/proc/{pid}/environ").read_bytes()
                self.shown += [f"argument or variable of a child: {place}" for place in self._planted.found_in(told)]


def _descendants(leader: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
    found: list[int] = []
    todo: list[int] = [leader]
    while todo:
        parent = todo.pop()
        mine = [pid for pid, above in parents.items() if above == parent]
        found += mine
        todo += mine
    return found


def everywhere(planted: Planted, done: Any, place: Place | None, *folders: Path) -> list[str]:
    """Where a secret shows after a run that has ended."""
    shown = [f"stdout: {found}" for found in planted.found_in(done.stdout.encode())]
    shown += [f"stderr: {found}" for found in planted.found_in(done.stderr.encode())]
    return shown + planted.found_below(*folders) + (planted.found_at(place) if place else [])
