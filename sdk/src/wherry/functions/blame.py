"""Errors of an author's code, told as that connector's: the line of the author's own code, and no data."""

from __future__ import annotations

import traceback
from importlib import metadata
from pathlib import Path
from types import ModuleType

from wherry.errors import SourceError, WherryError
from wherry.limits import exhausted

_OF_NAMES = (AttributeError, ImportError, KeyError, NameError, TypeError, ZeroDivisionError)
"""Their texts name what the code looked for; those of others may hold what it found, and are shown with --debug."""


def explained(error: Exception, home: ModuleType, called: str) -> Exception:
    """The error, if it can be shown as it is; else one that says where in the author's code it came from."""
    if isinstance(error, WherryError):
        return error
    local = exhausted(error)
    if local is not None:
        return local
    what = type(error).__name__ + (f": {error}" if isinstance(error, _OF_NAMES) and str(error) else "")
    where, whose = place(error, home), owner(home)
    text = (
        what[:200] + (f" ({where})" if where else "") + (f": a bug in {whose or called}" if whose or not where else "")
    )
    return SourceError(
        text, next="correct it, or raise wherry.TransientError for what may pass by itself; --debug shows the traceback"
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


def owner(home: ModuleType) -> str:
    """The distribution that the module came with, and its version; "" for a file under development."""
    top = home.__name__.partition(".")[0]
    names = metadata.packages_distributions().get(top, ())
    return next((f"{name} {metadata.version(name)}" for name in names), "")


def _neighbour(passed: Path, file: Path) -> bool:
    """A module beside a single file that is developed."""
    return passed.parent == file.parent and "site-packages" not in passed.parts
