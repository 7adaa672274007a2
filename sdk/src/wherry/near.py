"""Near names, for messages about words that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable


def near(word: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant by `word`, if one is near enough."""
    from difflib import get_close_matches  # only a mistake pays for the import

    names = {name.lower(): name for name in known}
    matches = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return names[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`: did you mean 'x'?`, or nothing."""
    match = near(word, known)
    return f": did you mean {match!r}?" if match else ""
