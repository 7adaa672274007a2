"""Manifests from descriptions: what is written, that the models take it, and what a hostile file cannot do."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter
from wherry import Manifest
from wherry.errors import UsageError
from wherry.guess.openapi import Made, from_file, from_text

ISSUE = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "title": {"type": "string"},
        "open": {"type": "boolean"},
        "score": {"type": ["number", "null"]},
        "updated_at": {"type": "string", "format": "date-time"},
        "due": {"type": "string", "format": "date", "nullable": True},
        "author": {"$ref": "#/components/schemas/Person"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "related": {"type": "array", "items": {"$ref": "#/components/schemas/Issue"}},
    },
}
SPEC: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Acme", "version": "7"},
    "servers": [
        {"url": "https://{region}.acme.dev/v1/", "variables": {"region": {"default": "eu", "enum": ["eu", "us"]}}},
    ],
    "security": [{"token": []}],
    "paths": {
        "/projects": {"get": {
            "summary": "List projects",
            "parameters": [{"$ref": "#/components/parameters/page"}, {"$ref": "#/components/parameters/size"}],
            "responses": {"200": {"content": {"application/json": {"schema": {
                "type": "array", "items": {"$ref": "#/components/schemas/Project"}}}}}},
        }},
        "/projects/{project_id}": {"get": {
            "parameters": [{"name": "project_id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "responses": {"200": {"content": {"application/json": {"schema": {
                "$ref": "#/components/schemas/Project"}}}}},
        }},
        "/projects/{project_id}/issues": {
            "parameters": [{"name": "project_id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {
                "summary": "Issues of a project",
                "parameters": [
                    {"name": "cursor", "in": "query", "schema": {"type": "string"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 250}},
                    {"name": "updated_since", "in": "query", "schema": {"type": "string", "format": "date-time"}},
                    {"name": "state", "in": "query", "required": True, "schema": {"enum": ["all", "open"]}},
                ],
                "responses": {"200": {"content": {"application/json": {"schema": {
                    "type": "object",
                    "properties": {
                        "issues": {"type": "array", "items": {"$ref": "#/components/schemas/Issue"}},
                        "paging": {"type": "object", "properties": {"next_cursor": {"type": ["string", "null"]}}},
                        "has_more": {"type": "boolean"},
                    }}}}}},
            },
            "post": {"responses": {"201": {"description": "made"}}},
        },
        "/export": {"get": {"responses": {"200": {"content": {"text/csv": {"schema": {"type": "string"}}}}}}},
        "/old": {"get": {"deprecated": True, "responses": {"200": {"content": {"application/json": {"schema": {
            "type": "array", "items": {"$ref": "#/components/schemas/Project"}}}}}}}},
    },
    "components": {
        "parameters": {
            "page": {"name": "page", "in": "query", "schema": {"type": "integer", "default": 1}},
            "size": {"name": "per_page", "in": "query", "schema": {"type": "integer", "maximum": 100}},
        },
        "schemas": {
            "Issue": ISSUE,
            "Person": {"type": "object", "properties": {"login": {"type": "string"}, "admin": {"type": "boolean"}}},
            "Project": {"allOf": [
                {"type": "object", "properties": {"id": {"type": "string"}}},
                {"type": "object", "properties": {"name": {"type": "string"}}},
            ]},
        },
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
}  # fmt: skip
WRITTEN = """\
# Made from acme.json (OpenAPI 3.1.0, of API version 7): 2 streams. What is marked "guessed" may be wrong: wherry
# preview shows a stream's first rows, and streams that nobody needs can go.
version: 1
name: acme
description: Acme
config:
  region: {type: string, default: eu, choices: [eu, us]}
  token: {type: secret}
base_url: "https://{config.region}.acme.dev/v1"
auth: {type: bearer, token: "{config.token}"}
streams:
  projects:
    description: List projects
    primary_key: id  # guessed: by its name
    paginate: {type: page, param: page, size_param: per_page, size: 100}  # guessed: parameter page
    schema: {id: text, name: text}
  issues:
    description: Issues of a project
    path: "projects/{parent.id}/issues"
    parent: projects  # guessed: {project_id} is id of its rows
    include_parent: [id]
    params:
      limit: 250
      state: all  # guessed: the first of 2 choices
    records: issues
    primary_key: id  # guessed: by its name
    # guessed: parameter cursor, and paging.next_cursor in the answer
    paginate: {type: cursor, param: cursor, path: paging.next_cursor, more: has_more}
    incremental: {cursor: updated_at, param: updated_since}  # guessed: parameter updated_since
    schema:
      id: bigint
      title: text
      open: bool
      score: double
      updated_at: timestamptz
      due: date
      author: {login: text, admin: bool}
      labels: [text]
      related: json

