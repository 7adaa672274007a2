"""How APIs call things. Every name is compared in lower case with underscores: `pageToken` is `page_token`."""

from __future__ import annotations

import re
from collections.abc import Iterable

PAGE = ("page", "page_number", "page_num", "page_no", "page_index", "current_page", "pageno", "p", "pg")
PAGE_SIZE = (
    "per_page", "page_size", "pagesize", "perpage", "limit", "size", "results_per_page", "items_per_page",
    "max_results", "page_limit", "count", "top", "num_results", "max_items",
)  # fmt: skip
OFFSET = ("offset", "skip", "start_at", "start_index", "page_offset", "first_result", "startindex", "start")
LIMIT = ("limit", "page_limit", "top", "max_results", "take", "count", "size", "page_size", "per_page", "max", "rows")
CURSOR = (
    "cursor", "page_token", "next_token", "starting_after", "start_cursor", "continuation_token", "page_after",
    "after_cursor", "pagination_token", "page_cursor", "next_cursor", "next_page_token", "scroll_id", "continuation",
    "continue", "after", "marker", "after_id", "last_id", "start_after", "next_page", "bookmark",
)  # fmt: skip
LAST = ("starting_after", "after_id", "last_id", "start_after", "marker", "after")
"""Cursor parameters that take the key of the last record, where the answer holds no token."""
CURSOR_SIZE = (*PAGE_SIZE, "first", "max")
TOKENS = (
    "next_cursor", "next_page_token", "next_token", "end_cursor", "next_page_cursor", "continuation_token",
    "next_continuation_token", "pagination_token", "next_marker", "scroll_id", "continuation", "continue",
    "next_start_cursor", "after", "cursor", "next_page", "next", "marker", "bookmark",
)  # fmt: skip
NEXT_URLS = ("next", "next_url", "next_page_url", "next_link", "next_href", "next_page_uri", "odata_next_link",
             "next_page", "next_uri")  # fmt: skip
MORE = ("has_more", "has_next", "has_next_page", "more", "hasmore", "has_more_items", "more_results")
PAGES = ("total_pages", "page_count", "pages", "last_page", "num_pages", "pages_count", "total_page")
ROWS = ("total", "total_count", "count", "total_results", "total_items", "total_rows", "total_records",
        "total_elements", "num_results", "record_count", "row_count")  # fmt: skip
RECORDS = ("data", "items", "results", "records", "entries", "values", "value", "rows", "content", "elements",
           "objects", "resources", "list", "hits", "members", "docs", "result", "response", "payload")  # fmt: skip
WRAPPERS = ("data", "result", "response", "payload", "embedded", "body", "content")
"""Objects inside which the list may stand."""
ENVELOPE = frozenset(
    (*PAGE, *PAGE_SIZE, *OFFSET, *LIMIT, *CURSOR, *TOKENS, *NEXT_URLS, *MORE, *PAGES, *ROWS, *WRAPPERS)
) | {
    "links", "meta", "metadata", "paging", "pagination", "page_info", "success", "ok", "status", "error", "errors",
    "message", "object", "type", "kind", "etag", "url", "self", "href", "first", "last", "prev", "previous", "sort",
    "incomplete_results", "warnings", "included", "request_id", "code", "cache", "api_version", "version", "query",
    "self_link", "number", "number_of_elements", "total_matching_query", "took", "timed_out", "empty", "i18n",
    "request", "response_metadata", "odata_context", "context", "next_link", "next_page_token", "msg", "statuscode",
}  # fmt: skip
"""Names that stand beside a list of rows, and not in a record of something."""
KEYS = ("id", "uuid", "guid", "_id", "uid", "gid", "sid")
WEAK_KEYS = ("key", "slug", "number", "sha", "code")
SINCE = (
    ("updated_since", "updated"), ("updated_after", "updated"), ("updated_at_min", "updated"),
    ("min_updated_at", "updated"), ("updated_at_gte", "updated"), ("updated_gte", "updated"),
    ("updated_from", "updated"), ("modified_since", "updated"), ("modified_after", "updated"),
    ("last_modified_after", "updated"), ("last_modified_since", "updated"), ("changed_since", "updated"),
    ("if_modified_since", "updated"), ("last_updated_after", "updated"), ("last_updated_since", "updated"),
    ("since", "any"), ("created_since", "created"), ("created_after", "created"), ("created_at_min", "created"),
    ("created_gte", "created"), ("created_at_gte", "created"), ("min_created_at", "created"),
)  # fmt: skip
"""Parameters that ask for what is new, and which time of a record they mean."""
TIMES = {
    "updated": ("updated_at", "modified_at", "updated", "last_modified", "modified", "last_updated", "last_modified_at",
                "updated_on", "modified_on", "last_updated_at", "date_updated", "date_modified", "changed_at",
                "updated_time", "modified_time", "update_time", "mtime"),
    "created": ("created_at", "created", "created_on", "date_created", "created_time", "create_time", "timestamp",
                "date"),
}  # fmt: skip


def snake(name: str) -> str:
    """`pageToken`, `page-token`, `page[token]` and `$pageToken` are all `page_token`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def first(names: Iterable[str], known: Iterable[str]) -> str | None:
    """That of `names` which means the foremost of `known`."""
    by_word: dict[str, str] = {}
    for name in names:
        by_word.setdefault(snake(name), name)
    return next((by_word[word] for word in known if word in by_word), None)


def singular(word: str) -> str:
    """`issues` → `issue`, `companies` → `company`: as far as names of paths need it."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("ses", "se")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
