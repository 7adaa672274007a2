"""The configuration: which keys are ours, what the tap gets, what may not be seen."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from wherry import UsageError
from wherry_source_singer.config import SingerConfig


def settings(types: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    return SingerConfig.model_validate({"tap": "tap-x", **values}).settings(types or {})


def test_free_keys_are_the_taps() -> None:
    found = settings(config={"a": 1, "ssl": {"on": True}}, host="h", **{"config.b": "x", "ssl.mode": "y"})
    assert found == {"a": 1, "ssl": {"on": True, "mode": "y"}, "host": "h", "b": "x"}


@pytest.mark.parametrize(
    ("text", "told", "value"),
    [
        ("5432", {"type": ["integer", "null"]}, 5432), ("5432", {"type": "string"}, "5432"), ("5432", None, 5432),
        ("007", None, "007"), ("1.5", None, 1.5), ("true", None, True), ("True", {"type": "boolean"}, True),
        ("[1, 2]", None, [1, 2]), ("a,b", {"type": "array"}, ["a", "b"]), ("a", {"type": ["array", "null"]}, ["a"]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}), ("{not json", None, "{not json"), ("plain", None, "plain"),
        ('"5"', None, "5"), ("5", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, 5),
        ("2024-01-01", None, "2024-01-01"),
        ("12345678901234567890", None, "12345678901234567890"),
    ],
)  # fmt: skip
def test_texts_become_what_the_tap_wants(text: str, told: dict[str, Any] | None, value: Any) -> None:
    found = settings({"key": told} if told else {}, key=text)["key"]
    assert found == value
    assert type(found) is type(value)


def test_what_is_called_a_secret_stays_a_text() -> None:
    assert settings(password="12345", api_key="1e5", **{"auth.token": "7"}) == {
        "password": "12345", "api_key": "1e5", "auth": {"token": "7"},
    }  # fmt: skip


def test_secrets_are_known_by_name_and_by_what_the_tap_says() -> None:
    config = SingerConfig.model_validate({
        "tap": "tap-x", "password": "p1", "config": {"creds": {"refresh_token": "t1", "user": "u"}, "start": "s1"},
        "env": {"TAP_X_KEY": "e1"},
    })  # fmt: skip
    assert sorted(config.secrets({"start": {"secret": True}})) == ["e1", "p1", "s1", "t1"]
    assert "e1" not in repr(config)


def test_a_key_that_leads_into_a_value() -> None:
    with pytest.raises(UsageError, match="leads into 'a'"):
        settings(a="1", **{"a.b": "2"})


@pytest.mark.parametrize(
    ("tap", "label"),
    [
        ("tap-github", "github"), ("meltanolabs-tap-postgres==0.10.0", "postgres"), ("/usr/bin/tap-csv", "csv"),
        ("pipelinewise-tap-s3-csv", "s3-csv"), ("mine", "mine"), ("./tap_x.py", "x"),
    ],
)  # fmt: skip
def test_the_schema_is_named_after_the_tap(tap: str, label: str) -> None:
    assert SingerConfig.model_validate({"tap": tap}).label() == label


def test_the_address_tells_what_is_read_and_no_secret() -> None:
    config = SingerConfig.model_validate({
        "tap": "meltanolabs-tap-postgres==0.10.0", "host": "h", "port": "5432", "password": "p1", "user": "u",
        "sqlalchemy_url": "postgresql://u:p1@h/db",
    })  # fmt: skip
    assert config.address() == "singer:meltanolabs-tap-postgres host=h port=5432 sqlalchemy_url=postgresql://u@h/db"


def test_no_option_can_be_slipped_in() -> None:
    for key in ("tap", "package", "executable"):
        with pytest.raises(ValidationError, match="dash"):
            SingerConfig.model_validate({"tap": "tap-x", key: "--index-url=http://evil"})
