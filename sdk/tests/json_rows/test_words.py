"""What is found eight bytes at a time is what is found one byte at a time."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wherry.json_rows.blocks import DEEPEST, SMALL, STRINGS, shallow
from wherry.json_rows.words import NO_BRACKETS, brackets, no_long_run

ROUNDS = settings(max_examples=300, deadline=None)
RUN = re.compile(rb"[0-9./]{16}")
BYTES = st.binary(max_size=30)
DIGITS = st.text("0123456789./", min_size=7, max_size=17).map(str.encode)
INSIDE = st.lists(
    st.sampled_from([b"{", b"}", b"[", b"]", b"\\" + b'"', b"\\\\", b"\\n", b"a", "ä".encode(), b"|_~"]), max_size=9
)
OUTSIDE = st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b"1", b",", b"\n", b" "]), max_size=9)


@ROUNDS
@given(st.lists(BYTES | DIGITS, max_size=6))
def test_a_long_run_is_always_found(parts: list[bytes]) -> None:
    text = b"".join(parts)
    assert RUN.search(text) is None or not no_long_run(text)


@pytest.mark.parametrize("at", range(17))
def test_a_long_run_is_found_wherever_it_stands_and_a_shorter_one_is_not(at: int) -> None:
    before = b'{"number":' + b" " * at
    assert not no_long_run(before + b"1234567.89012345" + b",             }")
    assert no_long_run(before + b"1234567.8901234" + b"," + b"             }")


@ROUNDS
@given(st.lists(st.tuples(OUTSIDE, INSIDE)))
def test_brackets_in_strings_are_none(parts: list[tuple[list[bytes], list[bytes]]]) -> None:
    text = b"".join(b'%b"%b"' % (b"".join(outside), b"".join(inside)) for outside, inside in parts)
    assert brackets(text) == STRINGS.sub(b"", text).translate(None, NO_BRACKETS)


def test_a_line_that_ends_in_a_string_says_nothing_of_the_next() -> None:
    assert brackets(b'{"a": "\n"}\n{"b": ["]"]}\n') is None
    assert brackets(b'{"a": "\\n"}\n{"b": ["]"]}\n') == b"{}{[]}"


def nested(levels: int) -> bytes:
    """An object so deep that hides it: for each bracket there is another one in a key, which seems to close it."""
    return b'{"}":' * levels + b"1" + b',"{":1}' * levels


@pytest.mark.parametrize("room", [0, SMALL])
def test_nesting_is_seen_although_strings_hide_it(room: int) -> None:
    space = b" " * room
    assert shallow(nested(DEEPEST // 2) + space)
    assert not shallow(nested(DEEPEST + 1) + space)
    assert not shallow(b'{"a" "}\n' + nested(DEEPEST + 1) + space)


HOSTILE = """
import sys
from test_words import nested
from wherry.errors import DataError
from wherry.json_rows import Records
records = Records("data")
page = b'{"data":[{"id":1,"x":["a"]}],"next":null}'
for _ in range(3):
    records.parse([page, page])
for body in (b'{"data":[{"id":2}],"z":%b}', b'{"data":[{"id":2,"x":%b}]}', b'{"data":[{"id":2,"y":[%b]}]}'):
    try:
        records.parse([page, body % nested(100_000), page])
        sys.exit("it was taken")
    except DataError as error:
        assert "nested deeper than 100 levels" in str(error), error
"""


def test_nesting_that_is_hidden_ends_no_process() -> None:
    folder = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", HOSTILE], cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
