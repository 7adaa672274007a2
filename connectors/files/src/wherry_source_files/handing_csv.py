"""Which CSV files another reader may take: those on whose rows, fields and types no two readers can differ.

Columns get their kinds from a sample. The reader that takes the file proves each literal: it has to print, from the
type of its kind, as it was written; so a file that goes on otherwise is refused. What the bytes must not hold, and how
many lines and delimiters there are, is looked for while that reader reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from wherry import HandOffRefused

from wherry_source_files.client import LocalFile
from wherry_source_files.config import FilesConfig
from wherry_source_files.formats.literals import Facts

_CHUNK = 1 << 20
_FEW = 1 << 12
"""Quotes of a chunk that are worth a look each."""
_BLANK = frozenset({b" ", b"\t"})
_STARTS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\n")


def refuse(config: FilesConfig, names: list[str], delimiter: str) -> None:
    """Raise for settings that this connector alone understands."""
    plain = config.quote == '"' and config.escape is None and config.null is None and config.encoding == "utf-8"
    if not plain:
        raise HandOffRefused("quote, escape, null or encoding are set")
    if any(sign in name for name in names for sign in ('"', "\n", delimiter)):
        raise HandOffRefused("a name in the header holds a quote, a delimiter or a line end")
    if len(names) < 2:
        raise HandOffRefused("a file of one column: an empty line may be a row")


def kind_of(name: str, facts: Facts) -> str:
    """The kind of a column, for whoever reads the file: "text", "int", "float", "bool", "date", "decimal(p,s)",
    "timestamp " and "timestampT" by what stands between day and time. Raises `HandOffRefused` for all others."""
    kind, type, number = facts.kind, facts.type(), facts.number
    if kind == "text":
        return "text"
    if not facts.markers:
        if kind == "number" and pa.types.is_decimal(type) and number and number.least_scale == number.most_scale:
            return f"decimal({type.precision},{type.scale})"
        if kind == "number" and not pa.types.is_string(type) and not pa.types.is_decimal(type):
            return "int" if pa.types.is_integer(type) else "float"
        if kind == "timestamp" and facts.form in (" s", "Ts") and type == pa.timestamp("us"):
            return f"timestamp{facts.form[0]}"
        if kind == "date" or (kind == "bool" and facts.form == "lower"):
            return kind
    raise HandOffRefused(f"column {name!r}: its literals need a look each")


class Scan:
    """All bytes of a file, read once: their hash, how many lines and delimiters, and what must not be among them."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter.encode()
        self._hash = hashlib.sha256()
        self._last = b""
        self.lines = self.delimiters = 0
        self.quotes = False

    def read(self, file: LocalFile, ending: Callable[[], bool]) -> None:
        """Look at the file and keep its hash there; raises `HandOffRefused`. ending: whether to leave off."""
        with file.open() as handle:
            while (chunk := handle.read(_CHUNK)) and not ending():
                self._look(chunk)
        if self._last not in (b"", b"\n"):
            self.lines += 1
        file.sha256 = self._hash.hexdigest()

    def about(self) -> dict[str, Any]:
        """What the reader that took the file has to find as well."""
        return {"lines": self.lines, "delimiters": self.delimiters, "quotes": self.quotes}

    def _look(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        if not self._last and chunk.startswith(_STARTS):
            raise HandOffRefused("the file begins with a byte order mark, or an empty line")
        if b"\r" in chunk or b"\0" in chunk:
            raise HandOffRefused("the file has carriage returns or NUL bytes")
        self.lines += chunk.count(b"\n")
        self.delimiters += chunk.count(self._delimiter)
        if b'"' in chunk or self._last == b'"':
            self._look_at_quotes(self._last + chunk)
        self._last = chunk[-1:]

    def _look_at_quotes(self, chunk: bytes) -> None:
        """Blanks beside a quote are part of the value to some readers, to some they are not: refused.

        Where quotes stand in pairs, there is nothing between them.
        """
        if chunk.count(b'"') > _FEW:
            self.quotes = True
            found = any(pair in chunk for pair in (b'" ', b' "', b'"\t', b'\t"'))
        else:
            found = False
            for start, end in _runs(chunk):
                found = found or chunk[start - 1 : start] in _BLANK or chunk[end : end + 1] in _BLANK
                self.quotes = self.quotes or bool((end - start) % 2) or start == 0 or end == len(chunk)
        if found:
            raise HandOffRefused("the file has blanks beside quotes")


def _runs(chunk: bytes) -> Iterator[tuple[int, int]]:
    """Where quotes stand, neighbours together: (first, after the last)."""
    start = chunk.find(b'"')
    while start >= 0:
        end = start + 1
        while chunk[end : end + 1] == b'"':
            end += 1
        yield start, end
        start = chunk.find(b'"', end)
