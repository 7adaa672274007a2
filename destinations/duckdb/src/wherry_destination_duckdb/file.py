"""Opening a database file: created aside, one instance a process, its lock is the lease."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry import (
    DestinationError,
    LeaseError,
    PolicyError,
    ResourceError,
    StateError,
    UsageError,
    WherryError,
    exhausted,
    failpoint,
)

from wherry_destination_duckdb import limits

if TYPE_CHECKING:
    import duckdb

_OPEN: dict[str, Database] = {}
_LOCK = threading.Lock()
_HEAD = 12
_MAGIC = b"DUCK"
"""The last of the first twelve bytes of every database file."""
_NEW = "database"
"""A file that is being made, in a folder of its own."""
_LOOK = "see who put it there, and remove it; or choose another path"
_SETTINGS = {"preserve_insertion_order": False, "python_enable_replacements": False}


def _quiet(_: str) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class Database:
    """One opened file. users: sessions of this process that share it.  holders: marks of those that hold a lease.

    absent: the path of a file that does not exist, which an empty database in memory stands for.  broken: the failure
    after which the engine refuses everything.
    """

    instance: duckdb.DuckDBPyConnection
    path: str
    read_only: bool
    users: int = 1
    holders: dict[str, object] = field(default_factory=dict)
    absent: str = ""
    broken: WherryError | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever moves rows so wide that the engine's memory is enough for one statement at a time."""

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the same database, in UTC."""
        cursor = self.instance.cursor()
        cursor.execute("set timezone = 'UTC'")
        return cursor

    def hold(self, user: object) -> str:
        """A mark that is listed in `holders` until the user closes."""
        mark = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.holders[mark] = user
        return mark

    def close(self, user: object) -> None:
        """Let go; the last user closes the file."""
        with _LOCK:
            self.holders = {mark: held for mark, held in self.holders.items() if held is not user}
            self.users -= 1
            if not self.users:
                _OPEN.pop(self.path, None)
                try:
                    self._fold()
                finally:
                    self.instance.close()

    def _fold(self) -> None:
        """Bring the log of commits into the file: closing does so too, but keeps a failure to itself."""
        import duckdb

        if self.read_only or self.broken is not None:
            return
        try:
            self.instance.execute("checkpoint")
        except duckdb.TransactionException:  # somebody still reads: the next run does it
            return
        except duckdb.Error as error:
            raise explain(error, self.path) from error


def open_file(
    file: Path, settings: dict[str, Any], *, read_only: bool = False, wait: float = 0,
    tell: Callable[[str], None] = _quiet,
) -> Database:  # fmt: skip
    """Open the file, create it if need be; waits up to `wait` seconds while another process holds it.

    read_only: a file that does not exist is an empty database in memory.  tell: hears whom it waits for.
    """
    deadline, told = time.monotonic() + wait, ""
    while True:
        try:
            with _LOCK:
                return _open(file, settings, read_only)
        except LeaseError as error:
            if time.monotonic() >= deadline:
                raise
            if error.message != told:
                told = error.message
                tell(f"waiting: {told}")
            time.sleep(0.2)


def _open(file: Path, settings: dict[str, Any], read_only: bool) -> Database:
    path = os.path.realpath(file)
    _refuse_links(file, path)
    known = _OPEN.get(path)
    if known is not None and (read_only or not known.read_only):
        known.users += 1
        return known
    if read_only and not os.path.exists(path):
        return Database(_connect(":memory:", settings, False), "", True, absent=path)
    if not read_only:
        _create(Path(path), settings)
    _refuse_others(path)
    database = Database(_connect(path, settings, read_only), path, read_only)
    if known is None:
        _OPEN[path] = database
    return database


def _refuse_links(file: Path, path: str) -> None:
    """A link to a database is its user's own; one that another user put there, or that leads to another file, is not.

    Nor do the engine's own files beside the database lead anywhere else.
    """
    for beside in (f"{path}.wal", f"{path}.tmp"):
        if os.path.islink(beside):
            raise PolicyError(f"{beside} is a link: nothing is written through it", key="path", next=_LOOK)
    if not file.is_symlink():
        return
    if file.lstat().st_uid not in (os.geteuid(), 0):
        raise PolicyError(f"{file} is a link of another user: nothing is written through it", key="path", next=_LOOK)
    if not _is_database(path):
        raise PolicyError(f"{file} is a link to {path}, which is no DuckDB database", key="path", next=_LOOK)


def _refuse_others(path: str) -> None:
    """The engine opens files of other formats too, as a view of what they hold: nothing can be kept in those."""
    if not _is_database(path):
        raise UsageError(f"{path} is not a DuckDB database file", key="path", next="choose another file")


def _is_database(path: str) -> bool:
    """Whether it is one, or may become one: empty, not there, or for the engine to say."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        head = file.read(_HEAD)
        return not head or head[-len(_MAGIC) :] == _MAGIC
    return True


