"""Errors of an author's code, told as that connector's: the line of the author's own code, and no data."""

from __future__ import annotations

import traceback
from importlib import metadata
from pathlib import Path
from types import ModuleType

from wherry.errors import SourceError, WherryError
from wherry.functions.declare import Declared
from wherry.limits import exhausted

_OF_NAMES = (AttributeError, ImportError, KeyError, NameError, TypeError, ZeroDivisionError)
"""Their texts name what the code looked for; those of others may hold what it found, and are shown with --debug."""


def explained(error: Exception, stream: Declared, home: ModuleType, called: str) -> Exception:
    """The error, if it can be shown as it is; else one that says where in the author's code it came from."""
    if isinstance(error, WherryError):
        return error
    local = exhausted(error)
    if local is not None:
        return local
    where = place(error, home)
    what = type(error).__name__ + (f": {error}" if isinstance(error, _OF_NAMES) and str(error) else "")
    return SourceError(
        f"stream {stream.name} failed{where and f' in {where}'}: {what[:200]}: this is a bug in {owner(home, called)}",
        next="correct it, or raise wherry.TransientError for what may pass by itself; --debug shows the traceback",
    )


def place(error: BaseException, home: ModuleType) -> str:
    """`issues.py, line 12`: the innermost line of the author's code; "" if the error did not pass through it."""
    file = Path(home.__file__ or "").resolve()
    inside = file.parent if file.name == "__init__.py" else None
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        passed = Path(frame.f_code.co_filename).resolve()
        if passed == file or (inside is not None and passed.is_relative_to(inside)) or _neighbour(passed, file):
            found = f"{passed.name}, line {line}"
    return found


def owner(home: ModuleType, called: str) -> str:
    """The distribution that the module came with, and its version; else the module's own name."""
    top = home.__name__.partition(".")[0]
    for name in metadata.packages_distributions().get(top, ()):
        return f"{name} {metadata.version(name)}"
    return Path(home.__file__).name if top.startswith("wherry_file_") and home.__file__ else called


def _neighbour(passed: Path, file: Path) -> bool:
    """A module beside a single file that is developed."""
    return passed.parent == file.parent and "site-packages" not in passed.parts
