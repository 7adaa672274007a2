"""`wherry preview --guess`: lines of a manifest from an API's own answers; the requests are told beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from wherry.cli.app import App
from wherry.cli.connect import pairs
from wherry.cli.ends import reading
from wherry.cli.options import workspace
from wherry.cli.table import clean
from wherry.errors import UsageError


def guess(app: App, source: str, streams: Sequence[str], sets: Sequence[str]) -> None:
    """Print what `source`, an address or a manifest under development, seems to be. Requests are told on stderr."""
    from wherry.guess.live import from_address, from_manifest

    if re.match(r"https?://", source, re.IGNORECASE):
        from wherry.contracts.source import Run

        if streams:
            raise UsageError("--stream belongs to a manifest", key="stream", next="the address says which list it is")
        app.redactor.add_inside(source)
        given = pairs(sets, "--set")
        for value in given.values():
            app.redactor.add(value)
        click.echo(from_address(source, given, Run(conceal=app.redactor.add), _tell), nl=False)
        click.echo("next: save these lines as a .yaml file, then  wherry sync FILE.yaml out.duckdb", err=True)
        return
    end = workspace(app).source(source, sets)
    with reading(end) as opened, end.errors():
        described = getattr(end.cls, "manifest", None)
        if described is None:
            raise UsageError(f"{source} is no REST source", key="guess", next="--guess takes an address or a manifest")
        config = {name: getattr(opened.config, name) for name in type(opened.config).model_fields}
        click.echo(from_manifest(described(), config, opened.run, _tell, streams), nl=False)


def _tell(text: str) -> None:
    click.echo(clean(text), err=True)
