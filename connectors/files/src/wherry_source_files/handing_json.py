"""Which files of JSON lines another reader may take: those of lines on which no two readers can differ.

The head of a file makes a template: its keys in their order, each value null or of its column's kind. While that reader
reads, all lines are held against it; one that is otherwise refuses the file, as it might make another type.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from wherry import HandOffRefused, LineTemplate, json_lines

from wherry_source_files.client import HashingReader, LocalFile
from wherry_source_files.config import FilesConfig
from wherry_source_files.formats import Reader
from wherry_source_files.formats.json_rows import JsonReader

_BLOCK = 8 << 20
_THREADS = 2
"""That look at blocks while another one is read."""


def template(reader: Reader, file: LocalFile, config: FilesConfig) -> LineTemplate:
    """The template of a file after `sample`. Raises `HandOffRefused` where its head has none."""
    if config.encoding != "utf-8":
        raise HandOffRefused("an encoding is set")
    found = reader.template(file) if isinstance(reader, JsonReader) else None
    if found is None:
        raise HandOffRefused("its lines are not all of the same few keys with plain values")
    return found


class Scan:
    """All bytes of a file, read once: their hash, how many lines, and whether each of them is like the template."""

    def __init__(self, template: LineTemplate, block: int, largest: int) -> None:
        self._template = template
        self._block = min(block, _BLOCK)
        self._largest = largest
        self.lines = 0

    def read(self, file: LocalFile, ending: Callable[[], bool]) -> None:
        """Look at the file and keep its hash there; raises `HandOffRefused`. ending: whether to leave off."""
        waiting: deque[Future[bool]] = deque()
        with file.open() as handle, ThreadPoolExecutor(_THREADS) as beside:
            hashing = HashingReader(handle)
            for block in json_lines(hashing, self._block, f"file {file.rel}", self._largest):
                if ending():
                    return
                waiting.append(beside.submit(self._template.holds, block))
                self.lines += block.count(b"\n") + (not block.endswith(b"\n"))
                _refuse_others(waiting, _THREADS)
            _refuse_others(waiting, 0)
            file.sha256 = hashing.hexdigest()

    def about(self) -> dict[str, Any]:
        """What the reader that took the file has to find as well."""
        return {"lines": self.lines}


def _refuse_others(waiting: deque[Future[bool]], left: int) -> None:
    while len(waiting) > left:
        if not waiting.popleft().result():
            raise HandOffRefused("a line has other keys, kinds or literals than those before it")