def _create(path: Path, settings: dict[str, Any]) -> None:
    """Make the file beside its place and put it there when it is whole.

    A file that a killed process was still creating does not open again; an empty one never held a commit. One that was
    killed just after it gave the file its name leaves a second name for it.
    """
    try:
        _sweep(path)
        if path.exists() and path.stat().st_size:
            return
        if not path.parent.is_dir():
            raise ResourceError(
                f"cannot create {path}: there is no folder {path.parent}", key="path",
                next="create the folder, or choose another",
            )  # fmt: skip
        aside = path.with_name(f"{path.name}.new-{os.getpid()}")
        try:
            aside.mkdir(0o700)  # never what somebody else put there
        except FileExistsError:
            raise PolicyError(f"{aside} is there already, and is not ours", key="path", next=_LOOK) from None
        try:
            made = _connect(str(aside / _NEW), settings, False, shown=str(path))
            failpoint("K03")
            made.close()
            failpoint("K05")
            _name(aside / _NEW, path)
            _keep(path.parent)
            failpoint("K06")
        finally:
            _remove(aside)
    except OSError as error:
        raise exhausted(error, path) or ResourceError(
            f"cannot create {path}: {error.strerror or error}", key="path", next="choose a folder you can write to"
        ) from error


def _keep(folder: Path) -> None:
    """The folder's names outlive a power failure, as commits into a file of it have to; not every file system can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _name(made: Path, path: Path) -> None:
    """Give the file its name, unless another process was faster: what it put there may be in use already.

    An empty file is replaced, with the mode that its maker chose, under a lock that all who would do so take.
    """
    made.chmod(0o600)
    with contextlib.suppress(FileExistsError):
        os.link(made, path)
        return
    import fcntl

    with path.open("rb") as there:
        fcntl.flock(there, fcntl.LOCK_EX)
        seen = os.fstat(there.fileno())
        if seen.st_size == 0 and os.path.samestat(seen, path.stat()):
            made.chmod(stat.S_IMODE(seen.st_mode))
            made.rename(path)


def _sweep(path: Path) -> None:
    """Remove what killed processes left of a creation."""
    for aside in path.parent.glob(f"{_glob(path.name)}.new-*"):
        number = re.fullmatch(r"\.new-(\d+)", aside.name[len(path.name) :])
        if number and not _alive(int(number[1])):
            _remove(aside)


def _remove(aside: Path) -> None:
    """A folder that a database was made in, with what we and the engine put there; no link is followed."""
    with contextlib.suppress(OSError):
        if aside.is_symlink():
            return
        for name in (_NEW, f"{_NEW}.wal"):
            (aside / name).unlink(missing_ok=True)
        aside.rmdir()


def _glob(name: str) -> str:
    return re.sub(r"([\[*?])", r"[\1]", name)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid != os.getpid()


def _connect(path: str, settings: dict[str, Any], read_only: bool, shown: str = "") -> duckdb.DuckDBPyConnection:
    """shown: the path that messages name, if another than the one that is opened."""
    import duckdb

    try:
        return duckdb.connect(path, read_only=read_only, config={**_SETTINGS, **settings})
    except duckdb.Error as error:
        raise explain(error, shown or path) from error


def _holder(pid: int) -> str:
    """The process, whose it is, where, and since when it runs, as far as the system tells."""
    name = f"process {pid} on {socket.gethostname()}"
    with contextlib.suppress(OSError, LookupError, ValueError):
        owner = Path(f"/proc/{pid}").owner()
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = int(re.search(r"^btime (\d+)", Path("/proc/stat").read_text(), re.MULTILINE)[1])  # type: ignore[index]
        since = time.gmtime(boot + ticks / os.sysconf("SC_CLK_TCK"))
        name += f" (user {owner}), running since {time.strftime('%Y-%m-%d %H:%M:%S UTC', since)}"
    return name


def explain(error: Exception, path: str) -> WherryError:
    """What a file that does not open means for its user."""
    text = str(error)
    if "Could not set lock" in text or "Conflicting lock" in text:
        pid = re.search(r"PID (\d+)", text)
        return LeaseError(
            f"{path} is being written by {_holder(int(pid[1])) if pid else 'a process of another host'}", key="path",
            next="wait for it, or run again with --wait",
        )  # fmt: skip
    if "not a valid DuckDB database file" in text or "Corrupt database file" in text:
        return UsageError(f"{path} is not a DuckDB database file", key="path", next="choose another file")
    if "version number" in text or "newer version" in text:
        return StateError(
            f"{path} was written by a newer version of DuckDB", key="path", next="pip install --upgrade duckdb"
        )
    if (local := limits.met(error, path)) is not None:
        return local
    if re.search(r"Cannot open file|Could not read from file|Permission denied|Read-only", text):
        reason = text.rpartition(": ")[2].strip()
        return ResourceError(f"cannot open {path}: {reason}", key="path", next="choose a file you can write to")
    if re.match(r"Parser Error|Invalid Input Error|Connection Error|Catalog Error", text):
        return UsageError(f"DuckDB refused its settings: {text.splitlines()[0]}", next="correct the configuration")
    return DestinationError(f"DuckDB cannot open {path}: {text.splitlines()[0]}")
