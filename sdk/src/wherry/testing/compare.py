"""Comparison of tables value by value, whatever the order of their rows and columns."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 5
"""Rows of each kind of difference that are shown."""


def tables_equal(
    left: pa.Table, right: pa.Table, *, key: Sequence[str] = (), types: bool = True, about: object = ""
) -> bool:
    """True if two tables hold the same rows, equal ones as often; else an AssertionError that says what differs.

    key: columns by which differing rows are laid beside each other.  types: column types must be equal too; without
    it `1` and `"1"` are the same value, `NULL` and `"NULL"` are not.  about: what is compared, for the message.
    """
    found = differences(left, right, key=key, types=types)
    if found:
        raise AssertionError("\n".join((f"tables differ {about} (- left, + right):", *found)))
    return True


def differences(left: pa.Table, right: pa.Table, *, key: Sequence[str] = (), types: bool = True) -> list[str]:
    """What `tables_equal` would complain about, a line each."""
    found = [*_columns(left, "-", right), *_columns(right, "+", left)]
    if types and not found:
        found += [
            f"  column {name}: {left.schema.field(name).type} is not {right.schema.field(name).type}"
            for name in left.schema.names
            if left.schema.field(name).type != right.schema.field(name).type
        ]
    if not found:
        names = left.schema.names
        found += _rows(names, rows(left, names), rows(right, names), [names.index(name) for name in key])
    return found


def digest(table: pa.Table) -> str:
    """A fingerprint of the table's values (32 hex digits) that rows and columns in another order do not change."""
    names = sorted(table.schema.names)
    total = 0
    for row in rows(table, names):
        total += int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=16).digest(), "little")
    text = f"{names} {table.num_rows} {total % 2**128}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def rows(table: pa.Table, names: Sequence[str]) -> list[tuple[str | None, ...]]:
    """Each row as the texts of its values, None for NULL: equal texts are equal values, to the last digit."""
    if not names:
        return [()] * table.num_rows
    return list(zip(*(texts(table.column(name)) for name in names), strict=True))


def texts(column: pa.ChunkedArray[Any] | pa.Array[Any]) -> list[str | None]:
    """Each value as text, None for NULL."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        return texts(column.cast(kind.value_type))
    if pa.types.is_timestamp(kind) and kind.tz not in (None, "UTC"):
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    if pa.types.is_nested(kind):
        return _nested(column)
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        column = column.cast(pa.float64())
    if pa.types.is_floating(kind):
        return [None if value is None else repr(value) for value in column.to_pylist()]
    if _is_bytes(kind):
        return [None if value is None else value.hex() for value in column.to_pylist()]
    if pa.types.is_interval(kind):
        return [None if value is None else str(tuple(value)) for value in column.to_pylist()]
    if pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    return list(column.cast(pa.string()).to_pylist())


def _is_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _nested(column: Any) -> list[str | None]:
    """Lists, structs and maps as text; NULL inside is told from the text "None"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_struct(kind):
        names = [kind.field(n).name for n in range(kind.num_fields)]
        fields = zip(*(texts(pc.struct_field(column, [n])) for n in range(kind.num_fields)), strict=True)
        there = column.is_valid().to_pylist()
        written = (repr(dict(zip(names, row, strict=True))) for row in (fields if names else ((),) * len(column)))
        return [text if valid else None for text, valid in zip(written, there, strict=True)]
    if pa.types.is_map(kind):
        column = column.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
    items = iter(texts(pc.list_flatten(column)))
    lengths = pc.list_value_length(column).to_pylist()
    return [None if length is None else repr(list(itertools.islice(items, length))) for length in lengths]


def _columns(one: pa.Table, sign: str, other: pa.Table) -> list[str]:
    missing = [name for name in one.schema.names if name not in other.schema.names]
    return [f"{sign} column {name} {one.schema.field(name).type}" for name in missing]


def _rows(
    names: Sequence[str], left: list[tuple[str | None, ...]], right: list[tuple[str | None, ...]], key: list[int]
) -> list[str]:
    only_left, only_right = Counter(left) - Counter(right), Counter(right) - Counter(left)
    found = []
    if key:
        partners = {tuple(row[k] for k in key): row for row in only_right}
        for row in [r for r in only_left if tuple(r[k] for k in key) in partners]:
            partner = partners[tuple(row[k] for k in key)]
            cells = [f"{n}: {a!r} ≠ {b!r}" for n, a, b in zip(names, row, partner, strict=True) if a != b]
            found.append(f"  row {', '.join(f'{names[k]}={row[k]}' for k in key)}: {'; '.join(cells)}")
            del only_left[row], only_right[partner]
    shown = found[:SHOWN]
    for sign, rest in (("-", only_left), ("+", only_right)):
        shown += [f"{sign} {dict(zip(names, row, strict=True))} ×{count}" for row, count in list(rest.items())[:SHOWN]]
    hidden = len(found) + len(only_left) + len(only_right) - len(shown)
    counts = [f"  {len(left)} rows left, {len(right)} right"] if len(left) != len(right) else []
    return counts + shown + ([f"  and {hidden} more"] if hidden else [])
