"""The options of `sync`, `plan` and `run`: declared once, read into `Settings` once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.complete import destination_names, pipeline_names, source_names
from wherry.contracts.values import MODES, NULLS

if TYPE_CHECKING:
    from wherry.cli.connect import Workspace
    from wherry.pipeline.prepare import Settings

Command = Callable[..., Any]
LONG = 86_400
"""Seconds that a bare `--wait` stands for: a day."""
_LEAST = 16 << 20
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


class Size(click.ParamType):  # type: ignore[type-arg]  # older clicks have no argument
    """`256MB`, `1GiB`: bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", str(value).strip().upper())
        if not match or match[2] not in _UNITS:
            self.fail(f"{value!r} is not a size such as 256MB or 1GiB", param, ctx)
        size = int(float(match[1]) * _UNITS[match[2]])
        if size < _LEAST:
            self.fail(f"{value!r} is too little to work with: at least 16MiB", param, ctx)
        return size


class Seconds(click.ParamType):  # type: ignore[type-arg]  # older clicks have no argument
    """`90`, `90s`, `5m`, `2h`: seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(value).strip())
        if not match:
            hint = " (without one, write --wait last)" if param is not None and param.name == "wait" else ""
            self.fail(f"{value!r} is not a time such as 90s, 5m, 2h{hint}", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]


class Lookback(Seconds):
    """`5m`, `90s`: seconds; a plain number: units of a numeric cursor."""

    name = "time|n"


class Rejects(click.ParamType):  # type: ignore[type-arg]  # older clicks have no argument
    """`10`, `0.5%`: how many rows may be rejected."""

    name = "n|p%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A `MaxRejects`."""
        from wherry.pipeline.rejects import MaxRejects

        match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s*%", str(value).strip())
        if not match or (match[2] and float(match[2]) > 100):
            self.fail(f"{value!r} is neither a number of rows nor a percentage such as 0.5%", param, ctx)
        return MaxRejects(percent=float(match[2])) if match[2] else MaxRejects(rows=int(match[1]))


def _environment(context: click.Context, _: click.Parameter, value: str | None) -> None:
    context.ensure_object(App).environment = value


environment_option = click.option(
    "--env", metavar="NAME", expose_value=False, callback=_environment, help="Environment of wherry.yaml."
)
source_argument = click.argument("source", shell_complete=source_names)
destination_argument = click.argument("destination", metavar="DEST", shell_complete=destination_names)
set_option = click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A key of the source; repeatable.")
dest_set_option = click.option(
    "--dest-set", "dest_sets", multiple=True, metavar="KEY=VALUE", help="A key of the destination; repeatable."
)
schema_option = click.option("--schema", help="Schema of the destination.  [default: named after the source]")
pipeline_option = click.option(
    "--pipeline", metavar="NAME", shell_complete=pipeline_names, help="Name that bookmarks and tables are owned under."
)
stream_option = click.option("--stream", "streams", multiple=True, metavar="GLOB", help="Only these; repeatable.")
columns_option = click.option(
    "--columns", multiple=True, metavar="GLOB,…", help='Columns to keep; "!note" leaves one out.'
)
where_option = click.option("--where", metavar="FILTER", help="Filter, in the source's own language.")

what_options: tuple[Command, ...] = (
    stream_option,
    click.option("--exclude", multiple=True, metavar="GLOB", help="Not these streams; repeatable."),
    click.option("--mode", type=click.Choice(MODES), help="How rows get into their table."),
    click.option("--cursor", metavar="COLUMN", help="Column that only grows: read what is new since the last run."),
    click.option(
        "--lookback", type=Lookback(), metavar="TIME|N", help="Read again so much before the bookmark: 5m, or units."
    ),
    click.option(
        "--null-cursor",
        "nulls",
        type=click.Choice(NULLS),
        help="Rows without a cursor value: read by each run, left out, or an error.  [default: include]",
    ),
    click.option("--key", "keys", multiple=True, metavar="COLUMN,…", help="Columns that identify a row."),
    columns_option,
    where_option,
    click.option("--start", metavar="VALUE", help="First cursor value to read."),
    click.option("--end", metavar="VALUE", help="Cursor value to stop before."),
    schema_option,
    click.option("--table", metavar="NAME", help="Table to write, for one stream."),
    click.option("--type", "types", multiple=True, metavar="COLUMN=TYPE", help="Type to keep a column as; repeatable."),
    pipeline_option,
)
"""What is moved, and where to."""

