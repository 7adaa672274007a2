"""Rows of CSV as machines write them, known by one regular expression: each field empty, or of its column's kind.

What matches, every reader takes apart alike, and each literal is one of those whose value all types of its kind keep:
so a parser need not look at a file to know that its columns have the types that its head shows.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from wherry_source_files.config import FilesConfig
from wherry_source_files.formats.literals import Facts

MOST = 20_000
"""Signs of an expression; a much longer one outgrows the memory of its machine, which then is slow."""
_DAYS = (
    r"(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])"
)
_FOUR = "0[48]|[2468][048]|[13579][26]"
_YEAR = "[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9]"
_DATE = rf"(?:(?:{_YEAR})-(?:{_DAYS})|(?:[0-9]{{2}}(?:{_FOUR})|(?:{_FOUR})00)-02-29)"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_DIGITS = 15
"""Digits of a number that every double keeps."""
_SPLITS = "|".join(rf"[1-9][0-9]{{0,{left - 1}}}\.[0-9]{{1,{_DIGITS - left}}}" for left in (3, 6, 9, 12, 14))
_FLOAT = rf"-?(?:0|[1-9][0-9]{{0,14}}|0\.[0-9]{{1,15}}|{_SPLITS})"
_KINDS = {
    "": "", "int": "0|-?[1-9][0-9]{0,17}", "long": "0|-?[1-9][0-9]{0,18}", "float": _FLOAT, "bool": "true|false",
    "date": _DATE, "timestamp ": f"{_DATE} {_CLOCK}", "timestampT": f"{_DATE}T{_CLOCK}",
}  # fmt: skip
"""By kind: literals that change nothing of what is known of a column; "" is a column without a value."""
_SIGN, _SOLID, _QUOTED = r'[^"{d}\n\r\x00]', r'[^" \t{d}\n\r\x00]', r'[^"\n\r\x00]'
_LINES = r'[^"\r\x00]'
_STRAY = '{sign}*{solid}"+(?:(?:{solid}|{solid}{sign}*{solid})"+)*(?:{solid}{sign}*)?'
"""A field with quotes that begin nothing and have no blanks beside them: to some readers those are not of the value."""


def is_plain(config: FilesConfig, names: list[str], delimiter: str) -> bool:
    """Whether rows and names are such that a template can stand for them."""
    usual = config.quote == '"' and config.escape is None and config.null is None
    return usual and len(names) > 1 and not any(sign in name for name in names for sign in ('"', "\n", delimiter))


def kind_of(facts: Facts) -> str | None:
    """The kind of a column: "text", "int", "float", "bool", "date", "decimal(p,s)", "timestamp " and "timestampT" by
    what stands between day and time, "" without a value. None for all others: their literals need a look each."""
    kind, type, number = facts.kind, facts.type(), facts.number
    if kind == "text":
        return "text"
    if facts.markers:
        return None
    if kind == "number" and pa.types.is_decimal(type) and number and number.least_scale == number.most_scale:
        return f"decimal({type.precision},{type.scale})"
    if kind == "number" and not pa.types.is_string(type) and not pa.types.is_decimal(type):
        return "int" if pa.types.is_integer(type) else "float"
    if kind == "timestamp" and facts.form in (" s", "Ts") and type == pa.timestamp("us"):
        return f"timestamp{facts.form[0]}"
    plain = kind in ("", "date") or (kind == "bool" and facts.form == "lower")
    return kind if plain else None


class RowTemplate:
    """Tells rows of which each field is empty or a literal of its column's kind; in quotes only text may be.

    kinds: those of `kind_of`, in the order of the columns; "long" for integers that an int64 may not hold, "any" for
    literals that do not matter.  windows: whether lines may also end as on Windows.
    """

    def __init__(self, kinds: list[str], delimiter: str, windows: bool = False) -> None:
        self.columns = len(kinds)
        self.delimiter = delimiter.encode()
        self._end = r"\r?" if windows else ""
        self._usual = self._rows(kinds, _QUOTED)
        self._any = self._rows(kinds, _LINES)

    def holds(self, data: memoryview) -> bool | None:
        """Whether all of `data`, whole lines, are such rows, in UTF-8; None: they are, but lines may end in values.

        Other threads run meanwhile.
        """
        if not _is_utf8(data):
            return False
        if _matches(data, self._usual):
            return True
        return None if _matches(data, self._any) else False

    @property
    def wide(self) -> bool:
        """Whether there are so many columns that a parser is faster."""
        return len(self._any) > MOST

    def is_header(self, line: bytes) -> bool:
        """Whether this first line has a name for each column, on which no two readers differ."""
        plain = b"\r" not in line.removesuffix(b"\r" if self._end else b"") and b"\0" not in line
        return plain and line.count(self.delimiter) == self.columns - 1

    def _rows(self, kinds: list[str], quoted: str) -> str:
        delimiter = f"\\x{self.delimiter[0]:02x}"
        sign, solid = _SIGN.format(d=delimiter), _SOLID.format(d=delimiter)
        text = f'(?:{sign}+|{_STRAY.format(sign=sign, solid=solid)}|"(?:{quoted}|"")*")?'
        fields = (text if kind in ("text", "any") else f"(?:{_literals(kind)})?" for kind in kinds)
        return rf"\A(?:{delimiter.join(fields)}{self._end}\n)*\z"


def _literals(kind: str) -> str:
    if not kind.startswith("decimal"):
        return _KINDS[kind]
    precision, scale = map(int, kind[len("decimal(") : -1].split(","))
    long = f"[1-9][0-9]{{0,{precision - scale - 1}}}" if precision > scale else "[1-9]"
    if not scale:
        return f"0|-?{long}"
    small = "|".join(f"0{{{zeros}}}[1-9][0-9]{{{scale - zeros - 1}}}" for zeros in range(scale))
    return rf"0\.[0-9]{{{scale}}}|-?{long}\.[0-9]{{{scale}}}|-0\.(?:{small})"


def _is_utf8(data: memoryview) -> bool:
    try:
        _as_value(data, pa.large_string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _matches(data: memoryview, pattern: str) -> bool:
    return bool(pc.match_substring_regex(_as_value(data, pa.large_binary()), pattern)[0].as_py())


def _as_value(data: memoryview, type: pa.DataType) -> pa.Array:
    """An array of this one value, which is not copied."""
    offsets = pa.array([0, len(data)], pa.int64()).buffers()[1]
    return pa.Array.from_buffers(type, 1, [None, offsets, pa.py_buffer(data)])
