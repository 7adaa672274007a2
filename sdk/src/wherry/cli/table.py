"""Tables of text: as wide as it takes when piped, fitted when there is a terminal or COLUMNS; values on one line."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap

from wherry.cli.style import Line, look, write

_GAP = "  "
_LEAST = 8
"""Cells that a column keeps before columns are left out."""
_WORD = 24
"""Cells of a word that a listing does not break."""
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> None:
    """Print rows under column heads on standard output; where that does not fit, one row below the other.

    Columns that are empty in every row are left out.  right: positions of columns that are aligned to the right.
    """
    kept = [i for i in range(len(columns)) if i == 0 or any(row[i] for row in rows)]
    heads = [columns[i] for i in kept]
    body = [[clean(row[i]) for i in kept] for row in rows]
    seen = look(sys.stdout)
    if seen.width is not None and rows and sum(_floors(heads, body)) + len(_GAP) * (len(heads) - 1) > seen.width:
        write(sys.stdout, _stacked(heads, body, seen.width), seen.color)
        return
    printer = Printer(heads, {kept.index(i) for i in right if i in kept}, folded=True)
    printer.page(body)


def _floors(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Cells that each column needs so that no word of ordinary length is broken."""
    columns = zip(heads, *rows, strict=True)
    return [max(min(_WORD, max(map(cells, cell.split()), default=0)) for cell in column) for column in columns]


def _stacked(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[Line]:
    """Each row as lines of name and value, a blank line between two."""
    first = max(map(cells, heads))
    for number, row in enumerate(rows):
        if number:
            yield []
        for head, cell in zip(heads, row, strict=True):
            for place, line in enumerate(_wrapped(cell, max(_LEAST, width - first - len(_GAP)))) if cell else ():
                yield [(pad(head if place == 0 else "", first), "bold"), (_GAP + line, "")]


def _wrapped(text: str, width: int) -> list[str]:
    """In pieces of at most `width` cells; characters that take two of them are counted as if all did."""
    return wrap(text, width if cells(text) == len(text) else max(1, width // 2), break_on_hyphens=False)


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
        widths = self._widths
        if self._look.width is not None:
            floors = _floors(self._heads, body) if self._folded else None
            widths = fit(widths, self._look.width, floors)
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
        wrapped = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=False)]
        return zip_longest(*wrapped, fillvalue="")

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        shown = [
            pad(cut(cell, width), width, right=place in self._right)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        return _GAP.join(shown).rstrip()


def fit(widths: Sequence[int], total: int, floors: Sequence[int] | None = None) -> list[int]:
    """Widths that together with the gaps take at most `total`: the widest give first, then the last columns go.

    floors: what each column needs at least.
    """
    least = [min(width, _LEAST) for width in widths] if floors is None else floors
    kept = len(widths)
    while kept > 1 and sum(least[:kept]) + len(_GAP) * (kept - 1) > total:
        kept -= 1
    if kept == 1:
        return [min(widths[0], total)]
    fitted, left = list(least[:kept]), kept
    room = total - len(_GAP) * (kept - 1) - sum(fitted)
    for place in sorted(range(kept), key=lambda place: widths[place] - least[place]):  # the narrow leave room
        more = min(widths[place] - least[place], room // left)
        fitted[place] += more
        room, left = room - more, left - 1
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


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` cells, with … in its middle: names of a family differ at their ends."""
    if cells(text) <= width:
        return text
    end, used = "", 0
    for character in reversed(text):
        used += _cell(character)
        if used > width // 2:
            break
        end = character + end
    return cut(text, width - cells(end)) + end


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` filled up with spaces."""
    space = " " * (width - cells(text))
    return space + text if right else text + space


def _cell(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
