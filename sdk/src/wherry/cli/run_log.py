"""The run log: what happened in each run, kept on this machine, for `wherry runs` and for whoever looks into a failure.

One file a run, `<folder>/runs/<pipeline>/<UTC time>-run<n>.jsonl`, of the lines that `--json` prints (batches left out:
what was handed over and not committed does not last). The log decides nothing: bookmarks are in the destination. It is
for its user alone; below the folder no link is followed, and what is open stays the same file whatever names do.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import heapq
import json
import logging
import os
import re
import stat
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from wherry.cli.json_events import Recorder, now
from wherry.config.redact import Redactor
from wherry.errors import PolicyError, ResourceError
from wherry.limits import exhausted

KEPT = 50
"""Runs of a pipeline whose logs are kept."""
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-run\d+\.jsonl")
_LONG = 120
_ROOM = 16 << 10
"""Bytes that the log of a run may take at least."""
_LEFT_OUT = frozenset({"batch_loaded"})
_LONGEST = 1 << 20
"""Characters of a line that are read at once; no line of ours has so many."""
_TELLING = ("run_started", "run_finished", "error")
_KINDS: dict[str, type | tuple[type, ...]] = {
    "pipeline": str, "run": int, "source": str, "destination": str, "schema": str, "outcome": str, "exit_code": int,
    "seconds": (int, float), "totals": dict,
}  # fmt: skip


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """WHERRY_STATE_DIR, else the place for state that the XDG specification names."""
    if own := environ.get("WHERRY_STATE_DIR"):
        return Path(own).expanduser()
    base = environ.get("XDG_STATE_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return home / "wherry"


class RunLog(Recorder):
    """Writes the log of one run. A folder that cannot be written costs the log, never the run: `warn` is told once.

    pipeline: so that a run that never got to its plan is kept too.
    """

    def __init__(
        self, folder: Path, redactor: Redactor | None = None, *, pipeline: str | None = None,
        warn: Callable[[str], None] | None = None, clock: Callable[[], datetime] = now, kept: int = KEPT,
    ) -> None:  # fmt: skip
        super().__init__(redactor, clock)
        self._home = folder
        self._pipeline = pipeline
        self.warn = warn or logging.getLogger("wherry").warning
        self._kept = kept
        self._lock = threading.Lock()
        self._early: list[str] = []
        self._off = False
        self._folder: _Opened | None = None
        self._file: _Opened | None = None
        self.path: Path | None = None
        """The file, once there is one."""

    def prepare(self) -> None:
        """Open the pipeline's folder before the run.

        PolicyError: a link stands there. ResourceError: it cannot be written, so that the run could not be told of.
        """
        if self._pipeline is None:
            return
        try:
            self._folder = _pipeline_folder(self._home, self._pipeline)
            _refuse_full(self._folder)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # the error knows its name within a folder only
                full = exhausted(OSError(error.errno, error.strerror, str(self._home)))
                assert full is not None
                raise full from error
            raise ResourceError(
                f"run logs cannot be kept in {self._home}: {_reason(error)}", key="WHERRY_STATE_DIR",
                next="set WHERRY_STATE_DIR to a folder that is yours to write",
            ) from error  # fmt: skip

    def put(self, event: str, line: str) -> None:
        """Keep one line."""
        if event in _LEFT_OUT or self._off:
            return
        try:
            with self._lock:
                self._put(event, line)
        except OSError as error:
            self.warn(self._given_up(error))

    def _given_up(self, error: OSError) -> str:
        self._off = True
        return f"this run is not logged: {self.path or self._home / 'runs'}: {_reason(error)}"

    def _put(self, event: str, line: str) -> None:
        if self._file is None:
            self._early.append(line)
            fields = json.loads(line)
            name = fields["pipeline"] if event == "run_started" else self._pipeline
            if event not in _TELLING or name is None:
                return
            line, self._early = "\n".join(self._early), []
            self._file = self._begin(name, fields.get("run") or 0)
        _write(self._file.number, line + "\n")

    def _begin(self, pipeline: str, run: int) -> _Opened:
        """A new file, and one of the old ones less."""
        if self._folder is None or pipeline != self._pipeline:
            self._folder = _pipeline_folder(self._home, pipeline)
        stamp = self._clock().strftime("%Y%m%dT%H%M%S.%fZ")
        self.path = self._folder.path / f"{stamp}-run{run}.jsonl"
        file = _Opened.at(self._folder, self.path.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        for old in _logs(self._folder.path)[self._kept :]:
            with contextlib.suppress(OSError):  # another run may tidy up too
                os.unlink(old.name, dir_fd=self._folder.number)
        return file


class _Opened:
    """A file or folder that is open for as long as this lives."""

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self._finalizer = weakref.finalize(self, os.close, number)

    @classmethod
    def at(cls, folder: _Opened, name: str, flags: int) -> _Opened:
        """What has this name in a folder that is open, unless it is a link."""
        return cls(folder.path / name, os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=folder.number))


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]


def _refuse_full(folder: _Opened) -> None:
    found = os.fstatvfs(folder.number)
    if found.f_bavail * found.f_frsize < _ROOM or (found.f_files and not found.f_favail):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.path))


def _pipeline_folder(home: Path, pipeline: str) -> _Opened:
    """The folder of a pipeline's logs, made if need be; PolicyError: a link, OSError: cannot be used or is others'."""
    _private(home)
    opened = _Opened(home, os.open(home, os.O_RDONLY | os.O_DIRECTORY))
    _refuse_others(opened)
    for name in ("runs", _folder_name(pipeline)):
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=opened.number)
        if stat.S_ISLNK(os.stat(name, dir_fd=opened.number, follow_symlinks=False).st_mode):
            raise PolicyError(
                f"{opened.path / name} is a link: logs are not written through it",
                next="see who put it there, and remove it; or set WHERRY_STATE_DIR to another folder",
            )
        opened = _Opened.at(opened, name, os.O_RDONLY | os.O_DIRECTORY)
        _refuse_others(opened)
    return opened


def _refuse_others(folder: _Opened) -> None:
    owner = os.fstat(folder.number).st_uid
    if owner not in (os.geteuid(), 0):
        raise PermissionError(errno.EPERM, f"{folder.path} belongs to another user (uid {owner})")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run as its log tells it. outcome: "ok", "failed", "stopped", or "unfinished": it goes on, or was killed."""

    path: Path
    started: str
    pipeline: str = ""
    run: int | None = None
    source: str = ""
    destination: str = ""
    schema: str = ""
    outcome: str = "unfinished"
    exit_code: int | None = None
    seconds: float | None = None
    totals: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


