"""What is known of the numbers in one column, and the type that keeps them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFacts:
    """Facts about numeric literals. left: most digits before the point; scales: digits after it.

    whole: all are canonical integers.  double: each is what its double prints.  plain: a decimal type holds each
    (no exponent, no negative zero, no NaN).  broken: some literal has a fraction, an exponent, or is NaN.
    """

    EXACT_INTEGER: ClassVar[int] = 1 << 53
    """Each integer up to this one is a double."""

    whole: bool = True
    left: int = 1
    least_scale: int = 0
    most_scale: int = 0
    double: bool = True
    plain: bool = True
    broken: bool = False
    int64: bool = True

    def merge(self, other: NumberFacts) -> NumberFacts:
        """Facts about both sets of literals."""
        return NumberFacts(
            whole=self.whole and other.whole,
            left=max(self.left, other.left),
            least_scale=min(self.least_scale, other.least_scale),
            most_scale=max(self.most_scale, other.most_scale),
            double=self.double and other.double,
            plain=self.plain and other.plain,
            broken=self.broken or other.broken,
            int64=self.int64 and other.int64,
        )

    def type(self) -> pa.DataType | None:
        """int64, decimal128 or float64; None when only text keeps these literals."""
        if self.whole and self.int64:
            return pa.int64()
        decimal = self.left + self.most_scale if self.plain else 99
        if decimal <= 38 and self.least_scale == self.most_scale:
            return _decimal(decimal, self.most_scale)
        if self.double and self.broken:
            return pa.float64()
        return _decimal(decimal, self.most_scale) if decimal <= 38 else None

    def in_json(self) -> pa.DataType | None:
        """As `type`, but a double before a decimal: in JSON the digits after the point mean no scale."""
        if self.whole and self.int64:
            return pa.int64()
        return pa.float64() if self.double else self.type()


def _decimal(precision: int, scale: int) -> pa.DataType:
    """18 digits or 38: a little more than seen, so that the next file rarely needs a wider column."""
    return pa.decimal128(18 if precision <= 18 else 38, scale)
