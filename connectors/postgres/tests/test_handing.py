"""What the bytes of a hand-over are looked through for."""

from __future__ import annotations

import random
from collections.abc import Callable

import psycopg
import pytest
from wherry import HandOffRefused, Piece, Selection, Split
from wherry_source_postgres.handing import FORM, may_hold_nan
from wherry_source_postgres.source import PostgresSource

NAN = b"\x00\x00\x00\x08\x00\x00\x00\x00\xc0\x00\x00\x00"


def test_a_nan_is_found_wherever_it_is_and_among_whatever() -> None:
    chance = random.Random(7)
    around = [
        b"", b"\x00", b"\xc0", NAN[:-1], NAN[1:], NAN[8:] + NAN[:8], b"\xc0" * 9_000, b"\x00\x00\x00\x08" * 3_000,
        bytes(20_000), chance.randbytes(50_000), b"\x00\x00\x00\x08\x00\x00\x00\x00\xc0\x00\x00\x01" * 2_000,
    ]  # fmt: skip
    for before in around:
        assert not may_hold_nan(before), before[:20]
        for after in around:
            assert may_hold_nan(before + NAN + after), (before[:20], after[:20])
            assert may_hold_nan(before + after) == (NAN in before + after)


ALTERED = {
    "int8": "float8 using x::float8 / 3", "float8": "int8", "int4": "date using '2000-01-01'::date + x",
    "numeric(10,2)": "numeric(20,5) using x + 0.00001", "timestamp": "int8 using 1", "text": "bytea using '\\x74'",
    "timestamptz": "timestamp using now()", "whole": "text", "char(3)": "char(4)",
}  # fmt: skip


@pytest.mark.parametrize("type", ALTERED)
def test_bytes_of_a_column_that_was_altered_meanwhile_are_refused(
    postgres_database: str, source_of: Callable[..., PostgresSource], type: str
) -> None:
    """Of many types the bytes are those of a value of another one, too."""
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute("create domain whole as text")
        other.execute(f"create table t (id int, x {type}, y int); insert into t (id) values (1)".encode())
        source = source_of(postgres_database)
        (stream,) = source.discover(["t"])
        split = Split(key="t", streams=(Selection(stream=stream, mode="replace"),))
        pieces = [item for item in source.hand_over(split, FORM) if isinstance(item, Piece)]
        assert pieces[-1].rows == 1
        other.execute(f"alter table t drop y, alter x type {ALTERED[type]}, add y int".encode())
        with pytest.raises(HandOffRefused, match="altered"):
            list(source.hand_over(split, FORM))