def recent(folder: Path, limit: int, pipeline: str | None = None) -> list[PastRun]:
    """The last runs, newest first, at most `limit`; only those of a pipeline if one is named."""
    runs = folder / "runs"
    try:
        homes = [runs / _folder_name(pipeline)] if pipeline is not None else [p for p in runs.iterdir() if p.is_dir()]
    except FileNotFoundError:
        return []
    logs = heapq.nlargest(limit, (log for home in homes for log in _logs(home)), key=lambda log: log.name)
    return [found for log in logs if (found := read(log)) is not None]


def read(path: Path) -> PastRun | None:
    """One log; None if it has gone or is none. What is damaged, or being written, is passed over."""
    fields: dict[str, Any] = {"pipeline": unquote(path.parent.name)}  # if it never began, nothing else tells
    try:
        for event, told in _events(path):
            if event == "error":
                fields["error"] = str(told.get("message", ""))
            else:
                fields |= {name: told[name] for name, kind in _KINDS.items() if isinstance(told.get(name), kind)}
        stamp = datetime.strptime(path.name.partition("-")[0], "%Y%m%dT%H%M%S.%f%z")
    except (OSError, ValueError):
        return None
    totals = fields.get("totals", {})
    fields["totals"] = {name: number for name, number in totals.items() if isinstance(number, int)}
    return PastRun(path=path, started=stamp.isoformat(timespec="seconds").replace("+00:00", "Z"), **fields)


def _events(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The few lines that tell how a run went."""
    with path.open(encoding="utf-8", errors="replace") as file:
        while line := file.readline(_LONGEST):
            if line.startswith(tuple(f'{{"event": "{name}"' for name in _TELLING)):
                with contextlib.suppress(ValueError, RecursionError):
                    told = json.loads(line)
                    yield told["event"], told


def _logs(folder: Path) -> list[Path]:
    """The logs in a folder, newest first."""
    try:
        return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), reverse=True)
    except OSError:
        return []


def _folder_name(pipeline: str) -> str:
    """A pipeline's name as that of a folder: no separators, never hidden, not too long for a file system."""
    name = quote(pipeline, safe=" ", errors="surrogatepass")
    name = "%2E" + name[1:] if name.startswith(".") else name
    if len(name) <= _LONG:
        return name or "%00"
    return name[: _LONG - 17] + "-" + hashlib.sha256(pipeline.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _private(folder: Path) -> None:
    """The folder and what is missing above it, for this user alone."""
    if not folder.is_dir():
        if folder.parent != folder:
            _private(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)


def _write(file: int, text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(file, data) :]
