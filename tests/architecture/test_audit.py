"""The audit of what we depend on says what it found, and does not claim what it could not ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit"


def audited(folder: Path, answer: str, *options: str) -> tuple[int, str]:
    """The exit code and the words of an audit whose tool answers so."""
    (folder / "answer").write_text(answer)
    tool = folder / "uv"
    tool.write_text(f'#!/bin/sh\ncp "$8" "{folder}/asked"\ncat "{folder}/answer"\n')
    tool.chmod(0o755)
    done = subprocess.run(
        [sys.executable, AUDIT, *options], env=os.environ | {"UV": str(tool)}, capture_output=True, text=True
    )
    return done.returncode, done.stdout


def answer(folder: Path, **of: Any) -> str:
    """What pip-audit says of every package; `of` is what it says of some."""
    audited(folder, "")
    names = [line.partition("==")[0] for line in (folder / "asked").read_text().splitlines()]
    assert {"pyarrow", "pydantic", "duckdb"} <= set(names)
    return json.dumps({"dependencies": [{"name": n, "version": "1", "vulns": []} | of.get(n, {}) for n in names]})


def test_nothing_known(tmp_path: Path) -> None:
    code, said = audited(tmp_path, answer(tmp_path), "--strict")
    assert code == 0
    assert "0 known weaknesses" in said
    assert "COULD BE MADE" not in said


def test_a_weakness_is_a_failure(tmp_path: Path) -> None:
    weak = {"vulns": [{"id": "PYSEC-0000-1", "fix_versions": ["2.0"], "aliases": [], "description": "x"}]}
    code, said = audited(tmp_path, answer(tmp_path, pyarrow=weak))
    assert code == 1
    assert "pyarrow 1: PYSEC-0000-1, mended in 2.0" in said


@pytest.mark.parametrize(
    ("of", "how"), [({"duckdb": {"skip_reason": "not found"}}, "IN PART ONLY"), (None, "NOT AT ALL")]
)
def test_what_could_not_be_asked_is_said(tmp_path: Path, of: Any, how: str) -> None:
    text = "Connection refused" if of is None else answer(tmp_path, **of)
    code, said = audited(tmp_path, text)
    assert code == 0
    assert f"THE AUDIT COULD BE MADE {how}" in said
    assert audited(tmp_path, text, "--strict")[0] == 1
