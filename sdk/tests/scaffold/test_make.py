"""New projects: complete, small, said what they are, and never over anything."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from wherry import ResourceError, UsageError
from wherry.scaffold.make import Kind, make, proposed, words

KINDS: tuple[Kind, ...] = get_args(Kind)
WHERRY = Path(sys.executable).with_name("wherry")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["acme", "a-very-long-name-with-32-letters"])
def test_a_project_is_whole_and_small(kind: Kind, name: str, tmp_path: Path) -> None:
    made = make(kind, name, tmp_path)
    side = "destination" if kind == "destination" else "source"
    assert made.folder == tmp_path / f"wherry-{side}-{name}"
    files = {str(path.relative_to(made.folder)): path for path in made.folder.rglob("*") if path.is_file()}
    assert sorted(files) == sorted(made.files)
    assert len(files) <= 8
    for path, file in files.items():
        text = file.read_text()
        assert not re.search("@(name|title|module|distribution|side)@", text), path
        if path.endswith(".py"):
            assert ast.get_docstring(ast.parse(text)), path
            assert max(map(len, text.splitlines())) <= 120, path
    project = tomllib.loads(files["pyproject.toml"].read_text())["project"]
    assert project["name"] == made.distribution
    points = project["entry-points"]
    assert set(points) == {f"wherry.{side}s", "wherry.suites"}
    for group in points.values():
        module = group[name].partition(":")[0].replace(".", "/")
        assert {f"src/{module}.py", f"src/{module}/__init__.py"} & set(files)
    assert "wherry_" + side + "_" + name.replace("-", "_") in files["tests/test_conformance.py"].read_text()
    if kind == "manifest":
        (manifest,) = (file for path, file in files.items() if path.endswith(".yaml"))
        assert yaml.safe_load(manifest.read_text())["name"] == name


@pytest.mark.parametrize(
    "name", ["", "a", "Acme", "acme_crm", "1acme", "acme-", "a--b", "../x", "x" * 33, "acme crm", "é"]
)
def test_a_name_that_is_none_is_refused_with_one_that_is(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no name for a connector") as refused:
        make("source", name, tmp_path)
    assert refused.value.next
    assert refused.value.next.endswith(f"wherry new source {proposed(name)}")
    make("source", proposed(name), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_is_written_over(tmp_path: Path) -> None:
    made = make("source", "acme", tmp_path)
    (made.folder / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        make("manifest", "acme", tmp_path)
    assert (made.folder / "README.md").read_text() == "mine"
    file = tmp_path / "wherry-source-file"
    file.write_text("")
    with pytest.raises(UsageError, match="is there already"):
        make("source", "file", tmp_path)
    with pytest.raises(ResourceError, match="cannot be written: not a directory"):
        make("source", "acme", file)


def test_words_of_a_name() -> None:
    assert words("manifest", "acme-crm") == {
        "name": "acme-crm", "title": "AcmeCrm", "module": "wherry_source_acme_crm",
        "distribution": "wherry-source-acme-crm", "side": "source",
    }  # fmt: skip


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([WHERRY, *arguments], cwd=folder, capture_output=True, text=True)


def test_begun_and_tested_without_an_edit(tmp_path: Path) -> None:
    """A few tests of the kit, one of them for the README; all of them are for the acceptance script."""
    said = run(tmp_path, "new", "source", "acme")
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1] == "next: cd wherry-source-acme && wherry test"
    project = tmp_path / "wherry-source-acme"
    tested = run(project, "test", "--only", "reads_what_is_there or sound", "--report", "report.json")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    report: dict[str, Any] = json.loads((project / "report.json").read_text())
    assert (report["plugin"], report["counts"]["passed"]) == ("wherry-source-acme", 3)
    again = run(tmp_path, "new", "source", "acme")
    assert again.returncode == 2
    assert again.stderr.startswith("✗ wherry-source-acme is there already")
    info = run(project, "plugins", "info", "src/wherry_source_acme/streams.py", "--markdown")
    tables = info.stdout[info.stdout.index("| key") :].strip()
    assert tables in (project / "README.md").read_text()
