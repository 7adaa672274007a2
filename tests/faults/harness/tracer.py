"""Run a command and disturb its system calls: `python tracer.py ORDERS COMMAND...`, a program of its own.

ORDERS is a JSON object: {"calls": ["write"], "nth": 3, "last": null, "action": "kill", "path": "*.wal", "told": FILE}.
Calls of all threads and children are counted together, in the order in which the kernel sees them; strace counts for
each thread by itself, so that an early call of a late thread can never be reached. From the nth to the last matching
call (the nth alone if last is 0, all after it if last is null):

    kill          the whole process group dies of SIGKILL before the call is made
    error:ENOSPC  the call is not made and fails; with ECONNRESET its connection is really shut
    short:N       a write of more than N bytes is made with N bytes

path: a glob over the file behind the first argument (a file descriptor, or a name for rename, link and openat).
At the end FILE holds {"seen": matching calls, "hit": what was disturbed first, or null}. The exit status is that of the
command, 128 + n where signal n ended it.
"""

from __future__ import annotations

import ctypes
import errno
import fnmatch
import json
import os
import platform
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUMBERS = {
    "write": 1, "openat": 257, "pwrite64": 18, "writev": 20, "sendto": 44, "sendmsg": 46, "fsync": 74, "fdatasync": 75,
    "rename": 82, "link": 86, "unlink": 87, "renameat2": 316, "linkat": 265, "mkdir": 83, "ftruncate": 77,
    "fallocate": 285, "clone": 56, "clone3": 435, "close": 3, "connect": 42, "mmap": 9,
}  # fmt: skip
"""Of Linux on x86-64."""
SUPPORTED = sys.platform == "linux" and platform.machine() == "x86_64"
_NAMED = {"rename": 0, "link": 0, "unlink": 0, "mkdir": 0, "openat": 1, "renameat2": 1, "linkat": 1}
_TRACEME, _CONT, _GETREGS, _SETREGS, _SETOPTIONS = 0, 7, 12, 13, 0x4200
_OPTIONS = 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000  # follow fork, vfork, clone, exec; seccomp; all die with the tracer
_SECCOMP = 7
_PIDFD_GETFD = 438
_WALL = 0x40000000
_ORDER = [
    "r15",
    "r14",
    "r13",
    "r12",
    "rbp",
    "rbx",
    "r11",
    "r10",
    "r9",
    "r8",
    "rax",
    "rcx",
    "rdx",
    "rsi",
    "rdi",
    "orig_rax",
]
_AT = {name: 8 * position for position, name in enumerate(_ORDER)}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Tracer:
    """Follows one command to its end."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._names = {NUMBERS[name]: name for name in orders["calls"]}
        self._first, self._last = orders["nth"], orders.get("last", 0)
        self._action, _, self._value = orders["action"].partition(":")
        self._path = orders.get("path")
        self.seen = 0
        self.hit: str | None = None

    def run(self, become: Callable[[], object]) -> int:
        """The exit status of a child that calls `become`, which makes it the leader of a session, and never returns."""
        self._child = os.fork()
        if not self._child:
            self._watched()
            become()
            os._exit(0)
        os.waitpid(self._child, 0)
        _ptrace(_SETOPTIONS, self._child, 0, _OPTIONS)
        _ptrace(_CONT, self._child, 0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(self._child, number))
        return self._follow()

    def _watched(self) -> None:
        """Be traced from here on."""
        program = _filter(list(self._names))
        _ptrace(_TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        _libc.prctl(38, 1, 0, 0, 0)  # no new privileges: what a filter asks for
        if _libc.prctl(22, 2, ctypes.byref(program), 0, 0):
            os._exit(126)

    def _follow(self) -> int:
        known = {self._child}
        while True:
            pid, status = os.waitpid(-1, _WALL)
            if not os.WIFSTOPPED(status):
                if pid == self._child:
                    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
                continue
            number, event = os.WSTOPSIG(status), status >> 16
            if event == _SECCOMP:
                self._called(pid)
            passed = 0 if event or number == signal.SIGTRAP else number
            if pid not in known:  # a new thread begins with a stop of the tracer's own
                known.add(pid)
                passed = 0 if number == signal.SIGSTOP else passed
            _ptrace(_CONT, pid, 0, passed, gone=True)

    def _called(self, pid: int) -> None:
        registers = ctypes.create_string_buffer(27 * 8)
        if not _ptrace(_GETREGS, pid, 0, ctypes.addressof(registers), gone=True):
            return
        name = self._names[_get(registers, "orig_rax")]
        where = _file(pid, name, registers)
        if self._path is not None and not fnmatch.fnmatch(where, self._path):
            return
        self.seen += 1
        if self.seen < self._first or (self._last is not None and self.seen > max(self._first, self._last)):
            return
        if self._disturb(pid, registers) and self.hit is None:
            self.hit = f"{name} number {self.seen} on {where}"

    def _disturb(self, pid: int, registers: Any) -> bool:
        if self._action == "kill":
            os.killpg(self._child, signal.SIGKILL)
            return True
        if self._action == "short":
            if _get(registers, "rdx") <= int(self._value):
                return False
            _put(registers, "rdx", int(self._value))
        else:
            if self._value == "ECONNRESET":
                _shut(pid, _get(registers, "rdi"))
            _put(registers, "orig_rax", -1)
            _put(registers, "rax", -getattr(errno, self._value))
        return _ptrace(_SETREGS, pid, 0, ctypes.addressof(registers), gone=True)


def _ptrace(request: int, pid: int, address: int, data: int, *, gone: bool = False) -> bool:
    if _libc.ptrace(request, pid, address, data) == -1:
        number = ctypes.get_errno()
        if gone and number == errno.ESRCH:  # it was killed meanwhile
            return False
        raise OSError(number, f"ptrace: {os.strerror(number)}")
    return True


def _get(registers: Any, name: str) -> int:
    return int(struct.unpack_from("<q", registers, _AT[name])[0])


def _put(registers: Any, name: str, value: int) -> None:
    struct.pack_into("<q", registers, _AT[name], value)


def _shut(pid: int, number: int) -> None:
    """Shut the socket behind a file descriptor of a traced thread."""
    group = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Tgid:"))
    process = os.pidfd_open(int(group.split()[1]))
    try:
        copy = _libc.syscall(_PIDFD_GETFD, process, number, 0)
        if copy == -1:
            raise OSError(ctypes.get_errno(), f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
        with socket.socket(fileno=copy) as connection:
            connection.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(process)


def _file(pid: int, name: str, registers: Any) -> str:
    """The file that a call is about."""
    try:
        if name in _NAMED:
            return _text(pid, _get(registers, ("rdi", "rsi")[_NAMED[name]]))
        return os.readlink(f"/proc/{pid}/fd/{_get(registers, 'rdi')}")
    except OSError:
        return ""


def _text(pid: int, address: int) -> str:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return os.fsdecode((memory.read(4096 - address % 4096) or b"").split(b"\0")[0])


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def _filter(numbers: list[int]) -> _Program:
    """A seccomp program that stops at these calls and lets all others pass at full speed."""
    lines = [(0x20, 0, 0, 0)]  # load the number
    for position, number in enumerate(numbers):
        lines.append((0x15, len(numbers) - position, 0, number))
    lines += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x7FF00000)]  # allow; else tell the tracer
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in lines))
    program = _Program(len(lines), ctypes.addressof(code))
    program.kept = code
    return program


def follow(orders: dict[str, Any], become: Callable[[], object]) -> int:
    """Run the child as ordered and write down what was seen; its exit status."""
    tracer = Tracer(orders)
    code = tracer.run(become)
    Path(orders["told"]).write_text(json.dumps({"seen": tracer.seen, "hit": tracer.hit}))
    return code


def main() -> None:
    """Follow the orders."""

    def become() -> None:
        os.setsid()
        os.execvp(sys.argv[2], sys.argv[2:])

    sys.exit(follow(json.loads(sys.argv[1]), become))


if __name__ == "__main__":
    main()
