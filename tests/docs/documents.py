"""The pages of this repository: their fenced blocks, and the parts of them that are generated between markers.

<!-- generated: config source files -->
…
<!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"(?P<begin><!-- generated: (?P<what>[^>]+?) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block. language: the first word after the fence.  title: the file that it is part of, or "".

    line: of the page, from 1.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for messages and test names."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every page, the connectors' own included."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "sdk" / "docs").glob("*.md")]
    return sorted([*found, *ROOT.glob("connectors/*/README.md"), *ROOT.glob("destinations/*/README.md")])


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks in their order."""
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        language, _, title = match["info"].strip().partition(" title=")
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, language, title, match["text"]))
    return found


def filled(text: str, make: Callable[[str], str]) -> str:
    """The page with every generated part made anew; `make` gets the words of the marker."""
    return _PART.sub(lambda match: f"{match['begin']}\n{make(match['what']).strip()}\n\n{match['end']}", text)


def parts(text: str) -> list[str]:
    """The words of the page's markers."""
    return [match["what"] for match in _PART.finditer(text)]
