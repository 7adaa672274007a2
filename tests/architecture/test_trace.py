"""`sdk/docs/architecture.md` traces one sync file by file; here a real one is followed along that list."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "sdk" / "docs" / "architecture.md"
STEP = re.compile(r"^\d+\. `(?P<file>[\w/]+\.py)` `(?P<function>\w+)`", re.MULTILINE)
FOLLOW = """
import json, sys, threading
from pathlib import Path
import wherry

home = str(Path(wherry.__file__).parent)
seen = {}

def follow(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(home):
        seen.setdefault((code.co_filename[len(home) + 1:], code.co_name), threading.current_thread().name)

threading.setprofile(follow)
sys.setprofile(follow)
from wherry.cli.main import run
code = run(sys.argv[2:])
sys.setprofile(None)
connectors = sorted({name.partition(".")[0] for name in list(sys.modules) if name.startswith("wherry_")})
calls = [[*place, thread] for place, thread in list(seen.items())]
Path(sys.argv[1]).write_text(json.dumps({"code": code, "calls": calls, "connectors": connectors}))
"""


@dataclass(frozen=True)
class Followed:
    """One sync. calls: (file, function) -> thread, in the order of first calls.  connectors: packages imported."""

    code: int
    calls: dict[tuple[str, str], str]
    connectors: list[str]


def steps() -> list[tuple[str, str]]:
    """The numbered list of the page: (file, function)."""
    section = PAGE.read_text().split("\n## One sync, file by file\n")[1].split("\n## ")[0]
    return [(match["file"], match["function"]) for match in STEP.finditer(section)]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    folder = tmp_path_factory.mktemp("trace")
    child = subprocess.run(
        [sys.executable, "-P", "-c", FOLLOW, "calls.json", "sync", "sample", "shop.duckdb"],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "WHERRY_STATE_DIR": str(folder / "state")},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    found = json.loads((folder / "calls.json").read_text())
    return Followed(found["code"], {(f, n): thread for f, n, thread in found["calls"]}, found["connectors"])


def test_the_trace_has_at_most_eight_files() -> None:
    assert 4 <= len(steps()) <= 8
    assert len({file for file, _ in steps()}) == len(steps())
    numbered = re.findall(r"^\d+\. ", PAGE.read_text().split("## One sync, file by file")[1].split("\n## ")[0], re.M)
    assert len(numbered) == len(steps()), "a step is not written as  N. `file.py` `function`"


def test_a_real_sync_follows_the_trace(followed: Followed) -> None:
    """Each step is first called after the one before it."""
    assert followed.code == 0
    order = list(followed.calls)
    missing = [step for step in steps() if step not in followed.calls]
    assert not missing
    places = [order.index(step) for step in steps()]
    assert places == sorted(places)


def test_the_steps_run_on_the_threads_that_the_page_names(followed: Followed) -> None:
    """The command on the main thread, a reader's thread for the source, a lane's thread from there to COMMIT."""
    threads = [followed.calls[step].split()[0] for step in steps()]
    assert threads == ["MainThread"] * 3 + ["lane", "read"] + ["lane"] * 3


def test_exactly_the_two_connectors_are_imported(followed: Followed) -> None:
    assert followed.connectors == ["wherry_destination_duckdb", "wherry_source_sample"]


def test_every_file_that_the_page_names_is_there() -> None:
    text = PAGE.read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", text))
    assert len(named) > 15
    sdk = ROOT / "sdk" / "src" / "wherry"
    assert not [name for name in named if not (sdk / name).exists()]


@pytest.mark.parametrize("row", re.findall(r"^\| (`.*?) \| *(\d+) \|", PAGE.read_text(), re.M), ids=lambda row: row[0])
def test_the_reading_order_says_how_much_there_is_to_read(row: tuple[str, str]) -> None:
    """Within a quarter, or thirty lines."""
    sdk = ROOT / "sdk" / "src" / "wherry"
    named = [sdk / name.rstrip("/") for name in re.findall(r"`([\w/.]+)`", row[0])]
    files = [file for path in named for file in (path.rglob("*.py") if path.is_dir() else [path])]
    lines = sum(len(file.read_text().splitlines()) for file in files)
    assert abs(lines - int(row[1])) <= max(30, lines / 4), f"{row[0]}: {lines} lines"
