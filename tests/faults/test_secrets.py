"""Rows 85 and 86: no secret is shown anywhere, whatever fails; no value forges a line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PLUGIN, Wherry
from harness.child import Ended
from harness.places import InDuckDB, InPostgres
from harness.planted import ERRORS, Planted, Watch, everywhere
from wherry_distributions import write_distribution, write_source


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the source `leaky` in it."""
    folder = tmp_path_factory.mktemp("leaky")
    shutil.copy(PLUGIN / "wherry_leaky.py", folder)
    groups = {"wherry.sources": {"leaky": "wherry_leaky:LeakySource"}, "wherry.sources.schemes": {"leaky": "leaky"}}
    return write_distribution(folder, "wherry-source-leaky", groups)


@pytest.fixture
def planted(tmp_path: Path, leaky: Path, wherry: Wherry) -> Planted:
    found = Planted(tmp_path)
    (tmp_path / "tmp").mkdir()
    wherry.env |= {"PYTHONPATH": str(leaky), "TMPDIR": str(tmp_path / "tmp")} | found.environment()
    return found


@pytest.fixture
def show(tmp_path: Path, wherry: Wherry, planted: Planted) -> Callable[..., tuple[Ended, list[str]]]:
    """Runs a command with secrets planted; how it ended, and where one shows."""

    def run(command: str, place: Any, *args: str) -> tuple[Ended, list[str]]:
        ends = [planted.reference(), *([place.reference] if place else [])]
        child = wherry.start(command, *ends, *planted.options(), *args)
        with Watch(child.pid, planted) as watch:
            done = child.wait()
        wherry.ended.append(done)
        return done, watch.shown + everywhere(planted, done, place, tmp_path)

    return run


@pytest.mark.fault(85)
def test_nothing_shows_of_a_run_that_leaks_and_fails(show: Any, duckdb_place: InDuckDB) -> None:
    done, shown = show("sync", duckdb_place, "--set", "raises=StreamError", "--debug", "--json")
    assert done.code == 3
    assert shown == []
    assert "read failed with" in done.stdout  # the error is there, without the secrets
    for door in ("printed", "complained", "logged", "warned"):
        assert f"read {door} leaky://ana:***@" in done.stderr, door
    assert "| RuntimeError: leaky://ana:***@" in done.stderr
    assert all(json.loads(line)["event"] for line in done.stdout.splitlines())  # what was printed is not among them


@pytest.mark.fault(85)
def test_nothing_shows_of_a_configuration_that_is_refused(show: Any) -> None:
    done, shown = show("discover", None, "--set", "number=many", "--set", "accounts=[{}]", "--debug")
    assert done.code == 2
    assert shown == []


@pytest.mark.fault(85, tier=1)
@pytest.mark.parametrize(("number", "name"), list(enumerate(ERRORS)))
def test_nothing_shows_of_any_error(show: Any, duckdb_place: InDuckDB, number: int, name: str) -> None:
    for at in {("discover", "plan")[number % 2], "read"}:
        done, shown = show("sync", duckdb_place, "--set", f"raises={name}", "--set", f"at={at}", "--debug")
        assert done.code != 0
        assert shown == []
        assert f"| {at} complained leaky://ana:***@" in done.stderr


@pytest.mark.fault(85, tier=1)
def test_nothing_shows_of_runs_that_succeed(show: Any, duckdb_place: InDuckDB, postgres_place: InPostgres) -> None:
    for place in (duckdb_place, postgres_place):
        done, shown = show("sync", place, "--set", "child=true", "--json", "--debug")
        assert done.code == 0, done
        assert shown == []


@pytest.mark.fault(85, tier=1)
@pytest.mark.parametrize("command", ["check", "discover", "plan", "preview"])
def test_nothing_shows_of_other_commands(show: Any, duckdb_place: InDuckDB, command: str) -> None:
    done, shown = show(command, duckdb_place if command == "plan" else None, "--debug")
    assert done.code == 0, done
    assert shown == []
    assert "printed" not in done.stdout


