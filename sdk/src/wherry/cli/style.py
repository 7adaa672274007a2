"""How lines look: pieces of text with a meaning each, and what the stream they go to can show."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO

Line = list[tuple[str, str]]
"""Pieces of (text, style): "good", "bad", "warn", "dim", "accent", "bold" or ""."""

STYLES = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "accent": "36", "bold": "1"}
_PLAIN = str.maketrans({"✔": "+", "✗": "x", "→": ">", "…": "~", "━": "=", "─": "-", "■": "#", "⠿": "*"})


@dataclass(frozen=True, slots=True)
class Look:
    """What a stream can show. live: lines may be drawn anew.  width: cells of a line, None: as long as it takes."""

    live: bool
    color: bool
    width: int | None


def look(stream: IO[str], environ: Mapping[str, str] = os.environ) -> Look:
    """A terminal that can be drawn on gets colours and a live view, unless NO_COLOR or TERM=dumb say otherwise."""
    terminal = stream.isatty()
    able = terminal and environ.get("TERM", "") not in ("", "dumb", "unknown")
    columns = environ.get("COLUMNS", "")
    width = shutil.get_terminal_size().columns if terminal or (columns.isdigit() and int(columns)) else None
    return Look(live=able and _shows(stream, "━→✔"), color=able and not environ.get("NO_COLOR"), width=width)


def plain(line: Line) -> str:
    """The text alone."""
    return "".join(text for text, _ in line)


def painted(line: Line, color: bool) -> str:
    """The text, with colours if there may be any."""
    if not color:
        return plain(line)
    return "".join(f"\x1b[{STYLES[style]}m{text}\x1b[0m" if style and text else text for text, style in line)


def write(stream: IO[str], lines: Iterable[Line], color: bool) -> None:
    """Lines to a stream, at once, with plainer signs where its encoding lacks ours."""
    text = "".join(painted(line, color) + "\n" for line in lines)
    if not _shows(stream, text):
        encoding = getattr(stream, "encoding", None) or "ascii"
        text = text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    stream.write(text)
    stream.flush()


def show_cursor(descriptor: int = 2) -> None:
    """For a way out that leaves no time to tidy up: a live view hides the cursor."""
    with contextlib.suppress(OSError):
        if os.isatty(descriptor):
            os.write(descriptor, b"\x1b[?25h\r\n")


def _shows(stream: IO[str], text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8", getattr(stream, "errors", None) or "strict")
    except UnicodeEncodeError:
        return False
    return True
