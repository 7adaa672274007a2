"""JSON and JSON lines: blocks go to Arrow's parser; what it cannot hold exactly goes through Python's.

Lines like those before them are known by a template, which is much cheaper than the parser: where all are, they are
parsed once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa
from wherry import DataError, JsonBlock, JsonShape, LineTemplate, json_elements, json_lines

from wherry_source_files.client import LocalFile
from wherry_source_files.formats import SAMPLE_BYTES, Reader
from wherry_source_files.formats.text import TextFile, open_text

T = TypeVar("T")
_THREADS = 2
"""That look at blocks while another one is read."""
_TRIES = 2
"""Blocks without a template after which none is looked for, unless there were as many with one."""


class JsonReader(Reader):
    """JSON lines; JSON documents that are an array of objects, or objects one after the other."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shape = JsonShape({"object"})
        self._exact = False
        self._surveyed: list[LocalFile] = []
        self._size = max(1 << 16, min(4 << 20, self.batch_bytes))
        self._template: LineTemplate | None = None
        self._misses = 0
        self._plain: dict[tuple[str, int, int], LineTemplate] = {}
        """Blocks (file, first row, bytes) that a template holds."""
        self._lines: dict[tuple[str, int, int], int] = {}
        """How many lines are in a block: file, first byte, bytes."""

    def sample(self, file: LocalFile) -> int | None:
        """Rows of the head; an estimate of all from the sizes."""
        limit, rows, size, cut = SAMPLE_BYTES, 0, 0, True
        while cut and not rows and limit < self.largest:
            with open_text(file, self.config.encoding, limit) as text:
                for block in _whole(self._blocks(file, text), text):
                    if text.reader.cut and file.format == "jsonl" and not block.data.endswith(b"\n"):
                        block = block.drop_last()
                    self._shape.merge(block.shape())
                    rows, size = rows + sum(map(bool, block.rows)), size + len(block.data)
                cut = text.reader.cut
            limit *= 8
        if not cut:
            return rows
        return None if file.compression or not rows else rows * file.version.size // max(1, size)

    def template(self, file: LocalFile) -> LineTemplate | None:
        """What all lines of the head are like, after `sample`; None where they are not alike."""
        with open_text(file, self.config.encoding, SAMPLE_BYTES) as text:
            head = b"".join(json_lines(text.reader, SAMPLE_BYTES, file.rel, self.largest))
        lines = head[: head.rfind(b"\n") + 1] if text.reader.cut else head
        return LineTemplate.of(self._shape, lines)

    def survey(self, file: LocalFile, limit: int | None = None) -> Iterator[None]:
        """The whole file in bulk; all files again, exactly, once a number fits neither int64 nor double."""
        self._surveyed.append(file)
        yield from self._look(file, limit)
        if self._shape.inexact and not self._exact:
            self._exact, self._shape, self._template = True, JsonShape({"object"}), None
            for earlier in self._surveyed:
                yield from self._look(earlier, limit)

    def schema(self) -> pa.Schema:
        """Keys of the top objects in the order they were first seen."""
        return self._shape.schema()

    def batches(self, file: LocalFile, columns: tuple[str, ...] | None = None) -> Iterator[pa.RecordBatch]:
        """A second pass, with the schema known."""
        names = [name for name in self._shape.fields if columns is None or name in columns]
        bulk = not any(self._shape.fields[name].has_text for name in names)
        waiting: deque[Future[pa.RecordBatch]] = deque()
        with open_text(file, self.config.encoding) as text, ThreadPoolExecutor(_THREADS) as beside:
            for block in self._blocks(file, text):
                template = self._plain.get(_place(file, block)) if bulk and names else None
                if template is None:
                    yield from _results(waiting, 0)
                    yield block.batch(self._shape, names, bulk)
                else:
                    waiting.append(beside.submit(template.rows, block, self._shape, names))
                    yield from _results(waiting, _THREADS)
            yield from _results(waiting, 0)

    def _look(self, file: LocalFile, limit: int | None) -> Iterator[None]:
        rows = 0
        with open_text(file, self.config.encoding) as text:
            for block, template in self._judged(self._blocks(file, text)):
                template = template or self._learn(block)
                if template is not None:
                    self._plain[_place(file, block)] = template
                if limit is not None:
                    rows += block.least_rows
                    if rows >= limit:
                        return
                yield
            text.finish(file)

    def _judged(self, blocks: Iterator[JsonBlock]) -> Iterator[tuple[JsonBlock, LineTemplate | None]]:
        """Each block, with the template if it holds it: while one is used, the next ones are looked at."""
        waiting: deque[Future[tuple[JsonBlock, LineTemplate | None]]] = deque()
        with ThreadPoolExecutor(_THREADS) as beside:
            for block in blocks:
                if self._template is None:
                    yield from _results(waiting, 0)
                    yield block, None
                else:
                    waiting.append(beside.submit(_judge, block, self._template))
                    yield from _results(waiting, _THREADS)
            yield from _results(waiting, 0)

    def _learn(self, block: JsonBlock) -> LineTemplate | None:
        """Let a parser look at a block; the template of its lines, if they make one: others are known by it then."""
        self._shape.merge(block.exact_shape() if self._exact else block.shape())
        self._misses += 1
        worth = not self._exact and self._misses <= _TRIES + len(self._plain)
        self._template = LineTemplate.of(self._shape, block.data) if worth else None
        return self._template

    def _blocks(self, file: LocalFile, text: TextFile) -> Iterator[JsonBlock]:
        row, offset, name = 0, 0, f"file {file.rel}"
        if file.format == "jsonl":
            for data in json_lines(text.reader, self._size, name, self.largest):
                if not data.isspace():
                    yield JsonBlock(name, row, data)
                place, offset = (file.rel, offset, len(data)), offset + len(data)
                if place not in self._lines:
                    self._lines[place] = data.count(b"\n")
                row += self._lines[place]
        else:
            for rows in json_elements(text.reader, self._size, name, self.largest):
                yield JsonBlock(name, row, b"\n".join(rows), rows)
                row += len(rows)


def _judge(block: JsonBlock, template: LineTemplate) -> tuple[JsonBlock, LineTemplate | None]:
    return block, template if template.holds(block.data) else None


def _results(waiting: deque[Future[T]], left: int) -> Iterator[T]:
    """The first of them, until no more than `left` wait."""
    while len(waiting) > left:
        yield waiting.popleft().result()


def _place(file: LocalFile, block: JsonBlock) -> tuple[str, int, int]:
    return file.rel, block.first, len(block.data)


def _whole(blocks: Iterator[JsonBlock], text: TextFile) -> Iterator[JsonBlock]:
    """The blocks of a sample, up to a document that the sample cuts off."""
    try:
        yield from blocks
    except DataError:
        if not text.reader.cut:
            raise
