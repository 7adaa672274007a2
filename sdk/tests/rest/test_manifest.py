"""Manifests: the three ways to say the same, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import wherry
from pydantic import SecretStr
from wherry import (
    Bearer,
    ConfigField,
    Deleted,
    Incremental,
    LinkHeader,
    Manifest,
    NextUrl,
    OnResponse,
    Page,
    RateLimit,
    RestSource,
    RestStream,
    UsageError,
)  # fmt: skip
from wherry.config.document import parse
from wherry.rest import manifest
from wherry.rest.manifest import json_schema, parse_manifest

SKETCH = """
version: 1
name: acme
config: {token: {type: secret}}
base_url: https://api.acme.dev/v1
auth: {type: bearer, token: "{config.token}"}
paginate: {type: next_url, path: links.next}
streams:
  issues:   {records: data, primary_key: id, incremental: {cursor: updated_at, param: since, ordered: true}}
  comments: {path: "issues/{parent.id}/comments", parent: issues, records: data, primary_key: id}
"""


class Acme(wherry.RestSource):
    class Config(wherry.ConnectorConfig):
        token: wherry.Secret

    base_url = "https://api.acme.dev/v1"
    auth = Bearer("{config.token}")
    paginate = NextUrl("links.next")
    streams = [
        RestStream(
            "issues", records="data", primary_key="id",
            incremental=Incremental("updated_at", param="since", ordered=True),
        ),
        RestStream("comments", path="issues/{parent.id}/comments", parent="issues", records="data", primary_key="id"),
    ]  # fmt: skip


WIDE = """
name: wide
description: everything at once
config:
  token: {type: secret, description: where to get it}
  size: {type: integer, default: 100}
  region: {default: eu, choices: [eu, us]}
  since: {type: date, required: false}
  repos: {type: list}
  ratio: {type: number, default: 0.5}
  loud: {type: boolean, default: false}
base_url: "https://{config.region}.acme.dev"
headers: {X-Version: "2022-06-28"}
params: {per_page: 50, deep: true, ids: [1, "2"]}
auth: {type: api_key, name: X-Key, value: "{config.token}", in: query}
rate_limit: {requests: 10, per: 1s, concurrency: 2}
retry: {statuses: [429, 503], max_seconds: 60}
on_response: [{status: 404, do: skip}, {status: [401, 403], contains: rate, do: wait}]
timeout: 30
check: me
defaults: {records: items, primary_key: id}
streams:
  users:
  events:
    records: "data.*.rows"
    include_key: group
    primary_key: [org, id]
    paginate: {type: page, param: p, size: "{config.size}", size_param: n, pages: meta.pages}
    incremental: {cursor: at, start: "{config.since}", format: epoch_s, step: 30d, filter: client}
    deleted: {path: state, equals: 1}
    schema: {id: bigint, tags: [text], who: {name: text}}
    for_each: "{config.repos}"
    params: {q: "repo:{item} after:{start}"}
    flatten: true