how_options: tuple[Command, ...] = (
    click.option("--full-refresh", is_flag=True, help="Read everything and rebuild the tables aside."),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="So many rows a stream, into TABLE__sample."),
    click.option("--memory", type=Size(), default="512MiB", show_default=True, help="Ceiling of rows in memory."),
    click.option("--workers", type=click.IntRange(1), metavar="N", help="Streams at once.  [default: up to 4]"),
    click.option(
        "--wait", type=Seconds(), is_flag=False, flag_value=str(LONG), default="0",
        help="Wait so long for another run of the pipeline to end (a day, if no time is given).",
    ),
    click.option("--run-timeout", type=Seconds(), metavar="TIME", help="Stop at the last bookmark after so long."),
    click.option(
        "--stall-timeout", type=Seconds(), default="6h", show_default=True, metavar="TIME",
        help="Give up when nothing has moved for so long; 0: never.",
    ),
    click.option("--fail-fast", is_flag=True, help="Stop at the first stream that fails."),
    click.option(
        "--max-rejects", type=Rejects(), default="0", show_default=True, help="Rows that may go to TABLE__rejected."
    ),
    click.option(
        "--handoff/--no-handoff", default=None,
        help="Let the destination take rows as the source has them, where that makes the same table.  "
        "[default: from 32 MB on]",
    ),
    click.option("--yes", is_flag=True, help="Do what destroys data without asking."),
)  # fmt: skip
"""How the run goes."""

plan_only_option = click.option("--plan-only", is_flag=True, help="Say what would be done, and do nothing.")
quiet_option = click.option("--quiet", is_flag=True, help="Print nothing but errors.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One command line of `sync` or `plan`, read."""

    source: str
    destination: str
    settings: Settings
    sets: Sequence[str] = ()
    dest_sets: Sequence[str] = ()
    plan_only: bool = False
    as_json: bool = False
    quiet: bool = False


def added(options: Sequence[Command]) -> Callable[[Command], Command]:
    """A decorator that adds click options to a command, first on top."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def run_options(*extra: Command) -> Callable[[Callable[[App, Asked], Any]], Command]:
    """Give a command SOURCE, DEST and all options; it is called with the app and what was asked.

    extra: `plan_only_option`, `quiet_option`, for commands that have a use for them.
    """
    options = (
        source_argument, destination_argument, *what_options, environment_option, set_option, dest_set_option,
        *how_options,
    )  # fmt: skip

    def decorate(command: Callable[[App, Asked], Any]) -> Command:
        @wraps(command)
        def call(app: App, source: str, destination: str, **given: Any) -> Any:
            names = ("sets", "dest_sets", "plan_only", "as_json", "quiet")
            rest = {name: given.pop(name) for name in names if name in given}
            return command(app, Asked(source=source, destination=destination, settings=settings(given), **rest))

        return added((*options, *extra, json_option, debug_option))(pass_app(call))

    return decorate


def settings(given: Mapping[str, Any]) -> Settings:
    """Settings from parsed options by name; those a command does not have keep their defaults."""
    from wherry.pipeline.prepare import Settings

    names = ("schema", "pipeline", "memory", "workers", "wait", "fail_fast", "max_rejects", "handoff", "yes")
    return Settings(
        wishes=wishes(given), limits=limits(given), **{n: given[n] for n in names if given.get(n) is not None}
    )


def limits(given: Mapping[str, Any]) -> Any:
    """The `Limits` of parsed options by name."""
    from wherry.pipeline.watch import Limits

    told = {name: given[f"{name}_timeout"] for name in ("run", "stall") if given.get(f"{name}_timeout") is not None}
    return Limits(**{name: seconds or None for name, seconds in told.items()})  # type: ignore[arg-type]


def wishes(given: Mapping[str, Any]) -> Any:
    """The `Wishes` of parsed options by name."""
    from wherry.cli.connect import pairs
    from wherry.pipeline.select import Wish, Wishes
    from wherry.pipeline.types import parse

    types = pairs(given.get("types", ()), "--type")
    for column, name in types.items():
        parse(name, column)
    common = Wish(
        mode=given.get("mode"),
        key=words(given.get("keys", ())),
        cursor=given.get("cursor"),
        columns=words(given.get("columns", ())),
        where=given.get("where"),
        start=given.get("start"),
        end=given.get("end"),
        lookback=given.get("lookback"),
        nulls=given.get("nulls"),
        table=given.get("table"),
        types=types or None,
    )
    return Wishes(
        only=tuple(given.get("streams", ())) or ("*",),
        exclude=tuple(given.get("exclude", ())),
        common=common,
        full_refresh=bool(given.get("full_refresh", False)),
        limit=given.get("limit"),
    )


def words(texts: Sequence[str]) -> tuple[str, ...] | None:
    """`id,day` given once or more, as one tuple; None: not given."""
    found = tuple(word.strip() for text in texts for word in text.split(",") if word.strip())
    return found or None


def workspace(app: App) -> Workspace:
    """The current directory, with the plugins and the secrets that this invocation knows."""
    from wherry.cli.connect import Workspace
    from wherry.config.environment import Environment
    from wherry.config.project import Project

    project = Project.find(environment=app.environment)
    return Workspace(project, Environment.load(project.folder), app.registry, app.redactor)
