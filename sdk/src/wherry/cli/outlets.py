"""Standard output and standard error while a command runs: what is not ours leaves redacted, and by one door.

Connectors, their libraries, `logging`, `warnings` and the tracebacks of threads write wherever they like. Standard
output belongs to the command's answer: what others print goes to standard error. There every secret is masked; what
others say has a bar in front of each line, and control characters are spelled out, so that it cannot pass for ours. Who
writes is told by the code that calls.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import IO, Any

BAR = "| "
_WRITERS = ("click", "contextlib", "logging", "rich")
"""Packages that write for whoever called them."""


class Outlet:
    """A text stream in front of another one.

    redact: for everything written; None: only what is ours is written, and others' goes to standard error.
    """

    def __init__(self, stream: IO[str], redact: Callable[[str], str] | None = None) -> None:
        self._stream = stream
        self._redact = redact
        self._fresh = True

    def write(self, text: str) -> int:
        """Write one piece; the number of characters given."""
        frame: FrameType = sys._getframe(1)
        if self._redact is not None:
            drawn = _package(frame) == "rich"  # our view: it has cleaned what it draws
            shown = self._redact(text)
            self._stream.write(shown if drawn or _ours(frame) else self._marked(harmless(shown)))
            self._fresh = text.endswith("\n") if text else self._fresh
        elif _ours(frame):
            self._stream.write(text)
        else:
            sys.stderr.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several pieces."""
        for line in lines:
            self.write(line)

    def _marked(self, text: str) -> str:
        """What others say, a bar before each line that begins with it."""
        inside = text[:-1].replace("\n", f"\n{BAR}") + text[-1:]
        return BAR + inside if self._fresh and text else inside

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def install(redact: Callable[[str], str]) -> None:
    """Put outlets in front of this process's standard streams, for good."""
    if sys.stderr is None:
        return
    sys.stderr = Outlet(sys.stderr, redact)
    if sys.stdout is not None:
        sys.stdout = Outlet(sys.stdout)


def harmless(text: str) -> str:
    """`text` with control characters spelled out, but for line ends and tabs: it cannot drive a terminal."""
    if text.isascii() and text.isprintable():
        return text
    from wherry.config.redact import one_line

    return "\n".join("\t".join(map(one_line, line.split("\t"))) for line in text.split("\n"))


def _ours(frame: FrameType | None) -> bool:
    """Whether the code that writes is of the command line."""
    while frame is not None:
        if _package(frame) not in _WRITERS and frame.f_code.co_filename != __file__:
            return _package(frame) == "wherry"
        frame = frame.f_back
    return False


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
