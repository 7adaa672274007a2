"""Machines that are too small: disks without room or inodes, limits of a process, a memory cgroup.

Prefixes of a command (`under=` of the fixture `wherry`), and disks that live as long as a `with` block.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

STRANGER = 54321
"""A user id that nobody has: limits that count a user's processes count those of the test alone."""


def limited(**limits: int) -> list[str]:
    """A prefix with limits of `prlimit`: nofile=32 (descriptors), as_=bytes, fsize=bytes."""
    return ["prlimit", *(f"--{name.rstrip('_')}={value}" for name, value in limits.items()), "--"]


def crowded(threads: int) -> list[str]:
    """A prefix: another user, who may have so many threads and processes. What root reads and writes is open to it."""
    files = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    user = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", *files]
    return [*user, "prlimit", f"--nproc={threads}", "--"]


def available(prefix: list[str]) -> bool:
    """Whether a command runs with that prefix on this machine."""
    try:
        return not subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode
    except OSError:
        return False


@contextlib.contextmanager
def memory(bytes: int) -> Iterator[list[str] | None]:
    """A prefix: a group of processes that may hold so many bytes, swap included; the kernel kills who takes more.

    None where no group can be made.
    """
    for root, limits in _GROUPS:
        group = Path(root, f"wherry-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if _write(group, {name: str(bytes) for name in limits}):
                yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
                return
        finally:
            group.rmdir()
    yield None


_GROUPS = (("/sys/fs/cgroup/memory", ["memory.limit_in_bytes"]), ("/sys/fs/cgroup", ["memory.max"]))


def _write(group: Path, values: Mapping[str, str]) -> bool:
    try:
        for name, value in values.items():
            (group / name).write_text(value)
    except OSError:
        return False
    return True


class Disks:
    """Small disks at given folders, seen only by commands with the prefix `under`, until the block ends.

    options: of tmpfs, such as "size=1m" or "nr_inodes=3". `skip` says why there can be none here.
    """

    def __init__(self, **disks: str) -> None:
        """Names stand for folders below `home`."""
        self.home = Path(tempfile.mkdtemp(prefix="wherry-disks-"))
        self._disks = disks
        self._holder: subprocess.Popen[str] | None = None
        self.skip = ""

    def __enter__(self) -> Disks:
        each = [(self.home / name, options) for name, options in self._disks.items()]
        mounts = " && ".join(f"mkdir -p {at} && mount -t tmpfs -o {options} none {at}" for at, options in each)
        self._holder = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", f"{mounts} && echo ready && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            self.skip = "no disks can be mounted here"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._holder is not None
        self._holder.communicate()
        shutil.rmtree(self.home)

    @property
    def under(self) -> list[str]:
        """Prefix of a command that sees the disks."""
        assert self._holder is not None
        return ["nsenter", f"--target={self._holder.pid}", "--user", "--mount", "--preserve-credentials", "--"]

    def resize(self, name: str, options: str) -> None:
        """Give a disk other options."""
        subprocess.run([*self.under, "mount", "-o", f"remount,{options}", str(self.home / name)], check=True)

    def fill(self, name: str, bytes: int) -> None:
        """Take up room, as far as there is some."""
        self._run(f"head -c {bytes} /dev/zero > {self.home / name}/ballast 2>/dev/null || true")

    def make_room(self, name: str) -> None:
        """Give it back."""
        self._run(f"rm -f {self.home / name}/ballast")

    def copy(self, name: str, to: Path) -> None:
        """The files of a disk, put where everybody sees them."""
        self._run(f"cp -a {self.home / name}/. {to}/ 2>/dev/null || true")

    def _run(self, command: str) -> None:
        subprocess.run([*self.under, "sh", "-c", command], check=True)
