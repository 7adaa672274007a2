"""`wherry check`: reach the source and the destination, and say what was reached."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.complete import destination_names
from wherry.cli.connect import new_destination
from wherry.cli.ends import errors_of, holding, reading
from wherry.cli.options import (
    dest_set_option,
    environment_option,
    schema_option,
    set_option,
    source_argument,
    workspace,
)
from wherry.cli.report import report
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.cli.connect import End
    from wherry.contracts.values import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of one step: a line and a record, or an error."""

    text: str = ""
    record: dict[str, Any]
    error: WherryError | None = None


@click.command(short_help="Reach a source, and a destination, and say what was reached.")
@source_argument
@click.argument("destination", metavar="[DEST]", required=False, shell_complete=destination_names)
@set_option
@environment_option
@dest_set_option
@schema_option
@json_option
@debug_option
@pass_app
def check(
    app: App, source: str, destination: str | None, sets: tuple[str, ...], dest_sets: tuple[str, ...],
    schema: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Reach SOURCE, and DEST if it is given, with the credentials at hand. Nothing is moved, nothing is left behind."""
    here = workspace(app)
    ends: list[End] = []
    done = [_try(lambda: _source(here.source(source, sets), ends))]
    if destination is not None:
        done.append(_try(lambda: _destination(here.destination(destination, dest_sets), ends)))
    if len(ends) == 2:
        done.append(_try(lambda: _place(ends[0], ends[1], schema)))
    for step in done:
        if step.error is not None and not as_json:
            report(step.error, app)
        elif not as_json:
            click.echo(step.text)
    if as_json:
        click.echo(json.dumps(app.redactor.json([step.record for step in done]), indent=2, ensure_ascii=False))
    click.get_current_context().exit(next((step.error.exit_code for step in done if step.error), 0))


def _try(step: Callable[[], Checked]) -> Checked:
    try:
        return step()
    except WherryError as error:
        return Checked(record={"ok": False, "error": error.to_json()}, error=error)


def _source(end: End, ends: list[End]) -> Checked:
    with reading(end) as source, end.errors():
        source.check()
    ends.append(end)
    return _reached(end, end.configured.config.reference_text())


def _destination(end: End, ends: list[End]) -> Checked:
    destination = new_destination(end)
    with errors_of(end):
        destination.check()
    ends.append(end)
    return _reached(end, destination.label())


def _reached(end: End, address: str) -> Checked:
    notes = list(end.configured.notes)
    record = {"ok": True, "kind": end.kind, "connector": end.connector, "address": address, "plugin": end.plugin}
    lines = [f"✔ {end.kind} {end.connector}: {address} reached".replace(":  ", ": "), *(f"! {note}" for note in notes)]
    return Checked(text="\n".join(lines), record=record | {"notes": notes})


def _place(source_end: End, destination_end: End, schema: str | None) -> Checked:
    """Where rows of this source would go, and what was there before."""
    from wherry.pipeline.prepare import Settings, name_run

    names = name_run(source_end.new(), source_end.connector, new_destination(destination_end), Settings(schema=schema))
    with holding(destination_end, names.pipeline, names.schema) as session, errors_of(destination_end):
        last = next((run for run in session.runs() if run.pipeline == names.pipeline), None)
        progress = dict(session.progress)
    doubts = _doubts(source_end, progress)
    before = "no run yet" if last is None else f"run {last.run}: {last.outcome or 'not finished'}"
    record = {"ok": True, "pipeline": names.pipeline, "schema": names.schema, "run": last.run if last else None}
    text = f"  pipeline {names.pipeline} → schema {names.schema} ({before})"
    return Checked(
        text="\n".join([text, *doubts]), record=record | {"notes": [line.removeprefix("! ") for line in doubts]}
    )


def _doubts(source_end: End, progress: Mapping[str, Progress]) -> list[str]:
    """What is doubtful about the cursors in use: those of earlier runs, and those that the source itself proposes."""
    from wherry.cli.advice import doubts
    from wherry.pipeline.prepare import remembered_choices
    from wherry.pipeline.select import Wishes, choose

    known, choices = remembered_choices(progress), []
    with reading(source_end) as source, source_end.errors():
        for stream in source.discover():
            with suppress(WherryError):  # what cannot be synced as it was is said by plan and sync
                choices.append(replace(choose(stream, Wishes(), known.get(stream.path, {})), remembered=False))
    told = {c.selection.stream.path: c.selection.stream.notes for c in choices if c.selection.cursor}
    return ["".join(text for text, _ in line) for line in doubts(choices, told)]
