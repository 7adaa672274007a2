"""A manifest as a source: by its path, by the connector's name, from wherry.yaml, its keys from wherever they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from wherry import UsageError
from wherry.cli.connect import Workspace
from wherry.cli.main import run

MANIFEST = """
name: acme
config: {token: {type: secret}, size: {type: integer, default: 10}}
base_url: http://127.0.0.1:1
auth: {type: bearer, token: "{config.token}"}
streams: {items: }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "acme.yaml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("reference", ["acme.yaml", "./acme.yaml", "rest:acme.yaml"])
def test_its_keys_are_set_on_the_command_line(folder: Path, reference: str) -> None:
    end = Workspace.here().source(reference, ["token=t", "size=5"])
    config = end.configured.config.model_dump()
    assert (config["token"].get_secret_value(), config["size"]) == ("t", 5)
    assert end.configured.provenance("size") == "size from --set size"
    assert end.new().identity() == ("acme", "http://127.0.0.1:1")


@pytest.mark.parametrize("name", ["WHERRY_SOURCE_ACME_TOKEN", "WHERRY_SOURCE_REST_TOKEN"])
def test_its_keys_come_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "from there")
    end = Workspace.here().source("acme.yaml")
    assert end.configured.config.model_dump()["token"].get_secret_value() == "from there"
    assert end.configured.provenance("token") == f"token from environment {name}"


def test_its_keys_stand_in_the_project(folder: Path) -> None:
    (folder / "wherry.yaml").write_text(
        "sources: {tracker: {connector: rest, manifest: acme.yaml, token: '${TOKEN}', size: 7}}\n"
    )
    (folder / ".env").write_text("TOKEN=kept\n")
    end = Workspace.here().source("tracker")
    config = end.configured.config.model_dump()
    assert (config["token"].get_secret_value(), config["size"]) == ("kept", 7)


def test_a_key_that_is_missing_or_unknown_is_told_with_what_helps(folder: Path) -> None:
    with pytest.raises(UsageError, match="source acme: key 'token' is missing") as caught:
        Workspace.here().source("acme.yaml")
    assert "WHERRY_SOURCE_ACME_TOKEN" in str(caught.value.next)
    with pytest.raises(UsageError, match=r"unknown key 'tokn': did you mean 'token'\?"):
        Workspace.here().source("acme.yaml", ["tokn=t"])
    with pytest.raises(UsageError, match="key 'manifest' is missing"):
        Workspace.here().source("rest")


def test_info_says_what_it_is_called_by(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "info", "acme.yaml"]) == 0
    assert "refer to it as  acme.yaml\n" in capsys.readouterr().out
