"""The boundary: every error becomes at most three lines and an exit code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from wherry.cli.app import App, debug_option, pass_app
from wherry.cli.main import cli, run
from wherry.errors import AuthError, LeaseError, Stopped
from wherry.host.registry import Registry
from wherry_distributions import SOURCE, write_source

Act = Callable[[App], None]


@pytest.fixture
def command() -> Iterator[Callable[[Act], None]]:
    """Gives the group a command `act` that does what the test says."""

    def install(act: Act) -> None:
        @cli.command("act")
        @click.option("--colour", type=click.Choice(["red", "green"]))
        @click.option("--size", type=int)
        @debug_option
        @pass_app
        def _(app: App, colour: str | None, size: int | None) -> None:
            act(app)

    yield install
    cli.commands.pop("act", None)


def raising(error: BaseException) -> Act:
    def act(app: App) -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (
            AuthError('refused "ana"', next="correct it", where="password from .env, line 3"),
            2,
            ['✗ refused "ana"', "  password from .env, line 3", "  next: correct it"],
        ),
        (LeaseError("held by pid 7"), 7, ["✗ held by pid 7"]),
        (AuthError("forged\n✗ line \x1b[31m"), 2, ["✗ forged ✗ line \\x1b[31m"]),
        (Stopped(signal=15), 143, ["✗ stopped"]),
        (KeyboardInterrupt(), 130, ["✗ stopped"]),
        (MemoryError(), 9, ["✗ out of memory", "  next: lower --memory or --workers, or free some"]),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/nowhere/x"),
            9,
            ["✗ the disk of / is full", "  next: make room in /"],
        ),
    ],
)
def test_what_can_be_explained(
    command: Callable[[Act], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    lines: list[str],
) -> None:
    command(raising(error))
    assert run(["act"]) == code
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", lines)


def test_a_current_folder_that_is_gone_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(["sync", "acme", "store"]) == 9
    assert capsys.readouterr().err.splitlines() == [
        "✗ the current folder is gone: it was deleted", "  next: change into one that exists: cd ~",
    ]  # fmt: skip


def test_what_cannot_is_a_bug_of_ours_and_shows_no_data(
    command: Callable[[Act], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(KeyError("row data")))
    assert run(["act"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("✗ unexpected KeyError in ")
    assert ": this is a bug in wherry" in first
    assert second == "  next: run it again with --debug, and report what that prints"
    assert "row data" not in first


def test_a_bug_in_a_plugin_names_its_distribution(
    command: Callable[[Act], None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_source(tmp_path, "acme", SOURCE.replace("import pyarrow as pa", "1 / 0"), version="1.2")
    monkeypatch.syspath_prepend(str(tmp_path))

    def act(app: App) -> None:
        from wherry.host.load import load

        cls = load(app.registry.find("source", "acme"))
        cls(cls.Config()).discover()

    command(act)
    app = App()
    app.__dict__["registry"] = Registry.scan([str(tmp_path)])
    assert run(["act"], app) == 1
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("✗ unexpected ZeroDivisionError in plugin_acme.py, line ")
    assert first.endswith(": this is a bug in wherry-source-acme 1.2")
    sys.modules.pop("plugin_acme", None)


def test_debug_adds_a_traceback_without_secrets(
    command: Callable[[Act], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def act(app: App) -> None:
        app.redactor.add("S3CR3T")
        raise AuthError("refused S3CR3T", next="not S3CR3T", where="S3CR3T")

    command(act)
    assert run(["act", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "S3CR3T" not in err
    assert err.endswith("✗ refused ***\n  ***\n  next: not ***\n")
    assert run(["--debug", "act"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["plugns"], ["✗ no command 'plugns': did you mean 'plugins'?", "  next: wherry --help"]),
        (["zzz"], ["✗ no command 'zzz'", "  next: wherry --help"]),
        (["--vers"], ["✗ no option --vers: did you mean '--version'?", "  next: wherry --help"]),
        (["act", "--color", "red"], ["✗ no option --color: did you mean '--colour'?", "  next: wherry act --help"]),
        (
            ["act", "--colour", "blue"],
            ["✗ invalid value for '--colour': 'blue' is not one of 'red', 'green'", "  next: wherry act --help"],
        ),
        (["act", "--colour"], ["✗ option '--colour' requires an argument", "  next: wherry act --help"]),
        (["act", "more"], ["✗ got unexpected extra argument (more)", "  next: wherry act --help"]),
        (["plugins", "info"], ["✗ missing argument 'NAME'", "  next: wherry plugins info --help"]),
        (
            ["completion"],
            ["✗ missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish", "  next: wherry completion --help"],
        ),
        (["state"], ["✗ missing command: one of adopt, reset, set, show", "  next: wherry state --help"]),
        (["new"], ["✗ missing command: one of destination, manifest, source", "  next: wherry new --help"]),
        (
            ["run", "nightly", "--type", "a=text"],
            [
                "✗ no option --type of wherry run",
                "  next: write it in wherry.yaml: GLOB: {types: …}  under the pipeline's streams",
            ],
        ),
        (
            ["run", "nightly", "--schema", "raw"],
            ["✗ no option --schema of wherry run", "  next: write it in wherry.yaml: schema: NAME  under the pipeline"],
        ),
        (["plugins", "inof"], ["✗ no command 'inof': did you mean 'info'?", "  next: wherry plugins --help"]),
    ],
)
def test_mistakes_of_use_have_the_same_form(
    command: Callable[[Act], None], capsys: pytest.CaptureFixture[str], arguments: list[str], lines: list[str]
) -> None:
    command(lambda app: None)
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", lines)


@pytest.mark.parametrize(
    "argument", ["acme://ana:S3CR3T@h/db", "password=S3CR3T", "url=acme://ana:S3CR3T@h", "acme://h?token=S3CR3T"]
)
def test_a_secret_on_the_command_line_is_not_echoed(
    command: Callable[[Act], None], capsys: pytest.CaptureFixture[str], argument: str
) -> None:
    command(lambda app: None)
    assert run(["act", argument]) == 2
    assert run(["act", f"--size={argument}"]) == 2
    assert run([argument]) == 2
    assert "S3CR3T" not in "".join(capsys.readouterr())


def test_help_lists_each_command_with_its_own_short_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == run(["--help"]) == 0
    shown = capsys.readouterr().out
    context = click.Context(cli)
    for name, (_, summary) in cli.lazy.items():
        found = cli.get_command(context, name)
        assert found is not None
        assert found.get_short_help_str(100) == summary
        assert f"{name} " in shown
        assert summary in " ".join(shown.split())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("wherry ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["completion", shell]) == 0
    assert "_WHERRY_COMPLETE" in capsys.readouterr().out
    monkeypatch.setenv("_WHERRY_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", "wherry plug")
    monkeypatch.setenv("COMP_CWORD", "plug" if shell == "fish" else "1")
    assert run([]) == 0
    assert "plugins" in capsys.readouterr().out


def test_a_reader_that_leaves_is_no_error() -> None:
    child = [sys.executable, "-P", "-c", "from wherry.cli.main import main; main()", "plugins", "--json"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(child, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_closed_outputs_do_not_change_the_exit_code() -> None:
    command = f"{sys.executable} -P -c 'from wherry.cli.main import main; main()' plugns 2>&-"
    assert subprocess.run(command, shell=True).returncode == 2
