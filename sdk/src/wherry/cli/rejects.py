"""`wherry rejects`: the rows that a table could not take, set aside in `<table>__rejected` with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.connect import End, new_destination, pairs
from wherry.cli.ends import errors_of, holding
from wherry.cli.figures import rows as so_many
from wherry.cli.options import (
    added,
    dest_set_option,
    destination_argument,
    environment_option,
    pipeline_option,
    schema_option,
    workspace,
)
from wherry.cli.places import one_place, places
from wherry.cli.state import ask, yes_option
from wherry.cli.table import show as show_table
from wherry.errors import DataError, UsageError

if TYPE_CHECKING:
    from wherry.contracts.destination import Session
    from wherry.pipeline.replay import Kept, Replayed

Command = Callable[..., Any]
_where = (pipeline_option, schema_option, environment_option, dest_set_option, debug_option)
ids_argument = click.argument("ids", nargs=-1, metavar="[ID]...")


@click.group(short_help="Rejected rows: list, show, replay, drop.")
def rejects() -> None:
    """Rows that a table could not take: set aside in TABLE__rejected, with the reason, by `sync --max-rejects`."""


@rejects.command("list")
@added((destination_argument, *_where, json_option))
@pass_app
def list_(
    app: App, destination: str, pipeline: str | None, schema: str | None, dest_sets: tuple[str, ...], as_json: bool
) -> None:
    """List the streams of DEST that have rejected rows: how many, by column and reason."""
    from wherry.pipeline.replay import kept_rejects

    end = workspace(app).destination(destination, dest_sets)
    found: list[dict[str, Any]] = []
    for place in places(end, schema, pipeline):
        with holding(end, place[1], place[0]) as session, errors_of(end):
            for kept in kept_rejects(session, place[0]):
                found += _counted(session, kept, {"schema": place[0], "pipeline": place[1]})
    shown = app.redactor.json(found)
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif not shown:
        click.echo("no rejected rows")
    else:
        heads = ("schema", "pipeline", "stream", "table", "rows", "column", "reason")
        show_table(heads, [[str(row[head] or "") for head in heads] for row in shown], right=(4,))


@rejects.command()
@destination_argument
@click.argument("stream")
@ids_argument
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="At most so many.")
@added((*_where, json_option))
@pass_app
def show(
    app: App, destination: str, stream: str, ids: tuple[str, ...], limit: int, pipeline: str | None,
    schema: str | None, dest_sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Show rejected rows of STREAM with their values, all or those of some IDs (their beginnings will do)."""
    from wherry.cli.rows import print_json, print_rows
    from wherry.pipeline.replay import rows

    end = workspace(app).destination(destination, dest_sets)
    with _kept(end, stream, pipeline, schema) as (session, kept), errors_of(end):
        found = rows(session, kept, ids).slice(0, limit)
    if as_json:
        print_json(found.to_batches())
    else:
        print_rows(found.schema, found.select(["id", "row", "column", "reason", "raw"]).to_batches())


@rejects.command()
@destination_argument
@click.argument("stream")
@ids_argument
@click.option("--type", "types", multiple=True, metavar="COLUMN=TYPE", help="Type to take a column as; repeatable.")
@added((*_where, json_option))
@pass_app
def replay(
    app: App, destination: str, stream: str, ids: tuple[str, ...], types: tuple[str, ...], pipeline: str | None,
    schema: str | None, dest_sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Move rejected rows of STREAM that fit by now into its table, in one transaction; those that do not stay.

    They fit when the column is given another --type, or after `raw` was corrected in TABLE__rejected. A row does not
    replace a later version of its key.
    """
    from wherry.pipeline.replay import replay as move
    from wherry.pipeline.replay import rows

    wanted = pairs(types, "--type")
    end = workspace(app).destination(destination, dest_sets)
    with _kept(end, stream, pipeline, schema, write=True) as (session, kept), errors_of(end):
        result = move(session, new_destination(end), kept, rows(session, kept, ids), wanted)
    if as_json:
        left = [{"column": column, "reason": why, "rows": n} for (column, why), n in result.left.items()]
        told = {"stream": stream, "moved": result.moved, "superseded": result.superseded}
        click.echo(json.dumps({**told, "undecided": result.undecided, "left": left}, ensure_ascii=False))
    else:
        _tell(stream, result, kept.target.table, bool(types))
    if result.left or result.undecided:
        raise click.exceptions.Exit(DataError.exit_code)


@rejects.command()
@destination_argument
@click.argument("stream")
@ids_argument
@yes_option
@added(_where)
@pass_app
def drop(
    app: App, destination: str, stream: str, ids: tuple[str, ...], yes: bool, pipeline: str | None,
    schema: str | None, dest_sets: tuple[str, ...],
) -> None:  # fmt: skip
    """Delete rejected rows of STREAM, all or those of some IDs."""
    from wherry.pipeline.replay import drop as delete
    from wherry.pipeline.replay import rows

    end = workspace(app).destination(destination, dest_sets)
    with _kept(end, stream, pipeline, schema) as (session, kept), errors_of(end):
        found = rows(session, kept, ids)
        known = tuple(found["id"].drop_null().to_pylist())
    if not known:
        click.echo(f"stream {stream} has no rejected rows")
        return
    ask(f"delete {so_many(len(known))} rejected of stream {stream}? they are nowhere else", yes)
    with _kept(end, stream, pipeline, schema, write=True) as (session, kept), errors_of(end):
        gone = delete(session, kept, rows(session, kept, known))
    click.echo(f"✔ {so_many(gone)} deleted")


@contextmanager
def _kept(
    end: End, stream: str, pipeline: str | None, schema: str | None, write: bool = False
) -> Iterator[tuple[Session, Kept]]:
    """A session, and the stream's table of rejected rows in it."""
    from wherry.pipeline.replay import kept_rejects
    from wherry.pipeline.select import near

    place = one_place(end, schema, pipeline)
    with holding(end, place[1], place[0], read_only=not write) as session:
        with errors_of(end):
            known = {kept.stream: kept for kept in kept_rejects(session, place[0])}
            if stream not in known:
                raise UsageError(f"stream {stream!r} has no rejected rows", next=near(stream, list(known)))
        yield session, known[stream]


def _counted(session: Session, kept: Kept, place: dict[str, str]) -> list[dict[str, Any]]:
    from wherry.pipeline.replay import rows

    groups = rows(session, kept).group_by(["column", "reason"]).aggregate([([], "count_all")]).to_pylist()
    return [
        {**place, "stream": kept.stream, "table": kept.rejects.table, "rows": group["count_all"],
         "column": group["column"], "reason": group["reason"]}
        for group in sorted(groups, key=lambda g: -int(g["count_all"]))
    ]  # fmt: skip


def _tell(stream: str, result: Replayed, table: str, typed: bool) -> None:
    click.echo(f"✔ {so_many(result.moved)} moved into {table}")
    if result.superseded:
        click.echo(f"  {so_many(result.superseded)} superseded: a later version is in the table")
    if result.undecided:
        click.echo(f"! {so_many(result.undecided)} left: whether the version in the table is later cannot be told")
    for (column, reason), count in result.left.items():
        named = "" if repr(column) in reason else f"column {column!r}: "
        click.echo(f"! {so_many(count)} left: {named}{reason}")
    if typed and result.moved:
        click.echo("next: give the next sync the same --type, else it rejects such rows again")
