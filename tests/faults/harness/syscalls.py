"""The "fail the Nth call" loop: runs of the command whose system calls are disturbed, one after another.

It needs no kill points, so that a forgotten one cannot hide a hole. Runs are forks of a process that has imported
everything (`harness.warm`), each under a tracer of its own (`harness.tracer`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness import tracer, warm
from harness.child import PATIENCE, Ended

DURABLE = ("write", "pwrite64", "fsync", "fdatasync", "rename", "link", "unlink", "ftruncate", "sendto")
"""Calls by which a run changes anything outside of itself."""
FAR = 1 << 40


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at which call: see `harness.tracer`. last: 0 for the nth alone, None for all from there on."""

    calls: Sequence[str] = DURABLE
    action: str = "kill"
    nth: int = FAR
    last: int | None = 0
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Disturbed:
    """A run under a fault. seen: matching calls. hit: the call that was disturbed, if there was one."""

    ended: Ended
    seen: int
    hit: str | None


@dataclass
class Disturber:
    """The server that runs are forked from."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, plugins: Path) -> Disturber:
        """Start one that knows the plugins of a folder."""
        here = str(Path(__file__).parents[1])
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(plugins), here])}
        command = [sys.executable, "-m", "harness.syscalls"]
        return cls(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env))

    def __call__(
        self, *args: object, cwd: Path, env: Mapping[str, str], fault: Fault | None = None, commit_rows: int = 0
    ) -> Disturbed:
        """Run `wherry ARGS` to its end. env: all of it. commit_rows: after which a load commits."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        told = tuple(map(str, args))
        with tempfile.TemporaryDirectory() as folder:
            out, err, seen = (Path(folder) / name for name in ("out", "err", "seen"))
            order = {
                "args": told, "env": dict(env), "cwd": str(cwd), "out": str(out), "err": str(err), "failpoint": "",
                "passed": "", "commit_rows": commit_rows, "fault": asdict(fault or Fault()) | {"told": str(seen)},
            }  # fmt: skip
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
            ended = Ended(args=told, stdout=warm.text(out), stderr=warm.text(err), peak=0, **answer)
            if ended.seconds > PATIENCE:
                raise AssertionError(f"not over after {PATIENCE} s: {ended}")
            return Disturbed(ended, **json.loads(seen.read_text()))

    def close(self) -> None:
        """End the server."""
        self.process.communicate()


def numbers(count: int, cases: int) -> Iterator[int]:
    """1 to `count`, all of them, or about as many as `cases` spread over them, the last included."""
    step = max(1, count // cases) if cases else 1
    yield from range(1, count, step)
    yield count


def at(fault: Fault, nth: int) -> Fault:
    """The same fault at another call."""
    return replace(fault, nth=nth)


def serve() -> None:
    """Import, then follow orders until there are no more."""
    points = warm._warm()
    for line in sys.stdin:
        order = json.loads(line)
        began = time.monotonic()
        pid = os.fork()
        if not pid:
            os.setpgid(0, 0)
            os._exit(tracer.follow(order["fault"], lambda order=order: warm._become(order, points)))
        warm._limit(pid, PATIENCE + 5)
        _, status = os.waitpid(pid, 0)
        warm._limit(pid, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
