"""`preview --guess` and `new manifest --from-openapi`: manifests from an API's own answers, or from its description."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from wherry.cli.app import App
from wherry.cli.connect import End, pairs
from wherry.cli.ends import reading
from wherry.cli.options import workspace
from wherry.cli.table import clean
from wherry.errors import ResourceError, UsageError


def guess(app: App, source: str, streams: Sequence[str], sets: Sequence[str]) -> None:
    """Print what `source`, an address or a manifest under development, seems to be. Requests are told on stderr."""
    if re.match(r"https?://", source, re.IGNORECASE):
        from wherry.contracts.source import Run
        from wherry.guess.live import from_address

        if streams:
            raise UsageError("--stream belongs to a manifest", key="stream", next="the address says which list it is")
        given = pairs(sets, "--set")
        for value in given.values():
            app.redactor.add(value)
        click.echo(from_address(source, given, Run(conceal=app.redactor.add), _tell), nl=False)
        click.echo("next: save these lines as a .yaml file, then  wherry sync FILE.yaml DEST", err=True)
        return
    guess_at(workspace(app).source(source, sets), streams)


def undecided(end: End) -> bool:
    """Whether it is a manifest with a stream whose paging is yet to be found out."""
    described = getattr(end.cls, "manifest", None)
    return described is not None and any(getattr(s.paginate, "type", "") == "auto" for s in described().streams)


def guess_at(end: End, streams: Sequence[str]) -> None:
    """Print lines for the streams of a manifest that are named, or not decided."""
    from wherry.guess.live import from_manifest

    with reading(end) as opened, end.errors():
        described = getattr(end.cls, "manifest", None)
        if described is None:
            raise UsageError("it is no REST source", key="guess", next="--guess takes an address or a manifest")
        config = {name: getattr(opened.config, name) for name in type(opened.config).model_fields}
        click.echo(from_manifest(described(), config, opened.run, _tell, streams), nl=False)


def describe(name: str, folder: Path, described: Path, streams: Sequence[str]) -> None:
    """Write the manifest NAME.yaml that a description leads to; never over anything."""
    from wherry.guess.openapi import from_file

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise UsageError(
            f"{name!r} is no name for a source", key="name", next="begin with a letter; then letters, digits, - and _"
        )
    file = folder / f"{name}.yaml"
    if file.exists():
        raise UsageError(f"{file} is there already, and nothing is written over it", next="move it, or choose --dir")
    made = from_file(described, name, streams or ("*",))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as new:
            new.write(made.text)
    except OSError as error:
        raise ResourceError(
            f"{file} cannot be written: {(error.strerror or str(error)).lower()}", next="choose another place: --dir"
        ) from error
    left = sum(why != "it is no GET" for _, why in made.left_out)
    count = len(made.streams)
    streams_made = f"{count} stream" if count == 1 else f"{count} streams"
    click.echo(f"{clean(str(file))}: {streams_made}; {left} operations are left out: its end says why")
    click.echo(f"next: wherry discover {clean(str(file))}")


def _tell(text: str) -> None:
    click.echo(clean(text), err=True)
