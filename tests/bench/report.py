"""The results as parts of a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from contest import RESULTS, Result, heads, lines


def measured(workload: str) -> str:
    """Tables of a workload: how long each took, then where Wherry's time goes."""
    known: dict[str, Result] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found = [one for title, one in known.items() if title.split()[0] == workload]
    return "\n\n".join(map(_result, found)) or "Not measured yet."


def _result(found: Result) -> str:
    parts = [f"**{found['title']}**, {_circumstances(found)}", _table(heads(), lines(found))]
    parts += [f"Not counted: {name}: {why}" for name, why in found["missing"].items()]
    parts += [_profile(name, profile) for name, profile in found.get("profiles", {}).items()]
    return "\n\n".join(parts)


def _circumstances(found: Result) -> str:
    machine = found["machine"]
    size = f", {found['size']}" if "size" in found else ""
    return (
        f"{found['rows']:,} rows{size}: {found['date']}, {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory']}, Python {machine['python']}, Wherry at {machine['wherry']}; other programs took "
        f"{found['others']:.0%} of the machine"
    )


def _profile(name: str, found: Result) -> str:
    threads = ", ".join(f"{thread} {cpu:.1f}" for thread, cpu in found["threads"].items())
    cores = " and ".join(f"{seconds:.1f} s with {number}" for number, seconds in found["cores"].items())
    spent = (
        f"{name}, a run that was looked at: {found['wall']:.1f} s, {found['cpu']:.1f} CPU s of its own by thread "
        f"({threads}), {found['server']:.1f} of the server, {found['session']:.1f} of these in its busiest session. "
        f"The busiest thread that cannot be divided takes {found['single']:.1f} CPU s; by estimate {cores} cores."
    )
    rows = [(f"`{one['where']}`", _code(one["line"]), f"{one['cpu']:.2f}") for one in found["lines"]]
    return f"{spent}\n\n{_table(('where', 'line', 'CPU s'), rows)}"


def _code(line: str) -> str:
    return f"`{line}`" if line else ""


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [names, *rows]
    text = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |".replace("  ", " ") for row in cells]
    return "\n".join([text[0], "|" + "---|" * len(names), *text[1:]])
