"""Wherry source: any Singer tap, as a program in an environment of its own."""

from __future__ import annotations

from typing import Any

__all__ = ["tap_source"]


def __getattr__(name: str) -> Any:
    if name == "tap_source":
        from wherry_source_singer.adapter import tap_source

        return tap_source
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
