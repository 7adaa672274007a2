"""Arrow values as texts for people and as JSON for programs: exact, one column at a time."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

NULL = "∅"
"""What a table shows for NULL, so that it differs from an empty text."""


def texts(column: pa.Array) -> list[str | None]:
    """Each value as a text; None for NULL."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return list(column.to_pylist())
    if pa.types.is_nested(kind) or _is_binary(kind):
        return [None if value is None else _text(value) for value in column.to_pylist()]
    try:
        plain: list[str | None] = column.cast(pa.string()).to_pylist()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return [None if value is None else _text(value) for value in column.to_pylist()]
    return [_short(text) for text in plain] if pa.types.is_temporal(kind) else plain


def jsons(column: pa.Array) -> list[Any]:
    """Each value as JSON: numbers that JSON holds exactly, texts for the rest; None for NULL."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return list(column.to_pylist())
    if pa.types.is_floating(kind):
        return [_float(value) for value in column.to_pylist()]
    if pa.types.is_nested(kind):
        return [_json(value) for value in column.to_pylist()]
    return list(texts(column))


def rows_of(batch: pa.RecordBatch) -> list[tuple[str | None, ...]]:
    """The rows of a batch as texts."""
    return list(zip(*(texts(column) for column in batch.columns), strict=True))


def objects_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch as JSON objects; of columns with one name the later ones are numbered."""
    names = list(batch.schema.names)
    names = [name if name not in names[:place] else f"{name}_{place + 1}" for place, name in enumerate(names)]
    columns = [jsons(column) for column in batch.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def numbers_of(schema: pa.Schema) -> list[int]:
    """Positions of the columns that are shown to the right."""
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return [place for place, field in enumerate(schema) if any(test(field.type) for test in tests)]


def dumps(value: Any) -> str:
    """Compact JSON text in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_text)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, (dict, list, tuple)):
        return dumps(_json(value))
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat() if callable(isoformat) else value)


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, float):
        return _float(value)
    return value if value is None or isinstance(value, (bool, int, str)) else _text(value)


def _float(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _short(text: str | None) -> str | None:
    """A moment without the zeros behind its last digit that counts."""
    if text is None or "." not in text:
        return text
    head, _, tail = text.partition(".")
    digits = tail.rstrip("Z")
    fraction = digits.rstrip("0")
    return head + ("." + fraction if fraction else "") + tail[len(digits) :]


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)
