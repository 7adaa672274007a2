"""What the engine says when the machine runs out of something: in our words, naming the folder or the limit."""

from __future__ import annotations

import re

from wherry import ResourceError, exhausted

_FILE = re.compile(r'(?:file|directory) "([^"]+)"')


def met(error: Exception, path: str, need: int = 0) -> ResourceError | None:
    """The limit that the engine met; None when its error is about something else.

    path: of the database, for messages that do not name the file.  need: bytes of rows that waited to be written.
    """
    import duckdb

    text = str(error)
    named = _FILE.search(text)
    found = exhausted("input/output error" if "fsync failed" in text else text, named[1] if named else path, need)
    if found is not None:
        return found
    if isinstance(error, duckdb.OutOfMemoryException):
        return ResourceError("DuckDB ran out of memory", key="memory_limit", next="raise it, or free disk for spilling")
    return None
