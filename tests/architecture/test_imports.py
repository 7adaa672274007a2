"""Who may import whom: the arrows between the parts of the SDK, and the wall in front of connectors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdk" / "src" / "wherry"
GROUND = {"contracts", "errors", "near", "hookspecs", "failpoints", "telling", "limits", "instants"}
ALLOWED = {
    "errors": set(),
    "near": set(),
    "hookspecs": set(),
    "failpoints": {"errors"},
    "telling": set(),
    "instants": set(),
    "limits": {"errors"},
    "contracts": {"errors", "telling"},
    "host": GROUND | {"functions"},
    "functions": GROUND | {"http", "json_rows", "pipeline"},
    "config": GROUND,
    "pipeline": GROUND,
    "sql": GROUND,
    "http": GROUND | {"json_rows"},
    "rest": GROUND | {"http", "json_rows", "config"},
    "json_rows": GROUND | {"pipeline"},
    "guess": GROUND | {"http", "rest", "json_rows"},
    "scaffold": GROUND,
    "testing": GROUND | {"host", "config", "pipeline", "sql", "http", "wherry"},
    "cli": GROUND | {"host", "config", "pipeline", "sql", "guess", "scaffold", "testing", "wherry"},
    "__init__": GROUND | {"sql", "http", "rest", "json_rows", "functions"},
}
CONNECTORS = sorted(path.parent for path in ROOT.glob("*/*/pyproject.toml"))


def is_part(name: str) -> bool:
    return (SDK / name).is_dir() or (SDK / f"{name}.py").exists()


def imported(file: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports anywhere, also for types alone or inside functions."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide where a name comes from"
            parts = [a.name for a in node.names if node.module == "wherry" and is_part(a.name)]
            yield from (f"wherry.{part}" for part in parts) if parts else [node.module or ""]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)


def unit(module: str) -> str | None:
    """The part of the SDK that a module belongs to: "wherry" is its public face."""
    parts = module.split(".")
    return None if parts[0] != "wherry" else [*parts, "wherry"][1]


@pytest.mark.parametrize("part", sorted({p.relative_to(SDK).parts[0].removesuffix(".py") for p in SDK.rglob("*.py")}))
def test_parts_of_the_sdk_import_only_what_lies_below_them(part: str) -> None:
    files = [SDK / f"{part}.py"] if (SDK / f"{part}.py").exists() else sorted((SDK / part).rglob("*.py"))
    allowed = ALLOWED[part] | {part}
    wrong = [
        f"{file.relative_to(SDK)} imports {module}"
        for file in files
        for module in imported(file)
        if unit(module) not in allowed | {None}
    ]
    assert not wrong


@pytest.mark.parametrize("folder", CONNECTORS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_connectors_import_the_public_names_only(folder: Path) -> None:
    own = next((folder / "src").iterdir()).name
    for file in sorted(folder.rglob("*.py")):
        tests = "tests" in file.relative_to(folder).parts or file.name == "suite.py"  # the suite a plugin ships
        public = {"wherry"} | ({"wherry.testing"} if tests else set())
        behind = [m for m in imported(file) if m.split(".")[0] == "wherry" and m not in public]
        assert not behind, f"{file.relative_to(ROOT)} reaches behind the public names"
        siblings = [m for m in imported(file) if m.startswith("wherry_") and m.split(".")[0] != own]
        servers = tuple(f"wherry_{word}" for word in ("cluster", "distributions", "binaries", "apis", "taps", "web"))
        siblings = [m for m in siblings if not m.startswith(servers)]
        assert not siblings, f"{file.relative_to(ROOT)} knows another connector"


def test_every_part_of_the_sdk_has_a_rule() -> None:
    parts = {path.relative_to(SDK).parts[0].removesuffix(".py") for path in SDK.rglob("*.py")}
    assert parts == set(ALLOWED)


def test_the_sdk_imports_no_connector() -> None:
    wrong = [
        f"{file.relative_to(SDK)} imports {m}"
        for file in sorted(SDK.rglob("*.py"))
        for m in imported(file)
        if m.startswith("wherry_")
    ]
    assert not wrong


def test_the_wall_stands_where_it_is_said_to_stand() -> None:
    assert [unit(m) for m in ("wherry", "wherry.host.load", "os")] == ["wherry", "host", None]
    assert len(CONNECTORS) >= 5
    assert "wherry.near" in set(imported(SDK / "cli" / "lazy.py"))
