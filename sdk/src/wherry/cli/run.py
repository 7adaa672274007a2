"""`wherry run PIPELINE`: a sync that is written down in `wherry.yaml`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import click

from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.complete import pipeline_names
from wherry.cli.options import (
    Asked,
    Rejects,
    added,
    dest_set_option,
    environment_option,
    how_options,
    plan_only_option,
    quiet_option,
    set_option,
    settings,
    stream_option,
    workspace,
)
from wherry.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.cli.connect import End, Workspace
    from wherry.config.content import PipelineOptions, StreamOptions
    from wherry.pipeline.select import Wish

_OPTIONS = (
    click.argument("pipeline", shell_complete=pipeline_names),
    environment_option,
    stream_option,
    set_option,
    dest_set_option,
    *how_options,
    plan_only_option,
    quiet_option,
    json_option,
    debug_option,
)


@click.command(short_help="Run a pipeline of wherry.yaml.")
@added(_OPTIONS)
@pass_app
def run(app: App, /, pipeline: str, **given: Any) -> None:
    """Run PIPELINE as `wherry.yaml` describes it."""
    from wherry.cli.advice import as_setting
    from wherry.cli.execute import Job, execute

    if given["as_json"]:
        from wherry.cli.json_events import JsonWriter

        app.recorders = [JsonWriter(sys.stdout, app.redactor)]
    here = workspace(app)
    options = here.project.pipeline(pipeline)
    asked = _asked(options, pipeline, given)
    source = _end(here, "source", pipeline, asked.source, asked.sets)
    destination = _end(here, "destination", pipeline, asked.destination, asked.dest_sets)
    if asked.plan_only:
        from wherry.cli.plan import show_plan

        show_plan(app, asked, source, destination)
        return
    job = Job(
        source=source,
        destination=destination,
        settings=asked.settings,
        typed=asked.destination,
        accept=as_setting,
        as_json=asked.as_json,
        quiet=asked.quiet,
    )
    raise click.exceptions.Exit(execute(app, job))


def _end(here: Workspace, kind: Literal["source", "destination"], pipeline: str, name: str, sets: Sequence[str]) -> End:
    """The connector that a pipeline names; an error says where the name stands."""
    origin = here.project.origin("pipelines", pipeline, kind)
    try:
        return here.source(name, sets, origin) if kind == "source" else here.destination(name, sets, origin)
    except UsageError as error:
        error.where = error.where or f"{kind} from {origin}"
        raise


def _asked(options: PipelineOptions, name: str, given: dict[str, Any]) -> Asked:
    """What wherry.yaml says of a pipeline, with the command line over it."""
    given = given | {name: value for name, value in _defaults(options).items() if not _typed(name)}
    made = settings({**given, "pipeline": name, "schema": options.target_schema})
    special = {glob: wish if isinstance(wish, bool) else _wish(wish) for glob, wish in options.streams.items()}
    common = replace(made.wishes.common, mode=made.wishes.common.mode or options.mode)
    return Asked(
        source=options.source,
        destination=options.destination,
        settings=replace(made, wishes=replace(made.wishes, common=common, special=special)),
        sets=given["sets"],
        dest_sets=given["dest_sets"],
        plan_only=given["plan_only"],
        as_json=given["as_json"],
        quiet=given["quiet"],
    )


def _defaults(options: PipelineOptions) -> dict[str, Any]:
    """What wherry.yaml says of options that the command line has too."""
    found: dict[str, Any] = {"max_rejects": Rejects().convert(options.max_rejects, None, None)}
    for name in ("run_timeout", "stall_timeout"):
        if (value := getattr(options, name)) is not None:
            found[name] = value
    return found


def _typed(name: str) -> bool:
    """Whether an option was given on the command line."""
    source = click.get_current_context().get_parameter_source(name)
    return source not in (None, click.core.ParameterSource.DEFAULT)


def _wish(options: StreamOptions) -> Wish:
    from wherry.pipeline.select import Wish

    return Wish(
        mode=options.mode,
        key=options.key,
        cursor=options.cursor,
        columns=options.columns,
        where=options.where,
        start=options.start,
        end=options.end,
        lookback=options.lookback,
        nulls=options.null_cursor,
        table=options.table,
        types=options.types or None,
    )
