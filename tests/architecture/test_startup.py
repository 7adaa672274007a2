"""Start-up is what a user feels on every call: help and the list of plugins import nothing heavy."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys

import pytest

HEAVY = ("pyarrow", "pydantic", "rich", "yaml", "duckdb", "psycopg", "asyncpg", "numpy", "pandas")
PROBE = """
import json, sys
from wherry.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["plugins"], ["plugins", "--json"], ["--version"], ["completion", "zsh"]]
)
def test_light_commands_import_nothing_heavy_and_no_plugin(arguments: list[str]) -> None:
    child = subprocess.run([sys.executable, "-P", "-c", PROBE, *arguments], capture_output=True, text=True, check=True)
    code, modules = json.loads(child.stderr)
    assert code == 0
    assert child.stdout
    assert not set(HEAVY) & set(modules)
    assert not [name for name in modules if name.startswith("wherry_")]


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"]])
def test_light_commands_take_under_a_fifth_of_a_second_of_cpu(arguments: list[str]) -> None:
    command = [sys.executable, "-P", "-c", "from wherry.cli.main import main; main()", *arguments]
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert statistics.median(seconds) < 0.2
