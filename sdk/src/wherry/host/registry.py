"""The registry: which plugins are installed and who owns which name, scheme and suffix. A value, built by one scan.

Nothing here imports a plugin; `wherry.host.load` does, by name, one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.metadata import Distribution

from wherry.errors import PluginError, UsageError
from wherry.host.metadata import CONTRACT, Kind, Plugin, read
from wherry.near import near

FOLDER = "folder"


@dataclass(frozen=True)
class Registry:
    """All plugins by metadata, sorted by kind and name; two distributions that own one name are both listed."""

    plugins: tuple[Plugin, ...] = ()

    @classmethod
    def scan(
        cls,
        path: Sequence[str] | None = None,
        *,
        distributions: Iterable[Distribution] | None = None,
        contract: int = CONTRACT,
    ) -> Registry:
        """What is installed on `path` (default: where Python imports from), or in the given distributions."""
        if distributions is None:
            distributions = metadata.distributions() if path is None else metadata.distributions(path=list(path))
        plugins = read(distributions, contract=contract, wherry=version())
        ordered = sorted(plugins, key=lambda p: (p.kind != "source", p.kind, p.name, p.distribution))
        return cls(tuple(_with_conflicts(plugin, plugins) for plugin in ordered))

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Names of the installed plugins of one kind, each once."""
        return tuple(dict.fromkeys(plugin.name for plugin in self.plugins if plugin.kind == kind))

    def find(self, kind: Kind, name: str) -> Plugin:
        """The one plugin of this name. UsageError: unknown. PluginError: owned twice, or another contract."""
        owners = [plugin for plugin in self.plugins if (plugin.kind, plugin.name) == (kind, name)]
        if not owners:
            raise self.unknown(kind, name)
        plugin = owners[0]
        if plugin.rivals:
            both = " and ".join(owner.owner for owner in owners)
            uninstall = "  or  ".join(f"pip uninstall {owner.distribution}" for owner in owners)
            raise PluginError(f"two distributions own {kind} {name!r}: {both}", next=uninstall)
        if plugin.problem:
            raise PluginError(f"{kind} {name} ({plugin.owner}) {plugin.problem}", next=plugin.remedy)
        return plugin

    def by_scheme(self, kind: Kind, scheme: str) -> str | None:
        """Name of the connector that claims a URI scheme; None: nobody. PluginError: two connectors claim it."""
        claimed = [p for p in self.plugins if p.kind == kind and scheme in p.schemes]
        return self._sole(kind, f"scheme {scheme!r}", claimed)

    def by_suffix(self, kind: Kind, filename: str) -> str | None:
        """Name of the connector that claims the longest suffix of a file name; None: nobody."""
        ends = [s for s in self.suffixes(kind) if filename.lower().endswith(f".{s.lower()}")]
        best = max(ends, key=len, default=None)
        return self._sole(kind, f"suffix .{best}", [p for p in self.plugins if p.kind == kind and best in p.suffixes])

    def by_folder(self, kind: Kind) -> str | None:
        """Name of the connector that claims folders and globs; None: nobody."""
        return self._sole(kind, "folders", [p for p in self.plugins if p.kind == kind and FOLDER in p.suffixes])

    def suffixes(self, kind: Kind) -> tuple[str, ...]:
        """Every file suffix that some plugin of this kind claims."""
        return tuple(sorted({s for p in self.plugins if p.kind == kind for s in p.suffixes if s != FOLDER}))

    def schemes(self, kind: Kind) -> tuple[str, ...]:
        """Every URI scheme that some plugin of this kind claims."""
        return tuple(sorted({s for p in self.plugins if p.kind == kind for s in p.schemes}))

    def unknown(self, kind: Kind, name: str) -> UsageError:
        """The error for a name that nobody owns: the near name, and the distribution that would bring it."""
        other: Kind = "destination" if kind == "source" else "source"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            return UsageError(f"unknown {kind} {name!r}", next=f"wherry plugins lists the {kind}s that are here")
        install = f"pip install wherry-{kind}-{name}"
        if name in self.names(other):
            return UsageError(f"{name!r} is installed as a {other}, not as a {kind}", next=install)
        match = near(name, self.names(kind))
        hint = f"did you mean {match!r}? if not, " if match else ""
        return UsageError(f"unknown {kind} {name!r}", next=f"{hint}{install}  (wherry plugins lists what is here)")

    def _sole(self, kind: Kind, claim: str, claimed: list[Plugin]) -> str | None:
        names = list(dict.fromkeys(plugin.name for plugin in claimed))
        if len(names) > 1:
            both = " and ".join(f"{p.name} ({p.owner})" for p in claimed)
            choose = "  or  ".join(f"{name}:…" for name in names)
            raise PluginError(f"{claim} is claimed by two {kind}s: {both}", next=f"say which: {choose}")
        return names[0] if names else None


def version() -> str | None:
    """This wherry's own version; None in a tree that was never installed."""
    try:
        return metadata.version("wherry")
    except metadata.PackageNotFoundError:
        return None


def _with_conflicts(plugin: Plugin, plugins: Iterable[Plugin]) -> Plugin:
    others = [p for p in plugins if p.kind == plugin.kind and p is not plugin]
    rivals = tuple(p.owner for p in others if p.name == plugin.name)
    lines = [f"name {plugin.name!r} is also owned by {rival}" for rival in rivals]
    for other in others:
        if other.name != plugin.name:
            shared = [f"scheme {s}" for s in plugin.schemes if s in other.schemes]
            shared += [s if s == FOLDER else f"suffix .{s}" for s in plugin.suffixes if s in other.suffixes]
            lines += [f"{claim} is also claimed by {other.name} ({other.owner})" for claim in shared]
    return replace(plugin, rivals=rivals, conflicts=tuple(lines))
