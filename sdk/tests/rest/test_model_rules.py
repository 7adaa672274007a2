"""What the models of incremental reads and cursors refuse, and what they take."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from wherry import Cursor, Incremental, Manifest, NextUrl

INCREMENTAL = TypeAdapter(Incremental)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ordered": True, "newest_first": True}, "rows are either ordered or newest_first"),
        ({"anew_after": 10_000}, "anew_after needs ordered: true"),
        ({"anew_after": 1, "ordered": True}, "greater than or equal to 2"),
        ({"cursor": "{parent.at}", "param": "since"}, "it is the parent that says how rows are asked for"),
    ],
)
def test_orders_that_contradict_each_other_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        INCREMENTAL.validate_python({"cursor": "updated_at", **fields})


@pytest.mark.parametrize(
    ("parent", "child", "message"),
    [
        ({"cursor": "at"}, {"include_parent": "id"}, "needs include_parent: at"),
        ({"cursor": "id"}, {"include_parent": "at"}, "not those of issues, which has id, format iso"),
        (None, {"include_parent": "at"}, "not those of issues, which has none"),
        ({"cursor": "at", "format": "epoch_s"}, {"include_parent": "at"}, "which has at, format epoch_s"),
    ],
)
def test_a_parents_cursor_is_the_one_that_the_parent_goes_by(parent: Any, child: dict[str, Any], message: str) -> None:
    issues = {"primary_key": "id", "incremental": parent}
    comments = {"parent": "issues", "path": "{parent.id}", "incremental": {"cursor": "{parent.at}"}, **child}
    data = {"name": "x", "base_url": "http://localhost", "streams": {"issues": issues, "comments": comments}}
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Manifest).validate_python(data)


def test_words_for_apis_that_list_newest_first_cap_a_query_or_tell_their_end() -> None:
    assert INCREMENTAL.validate_python({"cursor": "created_at", "newest_first": True}).newest_first
    assert INCREMENTAL.validate_python({"cursor": "updated", "ordered": True, "anew_after": 100}).anew_after == 100
    assert Cursor("cursor", path="after_cursor", done="end_of_stream").done == "end_of_stream"
    assert NextUrl("next_page", done="end_of_stream").done == "end_of_stream"
