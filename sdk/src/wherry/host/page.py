"""A connector's page: its keys, its streams, what it can do, as rows of tables and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

COLUMNS = ("key", "type", "default", "description")
STREAMS = ("stream", "key", "cursor", "loaded by", "description")
BEGIN, END = "<!-- generated: wherry -->", "<!-- end -->"


def config_rows(described: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
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


def stream_rows(described: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Name, key, cursor, mode and description of each stream, of a source that knows them without being asked."""
    for stream in described.get("streams", ()):
        key = ", ".join(stream["primary_key"])
        yield stream["name"], key, stream["cursor"] or "", stream["mode"], stream["description"] or ""


def capability_rows(capabilities: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of each capability."""
    for name, value in capabilities.items():
        yield name.replace("_", " "), " ".join(map(str, value)) if isinstance(value, list) else _text(value)


def markdown(described: Mapping[str, Any]) -> str:
    """Tables of a connector's keys, streams and capabilities; what a README holds of them."""
    parts: list[str] = []
    if keys := list(config_rows(described)):
        rows = [(f"`{key}`", kind, _shown(default), text) for key, kind, default, text in keys]
        parts.append(table(COLUMNS, rows))
    if streams := list(stream_rows(described)):
        rows_of = [(f"`{name}`", _code(key), _code(cursor), mode, text) for name, key, cursor, mode, text in streams]
        parts.append(table(STREAMS, rows_of))
    able = described["capabilities"]
    if able.keys() != {"filters"} or able["filters"]:
        parts.append(table(("capability", "value"), list(capability_rows(able))))
    return "\n\n".join(parts)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(line.replace("  ", " ") for line in lines)


def filled(text: str, page: str) -> str | None:
    """A README with the connector's page between its markers; None: it has no markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{page}\n\n{END}{after}" if begin and end else None


def _shown(default: str) -> str:
    return default if default in ("", "required") else f"`{default}`"


def _code(text: str) -> str:
    return ", ".join(f"`{word}`" for word in text.split(", ")) if text else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
