"""What this machine ran out of: disk, inodes, memory, descriptors, threads; said with the place and the figures."""

from __future__ import annotations

import errno
import os
import re

from wherry.errors import ResourceError

_TEXTS = {
    errno.ENOSPC: "no space left|disk is full|out of disk", errno.EDQUOT: "disk quota", errno.EFBIG: "file too large",
    errno.EMFILE: "too many open files", errno.EROFS: "read-only file system", errno.EIO: "input/output error",
    errno.ENOMEM: "cannot allocate memory|failed to map segment|std::bad_alloc",
    errno.EAGAIN: "can't start new thread|resource temporarily unavailable",
}  # fmt: skip
_LITTLE = 64 << 20
"""Bytes; a disk with more than that is not full as such."""


def exhausted(
    error: BaseException | str, path: str | os.PathLike[str] | None = None, need: int = 0
) -> ResourceError | None:
    """The error as a `ResourceError` naming the folder or the limit, if it says that this machine ran out of something.

    error: a text is what an engine says.  path: of the file or folder concerned, if the error does not know it.
    need: bytes that were to be written.
    """
    if isinstance(error, ResourceError):
        return error
    known = getattr(error, "filename", None)
    number: int | None = None
    if isinstance(error, str):
        number = _number_in(error)
    elif isinstance(error, MemoryError):
        number = errno.ENOMEM
    elif isinstance(error, OSError):
        number = None if error.errno == errno.EAGAIN else error.errno  # that is what an unready socket says
    else:  # a library that was not mapped, a thread that did not start: whoever wanted it words that in its own way
        found = _number_in(str(error))
        number = found if found in (errno.ENOMEM, errno.EMFILE, errno.EAGAIN) else None
    return None if number is None else _out_of(number, known if isinstance(known, str) else path, need)


def _number_in(text: str) -> int | None:
    return next((n for n, words in _TEXTS.items() if re.search(words, text, re.IGNORECASE)), None)


def _out_of(number: int, path: str | os.PathLike[str] | None, need: int) -> ResourceError | None:
    if number == errno.ENOSPC:
        return _full(path, need)
    if number == errno.EAGAIN:
        return _crowded()
    folder = "what is written to" if path is None else _folder(path)
    allowed = _limit("AS")
    known = {
        errno.EDQUOT: (f"the quota on {folder} is used up", "free some of it"),
        errno.EFBIG: (f"{path or 'a file'} may not become larger than {_limit('FSIZE')}", _raise("f unlimited")),
        errno.EMFILE: (f"too many open files: {_limit('NOFILE')} are allowed", _raise("n 1024")),
        errno.ENFILE: ("too many open files on this machine", "close some"),
        errno.EROFS: (f"{folder} cannot be written: it is read-only", "choose another folder"),
        errno.EIO: (f"the disk of {folder} failed: input/output error", "look at the kernel's log, then run it again"),
        errno.ENOMEM: (
            "out of memory" + (f": {allowed} are allowed" if allowed else ""),
            "lower --memory or --workers, or free some",
        ),
    }
    if number not in known:
        return None
    text, step = known[number]
    return ResourceError(text, next=step)


def _full(path: str | os.PathLike[str] | None, need: int) -> ResourceError:
    if path is None:
        text = "no space left on device, where standard output or a temporary file goes"
        return ResourceError(text, next="make room there")
    folder = _folder(path)
    try:
        found = os.statvfs(folder)
    except OSError:
        return ResourceError(f"the disk of {folder} is full", next="make room")
    if found.f_files and not found.f_favail:
        text = f"it has no place for one more file ({found.f_files} inodes, all taken)"
        return ResourceError(f"the disk of {folder} is full: {text}", next=f"remove files in {folder}")
    free = found.f_bavail * found.f_frsize
    told = [f"{_size(free)} free"] if free < max(need, _LITTLE) else []  # else it was a moment ago, or a quota
    told += [f"{_size(need)} of rows wait to be written"] if need else []
    text = f"the disk of {folder} is full" + (": " if told else "") + ", ".join(told)
    return ResourceError(text, next=f"make room in {folder}")


def _crowded() -> ResourceError:
    if memory := _limit("AS"):  # a thread has a stack
        return ResourceError(f"no memory for one more thread: {memory} are allowed", next="lower --workers")
    allowed = _limit("NPROC") or "too many"
    text = f"no more threads or processes: {allowed} of this user are allowed"
    return ResourceError(text, next=_raise("u 4096") + ", or lower --workers")


def _folder(path: str | os.PathLike[str]) -> str:
    """The nearest folder that exists."""
    folder = os.path.abspath(os.fspath(path))
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _limit(name: str) -> str:
    """What this process is allowed, for people; "" if that is not limited."""
    try:
        import resource
    except ImportError:  # no such limits on this system
        return ""
    value = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0]
    if value == resource.RLIM_INFINITY:
        return ""
    return _size(value) if name in ("FSIZE", "AS") else str(value)


def _raise(limit: str) -> str:
    return f"raise the limit: ulimit -{limit}"


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
