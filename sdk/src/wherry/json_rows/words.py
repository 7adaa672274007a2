"""What a text surely does not hold, found eight bytes at a time: a regular expression takes several times as long.

The text is seen as numbers of 64 bits, and sums and masks are taken of all of them at once; an arithmetic in which no
byte reaches into the next one, because its highest bit is cleared before.
"""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.compute as pc

SIZE = 8
LONG = 2 * SIZE
"""A run of so many bytes holds a whole word; and that word has eight of the others before and behind it."""


def _each(byte: int) -> pa.Scalar:
    """A word that has this byte everywhere."""
    return pa.scalar(int.from_bytes(bytes([byte] * SIZE), sys.byteorder), pa.uint64())


def _last(number: int) -> pa.Scalar:
    """A word in which the marks of so many bytes are set, which come last in the text."""
    return pa.scalar(int.from_bytes(b"\x80" * number, sys.byteorder) << _shift(number), pa.uint64())


def _shift(number: int) -> int:
    return 8 * (SIZE - number) if sys.byteorder == "little" else 0


_MARKS, _LOW = _each(0x80), _each(0x7F)
_FROM_POINT, _ABOVE_NINE = _each(0x80 - ord(".")), _each(0x7F - ord("9"))
_LAST = [_last(number) for number in range(SIZE + 1)]
_FIRST = [pa.scalar(_MARKS.as_py() ^ last.as_py(), pa.uint64()) for last in _LAST]
"""The marks of all bytes but the last ones."""
_SHIFT_CASE, _FROM_BRACE = _each(0x20), _each(0x80 - ord("{"))
_NONE = pa.scalar(0, pa.uint64())


def no_long_run(data: bytes) -> bool:
    """Whether surely no `LONG` bytes in a row are all digits, points or slashes."""
    words = _words(data)
    if not len(words):
        return True
    ascii = pc.bit_wise_and(words, _LOW)
    beyond = pc.bit_wise_xor(pc.add(ascii, _FROM_POINT), pc.add(ascii, _ABOVE_NINE))
    marks = pc.bit_wise_and(beyond, _MARKS)  # from "." on, but not above "9"
    full = pc.equal(marks, _MARKS)
    if full[0].as_py() or full[-1].as_py():
        return False
    inner = full.slice(1, max(0, len(full) - 2))
    before, behind = (marks.slice(start, len(inner)).filter(inner) for start in (0, 2))
    return not any(_joined(before, behind, last, first) for last, first in zip(_LAST, _FIRST, strict=True))


def _joined(before: pa.Array, behind: pa.Array, last: pa.Scalar, first: pa.Scalar) -> bool:
    """Whether a word anywhere ends, and the next but one begins, with marks that are eight together."""
    marks = pc.bit_wise_or(pc.bit_wise_and(before, last), pc.bit_wise_and(behind, first))
    return bool(pc.any(pc.equal(marks, _MARKS), min_count=0).as_py())


def with_brackets(data: bytes) -> bytes:
    """The words of a text that may hold brackets, in their order: every bracket is in one of them."""
    words = _words(data)
    upper = pc.bit_wise_and(pc.bit_wise_or(words, _SHIFT_CASE), _LOW)  # "[" becomes "{", "]" becomes "}"
    marks = pc.bit_wise_and(pc.add(upper, _FROM_BRACE), _MARKS)
    found = words.filter(pc.not_equal(marks, _NONE)).buffers()[1]
    return (b"" if found is None else found.to_pybytes()) + bytes(data[len(words) * SIZE :])


def _words(data: bytes) -> pa.UInt64Array:
    """The text without a copy, and without the rest that is shorter than a word."""
    return pa.Array.from_buffers(pa.uint64(), len(data) // SIZE, [None, pa.py_buffer(data)])
