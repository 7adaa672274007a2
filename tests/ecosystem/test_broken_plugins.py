"""With every kind of broken plugin installed at once, the host answers, explains each, and all others work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from wherry_distributions import SOURCE, write_distribution, write_source

pytestmark = pytest.mark.fault(90)
REASONS = {
    "import-error": "could not be loaded: ModuleNotFoundError: No module named 'no_such_module_at_all'",
    "exit": "could not be loaded: SystemExit: 5",
    "hard-exit": "its import ended the process with status 5",
    "endless": "its import took longer than 3 s",
    "half": "is unfinished: Acme lacks discover, read",
    "newer": "speaks contract 2, this wherry speaks 1: upgrade wherry",
    "excluded": "needs wherry >=99, this is {version}: upgrade wherry",
    "argument": "PluginValidationError",
    "hook-endless": "its import took longer than 3 s",
}
GOOD = ("prints", "raises", "sleeps")
BUILTIN_HOOK = "import wherry\n@wherry.hookimpl\ndef {hook}({argument}): {action}\n"


def hook(folder: Path, name: str, text: str) -> None:
    module = f"plugin_{name.replace('-', '_')}"
    write_distribution(folder, f"acme-{name}", {"wherry.hooks": {name: module}}, {module: text})


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    write_source(folder, "import-error", "import no_such_module_at_all")
    write_source(folder, "exit", "import sys\nsys.exit(5)")
    write_source(folder, "hard-exit", "import os\nos._exit(5)")
    write_source(folder, "endless", "while True: pass")
    write_source(folder, "prints", "import os\nprint('NOISE')\nos.write(1, b'NOISE')\nos.write(2, b'NOISE')\n" + SOURCE)
    write_source(folder, "half", "import wherry\nclass Acme(wherry.Source): pass")
    write_source(folder, "excluded", requires=["wherry>=99"])
    write_distribution(folder, "acme-newer", {"wherry.sources.v2": {"newer": "plugin_newer:Acme"}})
    for owner in ("first", "second"):
        write_distribution(folder, f"acme-{owner}", {"wherry.sources": {"twice": "plugin_prints:Acme"}})
    hook(folder, "argument", BUILTIN_HOOK.format(hook="batch_loaded", argument="colour", action="pass"))
    hook(folder, "hook-endless", "import time\ntime.sleep(600)")
    hook(folder, "raises", BUILTIN_HOOK.format(hook="batch_loaded", argument="rows", action="1 / 0"))
    sleep = BUILTIN_HOOK.format(hook="batch_loaded", argument="rows", action="time.sleep(600)")
    hook(folder, "sleeps", "import time\n" + sleep)
    return folder


@pytest.fixture
def environment(plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugins), os.environ.get("PYTHONPATH", "")])}


def wherry(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", "from wherry.cli.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def listed(answer: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {record["name"]: record for record in json.loads(answer.stdout)}


def test_the_list_answers_from_metadata_alone(environment: dict[str, str]) -> None:
    start = time.monotonic()
    answer = wherry(environment, "plugins", "--json")
    assert time.monotonic() - start < 2
    assert (answer.returncode, answer.stderr) == (0, "")
    records = listed(answer)
    assert set(REASONS) | set(GOOD) | {"twice"} <= set(records)
    assert records["newer"]["problem"] == REASONS["newer"]
    assert records["twice"]["conflicts"] == ["name 'twice' is also owned by acme-first 1.0"]
    assert records["endless"]["distribution"] == "wherry-source-endless"


def test_check_gives_each_its_reason(environment: dict[str, str]) -> None:
    answer = wherry(environment, "plugins", "--check", "--timeout", "3", "--json")
    records = listed(answer)
    version = subprocess.run(
        [sys.executable, "-c", "import importlib.metadata as m; print(m.version('wherry'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    for name, reason in REASONS.items():
        assert records[name]["status"] != "ok", name
        assert reason.format(version=version) in records[name]["reason"], name
    assert records["twice"]["reason"] == "is also owned by acme-first 1.0: uninstall all but one"
    assert {name: records[name]["status"] for name in GOOD} == dict.fromkeys(GOOD, "ok")
    assert records["raises"]["hooks"] == ["batch_loaded"]
    assert "NOISE" not in answer.stdout + answer.stderr
    assert answer.returncode == 10
    assert answer.stderr.splitlines()[0].startswith(f"✗ {len(REASONS) + 2} of {len(json.loads(answer.stdout))} plugins")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (
            "import-error",
            10,
            "source import-error (wherry-source-import-error 1.0) could not be loaded: ModuleNotFound",
        ),
        ("exit", 10, "source exit (wherry-source-exit 1.0) could not be loaded: SystemExit: 5"),
        ("half", 10, "source half (wherry-source-half 1.0) is unfinished: Acme lacks discover, read"),
        ("newer", 10, "source newer (acme-newer 1.0) speaks contract 2, this wherry speaks 1: upgrade wherry"),
        ("twice", 10, "two distributions own source 'twice': acme-first 1.0 and acme-second 1.0"),
    ],
)
def test_only_who_asks_for_a_broken_plugin_hears_of_it(
    environment: dict[str, str], name: str, code: int, message: str
) -> None:
    answer = wherry(environment, "discover", name)
    assert answer.returncode == code
    lines = answer.stderr.splitlines()
    assert lines[0].startswith(f"✗ {message}")
    assert lines[-1].startswith("  next: ")
    assert 2 <= len(lines) <= 3


def test_a_plugin_that_prints_does_not_spoil_the_output(environment: dict[str, str]) -> None:
    answer = wherry(environment, "discover", "prints", "--json")
    assert answer.returncode == 0, answer.stderr
    assert "NOISE" not in answer.stdout + answer.stderr
    assert "orders" in answer.stdout


def test_an_unrelated_sync_succeeds(environment: dict[str, str], tmp_path: Path) -> None:
    rows = [{"id": n, "name": f"row {n}"} for n in range(1000)]
    (tmp_path / "orders.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    start = time.monotonic()
    answer = wherry(environment, "sync", "orders.jsonl", "shop.duckdb", "--json")
    assert answer.returncode == 0, answer.stderr
    assert time.monotonic() - start < 30
    assert "NOISE" not in answer.stdout + answer.stderr
    assert [json.loads(line) for line in answer.stdout.splitlines()]
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
    script += "print(c.sql('select id, name from orders.orders order by id').fetchall())"
    read = subprocess.run([sys.executable, "-c", script, "shop.duckdb"], capture_output=True, text=True, check=True)
    assert read.stdout.strip() == str([(row["id"], row["name"]) for row in rows])
    for told in ("raises (acme-raises 1.0) failed in batch_loaded: ZeroDivisionError", "sleeps (acme-sleeps 1.0)",
                 "argument (acme-argument 1.0)", "hook-endless (acme-hook-endless 1.0)"):  # fmt: skip
        assert told in answer.stdout + answer.stderr
