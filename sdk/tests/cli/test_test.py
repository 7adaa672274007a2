"""`wherry test`, `new`, `discover`, `preview`, `plugins info` on what is under development."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wherry.cli.app import App
from wherry.cli.main import run
from wherry.host.registry import Registry

STREAMS = '''"""Things of Acme."""
import wherry


@wherry.stream(primary_key="id", cursor="at", ordered=True)
def things(token: wherry.Secret, since: int = 0, many: int = 30):
    """Things."""
    for n in range(since, many):
        yield {"id": n, "at": n, "name": f"thing {n}"}


@wherry.stream
def nothing():
    return None
'''


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An invocation in a folder of its own, where nothing is installed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme.py").write_text(STREAMS)
    made = App()
    made.__dict__["registry"] = Registry()
    return made


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    return [*captured.out.splitlines(), *captured.err.splitlines()]


def test_columns_that_no_schema_tells_are_those_of_the_first_rows(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["discover", "acme.py", "--set", "token=x"], app) == 0
    assert [line.split(maxsplit=3) for line in said(capsys)] == [
        ["stream", "key", "cursor", "description"], ["things", "id", "at", "Things."], ["nothing"],
    ]  # fmt: skip
    assert run(["discover", "acme.py", "--set", "token=x", "--columns", "--json"], app) == 0
    (things, nothing) = json.loads("\n".join(said(capsys)))
    assert [(c["name"], c["type"]) for c in things["columns"]] == [("id", "bigint"), ("at", "bigint"), ("name", "text")]
    assert nothing["columns"] == []
    arguments = ["preview", "acme.py:things", "--set", "token=x", "--limit", "2"]
    assert run([*arguments, "--columns", "name,id"], app) == 0
    assert [line.split() for line in said(capsys)] == [["id", "name"], ["0", "thing", "0"], ["1", "thing", "1"]]
    assert run([*arguments, "--columns", "nam"], app) == 2
    assert "no column 'nam'" in said(capsys)[0]


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ("import wherry\ndef f(:\n", "could not be loaded: SyntaxError: invalid syntax (bad.py, line 2)", 10),
        ("import wherry\n\nx = y\n", "could not be loaded: NameError: name 'y' is not defined (bad.py, line 3)", 10),
        ("import wherry\n@wherry.stream(ordered=True)\ndef f(): yield\n", "ordered needs cursor", 10),
        ("x = 1\n", "bad.py must hold one source class: none is defined there", 2),
        ("import wherry\n@wherry.stream\ndef f():\n  yield {}['a']\n", "KeyError: 'a' (bad.py, line 4)", 3),
    ],
)
def test_mistakes_in_a_file_name_their_line(
    app: App, capsys: pytest.CaptureFixture[str], text: str, line: str, code: int
) -> None:
    Path("bad.py").write_text(text)
    assert run(["check", "bad.py"], app) == code
    found = said(capsys)
    assert line in found[0]
    assert found[1].startswith("  next: ")
    assert len(found) <= 3


def test_info_of_a_file(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "info", "./acme.py", "--markdown"], app) == 0
    out = said(capsys)
    assert out[0] == "## source `acme`"
    assert "| `token` | secret | required | for things |" in out
    assert "| `things` | `id` | `at` | merge | Things. |" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "✗ no pyproject.toml in "),
        (["nosuch"], "✗ no installed plugin ships a conformance suite for 'nosuch'"),
        (["./nosuch.py"], "✗ no such file: ./nosuch.py"),
        (["acme.py"], "✗ source acme: key 'token' is missing"),
        (["project"], "✗ project/pyproject.toml offers no connector"),
        (["project", "--set", "a=b"], "✗ project/pyproject.toml offers no connector"),
        (["broken"], "✗ broken/pyproject.toml cannot be read: "),
        (["acme.py", "--set", "token=t", "--only", "zzz"], "✗ no test of acme fits --only 'zzz'"),
    ],
)
def test_what_cannot_be_tested_is_said(
    app: App, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    for name, text in {"project": '[project]\nname = "x"\n', "broken": "["}.items():
        Path(name).mkdir()
        Path(name, "pyproject.toml").write_text(text)
    assert run(["test", *arguments], app) == 2
    found = said(capsys)
    place = next((place for place, text in enumerate(found) if text.startswith("✗")), 0)  # what ran is shown above
    assert found[place].startswith(line)
    assert found[place + 1].startswith("  next: ")


def test_new_says_what_it_wrote(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "manifest", "acme-crm", "--dir", "here"], app) == 0
    found = said(capsys)
    assert found[0] == "here/wherry-source-acme-crm/"
    assert "  src/wherry_source_acme_crm/acme-crm.yaml" in found
    assert found[-1] == "next: cd here/wherry-source-acme-crm && wherry test"
    assert run(["new", "source", "Acme!"], app) == 2
    assert said(capsys)[1] == ("  next: 2 to 32 lower-case letters, digits and single hyphens: wherry new source acme")