# Left out:
# - it answers one object: GET /projects/{project_id}
# - 1 operations that are no GET
# - it answers text/csv, not JSON: GET /export
# - it is deprecated: GET /old
"""


def made(spec: dict[str, Any], *only: str) -> Made:
    return from_text(json.dumps(spec), "acme", only or ("*",), file="acme.json")


def manifest(spec: dict[str, Any], *only: str) -> Manifest:
    return TypeAdapter(Manifest).validate_python(yaml.safe_load(made(spec, *only).text))


def listing(**operation: Any) -> dict[str, Any]:
    """A description of one list of things."""
    items = {"type": "object", "properties": {"id": {"type": "integer"}}}
    answer = {"200": {"content": {"application/json": {"schema": {"type": "array", "items": items}}}}}
    return {"openapi": "3.0.3", "servers": [{"url": "https://acme.dev"}],
            "paths": {"/things": {"get": {"responses": answer, **operation}}}}  # fmt: skip


def test_the_manifest_is_written_as_a_person_would() -> None:
    assert made(SPEC).text == WRITTEN
    manifest(SPEC)


def test_the_same_api_in_swagger_gives_the_same_manifest() -> None:
    old = json.loads(json.dumps(SPEC).replace("#/components/schemas/", "#/definitions/")
                     .replace("#/components/parameters/", "#/parameters/"))  # fmt: skip
    for item in old["paths"].values():
        for method in ("get", "post"):
            for response in item.get(method, {}).get("responses", {}).values():
                content = response.pop("content", {})
                item[method]["produces"] = list(content)
                response["schema"] = next(iter(content.values()), {}).get("schema")
    components = old.pop("components")
    old |= {"definitions": components["schemas"], "parameters": components["parameters"], "swagger": "2.0"}
    old |= {"host": "eu.acme.dev", "basePath": "/v1", "securityDefinitions": {"token": {"type": "basic"}}}
    del old["openapi"], old["servers"]
    for parameter in [*old["parameters"].values(), *old["paths"]["/projects/{project_id}/issues"]["get"]["parameters"]]:
        parameter |= parameter.pop("schema")
    ours, theirs = yaml.safe_load(made(SPEC).text), yaml.safe_load(made(old).text)
    assert theirs["streams"] == ours["streams"]
    assert theirs["base_url"] == "https://eu.acme.dev/v1"
    assert theirs["auth"] == {"type": "basic", "username": "{config.username}", "password": "{config.password}"}


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "acme.json").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    assert from_file(tmp_path / "acme.json", "acme").text == WRITTEN


def test_wanted_streams_bring_their_parents_and_nothing_else() -> None:
    assert made(SPEC, "issues").streams == ("projects", "issues")
    assert made(SPEC, "pro*").streams == ("projects",)
    with pytest.raises(UsageError, match="no stream is called x"):
        made(SPEC, "x")


SCHEMES = [
    ({"type": "http", "scheme": "basic"},
     {"type": "basic", "username": "{config.username}", "password": "{config.password}"}),
    ({"type": "apiKey", "in": "query", "name": "key"},
     {"type": "api_key", "name": "key", "value": "{config.api_key}", "in": "query"}),
    ({"type": "apiKey", "in": "header", "name": "Authorization", "description": "Token {your key}"},
     {"type": "api_key", "name": "Authorization", "value": "Token {config.token}"}),
    ({"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/token", "scopes": {}}}},
     {"type": "oauth2", "token_url": "https://acme.dev/token", "grant": "client_credentials",
      "client_id": "{config.client_id}", "client_secret": "{config.client_secret}"}),
    ({"type": "oauth2", "flows": {"authorizationCode": {"tokenUrl": "https://id.acme.dev/t", "scopes": {}}}},
     {"type": "oauth2", "token_url": "https://id.acme.dev/t", "grant": "refresh_token",
      "client_id": "{config.client_id}", "client_secret": "{config.client_secret}",
      "refresh_token": "{config.refresh_token}"}),
    ({"type": "oauth2", "flows": {"implicit": {"scopes": {}}}}, {"type": "bearer", "token": "{config.token}"}),
    ({"type": "apiKey", "in": "cookie", "name": "sid"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("scheme", "auth"), SCHEMES)
def test_authentication(scheme: dict[str, Any], auth: dict[str, Any] | None) -> None:
    spec = listing() | {"components": {"securitySchemes": {"a": scheme}}, "security": [{"a": []}]}
    assert yaml.safe_load(made(spec).text).get("auth") == auth
    manifest(spec)


def test_two_keys_that_are_needed_together() -> None:
    keys = {n: {"type": "apiKey", "in": "header", "name": f"X-{n}"} for n in ("App-Id", "Key")}
    spec = listing() | {"components": {"securitySchemes": keys}, "security": [{"App-Id": [], "Key": []}]}
    found = yaml.safe_load(made(spec).text)
    assert found["auth"]["name"] == "X-App-Id"
    assert found["headers"] == {"X-Key": "{config.key}"}
    assert found["config"]["key"] == {"type": "secret"}


def query(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "integer"} | schema}


TEXT = {"type": "string"}
PAGINGS: list[tuple[list[dict[str, Any]], dict[str, Any] | None, dict[str, Any] | None]] = [
    ([query("page")], None, {"type": "page", "param": "page"}),
    ([query("page", minimum=0), query("size", default=20)], {"totalPages": {"type": "integer"}},
     {"type": "page", "param": "page", "start": 0, "size_param": "size", "size": 20, "pages": "totalPages"}),
    ([query("skip"), query("top", maximum=50)], None,
     {"type": "offset", "param": "skip", "limit_param": "top", "limit": 50}),
    ([query("offset"), query("limit")], None, {"type": "offset", "param": "offset"}),
    ([query("pageToken", type="string")], {"nextPageToken": TEXT},
     {"type": "cursor", "param": "pageToken", "path": "nextPageToken"}),
    ([query("starting_after", type="string")], {"has_more": {"type": "boolean"}},
     {"type": "cursor", "param": "starting_after", "last": "id", "more": "has_more"}),
    ([], {"@odata.nextLink": TEXT}, {"type": "next_url", "path": '"@odata.nextLink"'}),
    ([query("page")], {"_links": {"properties": {"next": {"type": "object", "properties": {"href": TEXT}}}}},
     {"type": "next_url", "path": "_links.next.href"}),
    ([query("q", type="string")], None, None),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "beside", "paginate"), PAGINGS)
def test_paging(
    parameters: list[dict[str, Any]], beside: dict[str, Any] | None, paginate: dict[str, Any] | None
) -> None:
    spec = listing(parameters=parameters)
    media = spec["paths"]["/things"]["get"]["responses"]["200"]["content"]["application/json"]
    if beside is not None:
        media["schema"] = {"type": "object", "properties": {"data": media["schema"], **beside}}
    assert yaml.safe_load(made(spec).text)["streams"]["things"].get("paginate") == paginate
    manifest(spec)


def test_a_link_header_that_is_described() -> None:
    spec = listing(parameters=[{"name": "per_page", "in": "query", "description": "Rows (max 100).", "schema": {}}])
    spec["paths"]["/things"]["get"]["responses"]["200"]["headers"] = {"Link": {"schema": TEXT}}
    assert (
        manifest(spec).streams[0].paginate
        == TypeAdapter(Manifest)
        .validate_python({"name": "a", "base_url": "b", "streams": {"a": {"paginate": {"type": "link_header"}}}})
        .streams[0]
        .paginate
    )
    assert manifest(spec).streams[0].params == {"per_page": 100}


def nest(*paths: str) -> dict[str, Any]:
    spec = listing()
    get = spec["paths"].pop("/things")["get"]
    for path in paths:
        names = [part.partition("}")[0] for part in path.split("{")[1:]]
        given = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]
        spec["paths"][path] = {"get": get | {"parameters": given}}
    return spec


def test_parents_of_parents_and_what_nothing_lists() -> None:
    found = manifest(nest("/{tenant}/as", "/{tenant}/as/{a_id}/bs", "/{tenant}/as/{a_id}/bs/{b_id}/cs", "/x/{id}/ys"))
    paths = {stream.name: (stream.path, stream.parent) for stream in found.streams}
    assert paths == {
        "as": ("{config.tenant}/as", None),
        "bs": ("{config.tenant}/as/{parent.id}/bs", "as"),
        "cs": ("{config.tenant}/as/{parent._as_id}/bs/{parent.id}/cs", "bs"),
        "ys": ("x/{config.x_id}/ys", None),
    }
    assert found.config["tenant"].required is False


def test_choices_of_a_path_are_items() -> None:
    spec = nest("/{kind}/things")
    spec["paths"]["/{kind}/things"]["get"]["parameters"][0]["schema"] = {"enum": ["new", "used"]}
    stream = manifest(spec).streams[0]
    assert (stream.path, stream.for_each) == ("{item}/things", ["new", "used"])


def test_names_are_the_shortest_that_differ() -> None:
    assert made(nest("/v1/issues", "/v1/user/issues", "/v1/users", "/x/{id}/users", "/x/{other}/users")).streams == (
        "issues", "user_issues", "users", "x_users_by_id", "x_users_by_other",
    )  # fmt: skip


def test_references_in_circles_and_out_of_the_file_are_no_streams() -> None:
    spec = copy.deepcopy(SPEC)
    schemas = spec["components"]["schemas"]
    schemas["Loop"] = {"$ref": "#/components/schemas/Pool"}
    schemas["Pool"] = {"$ref": "#/components/schemas/Loop"}
    for name, reference in {
        "loop": "#/components/schemas/Loop",
        "far": "https://evil.dev/x.json#/a",
        "none": "#/no",
    }.items():
        content = {"application/json": {"schema": {"$ref": reference}}}
        spec["paths"][f"/{name}"] = {"get": {"responses": {"200": {"content": content}}}}
    found = made(spec)
    assert found.streams == ("projects", "issues")
    assert [shown for shown, why in found.left_out if why == "its answer is not described"] == [
        "GET /loop", "GET /far", "GET /none",
    ]  # fmt: skip


HOSTILE = 'a: b\nevil: 1 # {config.token} "\u2028\x85\\ \x00{{ 🐈'


def test_texts_of_the_file_stay_texts() -> None:
    spec = listing(summary=HOSTILE, description=HOSTILE, parameters=[
        {"name": HOSTILE, "in": "query", "required": True, "schema": {"type": "string", "default": HOSTILE}},
        {"name": "page", "in": "query", "description": HOSTILE, "schema": {"type": "integer"}},
    ])  # fmt: skip
    spec["info"] = {"title": HOSTILE, "version": HOSTILE}
    properties = {"id": TEXT, HOSTILE: TEXT, "no": TEXT, "12:30": TEXT, "null": TEXT, "- a": TEXT, "y": TEXT, "~": TEXT}
    spec["paths"]["/things"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["items"] = {
        "type": "object", "properties": properties,
    }  # fmt: skip
    spec["paths"][f"/{HOSTILE}"] = spec["paths"]["/things"]
    spec["paths"]["/left"] = {"get": {"summary": HOSTILE, "responses": {"200": {"content": {HOSTILE: {}}}}}}
    found = yaml.safe_load(made(spec).text)
    assert set(found) == {"version", "name", "description", "config", "base_url", "paginate", "streams"}
    assert set(found["config"]) == {"config_token"}
    stream = found["streams"]["things"]
    assert list(stream["schema"]) == list(properties)
    assert stream["params"] == {HOSTILE: HOSTILE.replace("{config", "{{config").replace(" \x00{{", " \x00{{{{")}
    manifest(spec)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("{" * 100_000, "no JSON"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("a: &a [1]\nb: !!python/object/apply:os.system [echo]\n", "tag"),
        ("openapi: 4.0.0\npaths: {}\n", "4.0.0"),
        ("swagger: 1.2\npaths: {}\n", "1.2"),
        ("hello: world\n", "neither"),
        ("openapi: 3.0.0\n", "no paths"),
        ("openapi: 3.0.0\npaths: {}\n", "none of its operations"),
    ],
)
def test_files_that_are_no_description(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        from_text(text, "acme")
    assert caught.value.next


def test_aliases_that_multiply_cost_nothing() -> None:
    bomb = "openapi: 3.0.0\nx0: &x0 {type: object, properties: {a: {type: string}}}\n"
    for n in range(1, 40):
        bomb += f"x{n}: &x{n} {{type: object, properties: {{a: *x{n - 1}, b: *x{n - 1}}}}}\n"
    bomb += (
        "paths: {/a: {get: {responses: {200: {content: {application/json: {schema: {type: array, items: *x39}}}}}}}}\n"
    )
    assert from_text(bomb, "acme").streams == ("a",)


def test_a_schema_of_hundreds_of_levels() -> None:
    spec = listing()
    schema: dict[str, Any] = TEXT
    for _ in range(400):
        schema = {"type": "object", "properties": {"a": schema}}
    media = spec["paths"]["/things"]["get"]["responses"]["200"]["content"]["application/json"]
    media["schema"] = {"type": "array", "items": schema}
    assert manifest(spec).streams[0].schema == {"a": {"a": {"a": {"a": {"a": "json"}}}}}
