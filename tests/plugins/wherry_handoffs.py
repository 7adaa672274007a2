"""Both ways of one sync, judged: handed over, and read."""

from __future__ import annotations

from wherry.testing import HandOffRun, handoff_differences


def same(found: tuple[HandOffRun, HandOffRun], form: str | None, why: str = "") -> HandOffRun:
    """Whether rows were handed over in this form, or read for that reason; what is there is the same."""
    handed, read = found
    assert set(handed.handed.values()) == {form}, handed.said
    assert set(read.handed.values()) == {None}
    assert not handoff_differences(handed, read)
    assert why in " ".join(handed.said), handed.said
    return handed
