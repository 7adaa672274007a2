"""Cutting JSON text into rows and blocks of rows, without holding more than a block and a row."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from wherry.errors import DataError, ResourceError
from wherry.json_rows.words import NO_BRACKETS, brackets

# Before Python 3.11.5 a possessive repeat of a group loses matches; an atomic group does not, but it holds memory.
_ALL = rb"(?:%b)*+" if sys.version_info >= (3, 11, 5) else rb"(?>(?:%b)*)"
_STRING = rb'"%b"' % (_ALL % rb'[^"\\]++|\\.')
_FLAT = _ALL % (rb'[^{}\[\]"]++|%b' % _STRING)
STRINGS = re.compile(_STRING, re.DOTALL)
OUTSIDE = re.compile(rb'[^{}\[\]"]*+([{}\[\]"])', re.DOTALL)
"""Up to the next bracket or quote."""
_INSIDE = _ALL % (rb'[^{}\[\]"]++|%b|\{%b\}|\[%b\]' % (_STRING, _FLAT, _FLAT))
INSIDE = re.compile(rb'%b([{}\[\]"])' % _INSIDE, re.DOTALL)
"""Over strings and all that holds no brackets in brackets, up to the next bracket, or the quote of a cut-off string."""

DEEPEST = 100
"""Levels of nesting that are read."""
SMALL = 1 << 12
"""Bytes up to which it is not worth while to look at a text word by word."""


def json_lines(reader: Any, size: int, name: str, largest: int) -> Iterator[bytes]:
    """Blocks of whole lines of about `size` bytes. name: what is read, for messages.

    Raises `ResourceError` for a line longer than `largest`.
    """
    rest: list[bytes] = []
    held = 0
    while data := reader.read(size):
        end = data.rfind(b"\n") + 1
        if end:
            yield b"".join([*rest, memoryview(data)[:end]])
            rest, held = [], 0
        rest.append(data[end:])
        held += len(data) - end
        if held > largest:
            raise _too_large(name, "a line", largest)
    if held:
        yield b"".join(rest)


def json_elements(reader: Any, size: int, name: str, largest: int) -> Iterator[list[bytes]]:
    """Lists, each of about `size` bytes, of the objects in a JSON array, or of objects one after the other.

    Raises `ResourceError` for an object longer than `largest`.
    """
    scan = _Scan(name, largest)
    found: list[bytes] = []
    held = 0
    while data := _read(reader, max(size, scan.held)):  # as much again as is held: no text is scanned often
        for element in scan.feed(data):
            found.append(element)
            held += len(element)
        if held >= size:
            yield found
            found, held = [], 0
    if found:
        yield found
    scan.finish()


def _read(reader: Any, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (data := reader.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def shallow(data: bytes) -> bool:
    """Whether nesting is surely below the limit: pairs of brackets vanish level by level.

    data: one text, or several, each of them from a new line on.
    """
    left: bytes | None = data if len(data) <= SMALL else brackets(data)
    if left is None:
        return False
    left = left.translate(None, NO_BRACKETS)
    if len(left) > DEEPEST and len(data) <= SMALL:  # strings may hold some, in which others seem to end
        left = b"\n".join(STRINGS.sub(b"", line) for line in data.split(b"\n")).translate(None, NO_BRACKETS)
    if len(left) <= DEEPEST:
        return True
    for _ in range(DEEPEST):
        left = left.replace(b"{}", b"").replace(b"[]", b"")
        if not left:
            return True
    return False


class _Scan:
    """Finds where the objects at the top of the text begin and end."""

    def __init__(self, name: str, largest: int) -> None:
        self._name = name
        self._largest = largest
        self._buffer = b""
        self._at = 0
        self._start: int | None = None
        self._gap = 0
        self._depth = 0
        self._array = False
        self._began = False
        self._ended = False
        self._count = 0

    @property
    def held(self) -> int:
        """Bytes of an object that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Objects that are complete with this piece of the text."""
        self._buffer += data
        if len(self._buffer) > self._largest:
            raise _too_large(self._name, f"a document (number {self._count + 1})", self._largest)
        while token := (INSIDE if self._depth else OUTSIDE).match(self._buffer, self._at):
            sign = token[1]
            if sign == b'"':
                self._outside_only()
                break  # the string goes on in the next piece
            if sign in b"{[":
                self._open(sign, token.start(1))
            else:
                yield from self._close(sign, token.start(1))
            self._at = token.end()
        self._forget()

    def finish(self) -> None:
        """The text has ended. Raises `DataError` when it stops in the middle."""
        if self._start is not None or (self._array and not self._ended):
            raise self._error("is cut off: the text ends before it is closed")
        self._between(len(self._buffer), b"")

    def _open(self, sign: bytes, at: int) -> None:
        if not self._began and sign == b"[":
            self._between(at, b"")
            self._began = self._array = True
            self._gap = at + 1
            return
        self._began = True
        if self._depth == 0:
            self._between(at, b"," if self._array and self._count else b"")
            if sign != b"{" or self._ended:
                raise self._error("is not a JSON object")
            self._start = at
        self._depth += 1

    def _close(self, sign: bytes, at: int) -> Iterator[bytes]:
        if self._depth == 0:
            self._between(at, b"")
            if not self._array or self._ended or sign != b"]":
                raise self._error("has a bracket that nothing opens")
            self._ended = True
            self._gap = at + 1
            return
        self._depth -= 1
        if self._depth == 0 and self._start is not None:
            yield self._buffer[self._start : at + 1]
            self._count += 1
            self._start, self._gap = None, at + 1

    def _outside_only(self) -> None:
        if self._depth == 0:
            raise self._error("is not a JSON object")

    def _between(self, end: int, separator: bytes) -> None:
        """Nothing but the separator and white space may stand between objects."""
        if self._buffer[self._gap : end].strip() != separator:
            raise self._error("is not a JSON object")

    def _forget(self) -> None:
        """Drop what is done with."""
        keep = self._start if self._start is not None else min(self._gap, self._at)
        self._buffer = self._buffer[keep:]
        self._at -= keep
        self._gap = max(0, self._gap - keep)
        if self._start is not None:
            self._start = 0

    def _error(self, what: str) -> DataError:
        return DataError(f"{self._name}, element {self._count + 1} {what}", row=self._count)


def _too_large(name: str, what: str, largest: int) -> ResourceError:
    """A row that does not fit into the memory that the user grants."""
    return ResourceError(
        f"{name} has {what} of more than {largest / 1e6:.0f} MB",
        next="if it is meant to be one row, raise --memory",
    )
