"""Conditional requests: a stream that is one answer is asked for only if that changed since its table was made.

What the answer was known by (`ETag`, else `Last-Modified`) is the plan's lasting bookmark: {"etag" or "last_modified":
…, "of": hash}. The next run sends it, as the split's `detail`, as long as the answer would be read in the same way.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from email.utils import parsedate_to_datetime

from pydantic import SecretStr

from wherry.contracts.values import Batch, Bookmark, Mark, Progress, ReadPlan, Selection, Split
from wherry.http.models import OnResponse
from wherry.http.values import Answer, Request
from wherry.rest.fetch import Api
from wherry.rest.models import RestStream
from wherry.rest.moments import SECOND, moment

ETAG, LAST_MODIFIED, OF = "etag", "last_modified", "of"
NOTE = "read only if the server says that it changed since the table was made"
_SENT = {ETAG: "If-None-Match", LAST_MODIFIED: "If-Modified-Since"}
_TAG = re.compile(r'(?:W/)?"[^"]*"|[^\s",*]+')
"""One tag, also of a server that forgets the quotes; `*`, which fits whatever there is, is none."""


class Unchanged(Exception):
    """The server says that the answer is the one that the table was made from."""


def asking(plan: ReadPlan, known: Progress, stream: RestStream) -> ReadPlan:
    """The plan of a stream that is read whole, or not at all: its split says what the server may compare with.

    Not as the split's bookmark: that stands for rows which this plan has loaded.
    """
    if plan is known.open:
        return plan
    (split,) = plan.splits
    (selection,) = split.streams
    if not stream.conditional or known.bookmark is None:
        return replace(plan, splits=(replace(split, bookmark=None),))
    selection = replace(selection, stream=replace(selection.stream, notes=(*selection.stream.notes, NOTE)))
    return replace(plan, splits=(replace(split, streams=(selection,), bookmark=None, detail=known.bookmark),))


class Conditional:
    """The way to the API for one read of a conditional stream: takes the place of the `Client`, which it uses."""

    def __init__(self, api: Api, stream: RestStream, split: Split) -> None:
        self._client, self._stop, self._whole = api.client, api.run.stop, split.bookmark
        self._of = _reading(api, stream, split.streams[0])
        known = split.detail if isinstance(split.detail, Mapping) else {}
        self._condition = {_SENT[k]: known[k] for k in _SENT if k in known and known.get(OF) == self._of}
        self._first = True
        self._found: dict[str, str] | None = None

    def send(self, request: Request, rules: Sequence[OnResponse] = ()) -> Answer:
        """As the client does; the first request carries the condition. Unchanged: nothing else will come."""
        first, self._first = self._first, False
        if first:
            request = replace(request, headers={**request.headers, **self._condition})
        answer = self._client.send(request, rules)
        if answer.outcome == "unchanged":
            raise Unchanged
        self._found = _known_by(answer) if first and answer.outcome == "ok" else None
        return answer

    def close(self) -> None:
        """Let go of the client's connections."""
        self._client.close()

    def items(self, read: Iterator[Batch | Mark]) -> Iterator[Batch | Mark]:
        """What is read through this, then what it is known by; or that it is unchanged."""
        if self._whole is not None:  # all of it was committed before a failure, but for the end
            yield Mark(bookmark=self._whole)
            return
        try:
            yield from read
        except Unchanged:
            yield Mark(unchanged=True)
            return
        if not self._stop.is_set() and (bookmark := self._bookmark()) is not None:
            yield Mark(bookmark=bookmark)

    def _bookmark(self) -> Bookmark | None:
        """None: there was more than one answer, or it is known by nothing that can be relied on."""
        return None if self._found is None else {**self._found, OF: self._of}


def _known_by(answer: Answer) -> dict[str, str] | None:
    """What the server calls this version of an answer.

    `Last-Modified` counts seconds: of an answer that was made in the very second of a change it says nothing, for
    there may be another change in it.
    """
    tag = answer.headers.get("etag", "").strip()
    if answer.status != 200:
        return None
    if _TAG.fullmatch(tag):
        return {ETAG: tag}
    changed = answer.headers.get("last-modified", "")
    at, now = _time(changed), _time(answer.headers.get("date", ""))
    return {LAST_MODIFIED: changed} if at is not None and now is not None and at + SECOND <= now else None


def _time(text: str) -> int | None:
    try:
        return moment(parsedate_to_datetime(text))
    except (ValueError, TypeError):
        return None


def _reading(api: Api, stream: RestStream, selection: Selection) -> str:
    """How an answer is asked for and made into rows, as a hash, without secrets: of another one a tag says nothing."""
    manifest = api.manifest
    shared = (manifest.base_url, manifest.headers, manifest.params, manifest.on_response)
    paginate = stream.paginate or manifest.paginate
    told = [
        asdict(replace(stream, description=None, paginate=paginate)), *shared[:3], [asdict(r) for r in shared[3]],
        {key: None if isinstance(v, SecretStr) else v for key, v in api.config.items() if key in manifest.config},
        dict(selection.types), selection.table,
    ]  # fmt: skip
    return hashlib.blake2b(json.dumps(told, default=str).encode(), digest_size=12).hexdigest()
