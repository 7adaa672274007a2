"""One connector as a page: how to refer to it, its configuration, its capabilities. Text or Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from wherry.cli.table import show
from wherry.host.metadata import Plugin
from wherry.host.probe import Report

COLUMNS = ("key", "type", "default", "description")


def print_info(report: Report, markdown: bool) -> None:
    """Print the page of one plugin that loaded."""
    plugin, described = report.plugin, report.described
    keys, able = list(config_rows(described)), list(capability_rows(described["capabilities"]))
    if markdown:
        click.echo("\n".join(_markdown(plugin, described["doc"], keys, able)))
        return
    click.echo(f"{plugin.kind} {plugin.name}  {plugin.owner}")
    click.echo("\n".join(filter(None, (described["doc"], _references(plugin)))) + "\n")
    if keys:
        show(COLUMNS, keys)
        click.echo()
    show(("capability", "value"), able)
    click.echo()


def config_rows(described: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and description of each key, from the JSON Schema of the connector's configuration."""
    schema = described["config"]
    required = schema.get("required", ())
    for key, spec in schema.get("properties", {}).items():
        description = spec.get("description", "")
        if key == described["reference"]:
            description = f"{description} (what is typed as the reference)".strip()
        default = "required" if key in required else _text(spec.get("default"))
        yield key, type_name(spec, schema.get("$defs", {})), default, " ".join(description.split())


def type_name(spec: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON Schema as a word or two: text, integer, secret, list of text, a | b."""
    if "$ref" in spec:
        return type_name(definitions.get(spec["$ref"].rpartition("/")[2], {}), definitions)
    if "enum" in spec or "const" in spec:
        return " | ".join(map(_text, spec.get("enum", [spec.get("const")])))
    choices = [choice for choice in spec.get("anyOf", ()) if choice.get("type") != "null"]
    if choices:
        return " | ".join(dict.fromkeys(type_name(choice, definitions) for choice in choices))
    if spec.get("type") == "array":
        items = spec.get("items")
        return f"list of {type_name(items, definitions)}" if isinstance(items, dict) else "list"
    if spec.get("format") == "password":
        return "secret"
    names = {"string": "text", "object": "mapping", "boolean": "true | false"}
    return names.get(str(spec.get("type")), str(spec.get("type", "any")))


def capability_rows(capabilities: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of each capability."""
    for name, value in capabilities.items():
        yield name.replace("_", " "), " ".join(map(str, value)) if isinstance(value, list) else _text(value)


def _references(plugin: Plugin) -> str:
    ways = [f"{scheme}://…" for scheme in plugin.schemes]
    ways += ["a folder or a glob" if suffix == "folder" else f"FILE.{suffix}" for suffix in plugin.suffixes]
    return "refer to it as  " + "  ".join([*ways, f"{plugin.name}:…"])


def _markdown(plugin: Plugin, doc: str, keys: Sequence[Sequence[str]], able: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from (f"## {plugin.kind} `{plugin.name}`", "", doc, "", f"From `{plugin.distribution}`.", "")
    if keys:
        yield from _rows(
            COLUMNS, [(f"`{key}`", kind, f"`{default}`" if default else "", text) for key, kind, default, text in keys]
        )
        yield ""
    yield from _rows(("capability", "value"), able)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
