"""What whole documents held, beside their records too: others that hold nothing else need no look at their nesting."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from wherry.json_rows.paths import ALL, Step

CHANGES = 20
"""How often documents may hold something new before nobody tries any more to know all that they hold."""


class UnfitError(Exception):
    """Arrow's parser is not the one for this."""


class Seen:
    """What documents held so far. It is false where that is not known, or is another thing each time."""

    def __init__(self) -> None:
        self._whole: pa.DataType | None = None
        self._in_vain = 0

    def __bool__(self) -> bool:
        return self._whole is not None

    def schema(self, path: Sequence[Step], records: pa.DataType) -> pa.Schema:
        """Of whole documents, with this type of what is at the path of the records. Raises `UnfitError`."""
        return pa.schema(list(_with(self._whole, path, records)))

    def again(self) -> None:
        """Documents held nothing else."""
        self._in_vain = max(0, self._in_vain - 1)

    def other(self, table: pa.Table) -> None:
        """Documents held something else, or they are the first ones."""
        found = pa.struct(list(table.schema))
        if self._in_vain == 0 and self._whole is None:
            self._whole = found
        self._in_vain += 1
        self._whole = None if self._whole is None or self._in_vain > CHANGES else _both(self._whole, found)


def _with(whole: pa.DataType, path: Sequence[Step], records: pa.DataType) -> pa.DataType:
    """The type of documents with another one of the records: what is beside them is only to be of the same kind."""
    if not path:
        return records
    if pa.types.is_list(whole) and path[0] is ALL:
        return pa.list_(_with(whole.value_type, path[1:], records))
    if not pa.types.is_struct(whole):
        raise UnfitError
    return pa.struct([
        (field.name, _with(field.type, path[1:], records) if field.name == path[0] else _kind(field.type))
        for field in whole
    ])  # fmt: skip


def _both(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """What either has; where they differ, the other one."""
    if pa.types.is_list(one) and pa.types.is_list(other):
        return pa.list_(_both(one.value_type, other.value_type))
    if not pa.types.is_struct(one) or not pa.types.is_struct(other):
        return one if pa.types.is_null(other) else other
    known, new = ({field.name: field.type for field in type} for type in (one, other))
    both = {name: _both(known[name], new[name]) for name in known if name in new}
    return pa.struct(list((known | new | both).items()))


def _kind(type: pa.DataType) -> pa.DataType:
    """A type that holds all values of the kind that values of this type have in JSON."""
    if pa.types.is_struct(type):
        return pa.struct([(field.name, _kind(field.type)) for field in type])
    if pa.types.is_list(type):
        return pa.list_(_kind(type.value_type))
    if pa.types.is_null(type) or pa.types.is_boolean(type):
        return type
    return pa.float64() if pa.types.is_integer(type) or pa.types.is_floating(type) else pa.string()
