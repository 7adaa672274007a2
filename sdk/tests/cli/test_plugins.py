"""`wherry plugins`: lists, tries and describes what is installed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from wherry.cli.app import App
from wherry.cli.info import config_rows
from wherry.cli.main import run
from wherry.host.describe import describe
from wherry.host.load import load_object
from wherry.host.registry import Registry
from wherry_distributions import SOURCE, write_distribution, write_source

LAKE = """
import pyarrow as pa
import wherry

class Lake(wherry.Destination):
    \"\"\"A lake of | files.

    More words.
    \"\"\"
    capabilities = wherry.Capabilities(modes=frozenset({"append", "replace"}), loads=2, handoffs=("x", "a"))

    class Config(wherry.ConnectorConfig):
        path: str

    def storage(self, field):
        return (pa.utf8(),)

    def open(self, pipeline, *, schema, join=None, read_only=False, wait=0):
        raise NotImplementedError
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    write_source(tmp_path, "acme", SOURCE.replace("size: int = 3", 'size: int = 3\n        "How big."'), version="2.0")
    write_source(tmp_path, "broken", "raise ValueError('no')")
    groups = {
        "wherry.destinations": {"lake": "lake:Lake"},
        "wherry.destinations.schemes": {"lake": "lake"},
        "wherry.destinations.suffixes": {"lake": "lake", "lake.gz": "lake", "folder": "lake"},
    }
    write_distribution(tmp_path, "acme-lake", groups, {"lake": LAKE})
    app = App()
    app.__dict__["registry"] = Registry.scan([str(tmp_path)])
    return app


def test_the_list(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins"], app) == 0
    assert capsys.readouterr().out.splitlines() == [
        "kind         name    distribution          version  schemes  suffixes",
        "source       acme    wherry-source-acme    2.0",
        "source       broken  wherry-source-broken  1.0",
        "destination  lake    acme-lake             1.0      lake://  .lake",
    ]
    assert run(["plugins", "list", "--json"], app) == 0
    assert json.loads(capsys.readouterr().out)[2] == {
        "kind": "destination",
        "name": "lake",
        "distribution": "acme-lake",
        "version": "1.0",
        "schemes": ["lake"],
        "suffixes": ["folder", "lake", "lake.gz"],
        "conflicts": [],
        "problem": None,
    }


def test_nothing_installed(capsys: pytest.CaptureFixture[str]) -> None:
    app = App()
    app.__dict__["registry"] = Registry()
    assert run(["plugins"], app) == 0
    assert capsys.readouterr().out.startswith("no plugins are installed; try  pip install wherry-source-NAME")
    assert run(["plugins", "--check", "--json"], app) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_check(app: App, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["plugins", "--check"], app) == 10
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["kind", "name", "distribution", "version", "status", "can", "reason"],
        ["source", "acme", "wherry-source-acme", "2.0", "ok"],
        [
            "source",
            "broken",
            "wherry-source-broken",
            "1.0",
            "broken",
            *["could", "not", "be", "loaded:", "ValueError:", "no"],
        ],
        ["destination", "lake", "acme-lake", "1.0", "ok", "append", "replace"],
    ]
    assert err.splitlines() == [
        "✗ 1 of 3 plugins do not work: source broken",
        "  next: upgrade or uninstall them; the others can be used",
    ]


def test_info(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "info", "acme"], app) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["source acme  wherry-source-acme 2.0", "refer to it as  acme:…"]
    assert [line.split(maxsplit=2) for line in out[3:6]] == [
        ["key", "type", "default  description"],
        ["url", "secret", "(what is typed as the reference)"],
        ["size", "integer", "3"],
    ]
    assert run(["plugins", "info", "lake", "--json"], app) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["config"]["required"] == ["path"]
    assert found["capabilities"]["modes"] == ["append", "replace"]
    assert found["capabilities"]["loads"] == 2


def test_info_as_markdown(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "info", "lake", "--markdown"], app) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:5] == ["## destination `lake`", "", "A lake of | files.", "", "From `acme-lake`."]
    assert out[6:9] == [
        "| key | type | default | description |",
        "|---|---|---|---|",
        "| `path` | text | required | |",
    ]
    assert "| modes | append replace |" in out


@pytest.mark.parametrize(
    ("arguments", "code", "line", "next"),
    [
        (["broken"], 10, "source broken (wherry-source-broken 1.0) could not be loaded: ValueError: no", "reinstall"),
        (["acne"], 2, "no source or destination named 'acne' is installed", "did you mean 'acme'?"),
        (["zzz"], 2, "no source or destination named 'zzz' is installed", "pip install wherry-source-zzz"),
        (["acme", "--kind", "destination"], 2, "no destination named 'acme' is installed", "pip install wherry-dest"),
    ],
)
def test_info_that_cannot_be_had(
    app: App, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, line: str, next: str
) -> None:
    assert run(["plugins", "info", *arguments], app) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"✗ {line}"
    assert lines[1].startswith(f"  next: {next}")


def test_types_of_keys_are_words(tmp_path: Path) -> None:
    fields = """
import typing, pydantic, wherry
class Inner(wherry.ConnectorConfig):
    a: int
class Acme(wherry.Source):
    class Config(wherry.ConnectorConfig):
        a: str
        b: wherry.Secret | None = None
        c: tuple[int, ...] = (1, 2)
        d: typing.Literal["x", "y"] = "x"
        e: int | str = 3
        f: bool = False
        g: Inner | None = None
        h: dict[str, str] = {}
        i: list[wherry.Secret] = []
        j: typing.Any = None
    def discover(self, only=("*",)): return []
    def read(self, split): return iter(())
"""
    (tmp_path / "kinds.py").write_text(fields)
    rows = config_rows(describe(load_object(f"{tmp_path}/kinds.py:Acme", "source")))
    assert [row[:3] for row in rows] == [
        ("a", "text", "required"),
        ("b", "secret", ""),
        ("c", "list of integer", "[1, 2]"),
        ("d", "x | y", "x"),
        ("e", "integer | text", "3"),
        ("f", "true | false", "false"),
        ("g", "mapping", ""),
        ("h", "mapping", "{}"),
        ("i", "list of secret", "[]"),
        ("j", "any", ""),
    ]
