"""From collections, as the server describes them, to streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry import Deleted, Incremental, RestStream

TYPES = {"bool": "boolean", "number": "double", "json": "json", "autodate": "timestamptz"}
"""Types of fields whose values are no texts. A date that is not given is an empty text, so that dates are texts."""
OWN = ("collectionId", "collectionName")
"""What the server adds to each record."""
MANY = ("select", "relation", "file")
"""Types of fields that hold a list, if more than one value is allowed."""


def stream_of(collection: Mapping[str, Any], deleted: str | None) -> RestStream:
    """The stream of one collection.

    It is incremental by the field that the server sets at each change, if the collection has one. deleted: the name of
    a field of type bool that marks rows as deleted.
    """
    fields = {field["name"]: field for field in collection["fields"] if not field.get("hidden")}
    changed = next((name for name, field in fields.items() if field["type"] == "autodate" and field["onUpdate"]), None)
    marks = deleted is not None and fields.get(deleted, {}).get("type") == "bool"
    params: dict[str, Any] = {"skipTotal": "1", "sort": "id"}
    incremental = None
    if changed is not None:
        params |= {"sort": f"{changed},id", "filter": f"{changed}>='{{start}}'"}
        incremental = Incremental(changed, format="%Y-%m-%d %H:%M:%S.%fZ", ordered=True, anew_after=500)
    return RestStream(
        collection["name"],
        path=f"api/collections/{collection['name']}/records",
        params=params,
        records="items",
        schema={name: type_of(field) for name, field in fields.items()} | dict.fromkeys(OWN, "text"),
        primary_key=("id",),
        incremental=incremental,
        deleted=Deleted(str(deleted), equals=True) if marks else None,
        description=f"collection of type {collection['type']}",
    )


def type_of(field: Mapping[str, Any]) -> Any:
    """The type of a field, in the words of a manifest."""
    if field["type"] == "geoPoint":
        return {"lon": "double", "lat": "double"}
    if field["type"] in MANY and field.get("maxSelect", 1) > 1:
        return ["text"]
    return TYPES.get(field["type"], "text")
