"""`wherry plan`: what `wherry sync` would do with the same arguments. Changes nothing anywhere."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from wherry.cli.app import App
from wherry.cli.connect import End, new_destination
from wherry.cli.ends import discovered, holding, reading
from wherry.cli.options import Asked, run_options, workspace
from wherry.cli.table import clean, show
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.pipeline.forecast import Outlook
    from wherry.pipeline.prepare import Names

_NAMED = 4
"""Streams that are named in a remark that concerns many."""


@click.command(short_help="Say what a sync would do.")
@run_options()
def plan(app: App, asked: Asked) -> None:
    """Say what `wherry sync` would do with the same arguments: tables, columns, bounds, what goes. Changes nothing."""
    here = workspace(app)
    source, destination = here.source(asked.source, asked.sets), here.destination(asked.destination, asked.dest_sets)
    show_plan(app, asked, source, destination)


def show_plan(app: App, asked: Asked, source: End, destination: End) -> None:
    """Print the plan of what was asked."""
    names, found = make_plan(source, destination, asked)
    if asked.as_json:
        record = {"pipeline": names.pipeline, "source": source.label(), "destination": destination.label()}
        streams = [asdict(outlook) for outlook in found]
        plan = app.redactor.json(record | {"schema": names.schema, "streams": streams})
        click.echo(json.dumps(plan, indent=2, ensure_ascii=False, default=str))
        return
    head = f"{source.label()} → {destination.label()}, schema {names.schema}   pipeline {names.pipeline}"
    click.echo(clean(app.redactor.redact(head)))
    _print(app, found)
    if app.args:
        click.echo(f"next: {app.redactor.redact(shlex.join(['wherry', *_doing(app.args)]))}")


def _doing(args: Sequence[str]) -> list[str]:
    """The command line that does what this one planned. args: without `wherry`."""
    kept = [argument for argument in args if argument not in ("--plan-only", "--json")]
    place = next((place for place, word in enumerate(kept) if not word.startswith("-")), None)
    return [("sync" if place == i and word == "plan" else word) for i, word in enumerate(kept)]


def make_plan(source: End, destination: End, asked: Asked) -> tuple[Names, list[Outlook]]:
    """What would be done with each stream. Raises what the run would refuse before it moves anything."""
    from wherry.pipeline.forecast import forecast
    from wherry.pipeline.prepare import name_run
    from wherry.pipeline.sides import is_destinations, is_sources

    place = new_destination(destination)
    with reading(source) as opened:
        names = name_run(opened, source.connector, place, asked.settings)
        streams = discovered(source, opened, asked.settings.wishes)
        with holding(destination, names.pipeline, names.schema, wait=asked.settings.wait) as session:
            try:
                return names, forecast(opened, place, session, streams, names, asked.settings)
            except WherryError as error:
                if is_destinations(error) or is_sources(error):
                    raise (destination if is_destinations(error) else source).explain(error) from error.__cause__
                raise


def _print(app: App, found: list[Outlook]) -> None:
    heads = ("stream", "mode", "table", "will be", "reads", "rows")
    rows = [tuple(map(app.redactor.redact, _row(outlook))) for outlook in found]
    show(heads, rows, right=(5,))
    remarks: dict[tuple[str, str], list[str]] = {}
    for outlook in found:
        for remark in _remarks(outlook):
            remarks.setdefault(remark, []).append(outlook.stream)
    for (sign, text), streams in remarks.items():
        more = f" and {len(streams) - _NAMED:,} more" if len(streams) > _NAMED else ""
        click.echo(clean(app.redactor.redact(f"{sign} {', '.join(streams[:_NAMED])}{more}: {text}")))


def _row(outlook: Outlook) -> tuple[str, ...]:
    rows = "" if outlook.row_estimate is None else f"~{outlook.row_estimate:,}"
    if rows and outlook.bookmark is not None:
        rows = f"of {rows}"  # how many of them are new, nobody knows before they are read
    mode = outlook.mode + (f" on {', '.join(outlook.key)}" if outlook.mode in ("merge", "history") else "")
    return outlook.stream, mode, f"{outlook.schema}.{outlook.table}", outlook.fate, outlook.reads, rows


def _remarks(outlook: Outlook) -> Iterator[tuple[str, str]]:
    """(sign, line): `!` for what goes and what surprises, `·` for the rest."""
    for lost in outlook.destroys:
        yield "!", f"replaces {lost.replace(f'{outlook.schema}.{outlook.table}', 'its table')}"
    for column, (old, new) in outlook.widened.items():
        yield "·", f"widens {column}: {old} → {new}"
    for column, kind in outlook.added.items():
        yield "·", f"adds {column} {kind}"
    if outlook.handoff:
        yield "·", f"handed over: {outlook.handoff}"
    if outlook.without not in (None, "none yet"):
        yield "!", f"the bookmark is not used: {outlook.without}"
    for note in outlook.notes:
        yield "!", note
