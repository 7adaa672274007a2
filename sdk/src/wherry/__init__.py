"""Wherry: write a source or a destination, move its rows and its bookmark in one transaction.

Authors import from here and from `wherry.testing`, and from nowhere else. Names are loaded when first used, so that
`wherry --help` imports neither pyarrow nor pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wherry.contracts.config import ConnectorConfig as ConnectorConfig
    from wherry.contracts.config import Secret as Secret
    from wherry.contracts.config import public as public
    from wherry.contracts.destination import Destination as Destination
    from wherry.contracts.destination import Load as Load
    from wherry.contracts.destination import Session as Session
    from wherry.contracts.loading import Applied as Applied
    from wherry.contracts.loading import Capabilities as Capabilities
    from wherry.contracts.loading import Counts as Counts
    from wherry.contracts.loading import Entry as Entry
    from wherry.contracts.loading import Lease as Lease
    from wherry.contracts.loading import Receipt as Receipt
    from wherry.contracts.loading import RunRecord as RunRecord
    from wherry.contracts.loading import Target as Target
    from wherry.contracts.source import Run as Run
    from wherry.contracts.source import Shared as Shared
    from wherry.contracts.source import Source as Source
    from wherry.contracts.values import KIND as KIND
    from wherry.contracts.values import Batch as Batch
    from wherry.contracts.values import Bookmark as Bookmark
    from wherry.contracts.values import JsonValue as JsonValue
    from wherry.contracts.values import Mark as Mark
    from wherry.contracts.values import Piece as Piece
    from wherry.contracts.values import Progress as Progress
    from wherry.contracts.values import ReadPlan as ReadPlan
    from wherry.contracts.values import Selection as Selection
    from wherry.contracts.values import Split as Split
    from wherry.contracts.values import Stream as Stream
    from wherry.contracts.wire import from_json as from_json
    from wherry.contracts.wire import to_json as to_json
    from wherry.errors import AuthError as AuthError
    from wherry.errors import DataError as DataError
    from wherry.errors import DestinationError as DestinationError
    from wherry.errors import HandOffRefused as HandOffRefused
    from wherry.errors import LeaseError as LeaseError
    from wherry.errors import PolicyError as PolicyError
    from wherry.errors import ResourceError as ResourceError
    from wherry.errors import SchemaError as SchemaError
    from wherry.errors import SourceError as SourceError
    from wherry.errors import StateError as StateError
    from wherry.errors import StreamError as StreamError
    from wherry.errors import TransientError as TransientError
    from wherry.errors import UsageError as UsageError
    from wherry.errors import WherryError as WherryError
    from wherry.failpoints import failpoint as failpoint
    from wherry.functions.declare import stream as stream
    from wherry.functions.source import source_from as source_from
    from wherry.hookspecs import hookimpl as hookimpl
    from wherry.http.models import ApiKey as ApiKey
    from wherry.http.models import Basic as Basic
    from wherry.http.models import Bearer as Bearer
    from wherry.http.models import Cursor as Cursor
    from wherry.http.models import LinkHeader as LinkHeader
    from wherry.http.models import Login as Login
    from wherry.http.models import NextUrl as NextUrl
    from wherry.http.models import NoAuth as NoAuth
    from wherry.http.models import NoPaging as NoPaging
    from wherry.http.models import OAuth2 as OAuth2
    from wherry.http.models import Offset as Offset
    from wherry.http.models import OnResponse as OnResponse
    from wherry.http.models import Page as Page
    from wherry.http.models import RateLimit as RateLimit
    from wherry.http.models import Retry as Retry
    from wherry.http.models import Send as Send
    from wherry.json_rows.blocks import json_elements as json_elements
    from wherry.json_rows.blocks import json_lines as json_lines
    from wherry.json_rows.bulk import JsonBlock as JsonBlock
    from wherry.json_rows.number import NumberFacts as NumberFacts
    from wherry.json_rows.records import Parsed as Parsed
    from wherry.json_rows.records import Records as Records
    from wherry.json_rows.shape import JsonShape as JsonShape
    from wherry.json_rows.template import LineTemplate as LineTemplate
    from wherry.limits import exhausted as exhausted
    from wherry.rest.models import ConfigField as ConfigField
    from wherry.rest.models import Deleted as Deleted
    from wherry.rest.models import Incremental as Incremental
    from wherry.rest.models import Manifest as Manifest
    from wherry.rest.models import RestStream as RestStream
    from wherry.rest.pages import PageOfRows as PageOfRows
    from wherry.rest.pages import pages as pages
    from wherry.rest.source import RestSource as RestSource
    from wherry.sql.compose import SQL as SQL
    from wherry.sql.compose import Identifier as Identifier
    from wherry.sql.compose import Literal as Literal
    from wherry.sql.compose import Part as Part
    from wherry.sql.compose import Quoting as Quoting
    from wherry.sql.destination import SqlDestination as SqlDestination
    from wherry.sql.dialect import Connection as Connection
    from wherry.sql.dialect import Dialect as Dialect
    from wherry.sql.dialect import Taker as Taker
    from wherry.sql.dialect import Writer as Writer

_HOME = {
    "wherry.contracts.config": "ConnectorConfig Secret public",
    "wherry.contracts.destination": "Destination Load Session",
    "wherry.contracts.loading": "Applied Capabilities Counts Entry Lease Receipt RunRecord Target",
    "wherry.contracts.source": "Run Shared Source",
    "wherry.contracts.values": "KIND Batch Bookmark JsonValue Mark Piece Progress ReadPlan Selection Split Stream",
    "wherry.contracts.wire": "from_json to_json",
    "wherry.errors": "AuthError DataError DestinationError HandOffRefused LeaseError PolicyError ResourceError "
    "SchemaError SourceError StateError StreamError TransientError UsageError WherryError",
    "wherry.failpoints": "failpoint",
    "wherry.functions.declare": "stream",
    "wherry.functions.source": "source_from",
    "wherry.hookspecs": "hookimpl",
    "wherry.http.models": "ApiKey Basic Bearer Cursor LinkHeader Login NextUrl NoAuth NoPaging OAuth2 "
    "Offset OnResponse Page RateLimit Retry Send",
    "wherry.json_rows.blocks": "json_elements json_lines",
    "wherry.json_rows.bulk": "JsonBlock",
    "wherry.json_rows.number": "NumberFacts",
    "wherry.json_rows.shape": "JsonShape",
    "wherry.json_rows.records": "Parsed Records",
    "wherry.json_rows.template": "LineTemplate",
    "wherry.limits": "exhausted",
    "wherry.rest.models": "ConfigField Deleted Incremental Manifest RestStream",
    "wherry.rest.pages": "PageOfRows pages",
    "wherry.rest.source": "RestSource",
    "wherry.sql.compose": "SQL Identifier Literal Part Quoting",
    "wherry.sql.destination": "SqlDestination",
    "wherry.sql.dialect": "Connection Dialect Taker Writer",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'wherry' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value
