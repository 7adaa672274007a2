"""One sync twice, handed over and read, and what is not the same afterwards: nothing may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wherry.contracts.destination import Destination
from wherry.contracts.loading import Target
from wherry.contracts.source import Source
from wherry.contracts.values import LOAD_ID
from wherry.hookspecs import hookimpl
from wherry.testing.compare import differences
from wherry.testing.harness import run_sync

if TYPE_CHECKING:
    import pyarrow as pa

    from wherry.pipeline.outcome import Outcome


@dataclass
class HandOffRun:
    """What one run left. tables: by stream path, `_wherry_*` columns included.  said: its messages."""

    outcome: Outcome
    tables: dict[str, pa.Table]
    bookmarks: dict[str, Any]
    said: list[str]

    @property
    def handed(self) -> dict[str, str | None]:
        """By stream path the form in which it was handed over; None: it was read."""
        return {stream.stream: stream.handed for stream in self.outcome.streams}


def handed_and_read(
    new_source: Callable[[], Source], new_destination: Callable[[str], Destination], **options: Any
) -> tuple[HandOffRun, HandOffRun]:
    """The sync with hand-overs wherever they can be, and without any. options: of `run_sync`.

    new_destination: of a name, each an empty place of its own.
    """
    handed, read = new_destination("handed"), new_destination("read")
    return _run(new_source, handed, True, options), _run(new_source, read, False, options)


def handoff_differences(handed: HandOffRun, read: HandOffRun) -> list[str]:
    """What a hand-over made otherwise than the rows that were read: values, types, order of columns, counts, state."""
    return list(_differences(handed, read))


def _run(new_source: Callable[[], Source], destination: Destination, handoff: bool, options: dict[str, Any]) -> Any:
    from wherry.host.hooks import observer

    said: list[str] = []

    class Listener:
        @hookimpl
        def message(self, level: str, text: str) -> None:
            said.append(text)

    observers = (*options.get("observers", ()), observer(Listener(), "listener"))
    outcome = run_sync(new_source, destination, handoff=handoff, **(options | {"observers": observers}))
    session = destination.open(outcome.pipeline, schema=outcome.schema, read_only=True)
    try:
        tables = {s.stream: session.read(_target(s)).read_all() for s in outcome.streams if s.outcome == "committed"}
        kept = {key: progress.bookmark for key, progress in session.progress.items()}
        bookmarks = {key: bookmark for key, bookmark in kept.items() if bookmark is not None}
    finally:
        session.close()
    return HandOffRun(outcome, tables, bookmarks, said)


def _target(stream: Any) -> Target:
    import pyarrow as pa

    return Target(stream=stream.stream, table=stream.table, schema=pa.schema([]), namespace=stream.schema)


def _differences(handed: HandOffRun, read: HandOffRun) -> Iterator[str]:
    words = [{s.stream: (s.outcome, _counts(s)) for s in run.outcome.streams} for run in (handed, read)]
    if words[0] != words[1]:
        yield f"outcomes {words[0]}, read {words[1]}"
    if handed.bookmarks != read.bookmarks:
        yield f"bookmarks {handed.bookmarks}, read {read.bookmarks}"
    for path in handed.tables.keys() & read.tables.keys():
        one, other = handed.tables[path], read.tables[path]
        if one.schema != other.schema:
            yield f"{path}: columns {one.schema}, read {other.schema}"
            continue
        if LOAD_ID in one.schema.names:
            ids = [Counter(table.column(LOAD_ID).to_pylist()) for table in (one, other)]
            if None in ids[0] or sorted(ids[0].values()) != sorted(ids[1].values()):
                yield f"{path}: rows by load {ids[0]}, read {ids[1]}"
            one, other = one.drop_columns([LOAD_ID]), other.drop_columns([LOAD_ID])
        yield from (f"{path}: {line}" for line in differences(one, other))


def _counts(stream: Any) -> dict[str, int]:
    return {name: number for name, number in stream.counts.items() if name != "bytes"}
