"""`wherry test`: does an installed plugin keep the contract?"""

from __future__ import annotations

from pathlib import Path

import click

from wherry.cli.app import debug_option
from wherry.errors import PluginError


@click.command(short_help="Does an installed plugin keep the contract?")
@click.argument("plugin")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the results of all tests to this file (JSON).",
)
@click.option("--only", metavar="WORDS", help="Only tests whose name fits, as `pytest -k` takes it.")
@debug_option
def test(plugin: str, report: Path | None, only: str | None) -> None:
    """Run the conformance suite that PLUGIN ships: what it promises is read back and compared."""
    from wherry.testing.runner import run

    result = run(plugin, report, ["-q", *(["-k", only] if only else [])])
    for suite in result.suites:
        click.echo(f"{suite.name}: {suite.distribution} {suite.version}, {suite.value}")
    outcomes = ("passed", "failed", "skipped", "waived")
    click.echo(", ".join(f"{result.count(outcome)} {outcome}" for outcome in outcomes))
    for reason in sorted(set(result.waivers.values())):
        click.echo(f"  waived, {list(result.waivers.values()).count(reason)} ×: {reason}")
    for name, problem in result.problems.items():
        click.echo(f"  ✗ {name}: {problem}")
    if report is not None:
        click.echo(f"report: {report}")
    if not result.conforms:
        raise PluginError(
            f"{plugin} does not keep the contract: {len(result.problems) or 'no'} of {len(result.tests)} tests "
            + ("failed" if result.problems else "passed"),
            next="see the tests above, or write a report: --report FILE",
        )
