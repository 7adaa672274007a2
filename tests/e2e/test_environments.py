"""`--env`: every command means the same end by a name of wherry.yaml, and what is proposed next does too."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from wherry.cli.main import run

PROJECT = """
sources: {shop: {connector: sample, rows: 20}}
destinations: {wh: {connector: duckdb, path: here.duckdb}}
environments: {prod: {destinations: {wh: {connector: duckdb, path: there.duckdb}}}}
pipelines: {nightly: {source: shop, destination: wh, schema: raw}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "wherry.yaml").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def next_of(output: str) -> list[str]:
    """The arguments of the command that is proposed."""
    (line,) = [line for line in output.splitlines() if line.startswith("next: wherry ")]
    return shlex.split(line)[2:]


def test_a_plan_is_of_the_environment_and_leads_to_its_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "nightly", "--plan-only", "--env", "prod"]) == 0
    plan = capsys.readouterr().out
    assert "→ duckdb there.duckdb, schema raw" in plan
    proposed = next_of(plan)
    assert proposed == ["run", "nightly", "--env", "prod"]
    assert run(proposed) == 0
    assert (folder / "there.duckdb").is_file()
    assert not (folder / "here.duckdb").exists()
    look = next_of(capsys.readouterr().out)
    assert look[-2:] == ["--env", "prod"]
    assert run(look) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[0] == "order_id"
    assert len([line for line in shown[1:] if not line.startswith("…")]) == 5  # columns may be left out below
    for command in (["state", "show", "wh"], ["runs", "wh"], ["rejects", "list", "wh"], ["check", "shop", "wh"]):
        assert run([*command, "--env", "prod"]) == 0, command
    assert "raw" in capsys.readouterr().out
    assert run(["state", "show", "wh"]) == 0
    assert capsys.readouterr().out == "no bookmarks yet\n"


def test_an_unknown_environment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["sql", "wh", "select 1"], ["preview", "shop"], ["plan", "shop", "wh"], ["discover", "shop"]):
        assert run([*command, "--env", "prd"]) == 2
        assert "unknown environment 'prd': did you mean 'prod'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        (["plan", "shop", "wh"], ["sync", "shop", "wh"]),
        (["--debug", "plan", "shop", "wh"], ["--debug", "sync", "shop", "wh"]),
        (["sync", "shop", "wh", "--plan-only"], ["sync", "shop", "wh"]),
        (["run", "nightly", "--plan-only"], ["run", "nightly"]),
    ],
)
def test_the_command_after_a_plan_does_what_was_planned(
    typed: list[str], proposed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(typed) == 0
    assert next_of(capsys.readouterr().out) == proposed


def test_what_helps_in_wherry_yaml_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "rows.csv").write_text("id\n1\n")
    (folder / "wherry.yaml").write_text(
        "pipelines: {nightly: {source: rows.csv, destination: here.duckdb, streams: {rows: {mode: merge}}}}\n"
    )
    assert run(["run", "nightly"]) == 2
    assert "next: name it: --key COLUMN, or in wherry.yaml  key: COLUMN" in capsys.readouterr().err
    assert run(["state", "show", "here.duckdb"]) == 0
    assert capsys.readouterr().out == "no bookmarks yet\n"  # of the run that was refused, nothing is kept


def test_a_path_that_a_pipeline_names_is_said_to_stand_in_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wherry.yaml").write_text("pipelines:\n  nightly:\n    source: gone.csv\n    destination: here.duckdb\n")
    assert run(["run", "nightly"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["✗ source files: no such file or folder: gone.csv", "  path from wherry.yaml, line 3"]


def test_a_table_that_is_not_found_is_looked_for_in_the_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    for schema in ("in", "raw"):
        assert run(["sync", "shop", "wh", "--stream", "orders", "--schema", schema, "--quiet"]) == 0
    for query, remedy in [
        ("from orders", 'write SCHEMA.TABLE; the schemas here: "in", raw'),
        ("select * from in.orders", 'write the schema in quotes: "in".TABLE'),
        ("selec 1", "correct the statement"),
    ]:
        assert run(["sql", "wh", query]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == f"  next: {remedy}"
    assert run(["runs"]) == 0
    assert "duckdb here.duckdb, schema raw" in " ".join(capsys.readouterr().out.split())
