"""`wherry sql`: ask a destination in its own language. Only reads, takes no lease."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.connect import End, new_destination
from wherry.cli.ends import errors_of, holding
from wherry.cli.options import dest_set_option, destination_argument, environment_option, schema_option, workspace
from wherry.cli.rows import print_csv, print_json, print_rows
from wherry.errors import DestinationError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_WRITES = (
    *("insert", "update", "delete", "merge", "truncate", "copy", "create", "alter", "drop", "comment", "grant"),
    *("revoke", "refresh", "reindex", "vacuum", "attach", "import", "do", "begin", "replace"),
)
"""First words of statements that change something."""
_NAMED = 6
"""Schemas that are named."""
_MISTAKE = re.compile(r"\bSQLSTATE 42")
"""The standard's class of syntax errors, unknown names and missing rights."""


@click.command(short_help="Query a destination.")
@destination_argument
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: NULL is an empty field, an empty text is quoted.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many rows.")
@schema_option
@environment_option
@dest_set_option
@json_option
@debug_option
@pass_app
def sql(
    app: App, destination: str, query: str, as_csv: bool, limit: int | None, schema: str | None,
    dest_sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Run one statement that reads, on DEST, and print its rows; QUERY may be - for standard input.

    Bare table names are looked up in --schema, or in the only schema that wherry wrote to.
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other", next="choose one")
    if query == "-":
        query = sys.stdin.read()
    if not query.strip():
        raise UsageError("the query is empty", next='wherry sql DEST "select 1"')
    end = workspace(app).destination(destination, dest_sets)
    if not end.cls.capabilities.sql:
        raise UsageError(f"destination {end.connector} runs no SQL", next="wherry plugins info tells which do")
    known = [schema] if schema else _schemas(end)
    place = known[0] if len(known) == 1 else "main"
    with holding(end, "", place) as session, errors_of(end), _reading(query, known):
        reader = session.execute(query)
        if reader is None:
            click.echo("done: the statement has no rows", err=as_csv or as_json)
            return
        _print(reader, limit, as_json=as_json, as_csv=as_csv)


def _schemas(end: End) -> list[str]:
    with errors_of(end):
        return sorted({schema for schema, _ in new_destination(end).pipelines()})


@contextmanager
def _reading(query: str, schemas: Sequence[str]) -> Iterator[None]:
    """A statement that the engine refuses is the user's mistake; one that writes is not for this command."""
    try:
        yield
    except (DestinationError, UsageError) as error:
        word = _first_word(query)
        if word in _WRITES:
            remedy = f"wherry sql only reads; to {word} use the engine's own shell"
        elif isinstance(error, UsageError) and error.key:
            raise
        elif isinstance(error, UsageError) or _MISTAKE.search(error.message):
            remedy = _correction(error.message, schemas)
        else:
            raise
        raise UsageError(error.message, next=remedy) from error


def _correction(message: str, schemas: Sequence[str]) -> str:
    """What to do about a statement that the engine did not understand: tables are often looked for in vain."""
    from wherry.cli.summary import Readable

    names = [Readable().identifier(schema) for schema in schemas]
    if "does not exist" in message and len(names) > 1:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"write SCHEMA.TABLE; the schemas here: {', '.join(names[:_NAMED])}{more}"
    quoted = [name for name in names if name.startswith('"') and name in message]
    return f"write the schema in quotes: {quoted[0]}.TABLE" if quoted else "correct the statement"


def _first_word(query: str) -> str:
    """Of the statement, after comments and parentheses."""
    text = re.sub(r"^(\s|\(|--[^\n]*(\n|$)|/\*.*?\*/)*", "", query, flags=re.DOTALL)
    match = re.match(r"\w+", text)
    return match[0].lower() if match else ""


def _print(reader: pa.RecordBatchReader, limit: int | None, *, as_json: bool, as_csv: bool) -> None:
    batches = _limited(reader, limit)
    try:
        if as_json:
            print_json(batches)
        elif as_csv:
            print_csv(reader.schema, batches)
        else:
            print_rows(reader.schema, batches)
    finally:
        reader.close()


def _limited(reader: pa.RecordBatchReader, limit: int | None) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        if limit is None:
            yield batch
            continue
        yield batch.slice(0, limit)
        limit -= min(limit, batch.num_rows)
        if not limit:
            return
