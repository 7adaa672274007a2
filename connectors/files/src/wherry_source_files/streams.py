"""Which files make which streams: a file, a folder with its sub-folders, or a glob."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from wherry import StreamError, UsageError

from wherry_source_files.client import SUFFIXES, LocalFile, kind_of, local_file
from wherry_source_files.config import FilesConfig

PART = "_wherry_file"
"""Column of a stream of many files: the file's path below the base."""


@dataclass(frozen=True, slots=True)
class FileStream:
    """A stream and where its files are. many: files come and go; else it is the one file `paths[0]`.

    pattern: what is looked through again when the files are listed (a folder or a glob).
    """

    name: str
    base: str
    pattern: str
    many: bool
    format: str | None = field(default=None)

    def files(self) -> list[LocalFile]:
        """The files as they are now, by path."""
        found = (local_file(path, self._rel(path), self.format) for path in sorted(set(self._paths())))
        return [file for file in found if file is not None]

    def _rel(self, path: str) -> str:
        return os.path.relpath(path, self.base).replace(os.sep, "/")

    def _paths(self) -> Iterator[str]:
        if not self.many:
            yield self.pattern
        elif os.path.isdir(self.pattern):
            yield from _walk(self.pattern)
        else:
            for path in glob.iglob(self.pattern, recursive=True):
                if not os.path.isdir(path):
                    yield path


def streams(config: FilesConfig) -> list[FileStream]:
    """The streams behind `config.path`. Raises `UsageError` when there is nothing to read, saying what was found."""
    path = absolute(config.path)
    if os.path.isdir(path):
        return _folder(path, config.format)
    if os.path.lexists(path):
        return [_single(path, config.format)]
    if glob.has_magic(config.path):
        return [_glob(path, config.format)]
    raise UsageError(f"no such file or folder: {config.path}", key="path", next=_nearby(path))


def identity(config: FilesConfig) -> tuple[str, str]:
    """(short name, absolute path): a folder's name, a file's stem, or the folder that a glob looks in."""
    path = absolute(config.path)
    if glob.has_magic(config.path) and not os.path.lexists(path):
        return slug(os.path.basename(_glob_base(path))), path
    kind = None if os.path.isdir(path) else kind_of(os.path.basename(path), config.format)
    return slug(kind[0] if kind else os.path.basename(path)), path


def absolute(path: str) -> str:
    """The path with `~` resolved, absolute; symbolic links stay, so that a name keeps its bookmarks."""
    return os.path.abspath(os.path.expanduser(path.removeprefix("file://")))


def slug(text: str) -> str:
    """Lower case letters, digits and underscores; "files" when nothing is left."""
    return re.sub(r"\W+", "_", text.lower()).strip("_") or "files"


def _single(path: str, format: str | None) -> FileStream:
    name = os.path.basename(path)
    kind = kind_of(name, format)
    if kind is None:
        raise UsageError(
            f"cannot tell the format of {name}",
            key="format",
            next=f"give it: --set format=csv, or one of {', '.join(dict.fromkeys(SUFFIXES.values()))}",
        )
    local_file(path, name, format)
    return FileStream(kind[0], os.path.dirname(path), path, many=False, format=format)


def _folder(folder: str, format: str | None) -> list[FileStream]:
    """A stream for each file that we read, and one for each sub-folder that has some."""
    entries = sorted(name for name in _listing(folder) if not name.startswith("."))
    names: list[tuple[str, str, bool]] = []
    for name in entries:
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            if any(kind_of(os.path.basename(inner), format) for inner in _walk(path)):
                names.append((name, path, True))
        elif kind := kind_of(name, format):
            names.append((kind[0], path, False))
    if not names:
        raise _nothing(f"folder {folder} has no file to read", entries)
    stems = Counter(stem for stem, _, _ in names)
    return [
        FileStream(stem if many or stems[stem] == 1 else os.path.basename(path), folder, path, many, format)
        for stem, path, many in names
    ]


def _glob(pattern: str, format: str | None) -> FileStream:
    base = _glob_base(pattern)
    found = FileStream(_glob_name(pattern, base), base, pattern, many=True, format=format)
    if not found.files():
        matched = sorted(os.path.basename(path) for path in glob.glob(pattern, recursive=True))
        around = sorted(os.listdir(base)) if os.path.isdir(base) else []
        raise _nothing(f"no file to read matches {pattern}", matched or around)
    return found


def _glob_base(pattern: str) -> str:
    """The folder above the first wildcard."""
    parts = pattern.split(os.sep)
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return os.sep.join(parts[:first]) or os.sep


def _glob_name(pattern: str, base: str) -> str:
    """The last part of the pattern with a word in it ("orders" of "orders-*.csv"), else the folder's name."""
    for part in reversed(os.path.relpath(pattern, base).split(os.sep)):
        kind = kind_of(part)
        literal = re.sub(r"\[[^]]*\]|[*?]", " ", kind[0] if kind else part)
        words = re.findall(r"\w[\w.-]*\w|\w", literal)
        named: list[str] = [word for word in words if re.search(r"[^\W\d_]", word)]
        if named:
            return named[0].strip("._-")
    return os.path.basename(base) or "files"


def _walk(folder: str) -> Iterator[str]:
    """Every file below a folder that is not hidden; links to folders are not followed."""
    for where, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(where, name) for name in names if not name.startswith("."))


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise _unreadable(error) from None


def _unreadable(error: OSError) -> StreamError:
    raise StreamError(
        f"folder {error.filename} cannot be read: {(error.strerror or 'unknown').lower()}", next="grant read access"
    )


def _nothing(what: str, found: list[str]) -> UsageError:
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    return UsageError(
        f"{what}; found {shown or 'nothing'}",
        key="path",
        next=f"files are known by suffix: {', '.join('.' + suffix for suffix in SUFFIXES)} (text also .gz, .zst)",
    )


def _nearby(path: str) -> str:
    """What is there instead, for a mistyped name."""
    import difflib

    folder = os.path.dirname(path)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    close = difflib.get_close_matches(os.path.basename(path), names, 3)
    return f"did you mean {', '.join(close)}?" if close else "check the path; quote a glob: 'data/*.csv'"
