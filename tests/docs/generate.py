"""Write anew every part of the pages that can be read off the code: `python tests/docs/generate.py`.

A test compares what stands in the pages with what this would write.
"""

from __future__ import annotations

import copy
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import wherry
import wherry.testing
from documents import ROOT, blocks, filled, pages
from pydantic import TypeAdapter
from wherry import errors
from wherry.cli import main
from wherry.config.content import json_schema
from wherry.host import page as info
from wherry.host.describe import describe
from wherry.host.load import load
from wherry.host.metadata import Plugin
from wherry.host.registry import Registry

sys.path.append(str(ROOT / "tests" / "bench"))
from report import measured

EVENTS = ROOT / "sdk" / "src" / "wherry" / "cli" / "events.schema.json"
_ERROR = re.compile(r"[├└]── (?P<name>\w+) +exit (?P<exit>[\d/]+) +(?P<text>.*?)(?P<authors> +\(for authors\))?$")


def write() -> None:
    """Write the pages that changed, and say which."""
    for page in pages():
        old = page.read_text()
        new = filled(old, make)
        if new != old:
            page.write_text(new)
            print(page.relative_to(ROOT))


def make(what: str) -> str:
    """One generated part; `what` is a name of `PARTS` and its arguments."""
    name, *arguments = what.split()
    return PARTS[name](*arguments)


# --- connectors


def ours() -> list[Plugin]:
    """The connectors of this repository, as the host finds them."""
    names = {folder.name for part in ("connectors", "destinations") for folder in (ROOT / part).iterdir()}
    return [p for p in Registry.scan().plugins if p.distribution in {f"wherry-{p.kind}-{n}" for n in names}]


def folder(plugin: Plugin) -> Path:
    """Where its source is."""
    part = "connectors" if plugin.kind == "source" else "destinations"
    return ROOT / part / plugin.distribution.removeprefix(f"wherry-{plugin.kind}-")


def described(kind: str, name: str) -> dict[str, Any]:
    """What the host knows of one of ours once it is loaded."""
    return describe(load(next(p for p in ours() if (p.kind, p.name) == (kind, name))))


def connectors() -> str:
    """One row a connector: what it is, how to refer to it, what it can do."""
    rows = []
    for plugin in ours():
        known = described(plugin.kind, plugin.name)
        link = f"[`{plugin.name}`]({folder(plugin).relative_to(ROOT)}/README.md)"
        rows.append((link, plugin.kind, known["doc"].rstrip("."), references(plugin), able(known["capabilities"])))
    return table(("connector", "", "what", "refer to it as", "can"), rows)


def references(plugin: Plugin) -> str:
    """Schemes, suffixes (compressed ones once), folders, and its own name."""
    suffixes = [suffix for suffix in plugin.suffixes if suffix != "folder" and "." not in suffix]
    packed = sorted({suffix.rpartition(".")[2] for suffix in plugin.suffixes if "." in suffix})
    ways = [f"`{scheme}://…`" for scheme in plugin.schemes] + [f"`*.{suffix}`" for suffix in suffixes]
    ways += [f"the text formats also as `*.{'`, `*.'.join(packed)}`"] if packed else []
    ways += ["a folder, a glob"] if "folder" in plugin.suffixes else []
    return ", ".join([*ways, f"`{plugin.name}:…`"])


def able(capabilities: Mapping[str, Any]) -> str:
    """What a user may ask of it."""
    if "modes" in capabilities:
        order = [mode for mode in ("append", "merge", "replace", "history") if mode in capabilities["modes"]]
        return ", ".join([*order, *(["`wherry sql`"] if capabilities["sql"] else [])])
    return "`--where`" if capabilities["filters"] else ""


def config(kind: str, name: str) -> str:
    """A connector's keys."""
    rows = [
        (f"`{key}`", kind, f"`{default}`" if default and default != "required" else default, text)
        for key, kind, default, text in info.config_rows(described(kind, name))
    ]
    return table(info.COLUMNS, rows)


def connector(kind: str, name: str) -> str:
    """All that a connector's own page holds of it: keys, streams, capabilities."""
    return info.markdown(described(kind, name))


def configs() -> str:
    """The keys of all connectors of this repository."""
    return "\n\n".join(f"### {p.kind} `{p.name}`\n\n{config(p.kind, p.name)}" for p in ours())


def capabilities(kind: str, name: str) -> str:
    """A connector's capabilities."""
    return table(("capability", "value"), list(info.capability_rows(described(kind, name)["capabilities"])))


# --- the command line


def commands() -> str:
    """Every command with its usage, its text and its options."""
    return "\n\n".join(_command(path, command) for path, command in _walk("wherry", main.cli))


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _walk(f"{path} {name}", child)