@pytest.mark.fault(85, tier=1)
def test_a_wrong_password_is_not_shown_by_a_server(
    wherry: Wherry, planted: Planted, postgres_place: InPostgres, tmp_path: Path
) -> None:
    cluster = postgres_place.cluster
    url = cluster.url(postgres_place.reference.rpartition("/")[2], "wherry_password", planted.secret("server"))
    wherry.env.pop("PGPASSWORD")
    for ends in (("sample", url), (url, "x.duckdb")):
        done = wherry("sync", *ends, "--debug", "--json")
        assert done.code == 2, done
        assert everywhere(planted, done, None, tmp_path) == []
    (wherry.folder / "wherry.yaml").write_text(
        f'sources: {{shop: {{connector: postgres, url: "{cluster.url()}", password: "${{SHOP}}"}}}}\n'
        "destinations: {wh: {connector: duckdb, path: x.duckdb}}\npipelines: {p: {source: shop, destination: wh}}\n"
    )
    wherry.env |= {"SHOP": planted.secret("variable of wherry.yaml"), "PGUSER": "wherry_password"}
    (wherry.folder / "wherry.yaml").write_text(
        (wherry.folder / "wherry.yaml").read_text().replace("postgres@", "wherry_password@")
    )
    done = wherry("run", "p", "--debug")
    assert done.code == 2, done
    assert everywhere(planted, done, None, tmp_path) == []


@pytest.mark.fault(85, tier=1)
def test_probes_get_none(wherry: Wherry, planted: Planted, tmp_path: Path, leaky: Path) -> None:
    write_source(leaky, "slow", "import time\ntime.sleep(2)")
    wherry.env["WHERRY_SOURCE_SLOW_URL"] = planted.secret("another connector's")
    child = wherry.start("plugins", "--check", "--timeout", "1.5")
    with Watch(child.pid, planted) as watch:
        done = child.wait()
    assert done.code == 10
    assert watch.seen
    assert watch.shown + everywhere(planted, done, None, tmp_path) == []


@pytest.mark.fault(85, tier=1)
def test_a_strangers_hook_hears_none(
    show: Any, wherry: Wherry, leaky: Path, duckdb_place: InDuckDB, tmp_path: Path
) -> None:
    hook = """
        import json, os, wherry

        class Notes:
            @wherry.hookimpl
            def stream_finished(self, stream, error):
                with open(os.environ["NOTES"], "a") as file: file.write(json.dumps([stream, error]))

            @wherry.hookimpl
            def message(self, level, text):
                with open(os.environ["NOTES"], "a") as file: file.write(text)

        notes = Notes()
    """
    write_distribution(leaky, "acme-notes", {"wherry.hooks": {"notes": "acme_notes:notes"}}, {"acme_notes": hook})
    wherry.env["NOTES"] = str(tmp_path / "notes")
    done, shown = show("sync", duckdb_place, "--set", "raises=StreamError")
    assert done.code == 3
    assert shown == []
    assert "read failed with" in (tmp_path / "notes").read_text()


FORGED = "x\n✔ run 9: 1,000 rows committed\r\x1b[2J\x1b]0;owned\x07 %s %n {0.__class__} \u202egnp.exe\u2028y\x9b31m"


def no_forgery(text: str) -> None:
    """What is shown has neither control characters nor a line of the forger's own."""
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text), repr(text)
    assert not any(line.startswith("✔ run 9") for line in text.splitlines())


@pytest.mark.parametrize(
    "at",
    [pytest.param("read", marks=pytest.mark.fault(86)), pytest.param("print", marks=pytest.mark.fault(86, tier=1))],
)
def test_no_value_forges_a_line(wherry: Wherry, duckdb_place: InDuckDB, at: str) -> None:
    (wherry.folder / "forger.py").write_text(f"""
import logging, sys
import pyarrow as pa
import wherry

TEXT = {FORGED!r}

class Forger(wherry.Source):
    class Config(wherry.ConnectorConfig):
        at: str = ""
    def discover(self, only=("*",)):
        schema = pa.schema([(TEXT[:30], pa.string())])
        yield wherry.Stream(name=TEXT[:40], description=TEXT, schema=schema, notes=(TEXT,))
    def read(self, split):
        if self.config.at == "print":
            print(TEXT); print(TEXT, file=sys.stderr); logging.warning(TEXT)
        yield wherry.Batch(stream=TEXT[:40], data=pa.table({{TEXT[:30]: [TEXT]}}))
        if self.config.at == "read":
            raise wherry.StreamError(TEXT, next=TEXT)
""")
    done = wherry("sync", "./forger.py", duckdb_place.reference, "--set", f"at={at}", "--schema", "s", "--debug")
    assert done.code == (3 if at == "read" else 0), done
    assert done.stderr.count("{0.__class__}") >= 3
    no_forgery(done.stderr)
    no_forgery(done.stdout)
    for command in (
        ("discover", "./forger.py"),
        ("preview", "./forger.py"),
        ("runs",),
        ("state", "show", duckdb_place.reference),
    ):
        shown = wherry(*command)
        assert shown.code == 0, shown
        no_forgery(shown.stdout + shown.stderr)
    logs = [line for log in wherry.state.rglob("*.jsonl") for line in log.read_text().splitlines()]
    assert logs
    assert all(line.isascii() and json.loads(line)["event"] for line in logs)
