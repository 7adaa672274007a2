"""What installed distributions say of themselves, read without importing any of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint
from typing import Literal

Kind = Literal["source", "destination", "hook"]
KINDS: tuple[Kind, ...] = ("source", "destination", "hook")
CONTRACT = 1
"""Version of the contracts that this host speaks: version 1 is the group `wherry.sources`, n is `wherry.sources.vn`."""

_GROUP = re.compile(r"wherry\.(source|destination|hook)s(?:\.v(\d+))?")
_NEEDS = re.compile(r"wherry(?![\w.-])\s*(?:\[[^\]]*\])?([^;]*)")
_CLAUSE = re.compile(r"\s*\(?\s*(>=|<=|==|!=|<|>)\s*(\d+(?:\.\d+)*)\s*\)?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One connector or hook module that a distribution offers, from its metadata alone.

    value: "module:object".  suffixes: file suffixes without the first dot; "folder" stands for folders and globs.
    rivals: other distributions that own the same name.  conflicts: what others claim too, one line each.
    problem: why it does not fit this host, and `remedy` what to do about it.
    """

    kind: Kind
    name: str
    value: str
    distribution: str
    version: str
    schemes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    problem: str | None = None
    remedy: str | None = None

    @property
    def owner(self) -> str:
        """Distribution and version, as messages name it."""
        return f"{self.distribution} {self.version}".rstrip()


def read(distributions: Iterable[Distribution], *, contract: int, wherry: str | None = None) -> list[Plugin]:
    """All plugins; of two distributions with the same name the first on the path counts, as it does for imports.

    contract: the version of the contracts that the host speaks.  wherry: the host's own version, if it is not among
    `distributions`.
    """
    found: dict[str, Distribution] = {}
    for distribution in distributions:
        try:
            if "wherry" in (distribution.read_text("entry_points.txt") or ""):
                found.setdefault(_normal(distribution.metadata["Name"]), distribution)
        except Exception:  # noqa: S112 - a distribution whose metadata cannot be read offers nothing
            continue
    wherry = found["wherry"].version if "wherry" in found else wherry
    plugins: list[Plugin] = []
    for distribution in found.values():
        try:
            plugins.extend(_offers(distribution, contract, wherry))
        except Exception:  # noqa: S112 - nor does one with unreadable entry points
            continue
    return plugins


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _offers(distribution: Distribution, contract: int, wherry: str | None) -> Iterator[Plugin]:
    name, version = distribution.metadata["Name"], distribution.version or ""
    points = [point for point in distribution.entry_points if point.group.startswith("wherry.")]
    refused = _requirement_problem(distribution.requires or (), name, wherry)
    for (kind, item), versions in _versions(points).items():
        point = versions.get(contract)
        problem = refused if point else _contract_problem(max(versions), contract, name)
        yield Plugin(
            kind=kind,
            name=item,
            value=(point or versions[max(versions)]).value,
            distribution=name,
            version=version,
            schemes=_claims(points, f"wherry.{kind}s.schemes", item),
            suffixes=_claims(points, f"wherry.{kind}s.suffixes", item),
            problem=problem and problem[0],
            remedy=problem and problem[1],
        )


def _versions(points: Iterable[EntryPoint]) -> Mapping[tuple[Kind, str], dict[int, EntryPoint]]:
    """(kind, connector name) -> contract version -> entry point."""
    found: dict[tuple[Kind, str], dict[int, EntryPoint]] = {}
    for point in points:
        match = _GROUP.fullmatch(point.group)
        if match:
            kind = next(kind for kind in KINDS if kind == match[1])
            found.setdefault((kind, point.name), {}).setdefault(int(match[2] or 1), point)
    return found


def _claims(points: Iterable[EntryPoint], group: str, connector: str) -> tuple[str, ...]:
    return tuple(sorted({point.name for point in points if point.group == group and point.value == connector}))


def _contract_problem(theirs: int, ours: int, name: str) -> tuple[str, str]:
    older = "wherry" if theirs > ours else name
    return f"speaks contract {theirs}, this wherry speaks {ours}: upgrade {older}", f"pip install --upgrade {older}"


def _requirement_problem(requires: Iterable[str], name: str, wherry: str | None) -> tuple[str, str] | None:
    for requirement in requires:
        match = _NEEDS.fullmatch(requirement.split(";")[0].strip())
        if match and wherry:
            wrong = _unmet(match[1], wherry)
            if wrong:
                older = "wherry" if wrong[0] in ">=" else name
                needs = match[1].strip(" ()")
                return f"needs wherry {needs}, this is {wherry}: upgrade {older}", f"pip install --upgrade {older}"
    return None


def _unmet(specifier: str, version: str) -> str | None:
    """The first clause that `version` breaks. Only plain numbers are judged: anything finer was the installer's job."""
    for clause in specifier.split(","):
        match = _CLAUSE.fullmatch(clause)
        ours, theirs = _release(version), _release(match[2]) if match else None
        if match and ours and theirs and not _holds(match[1], ours, theirs):
            return match[0].strip(" ()")
    return None


def _release(text: str) -> tuple[int, ...] | None:
    match = re.match(r"\d+(?:\.\d+)*", text)
    if not match:
        return None
    numbers = [int(part) for part in match[0].split(".")]
    return tuple(numbers + [0] * (6 - len(numbers)))


def _holds(operator: str, ours: tuple[int, ...], theirs: tuple[int, ...]) -> bool:
    return {
        ">=": ours >= theirs, "<=": ours <= theirs, "==": ours == theirs,
        "!=": ours != theirs, "<": ours < theirs, ">": ours > theirs,
    }[operator]  # fmt: skip
