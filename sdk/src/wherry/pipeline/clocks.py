"""What is doubtful about the cursor values that a read has seen: told by each run that sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from wherry.contracts.values import Selection
from wherry.pipeline.boundary import LIMIT, Boundary

_AHEAD = 3600 * 10**6
"""Microseconds that a source's clock may be ahead of the destination's before anyone is told."""
_NAIVE = 26 * _AHEAD
"""The same for a time without a zone, or a day: as far as zones are apart, and a little."""
_DAY = 86_400 * 10**6
_MICROSECONDS = {"s": 10**6, "ms": 10**3, "us": 1}


def doubts(selection: Selection, boundary: Boundary, now: int) -> Iterator[str]:
    """One line each. now: UTC microseconds by the destination's clock, never by ours."""
    cursor = selection.cursor
    if left := boundary.all_left_out:
        some, were = ("row", "was") if left == 1 else ("rows", "were")
        yield f"{left:,} {some} without a value in {cursor} {were} left out: --null-cursor exclude"
    if boundary.nulls_overflow:
        yield (
            f"more than {LIMIT:,} rows have no value in {cursor}: every run writes all of them again; "
            "to leave them out: --null-cursor exclude"
        )
    if boundary.unordered and selection.stream.ordered:
        yield f"rows came out of the order of {cursor} that the source had promised: nothing was committed in mid-read"
    if ahead(boundary, now):
        yield (
            f"{cursor} reaches {boundary.window()[1]}, beyond the server's clock: rows that come with an earlier value "
            "are not seen; correct it at the source, then --full-refresh, or leave such rows out: --where"
        )


def ahead(boundary: Boundary, now: int) -> bool:
    """Whether the highest cursor value is a moment that has not come yet."""
    reached = boundary.reached()
    if reached is None:
        return False
    value, type = reached
    if pa.types.is_date32(type):
        return bool(value * _DAY > now + _NAIVE)
    if not pa.types.is_timestamp(type):
        return False
    micros = value // 1000 if type.unit == "ns" else value * _MICROSECONDS[type.unit]
    return bool(micros > now + (_AHEAD if type.tz else _NAIVE))
