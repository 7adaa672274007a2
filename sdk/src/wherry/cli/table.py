"""Tables: aligned plain text when piped, drawn by rich on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under column heads on standard output. Columns that are empty in every row are left out."""
    kept = [i for i in range(len(columns)) if i == 0 or any(row[i] for row in rows)]
    heads, body = [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
    if sys.stdout.isatty():
        _draw(heads, body)
        return
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    for row in [heads, *body]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: a cell is never markup
    Console().print(table)
