"""Tables of text: as wide as it takes when piped, fitted when there is a terminal or COLUMNS; values on one line."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from textwrap import wrap

from wherry.cli.style import Line, look, write

_GAP = "  "
_LEAST = 8
"""Cells that a column keeps before columns are left out."""
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> None:
    """Print rows under column heads on standard output, long cells on several lines.

    Columns that are empty in every row are left out.  right: positions of columns that are aligned to the right.
    """
    kept = [i for i in range(len(columns)) if i == 0 or any(row[i] for row in rows)]
    numbers = {kept.index(i) for i in right if i in kept}
    printer = Printer([columns[i] for i in kept], numbers, folded=True)
    printer.page([[row[i] for i in kept] for row in rows])


class Printer:
    """A table that comes in pages: each is fitted to what was seen so far, so that none has to wait for the last."""

    def __init__(self, heads: Sequence[str], right: Iterable[int] = (), *, folded: bool = False) -> None:
        """folded: long cells go on in the next line; else they end in …"""
        self._heads = [clean(head) for head in heads]
        self._right = frozenset(right)
        self._widths = [cells(head) for head in self._heads]
        self._look = look(sys.stdout)
        self._folded = folded
        self._begun = False
        self.hidden = 0
        """Columns that had no room."""

    def page(self, rows: Iterable[Sequence[str]]) -> None:
        """Print rows, before the first page the heads."""
        body = [[clean(cell) for cell in row] for row in rows]
        for row in body:
            self._widths = [max(width, cells(cell)) for width, cell in zip(self._widths, row, strict=True)]
        widths = self._widths if self._look.width is None else fit(self._widths, self._look.width)
        self.hidden = len(self._heads) - len(widths)
        printed: list[Line] = [] if self._begun else [[(self._line(self._heads, widths), "bold")]]
        self._begun = True
        for row in body:
            lines = self._lines(row, widths) if self._folded else [row]
            printed += [[(self._line(line, widths), "")] for line in lines]
        write(sys.stdout, printed, self._look.color)

    @staticmethod
    def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterable[Sequence[str]]:
        if all(cells(cell) <= width for cell, width in zip(row, widths, strict=False)):
            return [row]
        wrapped = [wrap(cell, width) for cell, width in zip(row, widths, strict=False)]
        return zip_longest(*wrapped, fillvalue="")

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        shown = [
            pad(cut(cell, width), width, right=place in self._right)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        return _GAP.join(shown).rstrip()


def fit(widths: Sequence[int], total: int) -> list[int]:
    """Widths that together with the gaps take at most `total`: the widest give first, then the last columns go."""
    kept = len(widths)
    while kept > 1 and sum(min(w, _LEAST) for w in widths[:kept]) + len(_GAP) * (kept - 1) > total:
        kept -= 1
    room = max(1, total - len(_GAP) * (kept - 1))
    fitted, left = [0] * kept, kept
    for place in sorted(range(kept), key=lambda place: widths[place]):  # narrow columns leave room to wide ones
        fitted[place] = min(widths[place], max(1, room // left))
        room, left = room - fitted[place], left - 1
    return fitted


def clean(text: str) -> str:
    """`text` on one line: what would move a cursor or turn the direction of writing is spelled out."""
    if text.isprintable():
        return text
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def cells(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, with … where something is missing."""
    if cells(text) <= width:
        return text
    used, kept = 1, []
    for character in text:
        used += _cell(character)
        if used > width:
            break
        kept.append(character)
    return "".join(kept) + "…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` filled up with spaces."""
    space = " " * (width - cells(text))
    return space + text if right else text + space


def _cell(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
