"""A tap's output, block by block: records grouped by stream as the bytes they came in, and the messages between them.

A block that holds records of one stream alone is passed on as it is. In others a line is looked at as far as its type
and stream. Of several states in one block the last one stands for all: states only ever cover more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wherry import SourceError

_HEAD = re.compile(rb'\s*\{\s*"type"\s*:\s*"([A-Za-z_]+)"\s*(?:,\s*"stream"\s*:\s*"([^"\\]*)"\s*)?[,}]')
_TELLTALE = re.compile(rb'"type"\s*:\s*"(?:RECORD|STATE|SCHEMA|ACTIVATE_VERSION|BATCH)"')


@dataclass(frozen=True, slots=True)
class Records:
    """Lines of records of one stream, one after the other."""

    stream: str
    lines: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """Any other message. text: of a state, as it came."""

    type: str
    stream: str
    data: dict[str, Any]
    text: str = ""


Piece = Records | Message
NOISE = "(noise)"


class Splitter:
    """Cuts the blocks of one tap. Lines that are no messages come as one message NOISE.

    Raises `SourceError` for a line that was a message once: a row may be missing.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._noise: list[bytes] = []
        self._head = self._state_head = b""
        """How the line of the last record and of the last state began."""
        self._stream = ""
        self._before = 0
        """Bytes before the block at hand."""

    def pieces(self, block: bytes) -> list[Piece]:
        """What a block of whole lines holds."""
        found = list(self._pieces(block))
        if self._noise:
            found.append(Message(NOISE, "", {"lines": self._noise}))
            self._noise = []
        return found

    def _pieces(self, block: bytes) -> Iterator[Piece]:
        states = self._states(block)
        if states:
            yield from self._between(block, states) or self._apart(block)
        elif self._pure(block):
            yield Records(self._stream, block)
        else:
            yield from self._apart(block)
        self._before += len(block)

    def _pure(self, block: bytes) -> bool:
        """Whether each line is a record of the stream that came last."""
        head = self._head
        if not head or not block.startswith(head):
            return False
        return block.count(b"\n" + head) == block.count(b"\n") - block.endswith(b"\n")

    def _between(self, block: bytes, states: list[tuple[int, int]]) -> list[Piece]:
        """The pieces of a block of such records and of states; none if it holds anything else."""
        view = memoryview(block)
        starts, ends = [0, *(end for _, end in states)], [start for start, _ in states]
        covered = b"".join([view[start:end] for start, end in zip(starts, ends, strict=False)])
        open_ = block[starts[-1] :]
        if not all(self._pure(part) for part in (covered, open_) if part):
            return []
        state = self._look(block[slice(*states[-1])], 0)
        if not isinstance(state, Message) or state.type != "STATE":
            return []
        found: list[Piece] = [Records(self._stream, covered)] if covered else []
        return [*found, state, *([Records(self._stream, open_)] if open_ else [])]

    def _states(self, block: bytes) -> list[tuple[int, int]]:
        """Where lines begin and end that begin as the last state did."""
        found: list[tuple[int, int]] = []
        at = -1
        while self._state_head and (at := block.find(b"\n" + self._state_head, at + 1)) >= 0:
            found.append((at + 1, (block.find(b"\n", at + 1) + 1) or len(block)))
        return found

    def _apart(self, block: bytes) -> Iterator[Piece]:
        covered: dict[str, list[bytes]] = {}
        """Lines by stream that the state covers; `open_`: those after it."""
        open_: dict[str, list[bytes]] = {}
        state: Message | None = None
        at = 0
        for line in block.split(b"\n"):
            at += len(line) + 1
            if self._head and line.startswith(self._head):
                open_.setdefault(self._stream, []).append(line)
                continue
            found = self._look(line, at)
            if isinstance(found, str):
                open_.setdefault(found, []).append(line)
            elif found is not None and found.type == "STATE":
                for stream, lines in open_.items():
                    covered.setdefault(stream, []).extend(lines)
                open_, state = {}, found
            elif found is not None:
                yield from _flushed(covered, state, open_)
                covered, state, open_ = {}, None, {}
                yield found
        yield from _flushed(covered, state, open_)

    def _look(self, line: bytes, end: int) -> str | Message | None:
        """The stream of a record, or another message; None for noise."""
        match = _HEAD.match(line)
        if match is not None and match[1] == b"RECORD" and match[2] is not None:
            stream = match[2].decode("utf-8", "replace")
            self._head, self._stream = line[: match.end(2) + 1], stream
            return stream
        if match is not None and match[1] == b"STATE":
            self._state_head = line[: match.end(1) + 1]
        if not line.strip():
            return None
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict) and isinstance(data.get("type"), str):
            kind, stream = data["type"].upper(), str(data.get("stream") or "")
            if kind == "RECORD":
                return stream
            return Message(kind, stream, data, _value_text(line, data) if kind == "STATE" else "")
        if data is None and (_TELLTALE.search(line) or line.lstrip().startswith(b"{")):
            raise SourceError(
                f"{self._name}: a message of its output, up to byte {self._before + end:,}, cannot be read: a row may "
                "be missing", next="the run log has all that it said",
            )  # fmt: skip
        self._noise.append(line)
        return None


def _flushed(covered: dict[str, list[bytes]], state: Message | None, open_: dict[str, list[bytes]]) -> Iterator[Piece]:
    for stream, lines in covered.items():
        yield Records(stream, b"\n".join(lines) + b"\n")
    if state is not None:
        yield state
    for stream, lines in open_.items():
        yield Records(stream, b"\n".join(lines) + b"\n")


def _value_text(line: bytes, data: dict[str, Any]) -> str:
    """The value of a state as the tap wrote it, where a float of it would not be written so again; else nothing."""
    lossy = False

    def number(text: str) -> float:
        nonlocal lossy
        found = float(text)
        lossy = lossy or repr(found) != text
        return found

    json.loads(line, parse_float=number)
    if not lossy:
        return ""
    at = re.search(rb'"value"\s*:\s*', line)
    if at is None:
        return ""
    text = line[at.end() :].decode()
    value, end = json.JSONDecoder().raw_decode(text)
    return text[:end] if value == data.get("value") else ""
