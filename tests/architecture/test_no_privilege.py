"""The SDK knows no connector: none is named, none is depended on, and without any it still answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
from itertools import chain
from pathlib import Path

import pytest
from wherry.host.metadata import Plugin
from wherry.host.registry import Registry
from wherry_distributions import write_source

ROOT = Path(__file__).parents[2]
ENGINES = {
    "postgres",
    "postgresql",
    "duckdb",
    "mysql",
    "mariadb",
    "sqlite",
    "snowflake",
    "bigquery",
    "redshift",
    "oracle",
}
ORDINARY = {"files", "sample", "rest", "oracle"}
"""Names of connectors that are also words of the language: only their distributions are looked for."""


def projects() -> list[dict[str, object]]:
    found = [*ROOT.glob("connectors/*/pyproject.toml"), *ROOT.glob("destinations/*/pyproject.toml")]
    return [tomllib.loads(path.read_text())["project"] for path in found]


def names() -> set[str]:
    points = [project["entry-points"] for project in projects()]
    groups = ("wherry.sources", "wherry.destinations")
    owned = {name for groups_of in points for group in groups for name in groups_of.get(group, {})}  # type: ignore[attr-defined]
    return (owned | ENGINES) - ORDINARY


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_nothing_in_the_sdk_names_a_connector_or_an_engine(folder: str) -> None:
    distributions = {str(project["name"]) for project in projects()}
    modules = {name.replace("-", "_") for name in distributions}
    library = r"sqlite3?" if folder == "tests" else "(?!)"  # Python's own: a real reader of SQL, for tests
    words = re.compile(rf"(?i)(?!{library}\b)({'|'.join(sorted(names() | distributions | modules))})")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in sorted((ROOT / "sdk" / folder).rglob("*"))
        if path.suffix in {".py", ".json", ".toml", ".md", ".txt"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := words.search(line))
    ]
    assert not found


def test_templates_of_new_connectors_name_no_engine_but_pythons_own() -> None:
    """A destination has to load into something that is there when its author begins."""
    words = re.compile(rf"(?i)(?!sqlite3?\b|sqlite_master)({'|'.join(sorted(names()))})")
    templates = sorted((ROOT / "sdk" / "src" / "wherry" / "scaffold").rglob("*.template"))
    assert len(templates) > 10
    assert not {match[0] for path in templates for match in words.finditer(path.read_text())}


def test_the_packaging_of_the_sdk_names_none_either() -> None:
    words = re.compile(rf"(?i)({'|'.join(sorted(names()))})")
    assert not words.findall((ROOT / "sdk" / "pyproject.toml").read_text())


def test_ours_are_found_by_the_scan_that_finds_strangers(tmp_path: Path) -> None:
    """Side by side with a stranger's; and gone as soon as their metadata is not on the path that is scanned."""
    write_source(tmp_path, "acme")
    ours = {(group, name) for project in projects() for group, name in connectors_of(project)}
    listed = Registry.scan([*sys.path, str(tmp_path)]).plugins
    found = {(plugin.kind, plugin.name): plugin for plugin in listed}
    assert ours | {("source", "acme")} <= set(found)
    assert {type(plugin) for plugin in found.values()} == {Plugin}
    alone = Registry.scan([str(tmp_path)]).plugins
    assert [(plugin.kind, plugin.name) for plugin in alone] == [("source", "acme")]


def connectors_of(project: dict[str, object]) -> list[tuple[str, str]]:
    """(kind, name) of what a distribution offers."""
    points: dict[str, dict[str, str]] = project["entry-points"]  # type: ignore[assignment]
    return [(kind, name) for kind in ("source", "destination") for name in points.get(f"wherry.{kind}s", {})]


def test_the_sdk_depends_on_no_connector_not_even_as_an_extra() -> None:
    project = tomllib.loads((ROOT / "sdk" / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *chain(*project.get("optional-dependencies", {}).values())]
    assert not [need for need in needs if need.startswith("wherry")]
    assert not [need for need in needs if re.match(r"(?i)[\w-]*(" + "|".join(ENGINES) + r"|psycopg|asyncpg)", need)]
    assert not [group for group in project.get("entry-points", {}) if group.startswith("wherry")]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the SDK and its dependencies, and no connector."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    here = Path(next(p for p in sys.path if p.endswith("site-packages")))
    for path in here.iterdir():
        if not path.name.startswith(("wherry_source", "wherry_destination", "_wherry", "__")) and path.suffix != ".pth":
            (site / path.name).symlink_to(path)
    (site / "wherry.pth").write_text(f"{ROOT / 'sdk' / 'src'}\n")
    return folder / "bin" / "python"


def wherry(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = "from wherry.cli.main import main; main()"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run([python, "-P", "-c", script, *arguments], capture_output=True, text=True, env=environment)


def test_without_connectors_the_command_works_and_says_what_to_install(bare: Path, tmp_path: Path) -> None:
    assert wherry(bare, "--help").stdout.startswith("Usage: wherry")
    listed = wherry(bare, "plugins")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith("no plugins are installed; try  pip install wherry-source-NAME")
    for typed, package in {"acme": "acme", "acme://ana:pw@h/db": "acme", "acme:x": "acme"}.items():
        refused = wherry(bare, "sync", typed, "shop.lake")
        assert refused.returncode == 2
        assert f"pip install wherry-source-{package}" in refused.stderr
        assert len(refused.stderr.splitlines()) <= 3
        assert "Traceback" not in refused.stderr
