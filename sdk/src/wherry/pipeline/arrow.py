"""The edge where everything becomes Arrow record batches of plain types, once and in bulk."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any

import pyarrow as pa

from wherry.contracts.values import KIND
from wherry.errors import DataError

_NONE = type(None)
_SCALARS: dict[type | None, pa.DataType] = {str: pa.utf8(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_DATA = "yield what it holds: text, numbers, dates, lists and dicts of them"
_RUN = 1_000  # dicts converted at once: more fall out of the CPU's cache and make every collection long


def batches(data: Any) -> Iterator[pa.RecordBatch]:
    """Record batches of plain types from whatever a source may yield (see `Batch.data`)."""
    if isinstance(data, pa.RecordBatch):
        yield plain(data)
    elif isinstance(data, pa.Table):
        yield from (plain(b) for b in data.to_batches())
    elif isinstance(data, dict):
        yield plain(from_dicts([data]))
    elif isinstance(data, list):
        yield plain(from_dicts(data))
    elif hasattr(data, "__arrow_c_stream__"):
        yield from (plain(b) for b in pa.RecordBatchReader.from_stream(data))
    elif hasattr(data, "__arrow_c_array__"):
        yield plain(pa.record_batch(data))
    else:
        raise DataError(f"a batch holds a {type(data).__name__}; Arrow data, a dict or a list of dicts is accepted")


def pinned(batch: pa.RecordBatch) -> int:
    """Bytes that stay in memory as long as the batch does: whole buffers, also of slices."""
    return int(batch.get_total_buffer_size())


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without dictionary, run-end, view, large and extension types; JSON and UUID become marked text."""
    if all(_is_plain(f.type) for f in batch.schema):
        return batch
    pairs = [_plain_column(f, c) for f, c in zip(batch.schema, batch.columns, strict=True)]
    return pa.RecordBatch.from_arrays([c for _, c in pairs], schema=pa.schema([f for f, _ in pairs]))


