"""Distributions written by hand, to be put on a path: modules, and a dist-info folder as an installer leaves it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

SOURCE = textwrap.dedent("""
    import wherry

    class Acme(wherry.Source):
        class Config(wherry.ConnectorConfig):
            reference = "url"
            url: wherry.Secret | None = None
            size: int = 3

        def discover(self, only=("*",)):
            import pyarrow as pa

            return [wherry.Stream(name="orders", schema=pa.schema([("id", pa.int64())]))]

        def read(self, split):
            return iter(())
""")


def write_distribution(
    folder: Path,
    name: str,
    entry_points: Mapping[str, Mapping[str, str]],
    modules: Mapping[str, str] | None = None,
    *,
    version: str = "1.0",
    requires: Sequence[str] = (),
) -> Path:
    """Put the distribution into `folder`: entry_points by group, then name; modules by name, indented as convenient."""
    for module, text in (modules or {}).items():
        (folder / f"{module}.py").write_text(textwrap.dedent(text))
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in points.items()), "")
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


def write_source(folder: Path, name: str, text: str = SOURCE, *, module: str = "", **fields: object) -> Path:
    """A distribution `wherry-source-NAME` whose module holds the source class `Acme`."""
    module = module or f"plugin_{name.replace('-', '_')}"
    groups = {"wherry.sources": {name: f"{module}:Acme"}}
    return write_distribution(folder, f"wherry-source-{name}", groups, {module: text}, **fields)  # type: ignore[arg-type]
