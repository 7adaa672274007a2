"""A loaded connector as JSON: configuration and capabilities, declared once and shown from here."""

from __future__ import annotations

import dataclasses
from typing import Any


def describe(cls: type[Any]) -> dict[str, Any]:
    """JSON object with doc, config (JSON Schema), reference (the field that takes what is typed), and either
    capabilities (destinations) or filters (sources)."""
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
    return described
