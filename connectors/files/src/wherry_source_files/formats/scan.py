"""All of a CSV file held against the template of its rows, read once: most of the work is done beside the reading."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from wherry_source_files.formats.template import RowTemplate

_THREADS = 2
"""That look at blocks while another one is read."""
_BLOCK = 4 << 20


class UnlikeError(ValueError):
    """A row is not like the template, or the header is one that readers may take for something else."""


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Scan:
    """One pass over the bytes of a file. After it: `lines`, the header among them; `within`: values may hold line ends.

    block: bytes that are looked at together.  longest: how many of a row may stand in one and be no end of it.
    """

    def __init__(self, template: RowTemplate, header: bool, block: int, longest: int) -> None:
        self._template = template
        self._header = header
        self._block = min(block, _BLOCK)
        self._longest = longest
        self.lines = 0
        self.within = False

    def look(self, reader: _Bytes) -> Iterator[None]:
        """Look at all that comes, yielding between blocks. Raises `UnlikeError`."""
        waiting: deque[Future[bool | None]] = deque()
        with ThreadPoolExecutor(_THREADS) as beside:
            for block in self._blocks(reader):
                waiting.append(beside.submit(self._template.holds, block))
                self._judge(waiting, _THREADS)
                yield
            self._judge(waiting, 0)

    def _judge(self, waiting: deque[Future[bool | None]], left: int) -> None:
        while len(waiting) > left:
            holds = waiting.popleft().result()
            if holds is False:
                raise UnlikeError("a row has other fields or literals than those before it")
            self.within = self.within or holds is None

    def _blocks(self, reader: _Bytes) -> Iterator[memoryview]:
        """Whole rows. The header is looked at here."""
        rest, header = b"", self._header
        while block := reader.read(self._block):
            start = block.find(b"\n") + 1
            row = rest + block[:start]
            if header or not start or b'"' in row:
                block, start = rest + block, 0
            elif rest:  # a row of its own, so that what follows need not be copied
                yield self._counted(row, 0, len(row))
            else:
                start = 0
            end = _end(block, start)
            if header and end:
                start = block.find(b"\n") + 1
                self._look_at_header(block[: start - 1])
                header, end = False, max(start, end)
            rest = block[end:]
            if len(rest) > self._longest:
                raise UnlikeError("a row is very long")
            if start < end:
                yield self._counted(block, start, end)
        if header and rest:
            self._look_at_header(rest)
        elif rest:
            rest += b"" if rest.endswith(b"\n") else b"\n"
            yield self._counted(rest, 0, len(rest))

    def _counted(self, block: bytes, start: int, end: int) -> memoryview:
        self.lines += block.count(b"\n", start, end)
        return memoryview(block)[start:end]

    def _look_at_header(self, line: bytes) -> None:
        if not self._template.is_header(line):
            raise UnlikeError("the header has signs on which readers differ")
        self.lines += 1


def _end(block: bytes, start: int) -> int:
    """Behind the last row that is whole: where quotes come in pairs before it, if there is such a place."""
    last = end = max(start, block.rfind(b"\n", start) + 1)
    odd = block.count(b'"', start, end) % 2
    while odd and end > start:
        before = max(start, block.rfind(b"\n", start, end - 1) + 1)
        odd = (odd + block.count(b'"', before, end)) % 2
        end = before
    return end if end > start else last
