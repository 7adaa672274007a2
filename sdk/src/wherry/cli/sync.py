"""`wherry sync SOURCE DEST`."""

from __future__ import annotations

import sys

import click

from wherry.cli.app import App
from wherry.cli.options import Asked, plan_only_option, quiet_option, run_options, workspace


@click.command()
@run_options(plan_only_option, quiet_option)
def sync(app: App, asked: Asked) -> None:
    """Move data from SOURCE to DEST.

    SOURCE and DEST are names from wherry.yaml, URIs, connector:rest, paths, or the name of an installed connector.
    A second run moves only what changed, where the source tells.
    """
    if asked.as_json and not asked.plan_only:
        from wherry.cli.json_events import JsonWriter

        app.recorders = [JsonWriter(sys.stdout, app.redactor)]
    here = workspace(app)
    source, destination = here.source(asked.source, asked.sets), here.destination(asked.destination, asked.dest_sets)
    if asked.plan_only:
        from wherry.cli.plan import show_plan

        show_plan(app, asked, source, destination)
        return
    from wherry.cli.advice import as_command
    from wherry.cli.execute import Job, execute

    job = Job(
        source=source,
        destination=destination,
        settings=asked.settings,
        typed=asked.destination,
        accept=as_command(app.args),
        as_json=asked.as_json,
        quiet=asked.quiet,
    )
    raise click.exceptions.Exit(execute(app, job))
