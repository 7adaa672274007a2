"""`wherry test`: does a connector keep the contract?"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wherry.cli.app import App, debug_option, pass_app
from wherry.cli.options import set_option, stream_option, workspace
from wherry.errors import PluginError, UsageError

if TYPE_CHECKING:
    from wherry.cli.connect import End
    from wherry.config.reference import Reference
    from wherry.testing.project import Project
    from wherry.testing.runner import Report

_SHOWN = 3
"""Tests that are named of those that failed in the same way; all of them are in the report."""
_OUTCOMES = ("passed", "failed", "skipped", "waived")
_REPLAYED = "replayed"
"""What stands for a secret that is not needed, since nothing is sent."""


@click.command(short_help="Does a connector keep the contract?")
@click.argument("plugin", required=False, metavar="[PLUGIN]")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the results of all tests to this file (JSON).",
)
@click.option("--only", metavar="WORDS", help="Only tests whose name fits, as `pytest -k` takes it.")
@click.option("--record", is_flag=True, help="Record the HTTP traffic of a source, without secrets, to be replayed.")
@stream_option
@set_option
@debug_option
@pass_app
def test(
    app: App, plugin: str | None, report: Path | None, only: str | None, record: bool, streams: tuple[str, ...],
    sets: tuple[str, ...],
) -> None:  # fmt: skip
    """Run the conformance suite of PLUGIN: what it promises is read back and compared.

    PLUGIN is an installed connector, a source under development (a file, a manifest, any reference), or the folder of a
    plugin project, by default the one here. A source that ships no suite of its own is read twice, resumed from each
    bookmark, cut short; what it needs is given with --set. Where traffic was recorded, it is replayed, nothing is sent.
    """
    arguments = ["-q", *(["-k", only] if only else []), *(["--wherry-record"] if record else [])]
    began = time.time()
    result = _run(app, plugin, report, arguments, streams, sets)
    if only and not result.tests:
        raise UsageError(f"no test of {result.plugin} fits --only {only!r}", next="leave --only out to see all of them")
    _tell(result, report)
    if record:
        _tell_recorded(result, began)
    if not result.conforms:
        raise PluginError(
            f"{result.plugin} does not keep the contract: {len(result.problems) or 'no'} of {len(result.tests)} tests "
            + ("failed" if result.problems else "passed"),
            next="see the tests above, or write a report: --report FILE",
        )


def _run(
    app: App, plugin: str | None, report: Path | None, arguments: list[str], streams: tuple[str, ...],
    sets: tuple[str, ...],
) -> Report:  # fmt: skip
    from wherry.config.reference import resolve
    from wherry.testing import project, runner

    app.redactor.add_inside(plugin or "")
    folder = Path(plugin or ".")
    if plugin is None or (project.is_project(folder) and not runner.ships(plugin)):
        found = project.read(folder)
        if found.suites:
            _refuse("a project that ships a suite", streams, sets)
            return runner.run_project(found, report, arguments)
        return _each(app, found, report, arguments, streams, sets)
    if runner.ships(plugin) and not (sets or streams):
        return runner.run(plugin, report, arguments)
    if not _is_reference(app, plugin):
        return runner.run(plugin, report, arguments)  # which says what is there
    reference = resolve("source", plugin, app.registry, workspace(app).project)
    return _source(app, reference, _folder(reference), report, arguments, streams, sets)


def _folder(reference: Reference) -> Path:
    """Where recordings are kept: beside a file that is developed, else here."""
    for text in (reference.object, reference.value):
        path = Path(re.sub(r"(?<=\.py):\w+$", "", text or ""))
        if path.is_file():
            return path.parent
    return Path()


def _refuse(what: str, streams: tuple[str, ...], sets: tuple[str, ...]) -> None:
    if streams or sets:
        option = "--stream" if streams else "--set"
        raise UsageError(f"{option} is not for {what}, which brings its own configuration", next=f"leave {option} out")


def _is_reference(app: App, text: str) -> bool:
    known = text in app.registry.names("source") or re.search(r"[./:\\]", text)
    return bool(known) or text in workspace(app).project.names("source")


def _each(
    app: App, found: Project, report: Path | None, arguments: list[str], streams: tuple[str, ...],
    sets: tuple[str, ...],
) -> Report:  # fmt: skip
    """The source of a project without a suite."""
    from wherry.config.reference import Reference
    from wherry.testing.runner import importing

    if len(found.sources) != 1:
        raise UsageError(f"{found.name} ships no suite, and not one source alone", next="name a suite in wherry.suites")
    ((name, value),) = found.sources.items()
    with importing(found.imports):
        reference = Reference(kind="source", text=name, connector=name, object=value)
        return _source(app, reference, found.folder, report, arguments, streams, sets)


def _source(
    app: App, reference: Reference, folder: Path, report: Path | None, arguments: list[str], streams: tuple[str, ...],
    sets: tuple[str, ...],
) -> Report:  # fmt: skip
    from wherry.cli.ends import discovered, reading
    from wherry.pipeline.select import Wishes
    from wherry.testing.runner import run_source

    recordings = folder / "tests" / "recordings"
    end = _configured(app, reference, sets, recordings, "--wherry-record" in arguments)
    if streams:
        with reading(end) as source:
            discovered(end, source, Wishes(only=streams))  # which refuses a glob that means none
    name = end.configured.reference.name or end.connector
    return run_source(name, end.cls, end.configured.config, recordings, streams or ("*",), report, arguments)


def _configured(app: App, reference: Reference, sets: tuple[str, ...], recordings: Path, record: bool) -> End:
    """The source; where its traffic is recorded, secrets that were not given are made up."""
    here = workspace(app)
    while True:
        try:
            return here.end(reference, sets)
        except UsageError as error:
            recorded = recordings.is_dir() and any(recordings.glob("*.json"))
            if record or not recorded or error.key is None or any(s.startswith(f"{error.key}=") for s in sets):
                raise
            sets = (*sets, f"{error.key}={_REPLAYED}")


def _tell_recorded(result: Report, began: float) -> None:
    """Which recordings are new. Files are looked at: the tests are what wrote them."""
    new = [file for file in result.recordings() if file.stat().st_mtime >= began - 1]
    for file in new:
        click.echo(
            f"recorded: {os.path.relpath(file)}, {file.stat().st_size / 1000:,.0f} kB; read it before you share it"
        )
    if not new:
        click.echo("recorded: nothing, since nothing was asked over HTTP (by wherry.pages, a RestSource, a manifest)")


def _tell(result: Report, report: Path | None) -> None:
    for suite in result.suites:
        click.echo(f"{suite.name}: {suite.distribution} {suite.version}, {suite.value}")
    click.echo(", ".join(f"{result.count(outcome)} {outcome}" for outcome in _OUTCOMES))
    for reason in sorted(set(result.waivers.values())):
        click.echo(f"  waived, {list(result.waivers.values()).count(reason)} ×: {reason}")
    for problem in dict.fromkeys(result.problems.values()):
        names = [name.rpartition("::")[2] for name, found in result.problems.items() if found == problem]
        told = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        click.echo(f"  ✗ {told}: {problem}")
    if report is not None:
        click.echo(f"report: {report}")
