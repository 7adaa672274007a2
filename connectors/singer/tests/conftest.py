"""A tap that does what a test tells it, synced into a destination in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from wherry_taps import Script


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One program for all tests: what it says of itself is asked once."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture
def tap(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setenv("WHERRY_CACHE_DIR", str(programs / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Script(tmp_path, programs)
