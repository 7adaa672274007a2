"""A source in a call: what it offers, plans and reads, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wherry import Batch, Mark, Progress, Run, Selection, Split, Stream
from wherry_source_files.source import FilesSource


@dataclass
class Read:
    """What one read gave. items: as emitted."""

    items: list[Batch | Mark] = field(default_factory=list)

    @property
    def batches(self) -> list[pa.RecordBatch]:
        return [item.data for item in self.items if isinstance(item, Batch)]

    @property
    def schema(self) -> pa.Schema:
        """The last one announced."""
        return [item.stream.schema for item in self.items if isinstance(item, Mark) and item.stream][-1]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch.to_pylist()]

    @property
    def bookmarks(self) -> list[Any]:
        return [item.bookmark for item in self.items if item.bookmark is not None]

    @property
    def parts(self) -> list[Any]:
        return [dict(item.parts) for item in self.items if isinstance(item, Mark) and item.parts]

    @property
    def complete(self) -> bool:
        last = self.items[-1]
        return isinstance(last, Mark) and bool(last.complete)


@dataclass
class Files:
    """A source of files with some options."""

    path: Any
    options: dict[str, Any] = field(default_factory=dict)
    bytes: int = 64 << 20

    def source(self) -> FilesSource:
        source = FilesSource(FilesSource.Config(path=str(self.path), **self.options))
        source.run = Run(bytes=self.bytes)
        return source

    def streams(self) -> dict[str, Stream]:
        return {stream.path: stream for stream in self.source().discover()}

    def selection(self, name: str | None = None, mode: Any = None, **settings: Any) -> Selection:
        streams = self.streams()
        stream = streams[name] if name else next(iter(streams.values()))
        return Selection(stream=stream, mode=mode or ("append" if stream.part else "replace"), **settings)

    def plan(self, bookmark: Any = None, name: str | None = None, **settings: Any) -> list[Any]:
        selection = self.selection(name, **settings)
        progress: Mapping[str, Progress] = {selection.stream.path: Progress(bookmark=bookmark)}
        return list(self.source().plan([selection], progress))

    def read(self, bookmark: Any = None, name: str | None = None, **settings: Any) -> Read:
        """Plan and read; nothing planned is nothing read."""
        read = Read()
        for plan in self.plan(bookmark, name, **settings):
            for split in plan.splits:
                read.items += self.source().read(split)
        return read

    def resume(self, bookmark: Any, name: str | None = None, **settings: Any) -> Read:
        """Read on from a bookmark, as after a failure."""
        selection = self.selection(name, **settings)
        split = Split(key=selection.stream.path, streams=(selection,), bookmark=bookmark)
        return Read(list(self.source().read(split)))

    def with_options(self, **options: Any) -> Files:
        return replace(self, options=self.options | options)


@pytest.fixture
def files() -> Callable[..., Files]:
    def make(path: Any, bytes: int = 64 << 20, **options: Any) -> Files:
        return Files(path, options, bytes)

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file below the test's folder and return its path."""

    def put(name: str, content: str | bytes) -> Path:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put
