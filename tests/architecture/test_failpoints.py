"""Points where a run is killed: they are where `sdk/docs/architecture.md` says, and cost nothing while nobody asks."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import timeit
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from wherry import UsageError, failpoint, failpoints

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "sdk" / "docs" / "architecture.md"
SOURCES = [ROOT / "sdk" / "src", *sorted(ROOT.glob("connectors/*/src")), *sorted(ROOT.glob("destinations/*/src"))]
ROW = re.compile(r"^\| (?P<point>K\d\d) \| (?P<meaning>[^|]+) \| (?P<places>[^|]+) \|$", re.MULTILINE)


def calls(tree: ast.AST, within: str) -> Iterator[tuple[str, str]]:
    """(point, dotted name of the function around it) of each call of `failpoint`."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if isinstance(node, ast.Call) and "failpoint" in (getattr(node.func, "id", ""), getattr(node.func, "attr", "")):
            argument = node.args[0] if len(node.args) == 1 else None
            assert isinstance(argument, ast.Constant), f"{within}: a point is named on the spot"
            yield str(argument.value), within
        yield from calls(node, f"{within}.{node.name}" if named else within)  # type: ignore[attr-defined]


def present() -> dict[str, set[str]]:
    """Point -> functions that pass it, in all that is installed of ours."""
    found = defaultdict(set)
    for folder in SOURCES:
        for file in sorted(folder.rglob("*.py")):
            module = ".".join(file.relative_to(folder).with_suffix("").parts)
            for point, place in calls(ast.parse(file.read_text(), str(file)), module):
                found[point].add(place)
    return dict(found)


def documented() -> dict[str, tuple[str, set[str]]]:
    """Point -> (what it means, functions that pass it), as the page has them."""
    return {
        m["point"]: (m["meaning"], set(re.findall(r"`([\w.]+)`", m["places"]))) for m in ROW.finditer(PAGE.read_text())
    }


def test_every_point_is_where_the_page_says_and_nowhere_else() -> None:
    assert present() == {point: places for point, (_, places) in documented().items()}


def test_the_points_are_those_that_can_be_asked_for() -> None:
    assert {point: meaning for point, (meaning, _) in documented().items()} == failpoints.POINTS
    assert list(failpoints.POINTS) == [f"K{n:02}" for n in range(1, 19)]


def test_nothing_happens_unless_it_is_asked_for() -> None:
    """The function that is called then has no body: it reads nothing and calls nothing."""
    code = "from wherry import failpoint, failpoints; print(failpoint is failpoints._off)"
    env = {key: value for key, value in os.environ.items() if key != "WHERRY_FAILPOINT"}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout == "True\n"
    body = failpoints._off.__code__
    assert (body.co_names, [c for c in body.co_consts if c not in (None, failpoints._off.__doc__)]) == ((), [])
    assert failpoint is failpoints._off, "this run itself was started with WHERRY_FAILPOINT"


def test_a_point_that_is_off_takes_less_than_a_microsecond() -> None:
    assert min(timeit.repeat(lambda: failpoint("K02"), number=10_000, repeat=9)) < 0.01


def test_the_module_imports_nothing_that_was_not_there() -> None:
    code = """
import sys, wherry
before = set(sys.modules)
from wherry.failpoints import failpoint
import json
print(json.dumps(sorted(set(sys.modules) - before - {"json"})))
"""
    child = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, env=path())
    assert [m for m in json.loads(child.stdout) if not m.startswith(("json.", "_json"))] == ["wherry.failpoints"]


def path() -> dict[str, str]:
    """Where the package is, without the site's own start-up."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "sdk" / "src")}


@pytest.mark.parametrize(
    ("wanted", "code", "passed"),
    [
        ("K08:kill", -9, ["K01"]),
        ("K08:kill:2", -9, ["K01", "K08"]),
        ("K08:group", -9, ["K01"]),
        ("K08:raise", 1, ["K01"]),
        ("K08:kill:3", 0, ["K01", "K08", "K08"]),
        ("K08:sleep:1:0.01", 0, ["K01", "K08", "K08"]),
        ("K09:kill", 0, ["K01", "K08", "K08"]),
    ],
)
def test_a_process_ends_at_the_passing_that_was_asked_for(wanted: str, code: int, passed: list[str]) -> None:
    program = """
from wherry import failpoint
for name in ("K01", "K08", "K08"):
    failpoint(name)
    print(name, flush=True)
"""
    child = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "WHERRY_FAILPOINT": wanted}, capture_output=True,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert (child.returncode, child.stdout.split()) == (code, passed)


@pytest.mark.parametrize(
    "wanted", ["K08", "K99:kill", "K08:maim", "K08:kill:0", "K08:kill:x", "kill:K08", "K08:kill:1:s"]
)
def test_what_cannot_be_asked_for_is_an_error(wanted: str) -> None:
    with pytest.raises(UsageError, match="WHERRY_FAILPOINT is") as caught:
        failpoints.armed(wanted)
    assert caught.value.next is not None
    assert "K01 to K18" in caught.value.next
    assert caught.value.exit_code == 2


def test_a_process_that_stands_still_goes_on() -> None:
    """SIGSTOP at the point; SIGCONT later."""
    program = "from wherry import failpoint; failpoint('K08'); print('went on')"
    child = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "WHERRY_FAILPOINT": "K08:stop"}, stdout=subprocess.PIPE
    )
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    child.send_signal(signal.SIGCONT)
    assert child.communicate(timeout=60)[0] == b"went on\n"
    assert child.returncode == 0


def test_a_failpoint_that_is_misspelt_stops_the_command(tmp_path: Path) -> None:
    child = subprocess.run(
        [Path(sys.executable).with_name("wherry"), "sync", "sample", "shop.duckdb"], cwd=tmp_path, capture_output=True,
        text=True, env={**os.environ, "WHERRY_FAILPOINT": "K8:kill", "WHERRY_STATE_DIR": str(tmp_path / "state")},
    )  # fmt: skip
    assert child.returncode == 2, child.stderr
    assert "WHERRY_FAILPOINT is 'K8:kill'" in child.stderr
    assert not (tmp_path / "shop.duckdb").exists()