def _command(path: str, command: click.Command) -> str:
    command = copy.copy(command)
    command._help_option = None  # made anew: it remembers the names of the context that asked first
    context = click.Context(command, info_name=path, help_option_names=["-h", "--help"])
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "").replace("\b", "")
    rows = []
    for param in command.get_params(context):
        record = param.get_help_record(context) if isinstance(param, click.Option) else None
        if record:
            rows.append((f"`{record[0]}`", record[1]))
    head = f"## `{path}`\n\n```text\n{usage}\n```\n\n{text}"
    return f"{head}\n\n{table(('option', ''), rows)}" if rows else head


# --- wherry.yaml, errors, events


def yaml() -> str:
    """What stands where in wherry.yaml."""
    schema = json_schema()
    defs = schema["$defs"]
    found = [("the file", schema), *((words, defs[name]) for name, words in _YAML.items())]
    return "\n\n".join(
        f"**{words}**\n\n{table(('key', 'type', ''), list(_fields(part, defs)))}" for words, part in found
    )


_YAML = {
    "ConnectorEntry": "an entry of `sources` or `destinations`; beside this key the connector's own",
    "EnvironmentOptions": "an entry of `environments`",
    "PipelineOptions": "an entry of `pipelines`",
    "StreamOptions": "an entry of `streams`, by name or glob",
}


