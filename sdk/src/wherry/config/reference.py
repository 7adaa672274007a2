"""References: what a user types for SOURCE or DEST, resolved from metadata alone, in one fixed order."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from wherry.config.environment import Setting
from wherry.config.project import Project
from wherry.contracts.config import public
from wherry.errors import UsageError
from wherry.near import did_you_mean, near

Kind = Literal["source", "destination"]
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<object>[A-Za-z_]\w*))?")
_OBJECT = re.compile(r"(?P<module>[A-Za-z_]\w*)(?:\.\w+)*:(?P<object>[A-Za-z_]\w*)")
_SUFFIX = re.compile(r"[^./\\][^/\\]*?(\.\w{1,10})+")


class Names(Protocol):
    """What resolving asks of the registry of plugins."""

    def names(self, kind: Kind) -> Sequence[str]: ...
    def by_scheme(self, kind: Kind, scheme: str) -> str | None: ...
    def by_suffix(self, kind: Kind, filename: str) -> str | None: ...
    def by_folder(self, kind: Kind) -> str | None: ...
    def schemes(self, kind: Kind) -> Sequence[str]: ...
    def suffixes(self, kind: Kind) -> Sequence[str]: ...
    def unknown(self, kind: Kind, name: str) -> UsageError: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A connector and what it is pointed at.

    text: as typed, without a password, for messages.  connector: name of an installed connector, or the name of the
    class or file for `object`, which is "./source.py:Object" or "module:Object".  value: goes into the field that
    `Config.reference` names.  name, settings: of the entry in wherry.yaml.  origin: where `value` came from.
    """

    kind: Kind
    text: str
    connector: str
    value: str | None = field(default=None, repr=False)
    name: str | None = None
    object: str | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict, repr=False)
    origin: str = "the command line"


def resolve(kind: Kind, text: str, registry: Names, project: Project) -> Reference:
    """The reference that `text` stands for; UsageError with near names if it stands for nothing."""
    if not text.strip():
        raise UsageError(f"the {kind} is empty", next=f"name a {kind}: wherry plugins lists those installed")
    for step in _ORDER:
        found = step(kind, text, registry, project)
        if found is not None:
            return found
    if project.content is not None and text in project.content.pipelines:
        raise UsageError(f"{text!r} is a pipeline of wherry.yaml, no {kind}", next=f"wherry run {shlex.quote(text)}")
    files = [f"./{text}{end}" for end in (".py", ".yaml", ".yml") if Path(f"{text}{end}").is_file()]
    if files:
        raise UsageError(f"unknown {kind} {_public(text)!r}", next=f"did you mean the file here? write {files[0]}")
    known = near(text, project.names(kind))
    if known:
        raise UsageError(f"unknown {kind} {_public(text)!r}", next=f"did you mean {known!r} of wherry.yaml?")
    raise _unknown(kind, text, registry, project)


def _unknown(kind: Kind, text: str, registry: Names, project: Project) -> UsageError:
    """A name that nothing has; what else it may have been meant for."""
    error = registry.unknown(kind, text.partition(":")[0])
    if kind == "source" and ":" not in text and text not in registry.names("destination"):
        error.message += ": no connector, file or folder has that name"
        folder = near(text, _folders()) if registry.by_folder(kind) else None
        error.next = f"did you mean the folder {folder!r} here? if not, {error.next}" if folder else error.next
    return error


def _folders() -> list[str]:
    """Folders beside us that a user may have meant; none if it cannot be told."""
    try:
        return [path.name for path in Path().iterdir() if path.is_dir() and not path.name.startswith((".", "_"))]
    except OSError:
        return []


def _from_project(kind: Kind, text: str, registry: Names, project: Project) -> Reference | None:
    entry = project.entry(kind, text)
    if entry is None:
        return None
    shared = {"kind": kind, "text": text, "name": text, "settings": entry.settings, "origin": entry.origin}
    if entry.connector in registry.names(kind):
        return Reference(connector=entry.connector, **shared)  # type: ignore[arg-type]
    path = _FILE.fullmatch(entry.connector)
    if path and not Path(path["path"]).expanduser().is_absolute():
        inside = str(project.folder / entry.connector)
        return Reference(connector=text, object=inside, **shared)  # type: ignore[arg-type]
    if path or _OBJECT.fullmatch(entry.connector):
        return Reference(connector=text, object=entry.connector, **shared)  # type: ignore[arg-type]
    error = registry.unknown(kind, entry.connector)
    error.where = f"{kind} {text!r} of {entry.origin}"
    raise error


