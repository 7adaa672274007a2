"""Decimals as the server's binary numeric: groups of four digits around the point, as many in each row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as _compute

pc: Any = _compute
_WORD = 18
"""Digits that a 64-bit integer surely holds."""
# As scalars: a number has to become one at each call, which costs more than the division of a thousand values.
_GROUP, _TWO_GROUPS = pa.scalar(10_000), pa.scalar(100_000_000)
_ZERO, _LIMB = pa.scalar(0), pa.scalar(1 << 32)
_POSITIVE, _NEGATIVE = pa.scalar(0), pa.scalar(0x4000)


def groups(kind: Any) -> tuple[int, int]:
    """(groups of four digits before the point, after it) that values of a decimal type may need."""
    whole = max(kind.precision - kind.scale, 0)
    return max(-(-whole // 4), 1), -(-max(kind.scale, 0) // 4)


def fits(kind: Any) -> bool:
    """Whether its values can be shifted so that their digits fall into groups."""
    return bool(0 <= kind.scale <= kind.precision and _shifted(kind) <= 76)


def _shifted(kind: Any) -> int:
    """Digits that a value may have when those after its point are whole groups."""
    return int(kind.precision - kind.scale + 4 * groups(kind)[1])


def digits(column: Any) -> tuple[Any, list[Any]]:
    """(sign word of each row, its groups from the highest down), all int64 with the column's nulls.

    The server takes leading and trailing groups of zero for what they are: nothing.
    """
    kind = column.type
    before, after = groups(kind)
    shifted = _shifted(kind)
    size = pa.decimal128 if shifted <= 38 else pa.decimal256
    whole = column.cast(size(shifted, 4 * after))
    if shifted <= _WORD:
        unscaled = _words(whole, 0, pa.int64())
        negative = pc.less(unscaled, _ZERO)
        found = _split(pc.abs(unscaled), before + after)
    else:
        negative = pc.less(whole, pa.scalar(0, whole.type))
        found = _divided(pc.abs(whole), before + after)
    signs = pc.if_else(negative, _NEGATIVE, _POSITIVE)
    return signs, found


def _split(rest: Any, count: int) -> list[Any]:
    """The groups of non-negative 64-bit integers."""
    found = []
    for _ in range(count - 1):
        left = pc.divide(rest, _GROUP)
        found.append(pc.subtract(rest, pc.multiply(left, _GROUP)))
        rest = left
    return [rest, *reversed(found)]


def _divided(column: Any, count: int) -> list[Any]:
    """The groups of non-negative decimals of any size: long division of their 32-bit limbs, eight digits at a time."""
    width = column.type.byte_width // 4
    limbs = [_words(column, n, pa.uint32()).cast(pa.int64()) for n in reversed(range(width))]
    found: list[Any] = []
    while len(found) < count:
        rest: Any = None
        for place, limb in enumerate(limbs):
            value = limb if rest is None else pc.add(pc.multiply(rest, _LIMB), limb)
            limbs[place] = pc.divide(value, _TWO_GROUPS)
            rest = pc.subtract(value, pc.multiply(limbs[place], _TWO_GROUPS))
        high = pc.divide(rest, _GROUP)
        found += [pc.subtract(rest, pc.multiply(high, _GROUP)), high]
    return found[count - 1 :: -1]


def _words(column: Any, number: int, kind: pa.DataType) -> Any:
    """One machine word of every value, the lowest being 0."""
    rows, wide, word = len(column), column.type.byte_width, kind.bit_width // 8
    buffer = column.buffers()[1].slice(column.offset * wide, rows * wide)
    view = memoryview(buffer).cast("B").cast("q" if word == 8 else "I")
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(view[number :: wide // word].tobytes())])
