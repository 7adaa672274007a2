"""Templates: what is one, what is put in, and how it is escaped for where it stands."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import SecretStr
from wherry import StreamError
from wherry.rest import template
from wherry.rest.template import ABSENT, Values

VALUES = Values(
    config={"org": "a/b c?", "size": 100, "token": SecretStr("s3"), "day": date(2024, 1, 31), "on": True, "none": None},
    parent={"id": 7, "owner": {"login": "ünï"}, "text": "x\r\ny", "dots": ".."},
    item="é&=",
    end="2024-02-01",
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{config.org}", "a/b c?"),
        ("{config.size}", 100),
        ("n={config.size}", "n=100"),
        ("{parent.owner.login}!", "ünï!"),
        ("{item}", "é&="),
        ("{ viewer { id } }", "{ viewer { id } }"),
        ("query($a: Int) { x(a: {config.size}) { id } }", "query($a: Int) { x(a: 100) { id } }"),
        ("{{config.size}", "{config.size}"),
        ("{{{config.size}}", "{100}"),
        ("{other} {config} {parent} {start.x}", "{other} {config} {parent} {start.x}"),
        ("{end}", "2024-02-01"),
        ("{config.day}", date(2024, 1, 31)),
        ("on {config.day} {config.on}", "on 2024-01-31 true"),
    ],
)
def test_only_templates_are_filled_in(text: str, found: Any) -> None:
    assert template.rendered(text, VALUES) == found


def test_what_is_put_in_is_not_looked_through_again() -> None:
    assert template.rendered("{item}", Values(item="{config.token}")) == "{config.token}"
    assert template.rendered("a {item}", Values(item="{config.token} {{")) == "a {config.token} {{"


def test_a_text_that_needs_a_value_that_is_absent_is_left_out_whole() -> None:
    given = {"since": "{start}", "q": "updated>{start} org:{config.org}", "keep": "x", "list": ["{start}", "y"]}
    assert template.rendered(given, VALUES) == {"keep": "x", "list": ["y"]}
    assert template.rendered("{start}", VALUES) is ABSENT


def test_what_holds_a_secret_becomes_one() -> None:
    found = template.rendered("Token {config.token}", VALUES)
    assert isinstance(found, SecretStr)
    assert found.get_secret_value() == "Token s3"
    assert "s3" not in repr(found)


def test_a_path_keeps_values_within_their_segment() -> None:
    assert template.path("orgs/{config.org}/x", VALUES) == "orgs/a%2Fb%20c%3F/x"
    assert template.path("u/{parent.owner.login}", VALUES) == "u/%C3%BCn%C3%AF"
    assert template.path("t/{config.token}", VALUES) == "t/s3"
    assert template.path("{parent.url}", Values(parent={"url": "https://x/y?z=1"})) == "https://x/y?z=1"


@pytest.mark.parametrize("value", ["", ".", "..", None])
def test_a_path_refuses_values_that_would_be_no_segment(value: Any) -> None:
    with pytest.raises(StreamError, match="a path needs a value"):
        template.path("issues/{parent.id}/comments", Values(parent={"id": value}))


def test_parameters_headers_and_bodies_take_values_as_they_write_them() -> None:
    assert template.parameter("{config.on}", VALUES) == "true"
    assert template.parameter(["{config.size}", "{item}"], VALUES) == [100, "é&="]
    assert template.header("X-Day", "{config.day}", VALUES) == "2024-01-31"
    assert template.body({"a": ["{config.size}", {"b": "{config.token}"}], "c": "{start}"}, VALUES) == {
        "a": [100, {"b": "s3"}]
    }


def test_a_header_takes_no_line_break() -> None:
    with pytest.raises(StreamError, match="X-Note holds a line break"):
        template.header("X-Note", "{parent.text}", VALUES)


def test_a_field_that_the_parent_has_not_is_named() -> None:
    with pytest.raises(StreamError, match="no field 'nummer'"):
        template.rendered("{parent.nummer}", VALUES)


def test_numbers_come_from_templates_too() -> None:
    assert template.number("{config.size}", VALUES, "size") == 100
    assert template.number(20, VALUES, "size") == 20
    with pytest.raises(StreamError, match="size is no whole number"):
        template.number("{item}", VALUES, "size")
