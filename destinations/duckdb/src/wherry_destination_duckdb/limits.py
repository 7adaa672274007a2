"""What the engine says when the machine runs out of something: in our words, naming the folder or the limit."""

from __future__ import annotations

import re

from wherry import ResourceError, exhausted

VECTOR = 2048
"""Rows of a table that the engine holds in memory at once, whatever they weigh."""
_MEMORY = re.compile("out of memory|failed to (pin|allocate)|could not allocate", re.IGNORECASE)
_LARGE = 64 << 20
_FILE = re.compile(r'(?:file|directory) "([^"]+)"')


def met(error: Exception, path: str, need: int = 0, rows: int = 0) -> ResourceError | None:
    """The limit that the engine met; None when its error is about something else.

    path: of the database, for messages that do not name the file.  need: bytes of rows that waited to be written.
    rows: how many they are.
    """
    text = str(error)
    named = _FILE.search(text)
    where = path if named is None or named[1].startswith(f"{path}.new-") else named[1]  # that one is gone by now
    found = exhausted("input/output error" if "fsync failed" in text else text, where, need)
    if found is not None or not _MEMORY.search(text):
        return found
    width = need // max(1, rows)
    if width * VECTOR > _LARGE:
        text = f"it holds up to {VECTOR:,} rows of a table at once, and each takes {width / 1e6:.1f} MB"
        enough = -(-4 * width * min(rows, VECTOR) // 10**9)
        next = f"raise it, say: --dest-set memory_limit={enough}GB"
        return ResourceError(f"DuckDB ran out of memory: {text}", key="memory_limit", next=next)
    return ResourceError("DuckDB ran out of memory", key="memory_limit", next="raise it, or free disk for spilling")
