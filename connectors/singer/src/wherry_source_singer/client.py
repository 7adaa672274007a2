"""A tap as a child process: its output in blocks of whole lines, its errors in the log, its end known for sure."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wherry import ResourceError, Run, SourceError, exhausted

from wherry_source_singer.stderr import Stderr

GUARD = Path(__file__).with_name("guard.py")
PATIENCE = 10.0
"""Seconds that a tap may take to end after its output has."""
SOON = 0.5
"""Seconds after which what a slow tap has written is passed on."""
_QUIET = logging.getLogger(f"{__name__}.questions")
_QUIET.disabled = True
"""What a tap says when it is asked about itself is no news."""
_PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
)  # fmt: skip
_PREFIXES = ("LC_", "XDG_", "TAP_")


def guarded(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does; if we are killed meanwhile, it and the folder go with us."""
    (line, ours), (report, told) = os.pipe(), os.pipe()  # the guard reads the end of the first when we are gone
    try:
        with os.fdopen(report) as status:
            try:
                done = subprocess.run(  # noqa: S603 (uv, with what the user named)
                    _under_guard(command, told, folder), stdin=line, capture_output=True, text=True, pass_fds=(told,),
                    env=dict(env),
                )  # fmt: skip
            finally:
                os.close(told)
            ended = [said.split()[1] for said in status if said.startswith("exit ")]
    finally:
        os.close(line)
        os.close(ours)
    return subprocess.CompletedProcess(command, int(ended[0]) if ended else -signal.SIGKILL, done.stdout, done.stderr)


def _under_guard(command: Sequence[str], told: int, folder: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(GUARD), str(told), str(folder), *command]


