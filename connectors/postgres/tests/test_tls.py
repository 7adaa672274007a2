"""When TLS is asked for without anybody saying so; tests/faults tries it with real servers."""

from __future__ import annotations

import os
from typing import Any

import pytest
from wherry_source_postgres.config import PostgresConfig


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("keys", "variables", "mode"),
    [
        ({"url": "postgresql://db.example/shop"}, {}, "require"),
        ({"url": "postgresql://10.1.2.3/shop"}, {}, "require"),
        ({"url": "postgresql://localhost,db.example/shop"}, {}, "require"),
        ({"host": "db.example"}, {}, "require"),
        ({}, {"PGHOST": "db.example"}, "require"),
        ({"url": "postgresql://db.example/shop?sslrootcert=ca.crt"}, {}, "verify-full"),
        ({"host": "db.example"}, {"PGSSLROOTCERT": "ca.crt"}, "verify-full"),
        ({"url": "postgresql:///shop"}, {}, None),
        ({"url": "postgresql:///shop?host=/run/pg"}, {}, None),
        ({"url": "postgresql://localhost/shop"}, {}, None),
        ({"url": "postgresql://127.0.0.1/shop"}, {}, None),
        ({"url": "postgresql://[::1]:5433/shop"}, {}, None),
        ({"url": "postgresql://db.example/shop?sslmode=disable"}, {}, None),
        ({"url": "postgresql://db.example/shop", "sslmode": "prefer"}, {}, None),
        ({"url": "postgresql://db.example/shop"}, {"PGSSLMODE": "allow"}, None),
    ],
)
def test_what_is_asked_for(
    keys: dict[str, Any], variables: dict[str, str], mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = PostgresConfig.model_validate(keys)
    assert config.tls() == mode
    said = "sslmode" in str(keys) or "PGSSLMODE" in variables
    assert bool(config.warnings()) == said  # of those above, each that says one lets data go unencrypted


def test_a_service_file_decides_by_itself_but_not_for_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSERVICE", "shop")
    config = PostgresConfig.model_validate({"host": "db.example"})
    assert config.tls() is None
    assert config.plain(encrypted=False)
    assert not config.plain(encrypted=True)


def test_warnings_name_the_place_and_no_secret() -> None:
    config = PostgresConfig.model_validate({"url": "postgresql://ana:S3CR3T@db.example/shop?sslmode=disable"})
    assert config.warnings() == ["db.example:5432: sslmode=disable lets rows and password go unencrypted"]
