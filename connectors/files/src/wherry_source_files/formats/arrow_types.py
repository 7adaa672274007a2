"""Arrow types as they flow: dictionaries decoded, extension types as text of a kind, old Parquet times in full."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from wherry import KIND, DataError

KINDS = {"arrow.json": b"json", "arrow.uuid": b"uuid"}
UUID_BYTES = 16
NANOS_REACH = ((1 << 63) - 1) // 1000
"""Microseconds around 1970 that still fit 64 bits as nanoseconds."""


def plain_field(field: pa.Field) -> pa.Field:
    """The field as `plain_batch` gives it: nullable, without the writer's metadata."""
    type = field.type
    if isinstance(type, pa.BaseExtensionType):
        kind = KINDS.get(type.extension_name)
        if kind is None:
            return pa.field(field.name, type.storage_type)
        return pa.field(field.name, pa.string(), metadata={KIND: kind})
    return pa.field(field.name, type.value_type if pa.types.is_dictionary(type) else type)


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with each column in the type of its `plain_field`."""
    return pa.RecordBatch.from_arrays(
        [_plain(column) for column in batch.columns], schema=pa.schema([plain_field(field) for field in batch.schema])
    )


def int96_unit(handle: Any) -> str:
    """The unit that holds every INT96 time of a Parquet file: "ns", else "us".

    Arrow wraps around silently for years outside of 1677 to 2262 in "ns" and drops digits in "us". Raises `DataError`
    when neither holds all.
    """
    import pyarrow.parquet as pq

    fine = pq.ParquetFile(handle, coerce_int96_timestamp_unit="ns")
    columns = [
        fine.schema.column(i).path for i in range(len(fine.schema)) if fine.schema.column(i).physical_type == "INT96"
    ]
    in_range = in_micros = True
    coarse = pq.ParquetFile(handle, coerce_int96_timestamp_unit="us")
    for group in range(fine.metadata.num_row_groups):
        pair = (file.read_row_group(group, columns=columns, use_threads=False).flatten() for file in (fine, coarse))
        for nanos, micros in zip(*(table.columns for table in pair), strict=True):
            for a, b in zip(nanos.chunks, micros.chunks, strict=True):
                if not pa.types.is_timestamp(a.type):
                    continue
                a, b = a.cast(pa.int64()), b.cast(pa.int64())
                in_range = in_range and bool(pc.all(pc.less_equal(pc.abs(b), NANOS_REACH), min_count=0).as_py())
                in_micros = in_micros and bool(pc.all(pc.equal(pc.multiply(b, 1000), a), min_count=0).as_py())
    handle.seek(0)
    if in_range:
        return "ns"
    if in_micros:
        return "us"
    raise DataError(f"INT96 column {columns[0]}: times need both nanoseconds and years outside of 1677 to 2262")


def _plain(column: pa.Array) -> pa.Array:
    type = column.type
    if isinstance(type, pa.BaseExtensionType):
        storage = column.storage
        if type.extension_name == "arrow.json":
            return storage.cast(pa.string())
        return uuid_text(storage) if type.extension_name == "arrow.uuid" else storage
    return column.dictionary_decode() if pa.types.is_dictionary(type) else column


def uuid_text(column: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """UUIDs of 16 bytes in their usual form, 8-4-4-4-12 hexadecimal digits."""
    start = column.offset * UUID_BYTES
    data = column.buffers()[1]
    digits = data.to_pybytes()[start : start + len(column) * UUID_BYTES].hex().encode() if data is not None else b""
    plain = pa.Array.from_buffers(pa.binary(2 * UUID_BYTES), len(column), [None, pa.py_buffer(digits)])
    text = pc.replace_substring_regex(
        plain.cast(pa.binary()).cast(pa.string()), "^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5"
    )
    return pc.if_else(column.is_valid(), text, pa.scalar(None, pa.string()))
