"""`wherry new`: a plugin to begin with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wherry.cli.app import debug_option
from wherry.cli.lazy import LazyGroup
from wherry.errors import UsageError

if TYPE_CHECKING:
    from wherry.scaffold.make import Kind

dir_option = click.option(
    "--dir", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path("."), metavar="FOLDER",
    help="Where the project's folder is made; by default here.",
)  # fmt: skip


@click.group(cls=LazyGroup, short_help="Begin a connector: source, destination, manifest.")
def new() -> None:
    """Write a plugin project: complete, typed, with tests that are green. Nothing is written over."""


@new.command()
@click.argument("name")
@dir_option
@debug_option
def source(name: str, folder: Path) -> None:
    """Begin a source in Python: functions that yield rows."""
    _make("source", name, folder)


@new.command()
@click.argument("name")
@dir_option
@debug_option
def destination(name: str, folder: Path) -> None:
    """Begin a destination: a dialect for a SQL engine."""
    _make("destination", name, folder)


@new.command()
@click.argument("name")
@dir_option
@click.option(
    "--from-openapi", "described", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write NAME.yaml alone, from an API's description: OpenAPI 2.0, 3.0 or 3.1, JSON or YAML.",
)  # fmt: skip
@click.option("--stream", "streams", multiple=True, metavar="GLOB", help="Of a description: only these; repeatable.")
@debug_option
def manifest(name: str, folder: Path, described: Path | None, streams: tuple[str, ...]) -> None:
    """Begin a source in YAML: a manifest that describes a REST API."""
    if described is not None:
        from wherry.cli.guessing import describe

        describe(name, folder, described, streams)
        return
    if streams:
        raise UsageError("--stream belongs to --from-openapi", key="stream", next="leave it out")
    _make("manifest", name, folder)


def _make(kind: Kind, name: str, folder: Path) -> None:
    from wherry.scaffold.make import make

    made = make(kind, name, folder)
    place = os.path.relpath(made.folder)
    click.echo(f"{place}/")
    for path in made.files:
        click.echo(f"  {path}")
    click.echo(f"next: cd {place} && wherry test")
