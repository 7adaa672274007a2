"""`wherry runs`: earlier runs, as the destination remembers them, or as this machine's run log does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.complete import destination_names
from wherry.cli.ends import errors_of, holding
from wherry.cli.options import dest_set_option, environment_option, schema_option, workspace
from wherry.cli.places import places
from wherry.cli.table import show

if TYPE_CHECKING:
    from wherry.cli.connect import End
    from wherry.contracts.loading import RunRecord

_NUMBERS = ("read", "inserted", "updated", "deleted", "rejected")


@click.command(short_help="Earlier runs, newest first.")
@click.argument("destination", metavar="[DEST]", required=False, shell_complete=destination_names)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="At most so many.")
@schema_option
@environment_option
@dest_set_option
@json_option
@debug_option
@pass_app
def runs(
    app: App, destination: str | None, limit: int, schema: str | None, dest_sets: tuple[str, ...], as_json: bool
) -> None:
    """List earlier runs into DEST, newest first; without DEST those started on this machine."""
    if destination is None:
        found = _of_this_machine(limit)
    else:
        found = _of_destination(workspace(app).destination(destination, dest_sets), schema)[:limit]
    if as_json:
        click.echo(json.dumps(app.redactor.json(found), indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("no runs yet")
        return
    where = "schema" if destination is not None else "into"
    heads = ("run", "pipeline", where, "started", "took", "outcome", *_NUMBERS, "by", "error")
    show(heads, [_row(app.redactor.json(run)) for run in found], right=(0, 4, 6, 7, 8, 9, 10))


def _of_this_machine(limit: int) -> list[dict[str, Any]]:
    from wherry.cli.run_log import recent, state_folder

    return [
        {
            "run": run.run, "pipeline": run.pipeline, "schema": run.schema, "source": run.source,
            "destination": run.destination, "started": run.started, "seconds": run.seconds, "outcome": run.outcome,
            **{name: run.totals.get(name, 0) for name in _NUMBERS}, "error": run.error or None,
        }
        for run in recent(state_folder(), limit)
    ]  # fmt: skip


def _of_destination(end: End, schema: str | None) -> list[dict[str, Any]]:
    """Runs of all pipelines of all schemas, newest first. Each schema answers for all of its pipelines."""
    found: list[tuple[str, RunRecord]] = []
    for name in dict.fromkeys(place for place, _ in places(end, schema)):
        with holding(end, "", name) as session, errors_of(end):
            found += [(name, run) for run in session.runs()]
    found.sort(key=lambda item: (item[1].started, item[1].run), reverse=True)
    return [
        {
            "run": run.run, "pipeline": run.pipeline, "schema": name, "started": _instant(run.started),
            "seconds": None if run.finished is None else (run.finished - run.started) / 1e6,
            "outcome": run.outcome or "unfinished", **{number: getattr(run, number) for number in _NUMBERS},
            "by": run.holder,
        }
        for name, run in found
    ]  # fmt: skip


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    from wherry.cli.figures import seconds

    return (
        "" if run["run"] is None else str(run["run"]),
        run["pipeline"],
        _where(run),
        datetime.fromisoformat(run["started"]).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "" if run["seconds"] is None else seconds(run["seconds"]),
        run["outcome"],
        *(f"{run[name]:,}" if run[name] else "" for name in _NUMBERS),
        run.get("by") or "",
        run.get("error") or "",
    )


def _where(run: dict[str, Any]) -> str:
    schema = f", schema {run['schema']}" if run["schema"] else ""
    return f"{run['destination']}{schema}" if run.get("destination") else run["schema"]


def _instant(micros: int) -> str:
    whole, part = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=part).isoformat().replace("+00:00", "Z")
