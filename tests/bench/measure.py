"""Times one command: wall, CPU of its process tree and of a server, peak summed memory of its processes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from processes import machine_cpu, resident, server_cpu, threads, tree


@dataclass(frozen=True, slots=True)
class Measured:
    """wall and cpu in seconds; rss: the highest sum over the command's processes, in MiB.

    server: CPU seconds that the server spent meanwhile; sessions: those of each of its processes.  threads: CPU seconds
    by (thread, name), to a tenth.  others: CPU seconds that the rest of the machine spent meanwhile.
    output: what it printed, if that was asked for.
    """

    wall: float
    cpu: float
    rss: float
    server: float = 0.0
    threads: dict[tuple[int, str], float] = field(default_factory=dict)
    sessions: dict[int, float] = field(default_factory=dict)
    others: float = 0.0
    output: str = ""


class Failed(SystemExit):
    """A command that ended with an error, or that took too long."""


def measure(
    command: Sequence[str], env: dict[str, str] | None = None, *, server: int = 0, seconds: float = 3600,
    output: bool = False,
) -> Measured:  # fmt: skip
    """Run the command to its end; it must succeed within so many seconds. server: a process id."""
    before, spent = resource.getrusage(resource.RUSAGE_CHILDREN), server_cpu(server) if server else 0.0
    all_before = machine_cpu()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=said if output else subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})}, start_new_session=True,
        )  # fmt: skip
        watch = _Watch(process.pid, server)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"stopped after {seconds:,.0f} s") from None
        finally:
            wall = time.monotonic() - began
            watch.end()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode:
            raise Failed(f"{command[0]}: exit {process.returncode}\n{_end(said)}{_end(errors)}")
        text = _end(said, 1 << 30)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if server:
        time.sleep(0.1)  # its processes end a moment after their clients
        spent = server_cpu(server) - spent
    others = max(0.0, machine_cpu() - all_before - cpu - spent)
    return Measured(
        round(wall, 3), round(cpu, 2), round(watch.peak / 1024, 1), round(spent, 2), watch.threads, watch.spent(),
        round(others, 2), text,
    )  # fmt: skip


def _end(file: IO[bytes], size: int = 2000) -> str:
    """The last bytes that were written to it."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - size))
    return file.read().decode(errors="replace")


class _Watch:
    """Looks at the memory of a process and its children every 20 ms, at their threads every 100, and at the processes
    of a server. peak in KiB.
    """

    def __init__(self, pid: int, server: int):
        self.peak = 0
        self.threads: dict[tuple[int, str], float] = {}
        self._pid, self._server = pid, server
        self._before = self._sessions()
        self._after: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def spent(self) -> dict[int, float]:
        """CPU seconds of each process of the server, since the beginning."""
        return {pid: cpu - self._before.get(pid, 0.0) for pid, cpu in self._after.items()}

    def _sessions(self) -> dict[int, float]:
        processes = tree(self._server)[1:] if self._server else []
        return {pid: sum(threads(pid).values()) for pid in processes}

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(0.02):
            processes = tree(self._pid)
            self.peak = max(self.peak, sum(map(resident, processes)))
            if turn % 5 == 0:
                for process in processes:
                    self.threads |= threads(process)
                for pid, cpu in self._sessions().items():  # one that has just gone reads as none
                    self._after[pid] = max(cpu, self._after.get(pid, 0.0))
            turn += 1
