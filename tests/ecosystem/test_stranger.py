"""A plugin that was built outside the workspace, from a wheel, passes the kit like ours; so do its faults show."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STRANGER = Path(__file__).with_name("stranger")
OURS = ("wherry", "_wherry", "__editable__")


def wheel(project: Path, into: Path) -> Path:
    """Built as for an index."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(into), str(project)]
    subprocess.run(command, check=True, capture_output=True)
    return next(iter(into.glob("*.whl")))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh interpreter with the libraries of this one, but nothing of this workspace except the SDK's wheel."""
    folder = tmp_path_factory.mktemp("stranger")
    source = shutil.copytree(STRANGER, folder / "project")
    wheels = [wheel(ROOT / "sdk", folder / "sdk"), wheel(source, folder / "plugin")]
    venv.create(folder / "venv", with_pip=True)
    libraries = folder / "libraries"
    libraries.mkdir()
    here = Path(next(p for p in sys.path if p.endswith("site-packages")))
    for path in here.iterdir():
        if not path.name.startswith(OURS) and path.suffix != ".pth":
            (libraries / path.name).symlink_to(path)
    next(folder.glob("venv/lib/python*/site-packages")).joinpath("libraries.pth").write_text(f"{libraries}\n")
    python = folder / "venv" / "bin" / "python"
    install = ["-m", "pip", "install", "--no-index", "--no-deps", "--quiet", *map(str, wheels)]
    subprocess.run([python, *install], check=True, cwd=folder)
    return python


def wherry(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    command = [python.with_name("wherry"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=python.parents[2])


def test_a_strangers_plugin_is_small() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in STRANGER.rglob("*.[pt]*") if path.is_file()}
    assert lines["__init__.py"] <= 70
    assert lines["suite.py"] <= 40
    assert lines["pyproject.toml"] <= 14


def test_it_is_found_and_passes_the_kit(python: Path) -> None:
    listed = json.loads(wherry(python, "plugins", "--json").stdout)
    assert [(p["kind"], p["name"], p["distribution"]) for p in listed if p["kind"] != "hook"] == [
        ("source", "ledger", "acme-ledger")
    ]
    report = python.parents[2] / "report.json"
    done = wherry(python, "test", "ledger", "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ledger: acme-ledger 1.2.3, ledger_source.suite:LedgerSuite" in done.stdout
    found = json.loads(report.read_text())
    assert found["conforms"] is True
    assert found["counts"]["failed"] == 0
    assert found["counts"]["passed"] >= 25
    assert found["tests"]["Test0_LedgerSuite::test_resumes_from_each_bookmark"] == "passed"


def test_a_bookmark_that_loses_rows_is_found(python: Path) -> None:
    """The plugin's one line that matters, broken."""
    module = next(python.parents[1].glob("lib/python*/site-packages/ledger_source/__init__.py"))
    sound = module.read_text()
    try:
        module.write_text(sound.replace("changed >= ?", "changed > ?"))
        done = wherry(python, "test", "ledger", "--only", "resumes")
    finally:
        module.write_text(sound)
    assert done.returncode == 10
    assert "1 failed" in done.stdout
    assert "test_resumes_from_each_bookmark" in done.stdout


def test_a_plugin_without_a_suite_is_told_apart(python: Path) -> None:
    done = wherry(python, "test", "ledgre")
    assert done.returncode == 2
    assert "did you mean 'ledger'?" in done.stderr
    assert "suites are installed for: ledger" in done.stderr
