"""What the pages show is what happens: files that they contain are written, commands run, outputs compared.

A block ```` ```python title=source.py ```` is (the next part of) that file; `$ ` begins a command; Python without a
title is run. All blocks of a page share one folder, with a PostgreSQL on localhost where the page speaks of one, and
`sdk/docs/examples/server.py` where it speaks of localhost:8765. Blocks of `yaml source`, `yaml streams` and
`yaml stream` are parts of a manifest.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from console import differences, examples, run
from documents import ROOT, Block, blocks, pages
from wherry.config.project import Project
from wherry.rest.manifest import parse_manifest
from wherry_cluster import Cluster

SHOP = """
create table orders (id int primary key, amount numeric(10,2), updated_at timestamptz not null);
create index on orders (updated_at);
insert into orders select n, n / 3.0, '2024-01-01'::timestamptz + n * interval '1 hour' from generate_series(1, 50) n;
create table countries (code text primary key, name text);
insert into countries values ('DE', 'Germany'), ('JP', '日本');
grant all on all tables in schema public to ana;
"""
ACME = "localhost:8765"
PARTS = [page for page in pages() if any(b.language.startswith("yaml ") for b in blocks(page))]
RUN = [page for page in pages() if any(b.language in ("console", "python") for b in blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_do_what_the_page_shows(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    wants_server = "postgresql://ana@localhost" in page.read_text()
    with server(request) if wants_server else nothing() as variables, acme() as place:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "orders.csv").write_text("id,day\n1,2024-05-01\n")
        wrong = []
        for block in blocks(page):
            wrong += follow(replace(block, text=block.text.replace(ACME, place)), tmp_path, variables)
        assert not wrong


def follow(block: Block, folder: Path, variables: dict[str, str]) -> list[str]:
    """Do what a block says; what came out otherwise."""
    if block.title:
        (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
        with (folder / block.title).open("a") as file:
            file.write(block.text)
        return []
    if block.language == "python":
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block.text], cwd=folder, capture_output=True, text=True
        )
        return [f"{block.place}: {done.stderr}"] if done.returncode else []
    if block.language != "console":
        return []
    return [
        f"{example.place}: $ {example.command}: {line}"
        for example in examples(block)
        for line in differences(example, run(example, folder, **variables))
    ]


@contextmanager
def nothing() -> Iterator[dict[str, str]]:
    yield {}


@contextmanager
def server(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """`postgresql://ana@localhost/shop`, with two tables, and `/warehouse`, which is empty; the port is the default."""
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    if not cluster.psql("select 1 from pg_roles where rolname = 'ana'"):
        cluster.psql("create role ana login")
    for name in ("shop", "warehouse"):
        cluster.psql(f"create database {name} owner ana")
    cluster.psql(SHOP, "shop")
    try:
        yield {"PGPORT": str(cluster.port)}
    finally:
        for name in ("shop", "warehouse"):
            cluster.drop_database(cluster.url(name))


@contextmanager
def acme() -> Iterator[str]:
    """The API that guides speak to, on a port of its own."""
    spec = importlib.util.spec_from_file_location(
        "acme_of_the_guides", ROOT / "sdk" / "docs" / "examples" / "server.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    api = module.Acme(0)
    threading.Thread(target=api.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"localhost:{api.server_port}"
    finally:
        api.shutdown()
        api.server_close()


@pytest.mark.parametrize("page", PARTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_part_of_a_manifest_that_is_shown_is_one(page: Path) -> None:
    for block in blocks(page):
        language, _, kind = block.language.partition(" ")
        if language != "yaml" or not kind:
            continue
        keys = re.findall(r"\{config\.(\w+)\}", block.text)
        whole: dict[str, Any] = {"name": "acme", "base_url": "https://acme.dev", "streams": {"issues": {}}}
        whole["config"] = {key: {"type": "string"} for key in keys}
        part = yaml.safe_load(block.text)
        within = {
            "source": part,
            "streams": {"streams": {"issues": {}} | part},
            "stream": {"streams": {"issues": part}},
        }
        whole |= within[kind]
        parse_manifest(yaml.safe_dump(whole, sort_keys=False), block.place)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_wherry_yaml_that_is_shown_can_be_read(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        foreign = block.title not in ("", "wherry.yaml") and "base_url:" not in block.text
        if block.language == "yaml" and not foreign:
            found = yaml.safe_load(block.text)
            assert isinstance(found, dict), block.place
            if "base_url" in found:
                parse_manifest(block.text, block.place)
                continue
            (tmp_path / "wherry.yaml").write_text(block.text)
            Project.read(tmp_path / "wherry.yaml")


def test_an_example_that_prints_something_else_is_found(tmp_path: Path) -> None:
    block = Block(
        ROOT / "README.md", 1, "console", "", "$ echo 3 rows in 0.2 s\n4 rows in 0.1 s\n$ echo a; echo b\na\n…\n"
    )
    first, second = examples(block)
    assert differences(first, run(first, tmp_path)) == [
        "shown, not printed: 4 rows in TIME",
        "printed, not shown: 3 rows in TIME",
    ]
    assert differences(second, run(second, tmp_path)) == []
