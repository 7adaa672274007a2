"""`wherry discover`: the streams that a source offers, and their columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.ends import discovered, reading
from wherry.cli.options import environment_option, set_option, source_argument, stream_option, workspace
from wherry.cli.peek import peeked
from wherry.cli.table import Printer, show

if TYPE_CHECKING:
    import pyarrow as pa

    from wherry.contracts.values import Stream


@click.command(short_help="The streams that a source offers.")
@source_argument
@stream_option
@click.option("--columns", is_flag=True, help="List the columns of each stream.")
@environment_option
@set_option
@json_option
@debug_option
@pass_app
def discover(
    app: App, source: str, streams: tuple[str, ...], columns: bool, sets: tuple[str, ...], as_json: bool
) -> None:
    """List the streams that SOURCE offers: key, cursor, estimated rows; with --columns what they are made of.

    Columns that no schema tells of are those of the first rows, which are read for it.
    """
    from wherry.pipeline.select import Wishes

    end = workspace(app).source(source, sets)
    with reading(end) as opened:
        found = discovered(end, opened, Wishes(only=streams or ("*",)))
        if columns:
            with end.errors():
                found = [peeked(opened, stream) for stream in found]
    if as_json:
        click.echo(json.dumps([_record(stream, columns) for stream in found], indent=2, ensure_ascii=False))
    elif columns:
        _print_columns(found)
    else:
        show(("stream", "key", "cursor", "rows", "description"), [_row(stream) for stream in found], right=(3,))


def _row(stream: Stream) -> tuple[str, ...]:
    rows = "" if stream.row_estimate is None else f"{stream.row_estimate:,}"
    return stream.path, ", ".join(stream.primary_key), stream.cursor or "", rows, stream.description or ""


def _print_columns(streams: list[Stream]) -> None:
    """One line a column: the stream's name stands on each, so that lines can be filtered."""
    heads = ("stream", "column", "type", "null", "role", "comment")
    rows = [(stream.path, *_column_row(stream, field)) for stream in streams for field in stream.schema]
    kept = [place for place in range(len(heads)) if place < 4 or any(row[place] for row in rows)]
    Printer([heads[place] for place in kept]).page([[row[place] for place in kept] for row in rows])


def _column_row(stream: Stream, field: pa.Field) -> tuple[str, ...]:
    from wherry.pipeline.types import show as type_name

    roles = ["key"] if field.name in stream.primary_key else []
    roles += ["cursor"] if field.name in (stream.cursor, *stream.cursors) else []
    return field.name, type_name(field), "" if field.nullable else "not null", ", ".join(roles), _comment(field)


def _comment(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"description", b"").decode(errors="replace"))


def _record(stream: Stream, columns: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "stream": stream.path, "namespace": stream.namespace, "name": stream.name,
        "primary_key": list(stream.primary_key), "cursor": stream.cursor, "cursors": list(stream.cursors),
        "changes": stream.changes, "row_estimate": stream.row_estimate, "description": stream.description,
        "notes": list(stream.notes),
    }  # fmt: skip
    return record | ({"columns": [_column_record(field) for field in stream.schema]} if columns else {})


def _column_record(field: pa.Field) -> dict[str, Any]:
    from wherry.pipeline.types import show as type_name

    arrow = {"name": field.name, "type": type_name(field), "arrow": str(field.type), "nullable": field.nullable}
    native = (field.metadata or {}).get(b"wherry:type")
    return arrow | {"native": native.decode() if native else None, "comment": _comment(field) or None}
