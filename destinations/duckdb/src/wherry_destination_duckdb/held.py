"""Rows that stay where they are, in Arrow, while statements read them as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


class Held:
    """Batches that the engine may scan again and again."""

    def __init__(self, schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> None:
        self._schema = schema
        self._batches = batches

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = pa.RecordBatchReader.from_batches(self._schema, self._batches)
        return reader.__arrow_c_stream__(requested_schema)
