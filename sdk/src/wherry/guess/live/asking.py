"""Requests of a guess: each is said, their number is limited, and an answer is compared by its rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wherry.errors import LaterError, PolicyError, SourceError, StreamError, UsageError
from wherry.guess.rows import NotRowsError, Rows, key, rows
from wherry.guess.shape import Shape, of_value
from wherry.http.paging import Step
from wherry.http.places import below
from wherry.http.values import Answer
from wherry.json_rows.paths import steps, walk
from wherry.rest.reading import Api, Scope
from wherry.rest.requests import base_url, request
from wherry.rest.template import Values

MOST = 30
"""Requests of one guess."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer that holds rows. shape: of its body."""

    answer: Answer
    body: Any = field(repr=False)
    shape: Shape
    rows: list[Any] = field(repr=False)

    def at(self, path: str) -> Any:
        """The value at a path of the body, None if there is none."""
        return next((value for _, value in walk(self.body, steps(path))), None)


class Asker:
    """Asks for pages of one stream. found: where its records are. count: requests sent.

    refused: why the last page was not had. again: an address that gave the first page once more.
    """

    def __init__(self, api: Api, stream: Any, scope: Scope, tell: Callable[[str], None]) -> None:
        self._api, self.stream, self._scope, self._tell = api, stream, scope, tell
        self.count = 0
        self.refused = self.again = ""
        self.found: Rows | None = None
        self._key: str | None = None

    def first(self) -> Seen:
        """The first page, as the stream is described so far; learns where its records are. `UsageError`: nowhere."""
        answer = self._send(Step())
        body = _json(answer)
        shape = of_value(body)
        try:
            self.found = rows(shape, self.stream.name) if not self.stream.records else self._given(body)
        except NotRowsError as reason:
            raise UsageError(
                f"{answer.url}: no list of records in the answer: {reason}", key="records",
                next="say where they are: records: PATH in a manifest, then wherry preview MANIFEST --guess",
            ) from None  # fmt: skip
        seen = self._seen(answer, body)
        guessed = key(self.found.item, self.stream.name)
        if guessed is not None and _distinct(seen.rows, guessed[0]):
            self._key = guessed[0]
        where = f"at {self.found.path}" if self.found.path else "at the top of the answer"
        self._tell(f"  {_count(seen.rows)} {where}")
        return seen

    def page(self, step: Step) -> Seen | None:
        """Another page; None where the server refuses the request, or the answer has no records: `refused` says why."""
        self.refused = ""
        try:
            answer = self._send(step)
            seen = self._seen(answer, _json(answer))
        except (StreamError, SourceError, PolicyError, LaterError) as error:
            self.refused = error.message
            self._tell(f"  {error.message}")
            return None
        return seen

    def compare(self, first: Seen, other: Seen | None) -> str:
        """What another page is beside the first: "same", "new", "empty", "mixed"; "refused" where there is none."""
        if other is None:
            return "refused"
        ours, theirs = self.marks(first), self.marks(other)
        said = "mixed"
        if not theirs:
            said = "empty"
        elif ours == theirs:
            said = "same"
        elif not set(ours) & set(theirs):
            said = "new"
        told = {"same": "the same rows again", "new": f"{_count(theirs)}, all of them new", "empty": "no rows",
                "mixed": f"{_count(theirs)}, some of them known already"}  # fmt: skip
        self._tell(f"  {told[said]}")
        return said

    def marks(self, seen: Seen) -> list[str]:
        """What tells the rows of a page apart: their keys, or else all that they hold."""
        if self._key is not None and all(isinstance(row, Mapping) for row in seen.rows):
            return [json.dumps(row.get(self._key)) for row in seen.rows]
        return [json.dumps(row, sort_keys=True) for row in seen.rows]

    def _given(self, body: Any) -> Rows:
        path = self.stream.records
        found = [value for _, value in walk(body, steps(path))]
        if not found:
            raise NotRowsError(f"there is nothing at {path!r}")
        values = [row for value in found for row in (value if isinstance(value, list) else [value])]
        return Rows(path, of_value(values).item or of_value({}))

    def _seen(self, answer: Answer, body: Any) -> Seen:
        assert self.found is not None
        found = [value for _, value in walk(body, steps(self.found.path))]
        if not found:
            raise StreamError(f"{answer.url}: nothing at {self.found.path!r}")
        values = [row for value in found for row in (value if isinstance(value, list) else [value])]
        return Seen(answer, body, of_value(body), [row for row in values if row is not None])

    def _send(self, step: Step) -> Answer:
        self.count += 1
        if self.count > MOST:
            raise StreamError(f"{MOST} requests were sent: no more are")
        scope, api = self._scope, self._api
        values = Values(config=api.config, parent=scope.parent, item=scope.item)
        asked = request(api.manifest, self.stream, values, {}, step)
        first = below(base_url(api.manifest, api.config), asked.url)
        told = step.url or " ".join(f"{name}={value}" for name, value in step.params.items()) or first
        self._tell(f"{self.count}. {asked.method} {told}")
        return api.client.send(asked, self.stream.on_response)


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise StreamError(f"{answer.url}: the answer is no JSON") from None


def _distinct(found: list[Any], name: str) -> bool:
    values = [row.get(name) if isinstance(row, Mapping) else None for row in found]
    marks = [json.dumps(value) for value in values]
    return None not in values and len(set(marks)) == len(marks)


def _count(found: list[Any]) -> str:
    return f"{len(found)} row" + ("" if len(found) == 1 else "s")
