"""What a manifest offers: its streams, as far as they are known without a request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from wherry.contracts.values import Stream
from wherry.json_rows import declared
from wherry.rest.fetch import ordered_by
from wherry.rest.models import Manifest, RestStream
from wherry.rest.rows import column, cursor_column
from wherry.rest.template import Values, rendered
from wherry.rest.window import lookback


def offered(manifest: Manifest, config: Mapping[str, Any] | None) -> list[Stream]:
    """The streams. config: values of the source's keys; None: none is known yet."""
    return [_stream(manifest, stream, config) for stream in manifest.streams]


def _stream(manifest: Manifest, stream: RestStream, config: Mapping[str, Any] | None) -> Stream:
    many = stream.parent is not None or stream.for_each is not None
    incremental, cursor = stream.incremental, cursor_column(stream)
    whole = many and not stream.primary_key
    return Stream(
        name=stream.name, schema=_schema(stream), primary_key=tuple(column(path) for path in stream.primary_key),
        cursor=None if whole else cursor, cursors=(cursor,) if cursor and not whole else (),
        ordered=bool(incremental and incremental.ordered and not many), resumes=_resumes(manifest, stream),
        changes=stream.deleted is not None, description=stream.description, lookback=lookback(incremental),
        incarnation="" if config is None else _items(manifest, stream, config),
        notes=("read whole each time: it has no primary_key",) if whole and cursor else (),
    )  # fmt: skip


def _resumes(manifest: Manifest, stream: RestStream) -> bool:
    """Whether a read goes on in the middle though rows come in no order: by windows, or by parents in theirs."""
    incremental = stream.incremental
    if incremental is None:
        return False
    if stream.parent is not None:
        return bool(stream.primary_key) and ordered_by(manifest, stream) is not None
    many = stream.for_each is not None
    return bool(incremental.step and incremental.end_param and (many or not incremental.ordered))


def _items(manifest: Manifest, stream: RestStream, config: Mapping[str, Any]) -> str:
    """What the stream and its ancestors are asked for, item by item, as a hash: a bookmark knows of no others."""
    values, line, parent = Values(config=config), [stream], stream.parent
    while parent is not None:
        line.append(next(s for s in manifest.streams if s.name == parent))
        parent = line[-1].parent
    lists = [rendered(s.for_each, values) for s in line if s.for_each is not None]
    if stream.incremental is None or not lists:
        return ""
    told = json.dumps([sorted(map(str, found if isinstance(found, list) else [found])) for found in lists])
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _schema(stream: RestStream) -> pa.Schema:
    """The declared columns; none, where key or cursor is not among them: the rows tell of the others then."""
    schema = declared(stream.schema) if stream.schema else pa.schema([])
    needed = {*map(column, stream.primary_key), cursor_column(stream)} - {None}
    return schema if needed <= set(schema.names) else pa.schema([])