"""


def test_a_class_and_a_manifest_say_the_same() -> None:
    assert Acme.manifest() == parse_manifest(SKETCH, "acme.yaml")
    assert Acme.manifest().name == "acme"


def test_every_word_means_in_yaml_what_it_means_in_python() -> None:
    made = parse_manifest(WIDE, "wide.yaml")
    said = Manifest(
        name="wide",
        description="everything at once",
        config={
            "token": ConfigField("secret", description="where to get it"),
            "size": ConfigField("integer", default=100),
            "region": ConfigField(default="eu", choices=("eu", "us")),
            "since": ConfigField("date", required=False),
            "repos": ConfigField("list"),
            "ratio": ConfigField("number", default=0.5),
            "loud": ConfigField("boolean", default=False),
        },
        base_url="https://{config.region}.acme.dev",
        headers={"X-Version": "2022-06-28"},
        params={"per_page": 50, "deep": True, "ids": [1, "2"]},
        auth=wherry.ApiKey("X-Key", "{config.token}", "query"),
        rate_limit=RateLimit(10, "1s", 2),
        retry=wherry.Retry((429, 503), 60),
        on_response=(OnResponse(404, do="skip"), OnResponse((401, 403), "rate", "wait")),
        timeout=30,
        check="me",
        streams=(
            RestStream("users", records="items", primary_key="id"),
            RestStream(
                "events",
                records="data.*.rows",
                include_key="group",
                primary_key=("org", "id"),
                paginate=Page("p", size="{config.size}", size_param="n", pages="meta.pages"),
                incremental=Incremental("at", start="{config.since}", format="epoch_s", step="30d", filter="client"),
                deleted=Deleted("state", 1),
                schema={"id": "bigint", "tags": ["text"], "who": {"name": "text"}},
                for_each="{config.repos}",
                params={"q": "repo:{item} after:{start}"},
                flatten=True,
            ),
        ),
    )
    assert made == said


def test_the_configuration_is_typed_as_the_manifest_says() -> None:
    source = RestSource.of(parse_manifest(WIDE, "wide.yaml"))
    config: Any = source.Config.model_validate({"token": "t", "repos": ["a", "b"], "size": "20", "since": "2024-01-31"})
    assert config.token == SecretStr("t")
    assert (config.size, config.region, config.repos, config.ratio, config.loud) == (20, "eu", ["a", "b"], 0.5, False)
    assert config.since.isoformat() == "2024-01-31"
    with pytest.raises(ValueError, match="region"):
        source.Config.model_validate({"token": "t", "repos": [], "region": "asia"})
    with pytest.raises(ValueError, match="repos"):
        source.Config.model_validate({"token": "t"})
    assert source.__doc__ == "everything at once"


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ("records: data, primary_key: id, inc", "recrods: data, primary_key: id, inc",
         "acme.yaml, line 9: unknown key 'recrods': did you mean 'records'?"),
        ('token: "{config.token}"', 'token: "{config.tokn}"',
         "acme.yaml, line 6: config has no key 'tokn': did you mean 'token'?"),
        ("type: bearer, token", "type: bearer, tokn", "acme.yaml, line 6: unknown key 'tokn': did you mean 'token'?"),
        ("type: next_url", "type: next", "acme.yaml, line 7: paginate"),
        ("base_url: https://api.acme.dev/v1\n", "", "acme.yaml, line 2: key 'base_url' is missing"),
        ("parent: issues, ", "", "acme.yaml, line 10: {parent.id} needs parent, which stream comments has not"),
        ("ordered: true", "ordered: maybe", "acme.yaml, line 9: ordered should be a valid boolean"),
        ("version: 1", "version: 2", "acme.yaml, line 2: version should be 1"),
        ("name: acme", "name: acme\nname: b", "acme.yaml, line 4: key 'name' stands already on line 3"),
        ("parent: issues", "parent: isues", "acme.yaml, line 10: stream comments: there is no stream isues"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_line_and_key(was: str, now: str, message: str) -> None:
    assert was in SKETCH
    with pytest.raises(UsageError) as caught:
        parse_manifest(SKETCH.replace(was, now), "acme.yaml")
    assert caught.value.message.startswith(message)
    assert caught.value.next


def test_a_mistake_in_the_defaults_is_told_where_it_stands() -> None:
    text = "name: a\nbase_url: https://x\ndefaults:\n  records: data\n  primry_key: id\nstreams: {b: , c: }\n"
    with pytest.raises(UsageError, match=r"a.yaml, line 5: unknown key 'primry_key': did you mean 'primary_key'\?"):
        parse_manifest(text, "a.yaml")


def test_a_mistake_in_a_class_names_the_class() -> None:
    class Broken(RestSource):
        base_url = "https://x"
        streams = [RestStream("a", path="{parent.id}")]

    with pytest.raises(UsageError, match=r"Broken: .*\{parent.id\} needs parent"):
        Broken.manifest()


def test_the_schema_for_editors_takes_what_the_loader_takes() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for text in (SKETCH, WIDE):
        assert list(validator.iter_errors(parse(text, "x", numbers=True).value)) == []
    wrong = parse(SKETCH.replace("records: data, p", "recrods: data, p", 1), "x", numbers=True).value
    assert [e.json_path for e in validator.iter_errors(wrong)] != []


def test_the_published_schema_is_the_one_in_force() -> None:
    published = json.loads((Path(manifest.__file__).parent / "manifest.schema.json").read_text())
    assert published == json_schema(), "write it anew: python -m wherry.rest > sdk/src/wherry/rest/manifest.schema.json"


def test_a_subclass_of_a_described_source_says_its_own() -> None:
    class Other(Acme):
        base_url = "https://other"

    assert Other.manifest().base_url == "https://other"
    assert Acme.manifest().base_url == "https://api.acme.dev/v1"
    assert Other.manifest().name == "other"


def test_paging_styles_are_told_apart_by_type() -> None:
    made = parse_manifest(SKETCH.replace("{type: next_url, path: links.next}", "{type: link_header}"), "x")
    assert made.paginate == LinkHeader()
