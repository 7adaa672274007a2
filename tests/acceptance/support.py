"""What the acceptance scripts share: they run as plain commands, on a clean clone too.

`enter()` continues in the workspace's environment (made with uv when it is not there); `Check` prints what was found
and turns into the exit code 0 or 1.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "bin" / "python"
WHERRY = ROOT / ".venv" / "bin" / "wherry"


def enter() -> None:
    """Go on in the workspace's environment; makes it first if need be."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # children would compile everything anew at each start
    if Path(sys.prefix).resolve() == (ROOT / ".venv").resolve():
        sys.path[:0] = [str(ROOT / "tests" / "plugins")]
        return
    if not WHERRY.exists():
        uv = shutil.which("uv")
        if uv is None:
            subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-t", ROOT / ".uv", "uv"], check=True)
            uv = str(ROOT / ".uv" / "bin" / "uv")
        subprocess.run([uv, "sync", "-q", "--all-packages"], cwd=ROOT, check=True)
    os.execv(PYTHON, [str(PYTHON), *sys.argv])


class Check:
    """Collects findings: `check(ok, "what, with its figure")`; at the end `check.done()` exits 0 or 1."""

    def __init__(self) -> None:
        self.failed = 0
        self.began = time.monotonic()

    def __call__(self, ok: object, what: str) -> bool:
        self.failed += not ok
        print(("ok    " if ok else "FAIL  ") + what, flush=True)
        return bool(ok)

    def done(self) -> None:
        """Print the verdict and leave."""
        print(f"{'FAILED' if self.failed else 'holds'} in {time.monotonic() - self.began:.1f} s")
        sys.exit(1 if self.failed else 0)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder of its own, gone afterwards; the current directory and the state folder meanwhile."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="wherry-acceptance-") as name:
        folder = Path(name)
        os.environ["WHERRY_STATE_DIR"] = str(folder / "state")
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def wherry(*args: object, expect: int | None = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the installed command; its exit code must be `expect` unless that is None."""
    done = subprocess.run(
        [WHERRY, *map(str, args)], capture_output=True, text=True, timeout=options.pop("timeout", 600), **options
    )
    if expect is not None and done.returncode != expect:
        command = " ".join(map(str, args))
        raise SystemExit(f"FAIL  wherry {command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def start(*args: object, **options: Any) -> subprocess.Popen[str]:
    """Start the installed command in a process group of its own."""
    return subprocess.Popen(
        [WHERRY, *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, **options,
    )  # fmt: skip


def kill(process: subprocess.Popen[str]) -> bool:
    """SIGKILL to the whole group; False when it had ended by itself."""
    alive = process.poll() is None
    if alive:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
    return alive


def digest(rows: Iterable[Iterable[Any]]) -> str:
    """An order-free digest of rows: the sum of their hashes, so that equal rows count as often as they come."""
    total = count = 0
    for row in rows:
        text = "\x1f".join("\0" if value is None else str(value) for value in row)
        total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
        count += 1
    return f"{count}:{total % 2**128:032x}"


def seed_of(argv: list[str]) -> int:
    """The seed given as `--seed N`, else one from the clock; printed, so that a failure can be run again."""
    seed = int(argv[argv.index("--seed") + 1]) if "--seed" in argv else time.time_ns() % 10**9
    print(f"seed {seed} (repeat with --seed {seed})")
    random.seed(seed)
    return seed


def bench(workload: str, *args: str) -> dict[str, Any]:
    """Run a command of tests/bench; what it found, by title, once it has printed it. It ends the script if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "found.json")
        command = [str(ROOT / "tests" / "bench" / workload), "--json", str(file), *args]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        print(done.stdout.rstrip(), flush=True)
        if done.returncode:
            raise SystemExit(f"FAIL  {workload} ended with {done.returncode}")
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def median(action: Callable[[], float], times: int = 5) -> float:
    """The median of what the action returns."""
    return sorted(action() for _ in range(times))[times // 2]
