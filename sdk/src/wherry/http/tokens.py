"""Tokens that are fetched: one for all lanes of a run, and refresh tokens that outlive it in a file of ours."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wherry.contracts.source import Run
from wherry.errors import AuthError, PolicyError, ResourceError, StateError, Stopped, WherryError
from wherry.http.waits import Clock
from wherry.limits import exhausted

_TICK = 0.1
_ROOM = 8 << 10
"""Bytes that are ours on the disk before a token is renewed: afterwards it is too late to find it full."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A token as its provider gave it. seconds: how long it is good; None: the provider does not say."""

    value: str = field(repr=False)
    seconds: float | None = None


class Tokens:
    """The token of one provider and login, for all lanes: whoever needs a new one first fetches it, the others wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._value: str | None = None
        self._stale_at: float | None = None
        self._number = 0
        self._refused: AuthError | None = None

    def get(self, run: Run, fetch: Callable[[], Fetched]) -> tuple[str, int]:
        """A token that is good for a while, and its number. AuthError: no lane gets one any more."""
        while not self._lock.acquire(timeout=_TICK):
            if run.stop.is_set():
                raise Stopped
        try:
            if self._refused is not None:
                raise AuthError(self._refused.message, key=self._refused.key, next=self._refused.next)
            if self._value is None or (self._stale_at is not None and self._clock.now() >= self._stale_at):
                self._take(run, fetch)
            assert self._value is not None
            return self._value, self._number
        finally:
            self._lock.release()

    def _take(self, run: Run, fetch: Callable[[], Fetched]) -> None:
        try:
            found = fetch()
        except AuthError as error:
            self._refused = error
            raise
        good = found.seconds if found.seconds and found.seconds > 0 else None
        self._stale_at = None if good is None else self._clock.now() + max(good / 2, good - 60)
        self._value = found.value
        self._number += 1

    def refused(self, number: int) -> None:
        """The token of that number is not good any more: the next one who asks fetches another."""
        with self._lock:
            if number == self._number:
                self._value = None


class Kept:
    """The refresh token that a provider gave in place of the configured one. Ours alone (0600), durable when written.

    The file is named after the configured token and what it is for: a new one in the configuration has no file yet,
    and so it is the one that is used.
    """

    def __init__(self, home: Path, *told: str) -> None:
        self._home = home
        self._name = hashlib.sha256("\0".join(told).encode()).hexdigest()[:32]
        self._folder = -1
        self._aside = -1

    @property
    def path(self) -> Path:
        """The file."""
        return self._home / "tokens" / f"{self._name}.json"

    @contextmanager
    def held(self, run: Run) -> Iterator[Kept]:
        """No other process uses the token in the body, in which there is room on the disk for a new one.

        ResourceError: it could not be written. PolicyError: a link stands where it is.
        """
        try:
            self._folder = self._opened()
            lock = self._open(f"{self._name}.lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            _hold(lock, run)
            try:
                self._make_room()
            except OSError as error:
                raise self._unwritable(error) from error
            yield self
        finally:
            with contextlib.suppress(OSError):  # nothing was to be kept
                os.unlink(f"{self._name}.new", dir_fd=self._folder)
            for number in (self._aside, lock, self._folder):
                if number >= 0:
                    os.close(number)
            self._aside = self._folder = -1

    def read(self) -> str | None:
        """The kept token, None if there is none. StateError: it cannot be read; it is never taken for none."""
        try:
            number = self._open(self.path.name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        with os.fdopen(number, "rb") as file:
            data = file.read(1 << 20)
        try:
            found = json.loads(data)["refresh_token"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise self._unreadable("it is damaged") from None
        if not isinstance(found, str) or not found:
            raise self._unreadable("it is damaged")
        return found

    def write(self, token: str) -> None:
        """Keep the token: when this returns, it survives whatever happens to the machine."""
        text = json.dumps({"v": 1, "refresh_token": token}).encode()
        try:
            os.ftruncate(self._aside, max(len(text), _ROOM))
            _write(self._aside, text.ljust(_ROOM) + b"\n")
            os.fsync(self._aside)
            os.rename(f"{self._name}.new", self.path.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
        except OSError as error:
            raise self._unwritable(error) from error

    def _make_room(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # a killed run left it
            os.unlink(f"{self._name}.new", dir_fd=self._folder)
        self._aside = self._open(f"{self._name}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        _write(self._aside, b" " * _ROOM)
        os.fsync(self._aside)

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._folder)

    def _opened(self) -> int:
        folder = self._home / "tokens"
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(number)
        if found.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(found.st_mode) & 0o022:
            os.close(number)
            raise PermissionError(errno.EPERM, "others may write there", str(folder))
        return number

    def _unwritable(self, error: OSError) -> WherryError:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            return PolicyError(
                f"a link stands in {self.path.parent}: a token is not written through it",
                next="see who put it there, and remove it",
            )
        local = exhausted(OSError(error.errno, error.strerror, str(self.path.parent)))
        return local or ResourceError(
            f"the refresh token cannot be kept in {self.path.parent}: {(error.strerror or str(error)).lower()}; "
            "it was not used",
            key="WHERRY_STATE_DIR", next="set WHERRY_STATE_DIR to a folder that is yours to write",
        )  # fmt: skip

    def _unreadable(self, why: str) -> StateError:
        return StateError(
            f"the kept refresh token in {self.path} cannot be read: {why.lower()}",
            next="authorise anew and put the new refresh_token into the configuration: then the file is not used",
        )


def _hold(lock: int, run: Run) -> None:
    """The lock of the file, waited for until the run is to stop; it goes with the process."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            with run.resting("waiting for another run to renew the token", _TICK):
                if run.stop.wait(_TICK):
                    raise Stopped from None


def _write(number: int, data: bytes) -> None:
    os.lseek(number, 0, os.SEEK_SET)
    while data:
        data = data[os.write(number, data) :]
