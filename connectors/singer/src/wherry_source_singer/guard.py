"""A small process between the host and a tap: whatever happens to the host, no child of it lives on.

Run as a script, without site packages: `guard.py REPORT FOLDER COMMAND…`. Standard input is the line to the host: a
byte asks for an end (`t` politely, `k` at once), and when it breaks, the host is gone: all children are killed and
FOLDER, which holds the tap's configuration, is removed. REPORT is a descriptor that tells how the tap ended. What the
tap leaves behind, a daemon that holds its output open, is killed once the tap has ended.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys

PDEATHSIG, CHILD_SUBREAPER = 1, 36


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the process group has to do."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        return


def begin(command: list[str], report: int) -> int:
    """Start the tap in a session of its own; it dies with this process."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        prctl(PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(127)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        os.write(report, f"failed {error.errno}\n".encode())
    finally:
        os._exit(127)


def descendants() -> list[int]:
    """Children of this process; those whose parents died are among them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def send(pid: int, number: int, group: bool = False) -> None:
    """A signal to a process, or to its group; it may be gone."""
    try:
        (os.killpg if group else os.kill)(pid, number)
    except OSError:
        return


def sweep() -> None:
    """Kill and collect everything that is left."""
    while True:
        for pid in descendants():
            send(pid, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def ended(child: int) -> int | None:
    """How the tap ended, as a shell would say it; None while it runs. Others that died are collected too."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return 0
        if found is None:
            return None
        if found.si_pid == child:
            send(child, signal.SIGKILL, group=True)  # before it is collected: the number is still its own
            status = os.waitpid(child, 0)[1]
            return os.waitstatus_to_exitcode(status)
        os.waitpid(found.si_pid, 0)


def remove(folder: str) -> None:
    """The host will not do it any more."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Watch both sides until one ends."""
    report, folder, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.set_inheritable(report, False)
    prctl(CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = begin(command, report)
    os.write(report, f"pid {child}\n".encode())
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)  # the ends of the tap's pipes: only the tap is to hold them
    os.dup2(nowhere, 2)
    while (status := ended(child)) is None:
        readable, _, _ = select.select([0, woken], [], [], 5)
        if woken in readable:
            os.read(woken, 512)
        if 0 in readable:
            asked = os.read(0, 1)
            if asked == b"t":
                send(child, signal.SIGTERM, group=True)
                continue
            send(child, signal.SIGKILL, group=True)
            if not asked:
                remove(folder)
                sweep()
                return
    sweep()
    os.write(report, f"exit {status}\n".encode())


if __name__ == "__main__":
    main()
