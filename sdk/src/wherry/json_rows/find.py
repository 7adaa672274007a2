"""Single values out of a body: a token, a flag, a count, a field of the last record."""

from __future__ import annotations

import json
from typing import Any

from wherry.errors import DataError
from wherry.json_rows.paths import MISSING, at, steps, walk


def find(body: bytes, path: str) -> Any:
    """The value at a path of a JSON document, as Python's parser gives it, or `MISSING`.

    Of several (`*` in the path) the first. Raises `DataError` for what is no JSON.
    """
    return at(_parsed(body), steps(path))


def count(body: bytes, records: str, most: int | None = None) -> int | None:
    """How many records there are at the path (of a list: its members; of an object: 1; of null: 0); None: no such path.

    most: stop counting there: `count(body, path, 1) == 0` is a cheap question for an empty page.
    """
    found = _records(_parsed(body), records)
    return None if found is None else len(found) if most is None else min(most, len(found))


def last(body: bytes, records: str, field: str) -> Any:
    """The value at the path `field` of the last record, or `MISSING`, also if there is no record."""
    found = _records(_parsed(body), records)
    return at(found[-1], steps(field)) if found else MISSING


def _records(document: Any, path: str) -> list[Any] | None:
    found: list[Any] | None = None
    for _, value in walk(document, steps(path)):
        if isinstance(value, list):
            found = [*(found or ()), *value]
        elif isinstance(value, dict):
            found = [*(found or ()), value]
        elif value is None:
            found = found or []
    return found


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.removeprefix(b"\xef\xbb\xbf").decode())
    except UnicodeDecodeError:
        raise DataError("the body is not UTF-8") from None
    except RecursionError:
        raise DataError("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise DataError(f"the body is not JSON: {error.msg.lower()} at character {error.pos + 1}") from None
