"""What the literals of a text column are: facts gathered batch by batch, merged, and turned into an exact Arrow type.

Every rule keeps values exactly. A column is a number, boolean, date or time only if each of its literals is; else its
text is kept as it is ("007", "+5", "1_000", "yes"). Facts come from whole columns by Arrow kernels, never row by row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from wherry import NumberFacts

MARKERS = pa.array(["NA", "NULL", "\\N"])
"""Literals that mean NULL in a column whose other values are not text."""
SPECIAL = pa.array(["NaN", "nan", "inf", "-inf", "Infinity", "-Infinity"])
PLAIN = r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)"
NUMBER = rf"^{PLAIN}(?:[eE][+-]?[0-9]{{1,4}})?$"
PLAIN = rf"^{PLAIN}$"
NEGATIVE_ZERO = r"^-(?:0|\.0)[.0]*$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
TIME = rf"^{CLOCK}$"
TIMESTAMP = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]){CLOCK}(Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)?$"
BOOLS = {"true": "lower", "false": "lower", "True": "title", "False": "title", "TRUE": "upper", "FALSE": "upper"}
YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""The years 1 to 9999, and what nanoseconds reach, in microseconds around 1970."""
NANOS_REACH = (-9_223_372_036_854_775, 9_223_372_036_854_775)
SURE_DIGITS = 15
"""A decimal of so many digits comes back unchanged from a double."""
LONGEST_MICROS = {"timestamp": len("2024-01-31 23:59:59.999999"), "time": len("23:59:59.999999")}
"""No literal up to this length has more than six digits of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a column. kind: "" (no value yet), number, bool, date, timestamp, time or text.

    form: values of one kind with different forms do not mix.  markers: `MARKERS` were seen.
    nanos: some second has more than six digits after its point.  far: some date-time is out of reach of nanoseconds.
    """

    kind: str = ""
    form: str = ""
    number: NumberFacts | None = None
    nanos: bool = False
    far: bool = False
    markers: bool = False

    def merge(self, other: Facts) -> Facts:
        """Facts about both sets of values."""
        markers = self.markers or other.markers
        if not self.kind or not other.kind:
            return replace(self if self.kind else other, markers=markers)
        if (self.kind, self.form) != (other.kind, other.form):
            return TEXT_FACTS
        number = self.number.merge(other.number) if self.number and other.number else None
        return replace(self, number=number, nanos=self.nanos or other.nanos, far=self.far or other.far, markers=markers)

    def type(self) -> pa.DataType:
        """The Arrow type that keeps every value exactly; text where nothing else does."""
        unit = "ns" if self.nanos else "us"
        match self.kind:
            case "number" if self.number:
                return self.number.type() or pa.string()
            case "bool":
                return pa.bool_()
            case "date":
                return pa.date32()
            case "timestamp" if not (self.nanos and self.far):
                return pa.timestamp(unit, "UTC" if self.form.endswith("z") else None)
            case "time":
                return pa.time64(unit)
        return pa.string()

    @property
    def null_markers(self) -> bool:
        """Whether `MARKERS` in this column are NULL."""
        return self.markers and (not self.kind or self.type() != pa.string())


TEXT_FACTS = Facts(kind="text")


def observe(values: pa.StringArray, markers: bool = True) -> Facts:
    """Facts about one batch of a column. markers: whether `MARKERS` may mean NULL."""
    values = values.drop_null()
    seen = False
    if markers and len(values):
        is_marker = pc.is_in(values, value_set=MARKERS)
        seen = bool(pc.any(is_marker).as_py())
        if seen:
            values = values.filter(pc.invert(is_marker))
    if not len(values):
        return Facts(markers=seen)
    return replace(_classify(values), markers=seen)


def convert(values: pa.StringArray, type: pa.DataType, markers: bool) -> pa.Array:
    """The values in the type that their facts gave. Raises `pa.ArrowInvalid` for a literal not seen before."""
    if markers:
        values = pc.if_else(pc.is_in(values, value_set=MARKERS), pa.scalar(None, pa.string()), values)
    if pa.types.is_time(type):
        return _on_epoch(values).cast(pa.timestamp(type.unit)).cast(type)
    return values if type == pa.string() else values.cast(type)


def _classify(values: pa.StringArray) -> Facts:
    """By the first value, which names the only kinds possible, checked on all."""
    first = values[0].as_py()
    if re.match(NUMBER, first) or first in SPECIAL.to_pylist():
        return _numbers(values)
    if first in BOOLS:
        return _bools(values, BOOLS[first])
    if re.match(DATE, first):
        return TEXT_FACTS if _cast(values, DATE, pa.date32()) is None else Facts(kind="date")
    if re.match(TIMESTAMP, first):
        return _timestamps(values, first)
    return _times(values, first) if re.match(TIME, first) else TEXT_FACTS


def _numbers(values: pa.StringArray) -> Facts:
    whole = _integers(values)
    if whole is not None:
        return Facts(kind="number", number=whole)
    special = pc.is_in(values, value_set=SPECIAL)
    has_special = bool(pc.any(special).as_py())
    plain = values.filter(pc.invert(special)) if has_special else values
    exponents = not _all(pc.match_substring_regex(plain, PLAIN))
    if exponents and not _all(pc.match_substring_regex(plain, NUMBER)):
        return TEXT_FACTS
    number = _measure(plain, exponents) if len(plain) else NumberFacts(whole=False)
    if has_special:
        number = replace(number, whole=False, plain=False, broken=True)
    return Facts(kind="number", number=number)


