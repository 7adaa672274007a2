"""`wherry.pages`: the pages of an API, in a function that yields rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import pyarrow as pa

from wherry.errors import UsageError
from wherry.http.ahead import Ahead
from wherry.http.client import Client
from wherry.http.context import Reading, reading
from wherry.http.models import Auth, NoAuth, OnResponse, Paginate, RateLimit, Retry
from wherry.http.paging import Step, not_carried
from wherry.http.values import Answer, Request
from wherry.json_rows import Records, declared
from wherry.rest.requests import within
from wherry.rest.walk import Complete, no_records, objects, walk


class PageOfRows:
    """One page. Iterating gives its records as dicts; yielded whole, it becomes Arrow in bulk.

    body: bytes of the answer.  status, headers: its own; names in lower case.
    """

    def __init__(self, answer: Answer, path: str, records: Records, stream: str) -> None:
        self.body, self.status, self.headers = answer.body, answer.status, answer.headers
        self._path, self._records, self._stream = path, records, stream

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(objects(self.body, self._path))

    def json(self) -> Any:
        """The whole answer, as Python's own parser reads it."""
        return json.loads(self.body)

    def arrow(self) -> pa.Table:
        """Its records, with the columns that this and earlier pages of the call have shown."""
        parsed = self._records.parse([self.body])
        if None in parsed.counts:
            raise no_records(f"stream {self._stream}", self._path)
        return pa.Table.from_batches(list(parsed.batches), None if parsed.batches else self._records.schema)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.arrow().__arrow_c_stream__(requested_schema)


class _Idle:
    """A client that is used by no call just now. wanted: what a call must want to take it."""

    def __init__(self, wanted: Any, client: Client) -> None:
        self.wanted, self.client = wanted, client

    def close(self) -> None:
        self.client.close()


def pages(
    url: str, *, auth: Auth | None = None, params: Mapping[str, Any] | None = None, paginate: Paginate | None = None,
    records: str = "", method: Literal["GET", "POST"] = "GET", headers: Mapping[str, Any] | None = None,
    body: Any = None, schema: Mapping[str, Any] | None = None, include_key: str | None = None, flatten: bool = False,
    rate_limit: RateLimit | None = None, retry: Retry | None = None, on_response: tuple[OnResponse, ...] = (),
    timeout: float = 60,
) -> Iterator[PageOfRows]:  # fmt: skip
    """The pages at `url`, in order, the next ones fetched ahead. Only in a function that is read as a stream.

    params: parameters whose value is None are left out.  records: path of the records in an answer; by default the
    answer itself is the list.  schema: column -> type, for those that are known.  The rest as in a manifest. Raises
    what `retry` and `on_response` make of answers: AuthError, StreamError, SourceError, LaterError, PolicyError.
    """
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.netloc:
        raise UsageError(f"wherry.pages takes an address, not {url[:80]!r}", next="write it as https://HOST/PATH")
    around = reading()
    run = around.run
    given = {name: value for name, value in (params or {}).items() if value is not None}
    idle = _client(around, f"{place.scheme}://{place.netloc}", auth, rate_limit, retry, timeout)
    table = Records(
        records, schema=declared(schema) if schema else None, include_key=include_key, flatten=flatten,
        name=f"stream {around.stream}",
    )  # fmt: skip

    def ask(step: Step) -> Request:
        if method == "POST":
            asked, sent = given, within(body, step.params)
        else:
            asked, sent = {**given, **step.params}, body
        if step.url is not None:
            asked = not_carried(step.url, asked)
        return Request(url=step.url or url, method=method, params=asked, headers=dict(headers or {}), json=sent)

    answers = walk(idle.client, ask, paginate, records=records, name=around.stream, rules=on_response, stop=run.stop)
    fetched = Ahead(answers, lambda answer: len(answer.body), run.bytes // 4, around.stream)
    try:
        for answer in fetched:
            yield PageOfRows(answer, records, table, around.stream)
    except Complete:
        return
    finally:
        fetched.close()
        around.closing.append(idle.close)


def _client(
    around: Reading, base: str, auth: Auth | None, rate_limit: RateLimit | None, retry: Retry | None, timeout: float
) -> _Idle:
    """A client for one call: an idle one of this read, or another. The thread that fetches ahead uses it alone."""
    wanted = (base, auth, rate_limit, retry, timeout)
    for number, close in enumerate(around.closing):
        idle = getattr(close, "__self__", None)
        if isinstance(idle, _Idle) and idle.wanted == wanted:
            del around.closing[number]
            return idle
    client = Client(
        base_url=base, auth=auth or NoAuth(), headers={}, params={}, rate_limit=rate_limit, retry=retry or Retry(),
        on_response=(), timeout=timeout, run=around.run, name=around.name,
    )  # fmt: skip
    return _Idle(wanted, client)
