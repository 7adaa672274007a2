"""What a tap says beside its messages: into the run log, without colours and secrets, and never too much of it."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Sequence
from typing import Any

MASK = "***"
BURST, A_SECOND = 500, 20
"""Lines that are logged at once, and each second after that; the others are counted."""
LONGEST = 2_000
"""Characters of a line that are logged."""
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_LEVEL = re.compile(
    r"\b(CRITICAL|FATAL|ERROR|WARN(?:ING)?|INFO|DEBUG)\b|(Traceback \(most recent|\w+(?:Error|Exception)\b)"
)
_LEVELS = {"CRITICAL": 50, "FATAL": 50, "ERROR": 40, "WARN": 30, "WARNING": 30, "INFO": 20, "DEBUG": 10}


class Stderr:
    """Reads a pipe to its end on a thread of its own, so that nobody waits for it. `last` is what an error quotes."""

    def __init__(self, pipe: Any, log: logging.Logger, name: str, secrets: Sequence[str] = ()) -> None:
        self._pipe = pipe
        self._log = log
        self._name = name
        self._secrets = sorted((s for s in secrets if len(s) > 3), key=len, reverse=True)
        self._room = float(BURST)
        self._at = time.monotonic()
        self._dropped = 0
        self._last = self._error = ""
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"errors of {name}", daemon=True)
        self._thread.start()

    def last(self) -> str:
        """The last line that tells of an error; else the last line."""
        self._thread.join(1)
        return self._error or self._last

    def close(self) -> None:
        """The writer is gone; again is fine."""
        self._thread.join(2)
        self._pipe.close()

    def noise(self, line: bytes) -> None:
        """A line of standard output that is no message."""
        with self._lock:
            self._take([line], "wrote on standard output: ")

    def _run(self) -> None:
        rest = b""
        try:
            while data := os.read(self._pipe.fileno(), 1 << 16):
                lines = (rest + data).splitlines()
                rest = b"" if data.endswith((b"\n", b"\r")) else lines.pop()[-LONGEST:]
                with self._lock:
                    self._take(lines)
            if rest:
                self._take([rest])
        except (OSError, ValueError):  # closed meanwhile
            return
        finally:
            self._told()

    def _take(self, lines: Sequence[bytes], prefix: str = "") -> None:
        now = time.monotonic()
        self._room = min(BURST, self._room + (now - self._at) * A_SECOND)
        self._at = now
        shown = lines[: int(self._room)]
        self._room -= len(shown)
        if shown and self._dropped:
            self._told()
        for line in shown:
            self._say(line, prefix)
        self._dropped += len(lines) - len(shown)
        for line in lines[len(shown) :][-20:]:  # the end of a flood may say why
            self._heard(self._clean(line), prefix)

    def _say(self, line: bytes, prefix: str) -> None:
        text = self._clean(line)
        level = self._heard(text, prefix)
        if text:
            self._log.log(min(level, logging.INFO), "%s%s: %s%s", self._name, _word(level), prefix, text)

    def _heard(self, text: str, prefix: str) -> int:
        if not text:
            return logging.INFO
        level = _guess(text)
        if not prefix:
            self._last = text
            if level >= logging.ERROR and not text.startswith("Traceback"):
                self._error = text
        return level

    def _clean(self, line: bytes) -> str:
        text = _ANSI.sub("", line[: 4 * LONGEST].decode("utf-8", "replace")).strip()[:LONGEST]
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def _told(self) -> None:
        if self._dropped:
            self._log.info("%s: %d more lines, not kept", self._name, self._dropped)
            self._dropped = 0


def _guess(text: str) -> int:
    """The level that a line seems to have."""
    match = _LEVEL.search(text[:300])
    if match is None:
        return logging.INFO
    return _LEVELS[match[1]] if match[1] else logging.ERROR


def _word(level: int) -> str:
    return "" if level in (logging.INFO, logging.DEBUG) else f" ({logging.getLevelName(level).lower()})"