def from_dicts(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """One batch from dicts; a key missing in a row is NULL, values of several types in one column are widened."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        runs = [rows[i : i + _RUN] for i in range(0, len(rows), _RUN)]
        tables = [pa.Table.from_batches([_run(run)]) for run in runs] or [pa.table({})]
        joined = tables[0] if len(tables) == 1 else _concat(tables, rows)
        return joined.combine_chunks().to_batches()[0] if joined.num_rows else pa.RecordBatch.from_pylist([])
    finally:
        if collecting:
            gc.enable()


def _concat(tables: list[pa.Table], rows: list[dict[str, Any]]) -> pa.Table:
    try:
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowInvalid:
        return pa.Table.from_batches([_run(rows)])


def _run(rows: Iterable[dict[str, Any]]) -> pa.RecordBatch:
    columns = _transposed(list(rows))
    _refuse_no_text(columns)
    return pa.RecordBatch.from_pydict({name: _named(name, values) for name, values in columns.items()})


def _transposed(rows: Sequence[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    """Values by key; rows that all have the same keys are turned around at once."""
    names = list(rows[0]) if rows else []
    if len(names) > 1 and set(map(len, rows)) == {len(names)}:
        try:
            return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
        except KeyError:
            pass
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(chain.from_iterable(rows))}


def _named(name: str, values: Sequence[Any]) -> pa.Array:
    try:
        return _column(values)
    except DataError as error:
        raise DataError(f"column {name!r}: {error.message}", column=name, next=error.next) from None


def _column(values: Sequence[Any]) -> pa.Array:
    try:
        array = _array(values)
    except UnicodeEncodeError:
        return _unreadable(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if v is None else _literal(v) for v in values], pa.utf8())
    mixed = pa.types.is_floating(array.type) and int in set(map(type, values))
    mixed = mixed and any(type(v) is int and abs(v) > 2**53 for v in values)
    return pa.array([None if v is None else _literal(v) for v in values], pa.utf8()) if mixed else array


def _array(values: Sequence[Any]) -> pa.Array:
    """As `pa.array` infers it, in half the time: values of one kind need no look at each to know their type."""
    kinds = set(map(type, values))
    nulls = _NONE in kinds
    kinds.discard(_NONE)
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is dict:
        rows = [v or {} for v in values] if nulls else values
        columns = _transposed(rows)
        if columns:
            mask = pa.array([v is None for v in values]) if nulls else None
            return pa.StructArray.from_arrays(list(map(_array, columns.values())), names=list(columns), mask=mask)
    elif kind is list:
        lists = [v or () for v in values] if nulls else values
        offsets = pa.array(accumulate(map(len, lists), initial=0), pa.int32())
        mask = pa.array([v is None for v in values]) if nulls else None
        return pa.ListArray.from_arrays(offsets, _array(list(chain.from_iterable(lists))), mask=mask)
    elif kind in _SCALARS:
        return pa.array(values, _SCALARS[kind])
    return pa.array(values)


def _unreadable(values: Sequence[Any]) -> pa.Array:
    """Text with half of a surrogate pair, as bytes that are no UTF-8: the row will be rejected, not the batch."""
    texts = [None if v is None else _literal(v).encode("utf-8", "surrogatepass") for v in values]
    return pa.Array.from_buffers(pa.utf8(), len(texts), pa.array(texts, pa.binary()).buffers())


def _refuse_no_text(names: Iterable[str]) -> None:
    for name in names:
        try:
            str(name).encode()
        except UnicodeEncodeError:
            raise DataError(f"the name {name!a} holds half of a surrogate pair, which no engine keeps") from None


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_text)


def _text(value: Any) -> str:
    """The text of a value that JSON has no word for; an object that only has an address is no value."""
    text = str(value)
    if text.startswith("<") and " at 0x" in text:
        raise DataError(f"a value is a {type(value).__name__}, which is no data", next=_DATA)
    return text


def _is_plain(t: pa.DataType) -> bool:
    odd = (
        pa.types.is_dictionary(t), pa.types.is_run_end_encoded(t), pa.types.is_large_string(t),
        pa.types.is_large_binary(t), pa.types.is_large_list(t), pa.types.is_string_view(t), pa.types.is_binary_view(t),
        pa.types.is_fixed_size_list(t), isinstance(t, pa.BaseExtensionType),
    )  # fmt: skip
    if any(odd):
        return False
    return all(_is_plain(t.field(i).type) for i in range(t.num_fields)) if pa.types.is_nested(t) else True


def _plain_type(t: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(t) or pa.types.is_run_end_encoded(t):
        return _plain_type(t.value_type)
    if pa.types.is_large_string(t) or pa.types.is_string_view(t):
        return pa.utf8()
    if pa.types.is_large_binary(t) or pa.types.is_binary_view(t):
        return pa.binary()
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t):
        return pa.list_(_plain_type(t.value_type))
    if pa.types.is_struct(t):
        return pa.struct([pa.field(f.name, _plain_type(f.type), f.nullable) for f in t])
    return t


def _plain_column(field: pa.Field, column: pa.Array) -> tuple[pa.Field, pa.Array]:
    t = column.type
    if isinstance(t, pa.BaseExtensionType):
        name = t.extension_name
        if name == "arrow.uuid":
            texts = [None if v is None else str(v) for v in column.to_pylist()]
            return field.with_type(pa.utf8()).with_metadata({KIND: b"uuid"}), pa.array(texts, pa.utf8())
        column = column.storage
        if name == "arrow.json":
            field = field.with_metadata({KIND: b"json"})
        return _plain_column(field.with_type(column.type), column)
    if _is_plain(t):
        return field.with_type(t), column
    if pa.types.is_dictionary(t):
        return _plain_column(field.with_type(t.value_type), column.dictionary_decode())
    to = _plain_type(t)
    return field.with_type(to), column.cast(to)
