"""Texts that say instants: a source marks such a cursor column, so that its values are compared as what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

ORDER = b"wherry:order"
"""Field metadata of a cursor column; `b"instant"`: its texts are ISO times, without a zone in UTC."""
INSTANT = b"instant"


def marked(field: pa.Field) -> pa.Field:
    """The field, saying that its texts are instants."""
    return field.with_metadata({**(field.metadata or {}), ORDER: INSTANT})


def is_marked(field: pa.Field) -> bool:
    """Whether the field says so."""
    return (field.metadata or {}).get(ORDER) == INSTANT


def instants(column: pa.Array) -> pa.Array | None:
    """ISO texts as timestamp[ns, UTC]; None if some say no time, or one that nanoseconds cannot count."""
    import pyarrow as pa

    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            return column.cast(kind).cast(pa.timestamp("ns", "UTC"))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return None
