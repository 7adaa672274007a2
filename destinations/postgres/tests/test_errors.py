"""What goes wrong on the way in: each error has its kind, its key, and no password in it."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from pydantic import ValidationError
from wherry import AuthError, DestinationError, TransientError, UsageError, WherryError
from wherry_destination_postgres.config import PostgresConfig
from wherry_destination_postgres.destination import PostgresDestination

SECRET = "S3CR3T/p@ss"


def failure(check: bool = True, **config: Any) -> WherryError:
    """The error of check, or of open; and that no part of it shows the password."""
    destination = PostgresDestination(PostgresConfig.model_validate(config))
    with pytest.raises(WherryError) as caught:
        destination.check() if check else destination.open("shop", schema="shop")
    error: BaseException | None = caught.value
    while error is not None:
        assert "S3CR3T" not in f"{error!r} {error} {vars(error)}"
        error = error.__cause__
    assert "S3CR3T" not in repr(destination.config) + destination.label()
    return caught.value


def parts(url: str) -> tuple[str, int, str]:
    host, _, database = url.rpartition("@")[2].partition("/")
    return host.partition(":")[0], int(host.partition(":")[2]), database


def test_a_wrong_password(postgres_password_user: str) -> None:
    host, port, database = parts(postgres_password_user)
    error = failure(host=host, port=port, database=database, user="wherry_password", password=SECRET)
    assert (type(error), error.key, error.exit_code) == (AuthError, "password", 2)
    assert "wherry_password" in error.message


def test_where_the_value_came_from(postgres_password_user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host, port, database = parts(postgres_password_user)
    bare = f"postgresql://wherry_password@{host}:{port}/{database}"
    assert failure(url=bare.replace("@", ":S3CR3T@")).where == "password from the URL"
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert failure(url=bare).where == "password from PGPASSWORD in the environment"
    assert failure(url=bare, password=SECRET).where is None


def test_no_password(postgres_password_user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/nonexistent/pgpass")
    host, port, database = parts(postgres_password_user)
    error = failure(url=f"postgresql://wherry_password@{host}:{port}/{database}")
    assert (type(error), error.key) == (AuthError, "password")


def test_a_server_that_hangs_up_in_the_greeting_is_said_in_its_first_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: [server.accept()[0].close() for _ in range(2)], daemon=True)
        thread.start()
        host, port = server.getsockname()
        error = failure(host=host, port=port, database="x", user="ana", sslmode="disable")
    assert isinstance(error, TransientError)
    assert error.message.endswith("cannot be reached: server closed the connection unexpectedly")


def test_the_right_password_from_each_place(
    postgres_password_user: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    host, port, database = parts(postgres_password_user)
    bare = f"postgresql://wherry_password@{host}:{port}/{database}"
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"{host}:{port}:*:wherry_password:correct horse\n")
    passfile.chmod(0o600)
    for config in (
        {"url": postgres_password_user},
        {"url": bare, "password": "correct horse"},
        {"url": bare, "passfile": str(passfile)},
        {"host": host, "port": port, "database": database, "user": "wherry_password", "password": "correct horse"},
    ):
        PostgresDestination(PostgresConfig.model_validate(config)).check()
    monkeypatch.setenv("PGPASSWORD", "correct horse")
    PostgresDestination(PostgresConfig.model_validate({"url": bare})).check()
    monkeypatch.setenv("PGHOST", host)
    monkeypatch.setenv("PGPORT", str(port))
    monkeypatch.setenv("PGUSER", "wherry_password")
    monkeypatch.setenv("PGDATABASE", database)
    PostgresDestination(PostgresConfig.model_validate({})).check()


def test_an_unknown_user_and_an_unknown_database(postgres_database: str) -> None:
    host, port, database = parts(postgres_database)
    error = failure(url=f"postgresql://nobody_here:S3CR3T@{host}:{port}/{database}")
    assert (type(error), error.key) == (AuthError, "user")
    error = failure(url=f"postgresql://postgres:S3CR3T@{host}:{port}/no_such_place")
    assert (type(error), error.key, error.exit_code) == (UsageError, "database", 2)
    assert "no_such_place" in error.message


def test_a_server_that_is_full_is_worth_another_try(postgres_cluster: Any, postgres_password_user: str) -> None:
    postgres_cluster.psql("alter role wherry_password connection limit 0")
    try:
        error = failure(url=postgres_password_user)
    finally:
        postgres_cluster.psql("alter role wherry_password connection limit -1")
    assert (type(error), "too many connections" in error.message) == (TransientError, True)


def test_an_unreachable_server() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    error = failure(url=f"postgresql://ana:S3CR3T@127.0.0.1:{port}/shop")
    assert (type(error), error.key) == (TransientError, "host")
    assert f"127.0.0.1:{port}/shop" in error.message
    error = failure(url="postgresql://ana:S3CR3T@nowhere.invalid/shop")
    assert type(error) is TransientError


@pytest.mark.parametrize(
    "url",
    ["postgresql://ana:S3CR3T/p@ss@localhost/shop", "postgresql://ana:S3CR3T@ss@localhost/shop",
     "postgresql://ana:S3CR3T", "postgresql://ana:S3CR3T/localhost/shop",
     "mysql://ana:S3CR3T@localhost/shop", "S3CR3T"],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_unseen(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PostgresConfig.model_validate({"url": url})
    assert "S3CR3T" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("rest", ["S3CR3T%zz@localhost/shop", "x@localhost/shop?nonsense=S3CR3T"])
def test_a_url_that_cannot_be_read_shows_nothing_of_itself(rest: str) -> None:
    error = failure(url="postgresql://ana:" + rest)
    assert error.exit_code in (2, 3)


def test_tls_that_the_server_does_not_speak(postgres_database: str) -> None:
    error = failure(url=postgres_database, sslmode="require")
    assert (type(error), error.key) == (UsageError, "sslmode")


def test_a_user_without_the_right_to_create(postgres_cluster: Any, postgres_password_user: str) -> None:
    database = postgres_password_user.rpartition("/")[2]
    postgres_cluster.psql(f"revoke create on database {database} from wherry_password")
    postgres_cluster.psql("revoke create on schema public from wherry_password, public", database)
    error = failure(url=postgres_password_user)
    assert (type(error), error.exit_code) == (DestinationError, 4)
    assert "wherry_password may not create schemas" in error.message
    error = failure(check=False, url=postgres_password_user)
    assert (type(error), error.exit_code) == (DestinationError, 4)
    assert "permission denied" in error.message
    postgres_cluster.psql("create schema shop", database)
    assert "permission denied" in failure(check=False, url=postgres_password_user).message
    postgres_cluster.psql("grant usage, create on schema shop to wherry_password", database)
    destination = PostgresDestination(PostgresConfig.model_validate({"url": postgres_password_user}))
    destination.check()
    destination.open("shop", schema="shop").close()
    assert postgres_cluster.psql("select count(*) from shop._wherry_leases", database) == [(1,)]


def test_check_leaves_nothing_behind(postgres_cluster: Any, postgres_database: str) -> None:
    facts = "select (select count(*) from pg_class), (select count(*) from pg_namespace where nspname !~ '^pg_')"
    before = postgres_cluster.psql(facts, postgres_database.rpartition("/")[2])
    PostgresDestination(PostgresConfig.model_validate({"url": postgres_database})).check()
    assert postgres_cluster.psql(facts, postgres_database.rpartition("/")[2]) == before


@pytest.mark.parametrize(
    ("config", "label"),
    [
        ({"url": "postgresql://ana:S3CR3T@db.example:6543/shop?password=S3CR3T"}, "db.example:6543/shop"),
        ({"url": "postgresql://ana:S3#C?R3T@db.example/shop"}, "db.example/shop"),
        ({"url": "postgresql://ana@[::1]:6543/my%20shop"}, "[::1]:6543/my shop"),
        ({"url": "postgresql://ana@one:5432,two:5433/shop"}, "one:5432,two:5433/shop"),
        ({"url": "postgresql:///shop"}, "localhost/shop"),
        ({"host": "db", "database": "shop", "user": "ana"}, "db/shop"),
        ({"url": "postgresql://db/shop", "port": 6543, "database": "other"}, "db:6543/other"),
    ],
)
def test_the_label_has_neither_user_nor_secret(config: dict[str, Any], label: str) -> None:
    assert PostgresDestination(PostgresConfig.model_validate(config)).label() == label
