"""What the kernel knows of running processes: children, memory, CPU of processes and of threads."""

from __future__ import annotations

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in _read(task).split()]
    return found


def resident(pid: int) -> int:
    """Memory in KiB; 0 of a process that is gone."""
    lines = _read(Path(f"/proc/{pid}/status")).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def threads(pid: int) -> dict[tuple[int, str], float]:
    """CPU seconds so far of each thread of the process, by its id and its name."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        if text := _read(task):
            name, times = parsed(text)
            found[int(task.parent.name), name] = times[0]
    return found


def server_cpu(pid: int) -> float:
    """CPU seconds so far of a server that has a process for each session, those that are over included."""
    own = parsed(_read(Path(f"/proc/{pid}/stat")))[1]
    living = (_read(Path(f"/proc/{child}/stat")) for child in tree(pid)[1:])
    return sum(own) + sum(parsed(text)[1][0] for text in living if text)


def machine_cpu() -> float:
    """CPU seconds so far of everything on this machine."""
    fields = _read(Path("/proc/stat")).partition("\n")[0].split()
    user, nice, system, _, _, interrupts, soft = (int(field) / _TICK for field in fields[1:8])
    return user + nice + system + interrupts + soft


def parsed(stat: str) -> tuple[str, tuple[float, float]]:
    """Of a line of /proc/…/stat: the name, and CPU seconds of its own and of the children it has waited for."""
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    user, system, of_children, system_of_children = (int(field) / _TICK for field in fields[11:15])
    return name, (user + system, of_children + system_of_children)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
