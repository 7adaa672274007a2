"""One connector as a page: how to refer to it, its configuration, its capabilities. Text or Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from wherry.cli.table import show
from wherry.host.metadata import Plugin
from wherry.host.page import COLUMNS, STREAMS, capability_rows, config_rows, markdown, stream_rows
from wherry.host.probe import Report


def print_info(report: Report, markdown: bool) -> None:
    """Print the page of one plugin that loaded."""
    plugin, described = report.plugin, report.described
    keys, able = list(config_rows(described)), list(capability_rows(described["capabilities"]))
    if markdown:
        click.echo("\n".join(_markdown(plugin, described)))
        return
    click.echo(f"{plugin.kind} {plugin.name}  {plugin.owner}".rstrip())
    click.echo("\n".join(filter(None, (described["doc"], _references(plugin)))) + "\n")
    if keys:
        show(COLUMNS, keys)
        click.echo()
    if streams := list(stream_rows(described)):
        show(STREAMS, streams)
        click.echo()
    show(("capability", "value"), able)
    click.echo()


def _references(plugin: Plugin) -> str:
    ways = [f"{scheme}://…" for scheme in plugin.schemes]
    ways += ["a folder or a glob" if suffix == "folder" else f"FILE.{suffix}" for suffix in plugin.suffixes]
    return "refer to it as  " + "  ".join([*ways, f"{plugin.name}:…" if plugin.distribution else plugin.value])


def _markdown(plugin: Plugin, described: dict[str, Any]) -> Iterator[str]:
    yield from (f"## {plugin.kind} `{plugin.name}`", "", described["doc"], "")
    if plugin.distribution:
        yield from (f"From `{plugin.distribution}`.", "")
    yield markdown(described)
