"""Values that stand elsewhere: `${NAME}`, `${file:PATH}`, `${keyring:SERVICE/USER}`; keys `…_file` and `…_keyring`.

What is put in is never looked through for more, and all of it together has a limit: a few bytes of configuration
cannot become a large amount of memory.
"""

from __future__ import annotations

import importlib
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from wherry.config.environment import LIMIT, Environment, Setting, read_small
from wherry.errors import PolicyError, UsageError

Kind = Literal["file", "keyring"]
_VARIABLE = re.compile(r"\$(?:(\$)(?=\{)|\{(?:(file|keyring):)?([^{}]*)\})")
_OTHERS = stat.S_IROTH | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A secret that a key such as `password_file` or `password_keyring` points at."""

    kind: Kind
    place: str


@dataclass(slots=True)
class Elsewheres:
    """Looks values up. folder: what paths of wherry.yaml are relative to.  notes: what its user should know."""

    environment: Environment
    folder: Path
    notes: list[str] = field(default_factory=list)
    _room: int = LIMIT

    def resolved(self, setting: Setting) -> Setting:
        """The setting with its value in place; only values of wherry.yaml may have `${…}`."""
        sources: list[str] = []
        value, project = setting.value, setting.origin.startswith("wherry.yaml")
        if project:
            value = self._substituted(value, setting.origin, sources)
        if isinstance(value, Elsewhere):
            place = self._put(value.place, setting.origin, sources) if project else value.place
            value = self._found(value.kind, place, self.folder if project else Path(), setting.origin, sources)
        return Setting(value, f"{setting.origin} ({', '.join(sources)})" if sources else setting.origin)

    def _substituted(self, value: Any, origin: str, sources: list[str]) -> Any:
        if isinstance(value, str):
            return self._put(value, origin, sources)
        if isinstance(value, Mapping):
            return {key: self._substituted(item, origin, sources) for key, item in value.items()}
        return [self._substituted(item, origin, sources) for item in value] if isinstance(value, list) else value

    def _put(self, text: str, origin: str, sources: list[str]) -> str:
        def put(match: re.Match[str]) -> str:
            if match[1]:
                return "$"  # $${ is a plain ${
            if match[2]:
                kind: Kind = "file" if match[2] == "file" else "keyring"
                return self._found(kind, match[3], self.folder, origin, sources)
            found = self.environment.get(match[3])
            if found is None:
                remedy = f"export {match[3]}=…  or write it to .env"
                raise UsageError(f"${{{match[3]}}} is not set", where=origin, next=remedy)
            sources.append(found.origin)
            return self._counted(str(found.value), origin)

        return _VARIABLE.sub(put, text)

    def _found(self, kind: Kind, place: str, folder: Path, origin: str, sources: list[str]) -> str:
        if kind == "keyring":
            sources.append(f"keyring {place}")
            return self._counted(_from_keyring(place, origin), origin)
        path = folder / Path(place).expanduser()
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            raise UsageError(f"no such file: {place}", where=origin, next=f"create {path}") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"cannot read {place[:80]!r}: {reason}", where=origin, next="name a file") from None
        if stat.S_ISDIR(mode):
            raise UsageError(f"{place} is a folder", where=origin, next="name a file")
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise PolicyError(f"{place} is a device, not a file", where=origin, next="name a file")
        if stat.S_ISREG(mode) and mode & _OTHERS:
            self.notes.append(f"{place} is open to every user of this machine: chmod 600 {path}")
        sources.append(f"file {place}")
        return self._counted(read_small(path).rstrip("\r\n"), origin)

    def _counted(self, text: str, origin: str) -> str:
        self._room -= len(text)
        if self._room < 0:
            what = f"what is put into the configuration is more than {LIMIT >> 20} MiB together"
            raise PolicyError(what, where=origin, next="put in less: ${…} is for names and secrets")
        return text


def _from_keyring(place: str, origin: str) -> str:
    """The secret that the operating system's keyring keeps under SERVICE/USER."""
    service, slash, user = place.rpartition("/")
    if not slash or not service or not user:
        raise UsageError(f"keyring {place!r} is not of the form SERVICE/USER", where=origin, next="name both")
    try:
        keyring: Any = importlib.import_module("keyring")
    except ImportError:
        what = "the keyring is read by the package keyring, which is not installed"
        raise UsageError(what, where=origin, next="pip install 'wherry[keyring]'") from None
    try:
        found = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        remedy = "see that it is there and unlocked: python -m keyring diagnose"
        raise UsageError(f"the keyring does not answer ({type(error).__name__})", where=origin, next=remedy) from None
    if found is None:
        remedy = f"python -m keyring set {service} {user}"
        raise UsageError(f"the keyring has nothing under {place}", where=origin, next=remedy)
    return str(found)