def _integers(values: pa.StringArray) -> NumberFacts | None:
    """Facts of canonical 64-bit integers: those that print as they were written."""
    if pc.max(pc.find_substring(values, ".")).as_py() >= 0:  # a cast that fails is slow
        return None
    try:
        integers = values.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    if not _all(pc.equal(integers.cast(pa.string()), values)):
        return None
    bounds = pc.min_max(integers).as_py()
    largest = max(abs(bounds["min"]), abs(bounds["max"]))
    return NumberFacts(left=len(str(largest)), double=largest <= NumberFacts.EXACT_INTEGER)


def _measure(values: pa.StringArray, exponents: bool) -> NumberFacts:
    """Facts of literals that match `NUMBER`, some with exponents or none, and are not all canonical integers."""
    length = pc.binary_length(values)
    point = pc.find_substring(values, ".")
    has_point = pc.greater_equal(point, 0)
    scale = pc.min_max(pc.if_else(has_point, pc.subtract(pc.subtract(length, point), 1), 0)).as_py()
    negative = pc.starts_with(values, "-")
    left = pc.subtract(pc.if_else(has_point, point, length), negative.cast(pa.int32()))
    broken = exponents or bool(pc.any(has_point).as_py())
    plain = not exponents and not (pc.any(negative).as_py() and _has_negative_zero(values))
    unsure = pc.greater(length, -1 if exponents else SURE_DIGITS)
    return NumberFacts(
        whole=not broken and plain,
        int64=False,
        left=pc.max(left).as_py(),
        least_scale=scale["min"],
        most_scale=scale["max"],
        double=_doubles(values.filter(unsure)),
        plain=plain,
        broken=broken,
    )


def _has_negative_zero(values: pa.StringArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, NEGATIVE_ZERO)).as_py())


def _doubles(values: pa.StringArray) -> bool:
    """Whether each literal equals what its double prints."""
    doubles = values.cast(pa.float64())
    if not _all(pc.is_finite(doubles)):
        return False
    odd = values.filter(pc.not_equal(doubles.cast(pa.string()), values)).unique()
    return all(Decimal(repr(float(literal))) == Decimal(literal) for literal in odd.to_pylist())


def _bools(values: pa.StringArray, form: str) -> Facts:
    accepted = pa.array([literal for literal, of in BOOLS.items() if of == form])
    return Facts(kind="bool", form=form) if _all(pc.is_in(values, value_set=accepted)) else TEXT_FACTS


def _timestamps(values: pa.StringArray, example: str) -> Facts:
    """Date-times of one form: the same separator, with or without seconds, all or none with an offset."""
    found: Any = re.match(TIMESTAMP, example)
    separator, seconds, _, zone = found.groups()
    clock = CLOCK.removesuffix("?") if seconds else "[0-9]{2}:[0-9]{2}"
    offset = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)" if zone else ""
    pattern = rf"^{DATE[1:-1]}{separator}{clock}{offset}$"
    nanos = _nanos(values, "timestamp")
    type = pa.timestamp("ns" if nanos else "us", "UTC" if zone else None)
    moments = _cast(values, pattern, type)
    if moments is None:
        return TEXT_FACTS
    first, last = NANOS_REACH if nanos else _bounds(moments)
    if first < YEARS[0] or last > YEARS[1]:  # by its offset, in a year that few engines know
        return TEXT_FACTS
    form = separator + ("s" if seconds else "m") + ("z" if zone else "")
    return Facts(kind="timestamp", form=form, nanos=nanos, far=first < NANOS_REACH[0] or last > NANOS_REACH[1])


def _bounds(times: pa.TimestampArray) -> tuple[int, int]:
    found = pc.min_max(times.cast(pa.int64()))
    return found["min"].as_py(), found["max"].as_py()


def _times(values: pa.StringArray, first: str) -> Facts:
    seconds = len(first) > 5
    pattern = f"^{CLOCK.removesuffix('?') if seconds else '[0-9]{2}:[0-9]{2}'}$"
    stamped = _on_epoch(values)
    if not _all(pc.match_substring_regex(values, pattern)) or _cast(stamped, "", pa.timestamp("ns")) is None:
        return TEXT_FACTS
    return Facts(kind="time", form="s" if seconds else "m", nanos=_nanos(values, "time"))


def _nanos(values: pa.StringArray, kind: str) -> bool:
    """Whether some fraction has more than six digits."""
    if pc.max(pc.binary_length(values)).as_py() <= LONGEST_MICROS[kind]:
        return False
    return bool(pc.any(pc.match_substring_regex(values, r"\.[0-9]{7}")).as_py())


def _cast(values: pa.StringArray, pattern: str, type: pa.DataType) -> pa.Array | None:
    """The values in that type; None unless all match and none is of year 0, which not every engine knows."""
    if pattern and not _all(pc.match_substring_regex(values, pattern)):
        return None
    try:
        found = values.cast(type)
    except pa.ArrowInvalid:
        return None
    return None if pc.any(pc.starts_with(values, "0000")).as_py() else found


def _on_epoch(clock: pa.StringArray) -> pa.StringArray:
    """Times of day as date-times of one day, which Arrow can parse."""
    return pc.binary_join_element_wise(pa.scalar("1970-01-01"), clock, " ")


def _all(flags: pa.BooleanArray) -> bool:
    return bool(pc.all(flags, min_count=0).as_py())
