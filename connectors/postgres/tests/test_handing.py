"""What the bytes of a hand-over are looked through for."""

from __future__ import annotations

import random

from wherry_source_postgres.handing import may_hold_nan

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
