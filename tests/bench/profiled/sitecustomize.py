"""Put in front of PYTHONPATH: says when the process ends where its CPU went, in the folder WHERRY_BENCH_PROFILE.

Every few milliseconds the CPU that each thread has spent since is booked on the line of ours that it is in (what is
called from there included). Threads that Python does not know, those of Arrow and DuckDB, are what remains.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import NoReturn

EVERY = 0.005
_BACKGROUND = "bench sampler"


class Sampler:
    """lines: CPU seconds by (thread, file, line, function).  threads: by name."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.lines: Counter[tuple[str, str, int, str]] = Counter()
        self.threads: Counter[str] = Counter()
        self.seen: dict[int, float] = {}
        self.began = time.monotonic()
        threading.Thread(target=self.run, name=_BACKGROUND, daemon=True).start()
        self.leave, os._exit = os._exit, self.exit  # by which Wherry leaves, before others' last words

    def run(self) -> None:
        """Look again and again."""
        while True:
            time.sleep(EVERY)
            self.look()

    def look(self) -> None:
        """Book what each thread has spent since the last time."""
        frames = sys._current_frames()
        for thread in threading.enumerate():
            number = thread.native_id
            if number is None or thread.ident not in frames or (spent := cpu(number)) is None:
                continue
            since = spent - self.seen.get(number, 0.0)
            self.seen[number] = spent
            if since > 0:
                self.threads[thread.name] += since  # type: ignore[assignment]
                self.lines[thread.name, *place(frames[thread.ident])] += since  # type: ignore[assignment]

    def exit(self, code: int) -> NoReturn:
        """Say it, and leave."""
        self.end()
        self.leave(code)

    def end(self) -> None:
        """Write it down."""
        self.look()
        total = time.process_time()
        own = self.threads.pop(_BACKGROUND, 0.0)
        lines = [
            {"thread": thread, "where": f"{Path(file).stem}.{function}", "line": linecache.getline(file, line).strip(),
             "file": file, "cpu": round(spent, 4)}
            for (thread, file, line, function), spent in self.lines.most_common() if thread != _BACKGROUND
        ]  # fmt: skip
        found = {
            "command": sys.argv[:2],
            "wall": round(time.monotonic() - self.began, 3),
            "cpu": round(total - own, 3),
            "threads": {name: round(spent, 3) for name, spent in self.threads.most_common()},
            "others": round(total - own - sum(self.threads.values()), 3),
            "lines": lines,
        }
        (self.folder / f"{os.getpid()}.json").write_text(json.dumps(found))


def cpu(thread: int) -> float | None:
    """Seconds of CPU of a thread of this process; None when it is gone."""
    try:
        return time.clock_gettime((~thread << 3) | 6)  # the kernel's number of that clock
    except OSError:
        return None


def place(frame: FrameType | None) -> tuple[str, int, str]:
    """The innermost line of ours, else of whatever runs."""
    inner = frame
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("wherry"):
            return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back
    assert inner is not None
    return inner.f_code.co_filename, inner.f_lineno, inner.f_code.co_name


if folder := os.environ.get("WHERRY_BENCH_PROFILE"):
    Sampler(folder)
