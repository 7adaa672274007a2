"""`wherry preview`: the first rows of a source, read as a sync would read them, written nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from wherry.cli import options
from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.ends import discovered, reading
from wherry.cli.options import words, workspace
from wherry.cli.peek import peeked
from wherry.cli.rows import print_json, print_rows
from wherry.cli.table import clean

if TYPE_CHECKING:
    import pyarrow as pa

    from wherry.contracts.source import Source
    from wherry.contracts.values import Selection

_MOST = 10
"""Streams that are previewed when none was named."""


@click.command(short_help="The first rows of a source.")
@options.source_argument
@options.stream_option
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Rows a stream.")
@options.columns_option
@options.where_option
@options.environment_option
@options.set_option
@click.option(
    "--guess", is_flag=True, help="Print lines of a manifest: where rows are, key, paging. Takes an address too."
)
@json_option
@debug_option
@pass_app
def preview(
    app: App, source: str, streams: tuple[str, ...], limit: int, columns: tuple[str, ...], where: str | None,
    sets: tuple[str, ...], guess: bool, as_json: bool,
) -> None:  # fmt: skip
    """Print the first rows of SOURCE as a table; with --json one object a line, of several streams {stream, row}."""
    from wherry.cli.guessing import guess as guess_from
    from wherry.cli.guessing import guess_at, undecided

    if guess:
        guess_from(app, source, streams, sets)
        return
    from wherry.pipeline.select import Wish, Wishes, choose, refuse_unheard

    wishes = Wishes(only=streams or ("*",), common=Wish(columns=words(columns), where=where), limit=limit)
    end = workspace(app).source(source, sets)
    if undecided(end):
        guess_at(end, streams)
        return
    with reading(end) as opened:
        found = discovered(end, opened, wishes)
        for number, stream in enumerate(found if streams else found[:_MOST]):
            if columns:
                with end.errors():
                    stream = peeked(opened, stream)
            selection = choose(stream, wishes, {}).selection
            refuse_unheard([selection], wishes, opened.filters)
            if not as_json and len(found) > 1:
                click.echo(("\n" if number else "") + clean(stream.path))
            with end.errors():
                if as_json:
                    print_json(first_rows(opened, selection), stream.path if len(found) > 1 else None)
                else:
                    print_rows(_columns(selection), first_rows(opened, selection))
    left = len(found) - _MOST
    if left > 0 and not streams and not as_json:
        click.echo(f"\n… and {left:,} more streams: choose with --stream")


def _columns(selection: Selection) -> pa.Schema:
    """What the table shows when no row comes."""
    import pyarrow as pa

    schema = selection.stream.schema
    names = schema.names if selection.columns is None else [n for n in selection.columns if n in schema.names]
    return pa.schema([schema.field(name) for name in names])


def first_rows(source: Source, selection: Selection) -> Iterator[pa.RecordBatch]:
    """At most `selection.limit` rows of one stream, whether the source keeps to the limit or not."""
    from wherry.contracts.values import Batch
    from wherry.pipeline.arrow import batches

    left, path = selection.limit or 0, selection.stream.path
    for plan in source.plan([selection], {}):
        for split in plan.splits:
            items = source.read(split)
            try:
                for item in items:
                    if not isinstance(item, Batch) or item.stream != path:
                        continue
                    for batch in batches(item.data):
                        yield batch.slice(0, left)
                        left -= min(left, batch.num_rows)
                    if left <= 0:
                        return
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()
