"""Waivers are strict and counted; promises are kept or written anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from wherry.testing.suite import Suite

TESTS = """
from pathlib import Path
from wherry.testing.suite import Suite, cases

class Base(Suite):
    def test_one(self):
        assert False

    def test_other(self):
        assert True

    @cases("n", [1, 2])
    def test_each(self, n):
        assert n == 1

    def test_promise(self, request):
        self.promise(request, "answer", {"is": ANSWER})

class TestWaived(Base):
    waivers = {"test_one": "not yet", "test_each[2]": "never"}
    promises = Path(__file__).with_name("promises.json")

class TestStrict(Base):
    waivers = {"test_one": "not yet", "test_other": "passes all the same", "test_each[1]": "this too"}
"""


def run(folder: Path, *arguments: str, answer: int = 42) -> str:
    (folder / "test_it.py").write_text(TESTS.replace("ANSWER", str(answer)))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rfx", "test_it.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout


def test_waivers_are_strict_and_counted(tmp_path: Path) -> None:
    out = run(tmp_path, "--wherry-update")
    assert "conformance: 3 waivers" in out
    assert "  2 × not yet" in out
    assert "  1 × never" in out
    failed = sorted(line.split()[1].partition("::")[2] for line in out.splitlines() if line.startswith("FAILED"))
    assert failed == ["TestStrict::test_each[1]", "TestStrict::test_each[2]", "TestStrict::test_other"]


def test_promises_are_compared(tmp_path: Path) -> None:
    only = ("-k", "TestWaived and promise")
    assert "promises no answer: write it with  pytest --wherry-update" in run(tmp_path, *only)
    assert "1 passed" in run(tmp_path, *only, "--wherry-update")
    assert "1 passed" in run(tmp_path, *only)
    assert "answer is not what promises.json promises" in run(tmp_path, *only, answer=43)


def test_a_waiver_of_nothing_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="names test_nothing, which is no test"):
        type("Mistaken", (Suite,), {"waivers": {"test_nothing": "why"}})
