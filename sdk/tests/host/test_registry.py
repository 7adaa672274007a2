"""What is installed, from metadata alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from wherry.errors import PluginError, UsageError
from wherry.host.registry import Registry
from wherry_distributions import write_distribution, write_source


def scan(folder: Path, contract: int = 1) -> Registry:
    return Registry.scan([str(folder)], contract=contract)


def test_lists_plugins_without_importing_them(tmp_path: Path) -> None:
    write_source(tmp_path, "acme", "raise SystemExit('imported')", version="2.1")
    write_distribution(tmp_path, "acme-hooks", {"wherry.hooks": {"notify": "acme_hooks"}})
    registry = scan(tmp_path)
    assert [(p.kind, p.name, p.owner) for p in registry.plugins] == [
        ("source", "acme", "wherry-source-acme 2.1"),
        ("hook", "notify", "acme-hooks 1.0"),
    ]
    assert "plugin_acme" not in sys.modules


def test_schemes_and_suffixes_belong_to_the_connector_that_is_their_value(tmp_path: Path) -> None:
    groups = {
        "wherry.sources": {"acme": "m:A", "other": "m:B"},
        "wherry.sources.schemes": {"acme+tls": "acme", "acme": "acme"},
        "wherry.sources.suffixes": {"csv": "other", "csv.gz": "other", "gz": "acme", "folder": "other"},
    }
    registry = scan(write_distribution(tmp_path, "two", groups))
    assert registry.find("source", "acme").schemes == ("acme", "acme+tls")
    assert registry.by_scheme("source", "acme+tls") == "acme"
    assert registry.by_scheme("destination", "acme") is None
    assert registry.by_suffix("source", "orders.CSV.gz") == "other"
    assert registry.by_suffix("source", "orders.tar.gz") == "acme"
    assert registry.by_suffix("source", "folder") is None
    assert registry.by_folder("source") == "other"


def test_two_owners_of_one_name_are_listed_and_refused_on_use(tmp_path: Path) -> None:
    write_source(tmp_path, "acme")
    write_distribution(tmp_path, "rival", {"wherry.sources": {"acme": "rival:Acme"}}, version="3")
    write_source(tmp_path, "calm")
    registry = scan(tmp_path)
    assert [p.owner for p in registry.plugins if p.conflicts] == ["rival 3", "wherry-source-acme 1.0"]
    with pytest.raises(PluginError) as caught:
        registry.find("source", "acme")
    assert caught.value.message == "two distributions own source 'acme': rival 3 and wherry-source-acme 1.0"
    assert caught.value.next == "pip uninstall rival  or  pip uninstall wherry-source-acme"
    assert registry.find("source", "calm").value == "plugin_calm:Acme"


def test_a_name_may_be_a_source_and_a_destination(tmp_path: Path) -> None:
    groups = {"wherry.sources": {"acme": "m:S"}, "wherry.destinations": {"acme": "m:D"}}
    registry = scan(write_distribution(tmp_path, "acme", groups))
    assert registry.find("source", "acme").value == "m:S"
    assert registry.find("destination", "acme").value == "m:D"
    assert not any(p.conflicts for p in registry.plugins)


def test_a_scheme_claimed_twice_is_refused_but_both_connectors_work_by_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        groups = {"wherry.sources": {name: f"{name}:S"}, "wherry.sources.schemes": {"acme": name}}
        write_distribution(tmp_path, f"dist-{name}", groups)
    registry = scan(tmp_path)
    assert registry.find("source", "one").conflicts == ("scheme acme is also claimed by two (dist-two 1.0)",)
    with pytest.raises(PluginError, match=r"scheme 'acme' is claimed by two sources: one .* and two") as caught:
        registry.by_scheme("source", "acme")
    assert caught.value.next == "say which: one:…  or  two:…"


def test_the_first_of_two_distributions_with_one_name_counts(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for number, folder in enumerate(folders, 1):
        folder.mkdir()
        write_source(folder, "acme", version=str(number))
    registry = Registry.scan([str(folder) for folder in folders])
    assert [p.version for p in registry.plugins] == ["1"]


@pytest.mark.parametrize(
    ("group", "contract", "problem", "remedy"),
    [
        ("wherry.sources.v2", 1, "speaks contract 2, this wherry speaks 1: upgrade wherry", "wherry"),
        ("wherry.sources", 2, "speaks contract 1, this wherry speaks 2: upgrade acme", "acme"),
    ],
)
def test_another_contract_is_said_with_the_side_to_upgrade(
    tmp_path: Path, group: str, contract: int, problem: str, remedy: str
) -> None:
    registry = scan(write_distribution(tmp_path, "acme", {group: {"acme": "m:S"}}), contract)
    assert [p.problem for p in registry.plugins] == [problem]
    with pytest.raises(PluginError) as caught:
        registry.find("source", "acme")
    assert caught.value.message == f"source acme (acme 1.0) {problem}"
    assert caught.value.next == f"pip install --upgrade {remedy}"


def test_a_plugin_that_offers_both_contracts_is_used_by_ours(tmp_path: Path) -> None:
    groups = {"wherry.sources.v2": {"acme": "new:S"}, "wherry.sources": {"acme": "old:S"}}
    write_distribution(tmp_path, "acme", groups)
    assert scan(tmp_path).find("source", "acme").value == "old:S"
    assert scan(tmp_path, 2).find("source", "acme").value == "new:S"


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("wherry>=0.1,<99", None),
        ("wherry (<99,>=0.1)", None),
        ("wherry[extra] >= 99 ; python_version > '3'", "needs wherry >= 99, this is {}: upgrade wherry"),
        ("wherry<0.1", "needs wherry <0.1, this is {}: upgrade acme"),
        ("wherry~=99.1", None),
        ("wherry-other>=99", None),
    ],
)
def test_a_requirement_that_excludes_us_is_a_problem(tmp_path: Path, requirement: str, problem: str | None) -> None:
    write_distribution(tmp_path, "acme", {"wherry.sources": {"acme": "m:S"}}, requires=[requirement])
    write_distribution(tmp_path, "wherry", {"console_scripts": {"wherry": "x:y"}}, version="0.5")
    assert [p.problem for p in scan(tmp_path).plugins] == [problem and problem.format("0.5")]


def test_a_distribution_that_cannot_be_read_offers_nothing_and_harms_nobody(tmp_path: Path) -> None:
    write_source(tmp_path, "calm")
    for name, text in {"no_metadata": "[wherry.sources]\nx = m:S\n", "no_syntax": "wherry = [[[\n= =\n"}.items():
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info" / "entry_points.txt").write_text(text)
    (tmp_path / "bytes-1.dist-info").mkdir()
    (tmp_path / "bytes-1.dist-info" / "entry_points.txt").write_bytes(b"[wherry.sources]\n\xff = \xfe\n")
    assert [p.name for p in scan(tmp_path).plugins] == ["calm"]


@pytest.mark.parametrize(
    ("name", "message", "next"),
    [
        ("acne", "unknown source 'acne'", "did you mean 'acme'? if not, pip install wherry-source-acne"),
        ("zzz", "unknown source 'zzz'", "pip install wherry-source-zzz"),
        ("lake", "'lake' is installed as a destination, not as a source", "pip install wherry-source-lake"),
        ("a b;c", "unknown source 'a b;c'", "wherry plugins lists the sources that are here"),
    ],
)
def test_an_unknown_name_says_what_was_meant_or_would_bring_it(
    tmp_path: Path, name: str, message: str, next: str
) -> None:
    write_source(tmp_path, "acme")
    write_distribution(tmp_path, "lake", {"wherry.destinations": {"lake": "m:D"}})
    with pytest.raises(UsageError) as caught:
        scan(tmp_path).find("source", name)
    assert caught.value.message == message
    assert (caught.value.next or "").startswith(next)
