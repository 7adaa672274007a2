"""Numbers as people read them."""

from __future__ import annotations


def count(number: int) -> str:
    """`5,000,249`."""
    return f"{number:,}"


def rows(number: int) -> str:
    """`1 row`, `5,000,249 rows`."""
    return f"{number:,} row" + ("" if number == 1 else "s")


def short(number: float) -> str:
    """At most five characters: `999`, `12.3k`, `5.0M`, `1.2G`."""
    for unit in ("", "k", "M", "G"):
        if number < 999.5 or unit == "G":
            return f"{number:.0f}{unit}" if not unit or number >= 99.95 else f"{number:.1f}{unit}"
        number /= 1000
    raise AssertionError


def size(bytes: float) -> str:
    """`317 B`, `9 kB`, `612 MB`, `1.2 GB`: powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if bytes < 999.5:
            return f"{bytes:.1f} {unit}" if unit == "GB" and bytes < 99.95 else f"{bytes:.0f} {unit}"
        bytes /= 1000
    return f"{bytes:.1f} TB"


def clock(number: float) -> str:
    """At most six characters: `2.9 s`, `1m15s`, `2h05m`."""
    if number < 59.95:
        return f"{number:.1f} s"
    whole = round(number)
    return f"{whole // 60}m{whole % 60:02}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02}m"


def seconds(number: float) -> str:
    """`2.9 s`, `1 min 15 s`, `2 h 05 min`."""
    if number < 59.95:
        return f"{number:.1f} s"
    whole = round(number)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
