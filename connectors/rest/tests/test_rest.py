"""The connector by the names and keys that users type."""

from __future__ import annotations

from pathlib import Path

import pytest
from wherry import Secret, UsageError
from wherry_source_rest.source import ManifestSource

ACME = Path(__file__).with_name("acme.yaml")


def test_the_keys_of_a_manifest_are_keys_of_the_source() -> None:
    found = ManifestSource.referred(str(ACME))
    assert list(found.Config.model_fields) == ["manifest", "url", "token", "size"]
    assert found.Config.reference == "manifest"
    config = found.Config.model_validate(
        {"manifest": "acme.yaml", "url": "http://127.0.0.1:1", "token": "t", "size": "5"}
    )
    assert config.model_dump() == {
        "manifest": "acme.yaml", "url": "http://127.0.0.1:1", "token": Secret("t"), "size": 5,
    }  # fmt: skip
    source = found(config)
    assert source.identity() == ("acme", "http://127.0.0.1:1/v1")
    assert [stream.path for stream in source.discover()] == ["orders", "parts", "kinds"]


def test_a_manifest_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"no such file: nothing\.yaml"):
        ManifestSource.referred("nothing.yaml")
