"""Local files: finding them, opening them (compressed or not), and noticing when they change."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from wherry import DataError, StreamError, TransientError, UsageError

SUFFIXES = {
    "csv": "csv", "tsv": "tsv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "json",
    "parquet": "parquet", "arrow": "arrow", "feather": "arrow",
}  # fmt: skip
COMPRESSIONS = {"gz": "gzip", "zst": "zstd"}
TEXT = frozenset({"csv", "tsv", "jsonl", "json"})
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Version:
    """What tells one content of a file from another without reading it. mtime_ns: nanoseconds."""

    size: int
    mtime_ns: int


@dataclass(slots=True)
class LocalFile:
    """One file. rel: its path below the base, with "/", the name under which it is remembered.

    version: as it was when listed. sha256: hex digest of the bytes on disk once they have all been read.
    """

    path: str
    rel: str
    format: str
    compression: str | None
    version: Version
    sha256: str | None = field(default=None)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The bytes on disk. Raises `TransientError` when they are not those of `version`, before or after."""
        try:
            with open(self.path, "rb", buffering=0) as handle:
                self._same(_version(handle))
                try:
                    yield handle
                except (DataError, ValueError, OSError) as error:
                    self._same(_version(handle))  # what is half written need not make sense
                    if isinstance(error, OSError) and error.errno is not None:
                        raise StreamError(
                            f"file {self.path} cannot be read: {os.strerror(error.errno).lower()}"
                        ) from error
                    raise
                self._same(_version(handle))
        except FileNotFoundError:
            raise StreamError(f"file {self.path} is gone", next="run again; removed files are left out") from None
        except PermissionError:
            raise StreamError(f"file {self.path} cannot be read: permission denied", next="grant read access") from None

    def refuse_change(self) -> None:
        """Raise when what stands under the path is not `version` any more."""
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            raise StreamError(f"file {self.path} is gone", next="run again; removed files are left out") from None
        self._same(Version(now.st_size, now.st_mtime_ns))

    def digest(self) -> str:
        """SHA-256 of the bytes on disk, in hex; computed once."""
        if self.sha256 is None:
            digest = hashlib.sha256()
            with self.open() as handle:
                while chunk := handle.read(_CHUNK):
                    digest.update(chunk)
            self.sha256 = digest.hexdigest()
        return self.sha256

    def entry(self) -> dict[str, Any]:
        """What a bookmark remembers of the file: {"size", "mtime_ns", "sha256"}."""
        return {"size": self.version.size, "mtime_ns": self.version.mtime_ns, "sha256": self.digest()}

    def unchanged(self, entry: dict[str, Any] | None) -> bool:
        """Whether the content is the one remembered: by size and mtime, else by hash (a touched file is unchanged)."""
        if entry is None or entry["size"] != self.version.size:
            return False
        return bool(entry["mtime_ns"] == self.version.mtime_ns) or bool(entry["sha256"] == self.digest())

    def _same(self, now: Version) -> None:
        if now != self.version:
            raise TransientError(f"file {self.rel} changed while it was read", next="run again when it is written")


class HashingReader:
    """A readable that hashes what passes through it. After the end, `hexdigest()` is that of all bytes."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self._hash = hashlib.sha256()
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, b"" at the end."""
        data = self._handle.read(size if size and size > 0 else _CHUNK)
        self._hash.update(data)
        return data

    def close(self) -> None:
        """Nothing to let go of; Arrow asks for it."""
        self.closed = True

    def hexdigest(self) -> str:
        """SHA-256 of everything read so far and of what is left (which is read now)."""
        while self.read(_CHUNK):
            pass
        return self._hash.hexdigest()


def kind_of(name: str, format: str | None = None) -> tuple[str, str, str | None] | None:
    """(stem, format, compression) by a file name's suffixes; None for a name that we do not read.

    format: what the user said, for names whose suffix says nothing.
    """
    stem, compression = name, None
    base, dot, suffix = name.rpartition(".")
    if dot and suffix.lower() in COMPRESSIONS:
        stem, compression = base, COMPRESSIONS[suffix.lower()]
        base, dot, suffix = stem.rpartition(".")
    known = SUFFIXES.get(suffix.lower()) if dot and base else None
    if known:
        stem = base
    format = format or known
    if format is None or (compression and format not in TEXT):
        return None
    return stem, format, compression


def local_file(path: str, rel: str, format: str | None = None) -> LocalFile | None:
    """The file at `path`; None if its name is not one that we read. Raises for links to nowhere and special files."""
    kind = kind_of(os.path.basename(path), format)
    if kind is None:
        return None
    try:
        rel.encode()
        found = os.stat(path)
    except UnicodeEncodeError:
        raise UsageError(f"file name {rel!r} is not UTF-8", key="path", next="rename the file") from None
    except FileNotFoundError:
        what = "is a link to a file that is gone" if os.path.islink(path) else "is gone"
        raise StreamError(f"file {path} {what}", next="remove the link, or run again") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a regular file", key="path", next="copy its content into a file first")
    return LocalFile(path, rel, kind[1], kind[2], Version(found.st_size, found.st_mtime_ns))


def _unreadable(path: str, error: OSError) -> StreamError:
    return StreamError(f"file {path} cannot be read: {os.strerror(error.errno or 0).lower()}")


def _version(handle: IO[bytes]) -> Version:
    found = os.fstat(handle.fileno())
    return Version(found.st_size, found.st_mtime_ns)
