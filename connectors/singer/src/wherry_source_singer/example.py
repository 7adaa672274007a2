"""A tap with a real state: people and their visits, from a JSON file, incremental by `updated`; written by hand.

It keeps to what taps of both kinds do: `--discover`, `--catalog` or `--properties`, `--state`, streams read only when
they are selected, a state every few rows, the bookmark inclusive.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

SCHEMAS: dict[str, dict[str, Any]] = {
    "people": {
        "id": {"type": ["null", "integer"]},
        "name": {"type": ["null", "string"]},
        "updated": {"type": ["null", "string"], "format": "date-time"},
        "height": {"type": ["null", "number"]},
        "home": {"type": ["null", "object"], "properties": {"town": {"type": ["null", "string"]}}},
        "extra": {},
    },
    "visits": {"id": {"type": "integer"}, "day": {"type": "string", "format": "date"}, "person": {"type": "integer"}},
}


def say(**message: Any) -> None:
    """One message."""
    sys.stdout.write(json.dumps(message) + "\n")


def discover() -> None:
    """Print the catalog."""
    streams = []
    for name, properties in SCHEMAS.items():
        root: dict[str, Any] = {"inclusion": "available", "table-key-properties": ["id"]}
        if name == "people":
            root |= {"forced-replication-method": "INCREMENTAL", "valid-replication-keys": ["updated"]}
        metadata: list[dict[str, Any]] = [{"breadcrumb": [], "metadata": root}]
        for column in properties:
            inclusion = "automatic" if column in ("id", "updated") else "available"
            metadata.append({"breadcrumb": ["properties", column], "metadata": {"inclusion": inclusion}})
        streams.append({
            "tap_stream_id": name, "stream": name, "key_properties": ["id"], "metadata": metadata,
            "schema": {"type": "object", "properties": properties},
        })  # fmt: skip
    sys.stdout.write(json.dumps({"streams": streams}, indent=1) + "\n")


def sync(rows: dict[str, Any], catalog: dict[str, Any], state: dict[str, Any], every: int) -> None:
    """Send the selected streams, from where the state is."""
    marks = state.setdefault("bookmarks", {})
    for entry in catalog["streams"]:
        about = {tuple(m["breadcrumb"]): m["metadata"] for m in entry["metadata"]}
        name = entry["tap_stream_id"]
        if not about[()].get("selected"):
            continue
        kept = [
            column for column in SCHEMAS[name]
            if about[("properties", column)].get("inclusion") == "automatic"
            or about[("properties", column)].get("selected")
        ]  # fmt: skip
        properties = {column: SCHEMAS[name][column] for column in kept}
        say(type="SCHEMA", stream=name, schema={"type": "object", "properties": properties}, key_properties=["id"])
        after = marks.get(name, {}).get("updated", "")
        found = rows.get(name, [])
        if name == "people":
            found = sorted((r for r in found if r["updated"] >= after), key=lambda r: (r["updated"], r["id"]))
        for number, row in enumerate(found, 1):
            say(type="RECORD", stream=name, record={c: row[c] for c in kept if c in row})
            if name == "people":
                marks[name] = {"updated": row["updated"]}
            if number % every == 0:
                say(type="STATE", value=state)
        say(type="STATE", value=state)


def main() -> None:
    """The tap."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--discover", action="store_true")
    parser.add_argument("--catalog")
    parser.add_argument("--properties")
    parser.add_argument("--state")
    args = parser.parse_args()
    with open(args.config) as file:
        config = json.load(file)
    with open(config["file"]) as file:
        rows = json.load(file)
    if args.discover:
        discover()
        return
    with open(args.catalog or args.properties) as file:
        catalog = json.load(file)
    state = {}
    if args.state:
        with open(args.state) as file:
            state = json.load(file)
    sys.stderr.write("INFO starting\n")
    sync(rows, catalog, state, int(config.get("every", 50)))


if __name__ == "__main__":
    main()
