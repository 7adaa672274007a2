"""What the models of incremental reads and cursors refuse, and what they take."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from wherry import Cursor, Incremental, NextUrl

INCREMENTAL = TypeAdapter(Incremental)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ordered": True, "newest_first": True}, "rows are either ordered or newest_first"),
        ({"anew_after": 10_000}, "anew_after needs ordered: true"),
        ({"anew_after": 1, "ordered": True}, "greater than or equal to 2"),
    ],
)
def test_orders_that_contradict_each_other_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        INCREMENTAL.validate_python({"cursor": "updated_at", **fields})


def test_words_for_apis_that_list_newest_first_cap_a_query_or_tell_their_end() -> None:
    assert INCREMENTAL.validate_python({"cursor": "created_at", "newest_first": True}).newest_first
    assert INCREMENTAL.validate_python({"cursor": "updated", "ordered": True, "anew_after": 100}).anew_after == 100
    assert Cursor("cursor", path="after_cursor", done="end_of_stream").done == "end_of_stream"
    assert NextUrl("next_page", done="end_of_stream").done == "end_of_stream"
