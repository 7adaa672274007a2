"""One page's body, as a pager and the reader look at it."""

from __future__ import annotations

import json
from typing import Any

from wherry.errors import StreamError
from wherry.json_rows import MISSING, count, find, last, steps
from wherry.json_rows.paths import walk


class PageBody:
    """A page. records: the path of its records; name: whose page it is, for messages."""

    def __init__(self, body: bytes, records: str, name: str) -> None:
        self._body, self._records, self._name = body, records, name

    @property
    def rows(self) -> int:
        """Records on the page; `StreamError` where the body has none, which is no empty page."""
        found = count(self._body, self._records)
        if found is None:
            raise no_records(self._name, self._records)
        return found

    def find(self, path: str) -> Any:
        found = find(self._body, path)
        return None if found is MISSING else found

    def last(self, path: str) -> Any:
        found = last(self._body, self._records, path)
        return None if found is MISSING else found


def no_records(name: str, path: str) -> StreamError:
    """The error for an answer that is no page: an error in a 200, or a wrong path."""
    where = f"no records at {path!r}" if path else "neither a list nor an object"
    return StreamError(
        f"{name}: the answer has {where}: an error in disguise, or another records path", key="records",
        next="look at an answer: wherry preview SOURCE; then correct records, or say what it means: on_response",
    )  # fmt: skip


def objects(body: bytes, path: str) -> list[dict[str, Any]]:
    """The records of a body as dicts."""
    found: list[dict[str, Any]] = []
    for _, value in walk(json.loads(body), steps(path)):
        values = value if isinstance(value, list) else [value]
        found += [record for record in values if isinstance(record, dict)]
    return found