def _fields(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key, spec in schema.get("properties", {}).items():
        text = spec.get("description", "as above, in place of the entries of the same name")
        yield f"`{key}`", _kind(spec, defs), text


def _kind(spec: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if isinstance(spec.get("type"), list):
        return " | ".join(_kind({"type": word}, defs) for word in spec["type"])
    choices = [choice for choice in spec.get("anyOf", ()) if choice.get("type") != "null"]
    if choices:
        return " | ".join(dict.fromkeys(_kind(choice, defs) for choice in choices))
    return "mapping" if "$ref" in spec else info.type_name(dict(spec), dict(defs))


def error_classes() -> str:
    """The errors, with their exit codes, as their file lists them."""
    lines = [_ERROR.search(line) for line in (errors.__doc__ or "").splitlines()]
    rows = [
        (f"`{found['name']}`", found["exit"], found["text"].strip(), "yes" if found["authors"] else "")
        for found in lines
        if found
    ]
    return table(("error", "exit code", "what happens next", "for authors"), rows)


def events() -> str:
    """Every event of `--json`."""
    schema = json.loads(EVENTS.read_text())
    defs = schema["$defs"]
    names = [ref["$ref"].rpartition("/")[2] for ref in schema["oneOf"]]
    inner = ("announced", "counts", "problem")
    return "\n\n".join(_event(name, defs) for name in [*names, *inner])


def _event(name: str, defs: Mapping[str, Any]) -> str:
    spec = defs[name]
    rows = []
    for key, field in spec["properties"].items():
        known = defs[field["$ref"].rpartition("/")[2]] if "$ref" in field else field
        rows.append((f"`{key}`", _shape(field, defs), field.get("description") or known.get("description", "")))
    return f"### `{name}`\n\n{spec['description']}\n\n{table(('field', 'type', ''), rows)}"


def _shape(spec: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if "$ref" in spec:
        name = spec["$ref"].rpartition("/")[2]
        return f"object [`{name}`](#{name})" if "properties" in defs[name] else _shape(defs[name], defs)
    if "oneOf" in spec:
        return " or ".join(dict.fromkeys(_shape(choice, defs) for choice in spec["oneOf"]))
    if "const" in spec:
        return f'`"{spec["const"]}"`'
    if "enum" in spec:
        return " or ".join(f'`"{word}"`' for word in spec["enum"])
    if isinstance(spec.get("type"), list):
        return " or ".join(spec["type"])
    if spec.get("type") == "array":
        return f"array of {_shape(spec['items'], defs)}"
    return str(spec.get("type", "any"))


# --- the contract


def methods(*names: str) -> str:
    """The methods that a subclass brings, and those it may."""
    return "\n\n".join(_methods(getattr(wherry, name)) for name in names)


def _methods(cls: type[Any]) -> str:
    rows = []
    for name, function in vars(cls).items():
        if name.startswith("_") or not (inspect.isfunction(function) or isinstance(function, property)):
            continue
        must = "must" if getattr(function, "__isabstractmethod__", False) else "may"
        text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        rows.append((f"`{name}({_arguments(function)})`", must, text))
    return f"`wherry.{cls.__name__}`\n\n{table(('method', '', ''), rows)}"


def _arguments(function: Any) -> str:
    return ", ".join(name for name in inspect.signature(function).parameters if name != "self")


def suite(kind: str) -> str:
    """The tests of a conformance suite."""
    cls = getattr(wherry.testing, f"{kind.capitalize()}Suite")
    rows = []
    for base in reversed(cls.__mro__):
        for name, function in vars(base).items():
            if name.startswith("test_"):
                text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
                rows.append((f"`{name}`", text))
    return table(("test", ""), rows)


# --- tables


# --- manifests


def vocabulary(*models: str) -> str:
    """What a model of manifests says of itself, and its fields; of several models one after the other."""
    return "\n\n".join(map(_model, models))


def authoring() -> str:
    """How long each connector of the page that compares is: lines that are not empty."""
    page = ROOT / "sdk" / "docs" / "compare-authoring.md"
    heads = {"acme.yaml": "Wherry", "dlt_acme.py": "dlt", "tap_acme.py": "singer-sdk", "airbyte.yaml": "Airbyte"}
    rows = []
    for block in blocks(page):
        if block.title in heads:
            lines = [line for line in block.text.splitlines() if line.strip()]
            rows.append((f"[{heads[block.title]}](#{heads[block.title].lower()})", f"`{block.title}`", str(len(lines))))
    return table(("", "file", "lines"), rows)


def _model(name: str) -> str:
    definitions = TypeAdapter(wherry.Manifest).json_schema(by_alias=True)
    definition = definitions if name == "Manifest" else definitions["$defs"][name]
    needed = definition.get("required", ())
    rows = []
    for field, schema in definition["properties"].items():
        if "const" in schema:
            continue
        default = "required" if field in needed else _default(schema)
        rows.append((f"`{field}`", _takes(schema), default))
    kind = definition["properties"].get("type", {}).get("const")
    head = f"**`type: {kind}`**: " if kind else ""
    text = f"{head}{definition['description']}"
    for field in definition["properties"]:  # "start: the first run's value" → `start`: …
        text = re.sub(rf"(?<![`\w.]){field}(?=(?:, \w+)*: )", f"`{field}`", text)
    return f"{text}\n\n{table(('field', 'takes', 'default'), rows)}" if rows else text


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    return "" if default in (None, "", [], {}, False) else f"`{json.dumps(default)}`" if "default" in schema else ""


def _takes(schema: Mapping[str, Any]) -> str:
    for key in ("anyOf", "oneOf"):
        if key in schema:
            kinds = [_takes(one) for one in schema[key] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"`{_WRITTEN.get(name, name)}`" if name in _WRITTEN else f"[{name}](#{_ANCHORS[name]})"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    pattern = schema.get("pattern", "")
    if pattern.startswith("^\\\\{".replace("\\\\", "\\")):
        return "a template"
    if pattern.startswith("^\\d"):
        return "a time such as `5m`"
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_takes(schema['items'])}" if "items" in schema else "list"
    return {"string": "text", "object": "map", "boolean": "true, false", "integer": "whole number"}.get(
        str(kind), str(kind or "anything")
    )


_WRITTEN = {
    "Bearer": "bearer", "ApiKey": "api_key", "Basic": "basic", "OAuth2": "oauth2", "Login": "login", "NoAuth": "none",
    "Page": "page", "Offset": "offset", "Cursor": "cursor", "LinkHeader": "link_header", "NextUrl": "next_url",
    "NoPaging": "none", "Auto": "auto",
}  # fmt: skip
"""Models that are told apart by `type`."""
_ANCHORS = {
    "ConfigField": "config", "RateLimit": "rate-limit-retry-timeout", "Retry": "rate-limit-retry-timeout",
    "OnResponse": "on-response", "RestStream": "a-stream", "Incremental": "incremental", "Deleted": "deleted",
    "Send": "auth",
}  # fmt: skip
"""Headings of the page of manifests."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [_plain(" ".join(cell.split())).replace("|", "\\|") for cell in row]
        lines.append(f"| {' | '.join(cells)} |".replace("  ", " "))
    return "\n".join(lines)


def _plain(text: str) -> str:
    """No tags, but in code, where they are none."""
    return "`".join(part if n % 2 else part.replace("<", "&lt;") for n, part in enumerate(text.split("`")))


PARTS: dict[str, Callable[..., str]] = {
    "connectors": connectors,
    "config": config,
    "connector": connector,
    "configs": configs,
    "capabilities": capabilities,
    "commands": commands,
    "yaml": yaml,
    "errors": error_classes,
    "events": events,
    "methods": methods,
    "suite": suite,
    "vocabulary": vocabulary,
    "authoring": authoring,
    "measured": measured,
}

if __name__ == "__main__":
    write()
