"""A tap's catalog: the streams it offers, and the catalog that says which of them it is to read, and how."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from wherry import Selection, SourceError, Stream

from wherry_source_singer.types import schema_of

MAIN = ("public", "main", "dbo")
"""Schemas of databases whose name is left out of a stream's."""
DELETED = "_sdc_deleted_at"


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream of a catalog. id: what the tap calls it in messages and bookmarks.  data: as it was discovered."""

    id: str
    data: Mapping[str, Any]
    stream: Stream

    def root(self) -> dict[str, Any]:
        """Metadata of the stream itself."""
        return _metadata(self.data).get((), {})


def entries(catalog: Any, name: str) -> list[Entry]:
    """The streams of a catalog. Raises `SourceError` for what is none."""
    streams = catalog.get("streams") if isinstance(catalog, Mapping) else None
    if not isinstance(streams, list) or not all(isinstance(s, Mapping) for s in streams):
        raise SourceError(f"{name} discovered something that is no catalog", next="see what it prints with --discover")
    return [_entry(data) for data in streams if data.get("tap_stream_id") or data.get("stream")]


def _entry(data: Mapping[str, Any]) -> Entry:
    root = _metadata(data).get((), {})
    schema = schema_of(data.get("schema"))
    name, namespace = _named(data, root)
    method = _method(data, root)
    told = root.get("replication-key") or data.get("replication_key")
    valid = tuple(key for key in _list(root.get("valid-replication-keys")) if key in schema.names)
    cursor = told or (valid[0] if valid else None)
    keys = data.get("key_properties") or root.get("table-key-properties") or root.get("view-key-properties")
    key = tuple(_list(keys))
    stream = Stream(
        name=name,
        namespace=namespace,
        schema=schema,
        primary_key=key if all(k in schema.names for k in key) or not schema.names else (),
        cursor=cursor if method == "INCREMENTAL" and cursor in schema.names else None,
        cursors=valid,
        ordered=True,
        changes=method == "LOG_BASED" and bool(key),
    )
    return Entry(id=str(data.get("stream") or data.get("tap_stream_id")), data=data, stream=stream)


def _named(data: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[str, str | None]:
    """(name, namespace): a database's tables are called as in it; other streams as the tap calls them."""
    id = str(data.get("tap_stream_id") or data.get("stream"))
    schema, table = root.get("schema-name"), data.get("table_name") or root.get("table-name")
    if schema and table and id in (f"{schema}-{table}", f"{schema}.{table}"):
        return str(table), None if schema in MAIN else str(schema)
    return id, None


def _method(data: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    found = root.get("forced-replication-method") or root.get("replication-method") or data.get("replication_method")
    return str(found or "").upper()


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(v) for v in value or ()]


def _metadata(data: Mapping[str, Any]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Metadata by breadcrumb."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for item in data.get("metadata") or ():
        if isinstance(item, Mapping) and isinstance(item.get("metadata"), Mapping):
            found[tuple(map(str, item.get("breadcrumb") or ()))] = dict(item["metadata"])
    return found


def selected(known: Iterable[Entry], wanted: Sequence[Selection]) -> dict[str, Any]:
    """The catalog for a read: the streams that are wanted, and their columns, are marked, all others unmarked.

    Marked are metadata and, as taps of old have it, the schema itself.
    """
    by_path = {s.stream.path: s for s in wanted}
    return {"streams": [_marked(entry, by_path.get(entry.stream.path)) for entry in known]}


def _marked(entry: Entry, selection: Selection | None) -> dict[str, Any]:
    data = copy.deepcopy(dict(entry.data))
    found = _metadata(data)
    root = found.setdefault((), {})
    on = selection is not None
    root["selected"] = data["selected"] = on
    schema = data.get("schema")
    if isinstance(schema, dict):
        schema["selected"] = on
    if selection is not None:
        _columns(found, schema, selection)
        _replication(data, root, entry, selection)
    data["metadata"] = [{"breadcrumb": list(crumb), "metadata": told} for crumb, told in found.items()]
    return data


def _columns(found: dict[tuple[str, ...], dict[str, Any]], schema: Any, selection: Selection) -> None:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return
    for name, told in properties.items():
        about = found.setdefault(("properties", name), {})
        inclusion = about.get("inclusion") or (told.get("inclusion") if isinstance(told, dict) else None)
        wanted = selection.columns is None or name in selection.columns
        on = inclusion != "unsupported" and (wanted or inclusion == "automatic")
        for crumb, inner in found.items():
            if crumb[:2] == ("properties", name) and inner.get("inclusion") != "unsupported":
                inner["selected"] = on
        if isinstance(told, dict):
            told["selected"] = on


def _replication(data: dict[str, Any], root: dict[str, Any], entry: Entry, selection: Selection) -> None:
    """As the mode wants it, where the tap leaves a choice."""
    if root.get("forced-replication-method"):
        if selection.cursor and not (root.get("replication-key") or data.get("replication_key")):
            root["replication-key"] = data["replication_key"] = selection.cursor
        return
    if selection.mode == "replace":
        root["replication-method"] = data["replication_method"] = "FULL_TABLE"
    elif selection.cursor and not entry.stream.changes:
        root["replication-method"] = data["replication_method"] = "INCREMENTAL"
        root["replication-key"] = data["replication_key"] = selection.cursor


def empty_state(state: Any, ids: Iterable[str]) -> Any:
    """The state without what it says of some streams: they are read from the beginning."""
    if not isinstance(state, Mapping):
        return state
    gone = set(ids)
    marks = state.get("bookmarks")
    kept = {k: v for k, v in state.items() if k not in gone}
    if isinstance(marks, Mapping):
        kept["bookmarks"] = {k: v for k, v in marks.items() if k not in gone}
    if kept.get("currently_syncing") in gone:
        kept["currently_syncing"] = None
    return kept


def shown(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """Names and types, to be compared."""
    return tuple((f.name, f"{f.type}{f.metadata or ''}") for f in schema)
