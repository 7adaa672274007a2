"""What Arrow's CSV parser does not tell by itself: malformed rows by number, and a quote that is never closed."""

from __future__ import annotations

from typing import Any

from wherry import DataError

from wherry_source_files.client import LocalFile
from wherry_source_files.formats.text import Utf8Reader

SENTINEL = "\x1e-end-\x1e"


class RowTooLongError(ValueError):
    """A row is longer than the block: try again with a larger one."""


class UncountedRowError(ValueError):
    """A malformed row was found by threads, which do not count rows: try again without."""


class WithSentinel:
    """A readable: the head, the rest, a line end if the last is missing, and a row that ends the table."""

    def __init__(self, head: bytes, rest: Utf8Reader, sentinel: bytes) -> None:
        self._head = head
        self._rest = rest
        self._sentinel = sentinel
        self._last = b""
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; fewer only at the end, so that the parser gets blocks of the size it asked for."""
        parts = [self._head[:size]]
        self._head = self._head[size:]
        left = size - len(parts[0])
        while left > 0 and (data := self._rest.read(left)):
            parts.append(data)
            left -= len(data)
        data = b"".join(parts)
        self._last = data[-1:] or self._last
        if left > 0 and self._sentinel:
            data += self._sentinel if self._last in (b"\n", b"\r") else b"\n" + self._sentinel
            self._sentinel = b""
        return data

    def close(self) -> None:
        """Nothing to let go of; Arrow asks for it."""
        self.closed = True


class Guard:
    """Told of each row with a wrong number of fields; knows the sentinel that ends the table."""

    def __init__(self, file: LocalFile, width: int, header: bool, strict: bool) -> None:
        self._file = file
        self._width = width
        self._header = header
        self._strict = strict
        self._ended = False
        self.rows = 0
        self.uncounted = False
        self.broken: DataError | None = None

    def sentinel(self, delimiter: str) -> bytes:
        """A row of one field too many, so that it never becomes data."""
        return (SENTINEL + delimiter * self._width).encode()

    def __call__(self, row: Any) -> str:
        """ "skip" the sentinel (and all in a sample, whose last row may be cut off); "error" for any other row."""
        if not self._strict:
            return "skip"
        if row.actual_columns == self._width + 1 and row.text.startswith(SENTINEL):
            self._ended = True
            return "skip"
        if row.number is None:
            self.uncounted = True
            return "error"
        number = row.number - int(self._header)
        self.broken = DataError(
            f"file {self._file.rel}, row {number}: {row.actual_columns} fields where the "
            f"{'header' if self._header else 'first row'} has {self._width}",
            row=number - 1,
            next="correct the row, or give --set delimiter=… or --set quote=… if the fields are cut wrongly",
        )
        return "error"

    def check(self) -> None:
        """Raises `DataError` when the table did not end outside of quotes."""
        if self._strict and not self._ended:
            row = max(0, self.rows - int(self._header))
            raise DataError(
                f"file {self._file.rel}, row {row}: a quote is opened and never closed",
                row=row - 1,
                next="close it, or give --set quote=none if quotes are part of the values",
            )
