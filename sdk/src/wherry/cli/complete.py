"""What a shell may complete for SOURCE, DEST and PIPELINE: from metadata and `wherry.yaml`, importing no plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem

from wherry.cli.app import App

Kind = Literal["source", "destination"]


def source_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Sources: names of the project and of connectors, schemes, else files."""
    return _ends(ctx, "source", incomplete)


def destination_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Destinations: names of the project and of connectors, schemes, else files."""
    return _ends(ctx, "destination", incomplete)


def pipeline_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Pipelines of the project."""
    return _matching(_project("pipelines"), incomplete)


def _ends(ctx: click.Context, kind: Kind, incomplete: str) -> list[CompletionItem]:
    registry = ctx.ensure_object(App).registry
    schemes = [f"{scheme}://" for scheme in registry.schemes(kind)]
    found = _matching([*_project(f"{kind}s"), *registry.names(kind), *schemes], incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def _matching(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _project(section: str) -> list[str]:
    """Names under one section of the nearest wherry.yaml; none where it cannot be read: this is no place to say so."""
    import yaml

    folder = Path.cwd()
    home = next((f for f in (folder, *folder.parents) if (f / "wherry.yaml").is_file()), None)
    try:
        content: Any = yaml.safe_load((home / "wherry.yaml").read_text(encoding="utf-8")) if home else {}
    except (OSError, ValueError, yaml.YAMLError):
        return []
    names = content.get(section) if isinstance(content, dict) else None
    return [str(name) for name in names] if isinstance(names, dict) else []