def _from_uri(kind: Kind, text: str, registry: Names, project: Project) -> Reference | None:
    match = _URI.match(text)
    if not match:
        return None
    scheme = match[1].lower()
    name = registry.by_scheme(kind, scheme)
    if name is None and match[1] in registry.names(kind):
        return None  # connector:rest
    if name is None and kind == "source" and scheme in ("http", "https"):
        raise UsageError(
            "an address alone is no source: a manifest says how its rows are paged and keyed",
            next=f"wherry preview --guess {shlex.quote(_public(text))} > NAME.yaml, then  wherry sync NAME.yaml DEST",
        )
    if name is None:
        close = near(scheme, registry.schemes(kind))  # a name that is nearly right is none to be installed
        remedy = f"write {close}://…" if close else f"pip install wherry-{kind}-{scheme}"
        remedy += "  (wherry plugins lists what is here)"
        raise UsageError(
            f"no installed {kind} takes {scheme}:// addresses{did_you_mean(scheme, registry.schemes(kind))}",
            next=remedy,
        )
    return Reference(kind=kind, text=_public(text), connector=name, value=text)


def _from_connector(kind: Kind, text: str, registry: Names, project: Project) -> Reference | None:
    name, colon, rest = text.partition(":")
    if not colon or name not in registry.names(kind):
        return None
    return Reference(kind=kind, text=f"{name}:{_public(rest)}", connector=name, value=rest or None)


def _from_path(kind: Kind, text: str, registry: Names, project: Project) -> Reference | None:
    script = _FILE.fullmatch(text)
    if script:
        if not Path(script["path"]).expanduser().is_file():
            raise UsageError(f"no such file: {script['path']}", next=f"write the path of a file with a {kind} class")
        return Reference(kind=kind, text=text, connector=Path(script["path"]).stem, object=text)
    path = Path(text).expanduser()
    name = registry.by_suffix(kind, path.name) or _folder(kind, text, path, registry)
    if name is not None:
        _refuse_ambiguity(kind, text, registry)
        return Reference(kind=kind, text=text, connector=name, value=text)
    if path.is_file() or (_SUFFIX.fullmatch(path.name) and ":" not in text):
        suffix = "".join(path.suffixes[-2:]) or path.name
        known = " ".join(f".{s}" for s in registry.suffixes(kind)) or "none"
        raise UsageError(f"no installed {kind} knows {suffix} files: {text}", next=f"use one of: {known}")
    if "/" in text or text.startswith((".", "~")):
        raise UsageError(f"no such file or folder: {text}", next="correct the path, or create it")
    return None


def _folder(kind: Kind, text: str, path: Path, registry: Names) -> str | None:
    pattern = any(sign in text for sign in "*?[")
    future = text.endswith("/") or (kind == "destination" and "/" in text and not path.suffix)
    return registry.by_folder(kind) if pattern or future or path.is_dir() else None


def _refuse_ambiguity(kind: Kind, text: str, registry: Names) -> None:
    if text in registry.names(kind):
        raise UsageError(
            f"{text!r} is a folder here and an installed {kind}", next=f"write ./{text} or {text}: to say which"
        )


def _from_object(kind: Kind, text: str, registry: Names, project: Project) -> Reference | None:
    match = _OBJECT.fullmatch(text)
    if not match or not _importable(match["module"]):
        return None
    return Reference(kind=kind, text=text, connector=match["object"], object=text)


def _importable(module: str) -> bool:
    try:
        found = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    return found or Path(f"{module}.py").is_file() or Path(module).is_dir()


def _bare(kind: Kind, text: str, registry: Names, project: Project) -> Reference | None:
    return Reference(kind=kind, text=text, connector=text) if text in registry.names(kind) else None


def _public(text: str) -> str:
    try:
        return public(text)
    except ValueError:  # not a well-formed address: show no more than its scheme
        return f"{text.partition('://')[0]}://…"


_ORDER: tuple[Callable[[Kind, str, Names, Project], Reference | None], ...] = (
    _from_project, _from_uri, _from_connector, _from_path, _from_object, _bare,
)  # fmt: skip
