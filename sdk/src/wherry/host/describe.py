"""A loaded connector as JSON: configuration and capabilities, declared once and shown from here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wherry.contracts.values import Stream


def describe(cls: type[Any]) -> dict[str, Any]:
    """JSON object with doc, config (JSON Schema), reference (the field that takes what is typed), capabilities (of
    sources: filters), and streams, of sources that know them without being asked."""
    described: dict[str, Any] = {
        "doc": (cls.__doc__ or "").strip().partition("\n")[0],
        "config": cls.Config.model_json_schema(),
        "reference": cls.Config.reference,
    }
    capabilities = getattr(cls, "capabilities", None)
    if dataclasses.is_dataclass(capabilities) and not isinstance(capabilities, type):
        plain = dataclasses.asdict(capabilities)
        described["capabilities"] = {k: sorted(v) if isinstance(v, (frozenset, tuple)) else v for k, v in plain.items()}
    else:
        described["capabilities"] = {"filters": bool(getattr(cls, "filters", False))}
    known = getattr(cls, "known_streams", None)
    if known is not None:
        described["streams"] = [_stream(stream) for stream in known()]
    return described


def _stream(stream: Stream) -> dict[str, Any]:
    incremental = "merge" if stream.primary_key else "append"
    mode = incremental if stream.cursor or stream.changes else "replace"
    fields = {"name": stream.path, "primary_key": list(stream.primary_key), "cursor": stream.cursor, "mode": mode}
    return fields | {"description": stream.description}
