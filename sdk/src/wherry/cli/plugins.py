"""`wherry plugins`: what is installed, whether it loads, and what each can do."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.lazy import LazyGroup
from wherry.cli.table import show
from wherry.errors import PluginError, UsageError
from wherry.host.metadata import Kind, Plugin
from wherry.near import near

if TYPE_CHECKING:
    from wherry.host.probe import Report

check_option = click.option("--check", is_flag=True, help="Load each one in a process of its own, and say how it went.")
timeout_option = click.option(
    "--timeout", type=click.FloatRange(0.1), default=20.0, show_default=True, help="Seconds each may take with --check."
)


@click.group(cls=LazyGroup, invoke_without_command=True, short_help="Installed sources, destinations and hooks.")
@check_option
@timeout_option
@json_option
@debug_option
@click.pass_context
def plugins(context: click.Context, check: bool, timeout: float, as_json: bool) -> None:
    """List the installed plugins: from their metadata alone, so that a broken one does no harm."""
    if context.invoked_subcommand is None:
        _list(context.ensure_object(App), check, timeout, as_json)


@plugins.command("list")
@check_option
@timeout_option
@json_option
@debug_option
@pass_app
def list_(app: App, check: bool, timeout: float, as_json: bool) -> None:
    """List the installed plugins."""
    _list(app, check, timeout, as_json)


@plugins.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(["source", "destination"]), help="Which, if both have the name.")
@click.option("--markdown", is_flag=True, help="Print it as Markdown.")
@json_option
@debug_option
@pass_app
def info(app: App, name: str, kind: str | None, markdown: bool, as_json: bool) -> None:
    """Show the configuration, the streams and the capabilities of NAME: an installed connector, a file, a manifest."""
    from wherry.host.probe import probe_all

    reports = [_local(app, name, kind)] if re.search(r"[./\\:]", name) else probe_all(_named(app, name, kind))
    working = [report for report in reports if report.status == "ok"]
    if as_json:
        click.echo(json.dumps([_record(report.plugin) | report.described for report in working], indent=2))
    else:
        from wherry.cli.info import print_info

        for report in working:
            print_info(report, markdown)
    for report in reports:
        if report.status != "ok":
            what = f"{report.plugin.kind} {name} ({report.plugin.owner}) {report.reason}"
            raise PluginError(what, next=report.plugin.remedy or f"reinstall or uninstall {report.plugin.distribution}")


def _local(app: App, text: str, kind: str | None) -> Report:
    """A connector under development, loaded here."""
    from wherry.cli.options import workspace
    from wherry.config.reference import resolve
    from wherry.host.describe import describe
    from wherry.host.probe import Report

    which: Any = kind or "source"
    here = workspace(app)
    cls, reference, _ = here.loaded(resolve(which, text, app.registry, here.project))
    plugin = Plugin(kind=which, name=reference.name or reference.connector, value=text, distribution="", version="")
    return Report(plugin, "ok", None, describe(cls))


def _list(app: App, check: bool, timeout: float, as_json: bool) -> None:
    found = app.registry.plugins
    if not check:
        if as_json:
            click.echo(json.dumps([_record(plugin) for plugin in found], indent=2))
        elif found:
            show(("kind", "name", "distribution", "version", "schemes", "suffixes", "conflicts"), [*map(_row, found)])
        else:
            click.echo("no plugins are installed; try  pip install wherry-source-NAME wherry-destination-NAME")
        return
    from wherry.host.probe import probe_all

    reports = probe_all(found, timeout)
    if as_json:
        click.echo(json.dumps(app.redactor.json([_checked(report) for report in reports]), indent=2))
    else:
        columns = ("kind", "name", "distribution", "version", "status", "can", "reason")
        show(columns, [(*_row(r.plugin)[:4], r.status, _can(r), r.reason or "") for r in reports])
    broken = [report for report in reports if report.status != "ok"]
    if broken:
        names = ", ".join(f"{report.plugin.kind} {report.plugin.name}" for report in broken)
        raise PluginError(
            f"{len(broken)} of {len(reports)} plugins do not work: {names}",
            next="upgrade or uninstall them; the others can be used",
        )


def _named(app: App, name: str, kind: str | None) -> list[Plugin]:
    kinds: tuple[Kind, ...] = ("source", "destination")
    owned = [k for k in kinds if kind in (None, k) and name in app.registry.names(k)]
    if owned:
        return [app.registry.find(k, name) for k in owned]
    everything = {plugin.name for plugin in app.registry.plugins if plugin.kind != "hook"}
    match = near(name, everything - {name})
    raise UsageError(
        f"no {kind or 'source or destination'} named {name!r} is installed",
        next=f"did you mean {match!r}?" if match else f"pip install wherry-{kind or 'source'}-{name}",
    )


def _row(plugin: Plugin) -> tuple[str, ...]:
    schemes = " ".join(f"{scheme}://" for scheme in plugin.schemes)
    suffixes = " ".join(f".{suffix}" for suffix in plugin.suffixes if suffix != "folder" and "." not in suffix)
    trouble = "; ".join(filter(None, (plugin.problem, *plugin.conflicts)))
    return (plugin.kind, plugin.name, plugin.distribution, plugin.version, schemes, suffixes, trouble)


def _record(plugin: Plugin) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": plugin.kind, "name": plugin.name}
    record |= {"distribution": plugin.distribution, "version": plugin.version}
    record |= {"schemes": plugin.schemes, "suffixes": plugin.suffixes, "conflicts": plugin.conflicts}
    return record | {"problem": plugin.problem}


def _checked(report: Report) -> dict[str, Any]:
    able = {key: report.described[key] for key in ("capabilities", "hooks") if key in report.described}
    return _record(report.plugin) | {"status": report.status, "reason": report.reason} | able


def _can(report: Report) -> str:
    """Modes of a destination, hooks of a hook plugin."""
    capabilities = report.described.get("capabilities", {})
    words = capabilities.get("modes") or report.described.get("hooks")
    return " ".join(words or (["filter"] if capabilities.get("filters") else []))
