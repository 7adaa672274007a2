"""The real command as a child in a session of its own: started, watched, signalled, killed, waited for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

COMMAND = (str(Path(sys.executable).with_name("wherry")),)
PATIENCE = 120.0
"""Seconds after which a child that should have ended is killed, and the test fails."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. code: as a shell tells it (137 for SIGKILL). peak: most bytes of memory of one process."""

    args: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float
    peak: int

    @property
    def last(self) -> str:
        """The last line on stderr: what people and schedulers read."""
        lines = self.stderr.strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def events(self) -> list[dict[str, Any]]:
        """What `--json` printed; a line that a kill cut off is left out."""
        return list(_parsed(self.stdout))

    def __str__(self) -> str:
        return f"exit {self.code} after {self.seconds:.1f} s\n{self.stdout[-4000:]}\n{self.stderr[-4000:]}"


def _parsed(text: str) -> Any:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


@dataclass
class Child:
    """A running child; output goes to files, so that nobody has to read along. Always `wait` for it."""

    process: subprocess.Popen[bytes]
    args: tuple[str, ...]
    out: IO[bytes]
    err: IO[bytes]
    began: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        """Its process id; that of its group too."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return not _over(self.process.pid)

    def stdout(self) -> str:
        """What it printed so far."""
        return Path(self.out.name).read_text(errors="replace")

    def stderr(self) -> str:
        """What it said so far."""
        return Path(self.err.name).read_text(errors="replace")

    def events(self) -> list[dict[str, Any]]:
        """What `--json` printed so far."""
        return list(_parsed(self.stdout()))

    def wait_for(self, event: str, count: int = 1, patience: float = PATIENCE) -> bool:
        """Wait until the event was printed so often; False when the child ended before that."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            alive = self.alive
            if sum(found.get("event") == event for found in self.events()) >= count:
                return True
            if not alive:
                return False
            time.sleep(0.005)
        raise AssertionError(f"no {event} within {patience} s\n{self.stderr()[-2000:]}")

    def send(self, number: int) -> None:
        """A signal to the process alone."""
        os.kill(self.pid, number)

    def send_group(self, number: int) -> None:
        """A signal to it and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> Ended:
        """SIGKILL to the whole group; how it ended."""
        self.send_group(signal.SIGKILL)
        return self.wait()

    def wait(self, patience: float = PATIENCE) -> Ended:
        """Its end. A child that outlives the patience is killed with all it started, and the test fails."""
        deadline = time.monotonic() + patience
        late = False
        peak = 0
        while not _over(self.pid):
            peak = max(peak, high(self.pid))
            if time.monotonic() > deadline:
                late = True
                self.send_group(signal.SIGKILL)
                deadline += PATIENCE
            time.sleep(0.005)
        _, status, usage = os.wait4(self.pid, 0)
        seconds = time.monotonic() - self.began
        code = os.waitstatus_to_exitcode(status)
        self.process.returncode = code
        ended = Ended(
            args=self.args, code=code if code >= 0 else 128 - code, stdout=self.stdout(), stderr=self.stderr(),
            seconds=seconds, peak=peak or usage.ru_maxrss * 1024,
        )  # fmt: skip
        for file in (self.out, self.err):
            file.close()
            Path(file.name).unlink(missing_ok=True)
        if late:
            raise AssertionError(f"not over after {patience} s: {ended}")
        return ended


def high(pid: int) -> int:
    """Bytes of memory that a process has had at most since it became this program; 0 once it is over.

    What the kernel tells at its end (`ru_maxrss`) begins with the size of the process that started it.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return 0


def _over(pid: int) -> bool:
    """Whether the child has ended, and waits to be waited for."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is not None


def start(
    *args: object,
    env: Mapping[str, str],
    cwd: Path,
    under: Sequence[str] = (),
    **options: Any,
) -> Child:
    """Start `wherry ARGS`. under: a command to put in front (strace, unshare, prlimit …). env: all of it."""
    told = tuple(map(str, args))
    out = tempfile.NamedTemporaryFile(prefix="out-", dir=cwd, delete=False)  # noqa: SIM115
    err = tempfile.NamedTemporaryFile(prefix="err-", dir=cwd, delete=False)  # noqa: SIM115
    process = subprocess.Popen(
        [*under, *COMMAND, *told], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(env), cwd=cwd,
        start_new_session=True, **options,
    )  # fmt: skip
    return Child(process, told, out, err)