def variables(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a tap: what it needs to run and to reach a network, `TAP_…`, and `more`; nothing else."""
    kept = {k: v for k, v in os.environ.items() if k.upper() in _PASSED or k.startswith(_PREFIXES)}
    return kept | {"PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"} | dict(more)


class Child:
    """One tap, started. `blocks` gives its output; `finish` waits for its end and says how it was; then `close`.

    size: bytes of a block, unless a line is longer.  apart: what is done to each block, on the thread that
    reads ahead.
    """

    def __init__(
        self, command: Sequence[str], run: Run, *, name: str, folder: Path, env: Mapping[str, str],
        secrets: Sequence[str] = (), size: int = 8 << 20, apart: Callable[[bytes], Any] = bytes,
    ) -> None:  # fmt: skip
        self.name = name
        self._run = run
        self._size = size
        self._apart = apart
        self._largest = max(size, run.memory // 4)
        self._blocks: queue.Queue[Any] = queue.Queue(2)
        self._over = threading.Event()
        self._ended = threading.Event()
        self.status: int | None = None
        """As a shell has it, negative for a signal; None: it is not known how it ended."""
        self.pid = 0
        report, told = os.pipe()
        try:
            self._guard = self._start(command, told, folder, env)
        except OSError as error:
            os.close(report)
            raise exhausted(error) or SourceError(f"{name} cannot be started: {error.strerror}") from error
        finally:
            os.close(told)
        self.stderr = Stderr(self._guard.stderr, run.log, name, secrets)
        self._threads = [
            threading.Thread(target=target, args=args, name=f"{word} {name}", daemon=True)
            for word, target, args in (("output of", self._pump, ()), ("end of", self._await, (report,)))
        ]
        for thread in self._threads:
            thread.start()

    def _start(self, command: Sequence[str], told: int, folder: Path, env: Mapping[str, str]) -> Any:
        begun = subprocess.Popen(  # noqa: S603 (the tap that the user named)
            _under_guard(command, told, folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, bufsize=0, pass_fds=(told,), env=dict(env), start_new_session=True,
        )  # fmt: skip
        _widen(begun.stdout)
        return begun

    def blocks(self) -> Iterator[Any]:
        """Whole lines, in blocks, as `apart` gives them; what stands after the last line end comes last, as it is. Ends
        too when the run is to stop.

        Raises `ResourceError` for a line that is too long.
        """
        while not self._run.stop.is_set():
            try:
                block = self._blocks.get(timeout=0.1)
            except queue.Empty:
                continue
            if block is None:
                return
            if isinstance(block, BaseException):
                raise block
            yield block

    @property
    def stopped(self) -> bool:
        """Whether the run is to stop, so that the output may not be all."""
        return self._run.stop.is_set()

    def finish(self, patience: float = PATIENCE) -> None:
        """Wait for the end, once the output has ended. Raises `SourceError` unless it ended by itself and well."""
        if not self._ended.wait(patience):
            self.close()
            raise SourceError(
                f"{self.name} closed its output and was still there {patience:g} s later: it was ended",
                next="the run log has what it said",
            )
        if self.status == 0:
            return
        said = self.stderr.last()
        how = _how(self.status)
        raise SourceError(f"{self.name} {how}" + (f": {said}" if said else ""), next=self.advice())

    def advice(self) -> str:
        """What helps when a tap has failed."""
        return "correct what it complains of; the run log of a sync has all that it said"

    def close(self) -> None:
        """End it, if it has not ended; again is fine."""
        self._over.set()
        if not self._ended.is_set():
            self._ask(b"t")
            if not self._ended.wait(1):
                self._ask(b"k")
        with contextlib.suppress(OSError):
            self._guard.stdin.close()  # the guard kills what is left, and ends
        try:
            self._guard.wait(5)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        while True:  # a thread may be waiting for room
            try:
                self._blocks.get_nowait()
            except queue.Empty:
                break
        for thread in self._threads:
            thread.join(2)
        self.stderr.close()
        self._guard.stdout.close()

    def _ask(self, what: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._guard.stdin.write(what)

    def _await(self, report: int) -> None:
        """Hear from the guard how the tap ended."""
        with open(report, "rb") as told:
            for line in told:
                word, _, number = line.decode().partition(" ")
                if word == "pid":
                    self.pid = int(number)
                elif word == "exit":
                    self.status = int(number) if self.status is None else self.status
                elif word == "failed":
                    self.status = 126 if int(number) in (errno.EACCES, errno.ENOEXEC) else 127
        self._ended.set()

    def _pump(self) -> None:
        """Read the output and cut it into blocks, on a thread of its own."""
        try:
            for block in self._cut():
                self._put(self._apart(block) if block.endswith(b"\n") else block)
            self._put(None)
        except Exception as error:
            self._put(error)

    def _put(self, item: Any) -> None:
        while not self._over.is_set():
            try:
                self._blocks.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def _cut(self) -> Iterator[bytes]:
        held: list[bytes] = []
        size, began = 0, 0.0
        for data in self._reads():
            if data:
                began = began or time.monotonic()
                held.append(data)
                size += len(data)
            if not size or (size < self._size and time.monotonic() - began < SOON):
                continue
            whole, held = self._whole(held, size)
            size = sum(map(len, held))
            began = time.monotonic() if size else 0.0
            if whole:
                yield whole
        if held:
            whole, held = self._whole(held, size)
            yield from filter(None, (whole, b"".join(held)))

    def _whole(self, held: list[bytes], size: int) -> tuple[bytes, list[bytes]]:
        """(whole lines, the rest)."""
        for number in range(len(held) - 1, -1, -1):
            end = held[number].rfind(b"\n") + 1
            if end:
                rest = [held[number][end:], *held[number + 1 :]]
                return b"".join([*held[:number], held[number][:end]]), [part for part in rest if part]
        if size > self._largest:
            raise ResourceError(
                f"{self.name} wrote a line of more than {self._largest >> 20} MiB", key="memory",
                next="give the run more with --memory, or leave the wide column out",
            )  # fmt: skip
        return b"", held

    def _reads(self) -> Iterator[bytes]:
        """What comes, as it comes; nothing, now and then, while nothing does."""
        import select

        out = self._guard.stdout.fileno()
        while not self._over.is_set():
            ready, _, _ = select.select([out], [], [], SOON)
            if not ready:
                if self._ended.is_set():  # whoever holds the pipe now is no child of ours
                    return
                yield b""
                continue
            data = os.read(out, 1 << 20)
            if not data:
                return
            yield data


def _how(status: int | None) -> str:
    if status is None:
        return "was ended together with what watches it"
    if status == 127:
        return "was not found"
    return f"ended with exit {status}" if status >= 0 else f"was ended by signal {-status}"


def _widen(pipe: Any) -> None:
    """A pipe of 1 MiB: a fast tap is not woken for every 64 KiB."""
    import fcntl

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def called(command: Sequence[str], run: Run, *, name: str, folder: Path, env: Mapping[str, str]) -> tuple[int, bytes]:
    """(exit status, output) of a short call, such as `--help`, that asks the tap about itself."""
    child = Child(command, replace(run, log=_QUIET), name=name, folder=folder, env=env)
    hung = threading.Timer(60, child.close)
    hung.daemon = True
    hung.start()
    try:
        output = b"".join(child.blocks())
        with contextlib.suppress(SourceError):
            child.finish()
        return (1 if child.status is None else child.status), output
    finally:
        hung.cancel()
        child.close()
