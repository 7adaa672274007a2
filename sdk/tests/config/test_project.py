"""`wherry.yaml`: what it may say, and what it says when it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from wherry.config import project as module
from wherry.config.content import StreamOptions, json_schema
from wherry.config.project import Project
from wherry.errors import UsageError

EXAMPLE = """\
sources:      {shop: {connector: acme, url: "${SHOP_URL}"}}
destinations: {wh: {connector: lake, path: wh.lake}}
environments: {prod: {destinations: {wh: {connector: acme, url: "${WH_URL}"}}}}
pipelines:
  shop: {source: shop, destination: wh, schema: shop, max_rejects: 0,
         streams: {orders: {cursor: updated_at, lookback: 5m, columns: ["*", "!note"]}, "tmp_*": false}}
"""


def read(folder: Path, text: str, environment: str | None = None) -> Project:
    (folder / "wherry.yaml").write_text(text)
    return Project.find(folder, environment=environment)


def test_the_example_means_what_it_says(tmp_path: Path) -> None:
    project = read(tmp_path, EXAMPLE)
    pipeline = project.pipeline("shop")
    assert (pipeline.source, pipeline.destination, pipeline.target_schema) == ("shop", "wh", "shop")
    assert pipeline.max_rejects == "0"
    assert dict(pipeline.streams) == {
        "orders": StreamOptions(cursor="updated_at", lookback=300, columns=("*", "!note")),
        "tmp_*": False,
    }


def test_an_environment_replaces_entries_whole(tmp_path: Path) -> None:
    plain, prod = read(tmp_path, EXAMPLE), read(tmp_path, EXAMPLE, "prod")
    entries = [project.entry("destination", "wh") for project in (plain, prod)]
    assert [(e.connector, list(e.settings), e.origin) for e in entries if e] == [
        ("lake", ["path"], "wherry.yaml, line 2"),
        ("acme", ["url"], "wherry.yaml, line 3"),
    ]
    assert prod.entry("source", "shop") == plain.entry("source", "shop") is not None
    assert prod.entry("source", "nobody") is None
    with pytest.raises(UsageError, match="unknown environment 'prd': did you mean 'prod'"):
        read(tmp_path, EXAMPLE, "prd")


def test_it_is_found_in_a_parent_and_missed_without_harm(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert Project.find(inner).folder == inner
    assert Project.find(inner).names("source") == ()
    read(tmp_path, EXAMPLE)
    assert (Project.find(inner).folder, Project.find(inner).names("source")) == (tmp_path, ("shop",))
    (tmp_path / "wherry.yaml").unlink()
    with pytest.raises(UsageError, match=r"environment 'prod' needs a wherry.yaml"):
        Project.find(inner, environment="prod")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sorces: {}", "wherry.yaml, line 1: unknown key 'sorces': did you mean 'sources'?"),
        ("sources:\n  a: {connecter: x}", "wherry.yaml, line 2: key 'connector' is missing"),
        ("sources:\n  a: x", "wherry.yaml, line 2: a should be a valid dictionary"),
        ("sources: [a]", "wherry.yaml, line 1: sources should be a valid "),
        ("[]", "wherry.yaml, line 1: the file should be a valid dictionary"),
        ("# c\npipelines:\n  p:\n    source: a", "wherry.yaml, line 3: key 'destination' is missing"),
        (
            "pipelines:\n  p:\n    source: a\n    destination: b\n    shema: x",
            "line 5: unknown key 'shema': did you mean",
        ),
    ],
)
def test_a_mistake_is_shown_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert message in caught.value.message
    assert caught.value.next


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("mode: merg", "mode should be 'append', 'merge', 'replace' or 'history', not 'merg'"),
        ("lookback: soon", "lookback should be a number, or a time as in 90s, 5m, 2h, 1d, not 'soon'"),
        ("curser: x", "unknown key 'curser': did you mean 'cursor'?"),
        ("key: {a: b}", "key should be a valid tuple"),
        ("types: [a]", "types should be a valid "),
    ],
)
def test_a_mistake_in_a_stream_s_options(tmp_path: Path, options: str, message: str) -> None:
    text = f"pipelines:\n  p:\n    source: a\n    destination: b\n    streams:\n      o:\n        {options}\n"
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert caught.value.message.startswith(f"wherry.yaml, line 7: {message}")


def test_unknown_pipelines_get_a_near_name(tmp_path: Path) -> None:
    project = read(tmp_path, EXAMPLE)
    with pytest.raises(UsageError) as caught:
        project.pipeline("shp")
    assert (caught.value.message, caught.value.next) == (
        "unknown pipeline 'shp': did you mean 'shop'?",
        "wherry.yaml has: shop",
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("90s", 90), ("5m", 300), ("1.5h", 5400), ("2d", 172800), ("1w", 604800), ("7", 7), ("0.25", 0.25)],
)
def test_look_backs(tmp_path: Path, text: str, value: float) -> None:
    streams = f"{{o: {{lookback: {text}, key: 'a, b'}}}}"
    project = read(tmp_path, f"pipelines: {{p: {{source: a, destination: b, streams: {streams}}}}}")
    assert project.pipeline("p").streams["o"] == StreamOptions(lookback=value, key=("a", "b"))


def test_the_published_schema_is_the_one_in_force() -> None:
    published = json.loads((Path(module.__file__).parent / "wherry.schema.json").read_text())
    assert published == json_schema(), (
        "write it anew: python -m wherry.config > sdk/src/wherry/config/wherry.schema.json"
    )


@pytest.mark.parametrize(
    ("change", "accepted"),
    [
        ({}, True),
        ({"max_rejects": "1%"}, True),
        ({"streams": {"a": {"key": "id", "lookback": 3}, "b": True}}, True),
        ({"streams": {"a": {"curser": "id"}}}, False),
        ({"mode": "merg"}, False),
    ],
)
def test_editors_are_told_what_the_file_accepts(tmp_path: Path, change: dict[str, Any], accepted: bool) -> None:
    data = yaml.safe_load(EXAMPLE)
    data["pipelines"]["shop"].update(change)
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(data) is accepted
    if accepted:
        read(tmp_path, json.dumps(data))
    else:
        with pytest.raises(UsageError):
            read(tmp_path, json.dumps(data))
