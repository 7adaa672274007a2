"""Columns of streams that are known only by reading: from the first rows, for commands that show them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from wherry.contracts.source import Source
    from wherry.contracts.values import Stream

ROWS = 1_000
"""Rows that are looked at, at most: a page or two of an API."""


def peeked(source: Source, stream: Stream) -> Stream:
    """The stream with the columns of its first rows, where the source does not tell any before it reads."""
    return stream if stream.schema.names else replace(stream, schema=_first(source, stream))


def _first(source: Source, stream: Stream) -> pa.Schema:
    from wherry.contracts.values import Batch, Selection
    from wherry.pipeline.arrow import batches

    selection = Selection(stream=stream, limit=ROWS)
    for plan in source.plan([selection], {}):
        for split in plan.splits:
            items = source.read(split)
            try:
                for item in items:
                    if not isinstance(item, Batch):
                        if item.stream is not None and item.stream.path == stream.path and item.stream.schema.names:
                            return item.stream.schema
                    elif item.stream == stream.path:
                        found = next((batch.schema for batch in batches(item.data) if batch.schema.names), None)
                        if found is not None:
                            return found
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()
    return stream.schema
