"""JSON into Arrow: exactly, in bulk, with a schema that grows. Tokens out of bodies without parsing all of them.

`Records` turns bodies of pages, or JSON lines, into batches; `find`, `count` and `last` look into one body; `declared`
reads a schema as authors write it; `steps` reads a path.
"""

from wherry.json_rows.declared import declared
from wherry.json_rows.find import count, find, last
from wherry.json_rows.paths import MISSING, steps
from wherry.json_rows.records import Parsed, Records

__all__ = ["MISSING", "Parsed", "Records", "count", "declared", "find", "last", "steps"]
