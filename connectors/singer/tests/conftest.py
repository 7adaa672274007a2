"""A tap that does what a test tells it, synced into a destination in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from wherry_taps import Script


@pytest.fixture
def tap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setenv("WHERRY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Script(tmp_path)
