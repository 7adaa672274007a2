"""Run the console blocks of a page, as a reader would, in one folder; compare what is printed, times aside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from documents import Block

SOME = "…"
"""A line of an example that stands for any others."""
_LOOSE = [
    (re.compile(r"\b\d+(\.\d+)? (s|ms|min)\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)?s\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ([kMG]?B)\b"), "SIZE"),
    (re.compile(r"\bpid \d+"), "pid N"),
    (re.compile(r"localhost:\d+"), "localhost:PORT"),
    (re.compile(r"\b\w+@[\w.-]+ pid"), "WHO pid"),
    (re.compile(r"\b202[5-9]-\d\d-\d\d \d\d:\d\d:\d\d\b"), "NOW"),
    (re.compile(r"\s+"), " "),
]


@dataclass(frozen=True)
class Example:
    """A command and the lines that a page shows below it."""

    place: str
    command: str
    shown: list[str]


def examples(block: Block) -> list[Example]:
    """The commands of a block: lines that begin with `$ `, each with what follows it."""
    found: list[Example] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Example(block.place, line[2:], []))
        elif found and line.strip():
            found[-1].shown.append(line)
    return found


def run(example: Example, folder: Path, **variables: str) -> str:
    """What the command prints, both streams together; it has to succeed."""
    commands = str(Path(sys.executable).parent)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "WHERRY_", "PYTEST_", "COLUMNS"))}
    environment |= {"PATH": os.pathsep.join([commands, environment["PATH"]]), "WHERRY_STATE_DIR": str(folder / "state")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.command], cwd=folder, env=environment | variables, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, f"{example.place}: $ {example.command}\n{done.stdout}"
    return done.stdout


def differences(example: Example, printed: str) -> list[str]:
    """Lines that the page shows and the command did not print, and the other way round; streams come in any order."""
    if not example.shown:
        return []
    shown = Counter(loose(line) for line in example.shown if line.strip() != SOME)
    real = Counter(loose(line) for line in printed.splitlines() if line.strip())
    lines = [f"shown, not printed: {line}" for line in (shown - real).elements()]
    if SOME not in map(str.strip, example.shown):
        lines += [f"printed, not shown: {line}" for line in (real - shown).elements()]
    return lines


def loose(line: str) -> str:
    """The line without what differs from run to run."""
    for pattern, word in _LOOSE:
        line = pattern.sub(word, line)
    return line.strip()
