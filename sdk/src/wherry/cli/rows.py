"""Arrow rows on standard output: a table, JSON lines or CSV; batch by batch, however many there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from wherry.cli.table import Printer
from wherry.cli.values import NULL, dumps, numbers_of, objects_of, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

_PAGE = 1_000
"""Rows that are fitted together."""


def print_rows(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """A table, its heads also without any row; returns how many rows there were. A batch may bring other columns."""
    printer, names, count = Printer(schema.names, numbers_of(schema)), list(schema.names), 0
    begun = False
    for batch in batches:
        if batch.schema.names != names:
            names = list(batch.schema.names)
            printer = Printer(names, numbers_of(batch.schema))
        for start in range(0, batch.num_rows, _PAGE):
            rows = rows_of(batch.slice(start, _PAGE))
            printer.page([[NULL if cell is None else cell for cell in row] for row in rows])
            begun = True
            count += len(rows)
    if not begun:
        printer.page([])
    if printer.hidden:
        click.echo(f"… and {printer.hidden} more columns: choose some, or widen the window")
    return count


def print_json(batches: Iterable[pa.RecordBatch], stream: str | None = None) -> int:
    """One JSON object a line, inside one that names the stream if one is given; returns how many."""
    count = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _PAGE):
            rows = objects_of(batch.slice(start, _PAGE))
            lines = [dumps(row if stream is None else {"stream": stream, "row": row}) for row in rows]
            click.echo("\n".join(lines))
            count += len(lines)
    return count


def print_csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """CSV with a header; NULL is an empty field, an empty text is quoted; returns how many rows."""
    click.echo(",".join(map(_field, schema.names)))
    count = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _PAGE):
            lines = [",".join(map(_field, row)) for row in rows_of(batch.slice(start, _PAGE))]
            click.echo("\n".join(lines))
            count += len(lines)
    return count


def _field(text: str | None) -> str:
    if text is None:
        return ""
    if text and not any(sign in text for sign in ',"\r\n') and text.strip() == text:
        return text
    return '"' + text.replace('"', '""') + '"'
