"""The options of a run: what they mean, and how wrong ones are refused."""

import sys
from typing import Any

import pytest
from wherry.cli.options import settings
from wherry_shop import Shop


def parsed(shop: Shop, *options: str) -> Any:
    """The settings that `sync` would run with."""
    from wherry.cli.sync import sync

    context = sync.make_context("sync", ["a", "b", *options])
    return settings(context.params)


def test_defaults(shop: Shop) -> None:
    found = parsed(shop)
    assert (found.memory, found.wait, found.workers, found.max_rejects.rows) == (512 << 20, 0, None, 0)
    assert (found.wishes.only, found.wishes.exclude, found.wishes.limit) == (("*",), (), None)


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (["--memory", "256MB"], "memory", 256_000_000),
        (["--memory=1GiB"], "memory", 1 << 30),
        (["--memory", "64m"], "memory", 64_000_000),
        (["--wait"], "wait", 86_400),
        (["--wait=90"], "wait", 90),
        (["--wait", "5m"], "wait", 300),
        (["--workers", "3"], "workers", 3),
        (["--pipeline", "p", "--schema", "s"], "pipeline", "p"),
        (["--schema", "s"], "schema", "s"),
        (["--yes"], "yes", True),
        (["--fail-fast"], "fail_fast", True),
    ],
)
def test_how(shop: Shop, options: list[str], name: str, value: Any) -> None:
    assert getattr(parsed(shop, *options), name) == value


def test_max_rejects(shop: Shop) -> None:
    assert parsed(shop, "--max-rejects", "10").max_rejects.rows == 10
    assert parsed(shop, "--max-rejects", "0.5%").max_rejects.percent == 0.5


def test_what(shop: Shop) -> None:
    found = parsed(
        shop, "--stream", "a*", "--stream", "b", "--exclude", "a1", "--key", "id,day", "--key", "n", "--columns",
        "*,!note", "--type", "n=decimal(12,2)", "--start", "1", "--end", "9", "--where", "x > 1", "--table", "t",
        "--cursor", "at", "--mode", "history", "--full-refresh", "--limit", "5",
    ).wishes  # fmt: skip
    wish = found.common
    assert (found.only, found.exclude, found.full_refresh, found.limit) == (("a*", "b"), ("a1",), True, 5)
    assert (wish.key, wish.columns, wish.types) == (("id", "day", "n"), ("*", "!note"), {"n": "decimal(12,2)"})
    assert (wish.start, wish.end, wish.where, wish.table) == ("1", "9", "x > 1", "t")
    assert (wish.cursor, wish.mode) == ("at", "history")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--memory", "lots"], "invalid value for '--memory': 'lots' is not a size such as 256MB or 1GiB"),
        (["--memory", "1MB"], "'1MB' is too little to work with: at least 16MiB"),
        (["--wait", "soon"], "invalid value for '--wait': 'soon' is not a time such as 90s, 5m, 2h"),
        (["--max-rejects", "few"], "'few' is neither a number of rows nor a percentage"),
        (["--max-rejects", "101%"], "'101%' is neither a number of rows nor a percentage"),
        (["--mode", "upsert"], "invalid value for '--mode': 'upsert' is not one of"),
        (["--workers", "0"], "invalid value for '--workers': 0 is not in the range"),
        (["--limit", "x"], "invalid value for '--limit': 'x' is not a valid integer"),
        (["--type", "n"], "--type takes NAME=VALUE, got 'n'"),
        (["--type", "n=numbr"], "type 'numbr' for column 'n' is not known"),
        (["--curser", "at"], "no option --curser: did you mean '--cursor'?"),
    ],
)
def test_wrong_values_name_option_and_value(shop: Shop, options: list[str], message: str) -> None:
    assert message in shop.refused(["plan", *shop.ends, *options])


def test_help_imports_nothing_heavy(shop: Shop) -> None:
    import subprocess

    code = (
        "import sys; from wherry.cli.main import run\n"
        "for name in 'sync plan check discover preview sql state runs'.split(): assert run([name, '--help']) == 0\n"
        "assert run(['state', 'show', '--help']) == 0\n"
        "print(sorted({'pyarrow', 'pydantic', 'rich', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_has_its_own_help(shop: Shop) -> None:
    for name in ("sync", "plan", "check", "discover", "preview", "sql", "state", "runs"):
        assert f"Usage: wherry {name}" in shop.ok(name, "--help")


def test_completion_knows_connectors_schemes_and_the_project(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    Path("wherry.yaml").write_text("sources: {mine: {connector: x}}\npipelines: {nightly: {source: a}}\n")

    def completed(words: str) -> list[str]:
        monkeypatch.setenv("_WHERRY_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", f"wherry {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
        found = shop.run().out.splitlines()
        return [line.partition(",")[2] for line in found]

    assert completed("check mi") == ["mine"]
    assert completed("sync a b --pipeline ni") == ["nightly"]
    assert completed("sync a b --mode me") == ["merge"]
    assert "mine" in completed("check ")


def test_limits(shop: Shop) -> None:
    found = parsed(shop).limits
    assert (found.run, found.stall) == (None, 6 * 3600)
    found = parsed(shop, "--run-timeout", "2h", "--stall-timeout", "0").limits
    assert (found.run, found.stall) == (7200, None)


def test_limits_of_a_pipeline_and_of_its_command_line(shop: Shop) -> None:
    from wherry.cli.run import _asked, run
    from wherry.config.content import PipelineOptions

    told = {"source": "a", "destination": "b", "run_timeout": "90m", "stall_timeout": "0", "max_rejects": "7"}
    options = PipelineOptions.model_validate(told)

    def limits(*typed: str) -> Any:
        with run.make_context("run", ["nightly", *typed]) as context:
            given = {name: value for name, value in context.params.items() if name not in ("pipeline", "environment")}
            return _asked(options, "nightly", given).settings

    found = limits()
    assert (found.limits.run, found.limits.stall, found.max_rejects.rows) == (5400, None, 7)
    found = limits("--run-timeout", "10s", "--stall-timeout", "5m", "--max-rejects", "1")
    assert (found.limits.run, found.limits.stall, found.max_rejects.rows) == (10, 300, 1)
