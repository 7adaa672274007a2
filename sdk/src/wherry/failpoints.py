"""Named points at which a test ends, stops or delays a real run: `WHERRY_FAILPOINT=K08:kill:3`, at the third passing.

The variable is looked at once, when the process starts. Without it `failpoint` is a function that does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable

POINTS = {
    "K01": "lease taken, nothing read",
    "K02": "a batch in memory",
    "K03": "in the middle of making a file aside",
    "K04": "all rows of a load staged, nothing durable",
    "K05": "the file aside is whole, without its name",
    "K06": "the file has its name, no transaction yet",
    "K07": "some rows of a load handed to the engine, more to come",
    "K08": "rows applied, bookmark not yet",
    "K09": "bookmark moved, COMMIT not sent",
    "K10": "COMMIT sent, its answer not looked at",
    "K11": "committed, the session does not know it yet",
    "K12": "the session knows of the commit, staging is still there",
    "K13": "tables and columns are changed, rows not there",
    "K14": "in a swap, the old rows or their table gone and the new ones not in place",
    "K15": "one stream or split done, the next not begun",
    "K16": "in the middle of deletes: by a change, by a part that was read again, by absence",
    "K17": "in the middle of making the bookkeeping tables",
    "K18": "a token was renewed at its provider: not kept yet, and, passed once more, kept and not used yet",
}
"""The points, and what has happened when one is passed."""

VERBS = ("kill", "group", "raise", "sleep", "stop")


def armed(wanted: str) -> Callable[[str], None]:
    """The function that does what `POINT:VERB[:NTH[:SECONDS]]` says; raises `UsageError` for what it does not know.

    kill and group: SIGKILL to the process, or to its whole process group. stop: SIGSTOP.  raise: a `RuntimeError`.
    sleep: so many seconds, else one. It happens once, at the NTH passing, else the first.
    """
    import itertools
    import re
    import signal
    import time

    from wherry.errors import UsageError

    form = re.fullmatch(r"(K\d\d):(\w+)(?::([1-9]\d*)(?::(\d+(?:\.\d+)?))?)?", wanted)
    if form is None or form[1] not in POINTS or form[2] not in VERBS:
        raise UsageError(
            f"WHERRY_FAILPOINT is {wanted!r}, not POINT:VERB[:NTH[:SECONDS]]", key="WHERRY_FAILPOINT",
            next=f"unset it, or take a point of {min(POINTS)} to {max(POINTS)} and one of {', '.join(VERBS)}",
        )  # fmt: skip
    point, verb, nth, seconds = form[1], form[2], int(form[3] or 1), float(form[4] or 1)
    passed = itertools.count(1)  # one step of it is atomic: lanes pass a point at the same time

    def failpoint(name: str) -> None:
        if name != point or next(passed) != nth:
            return
        if verb == "raise":
            raise RuntimeError(f"failpoint {name}")
        if verb == "sleep":
            time.sleep(seconds)
        elif verb == "group":
            os.killpg(0, signal.SIGKILL)
        else:
            os.kill(os.getpid(), signal.SIGKILL if verb == "kill" else signal.SIGSTOP)

    return failpoint


def _off(name: str) -> None:
    """Nothing was asked for."""


_WANTED = os.environ.get("WHERRY_FAILPOINT")
failpoint: Callable[[str], None] = armed(_WANTED) if _WANTED else _off
"""Say that the run passes the point of this name."""
