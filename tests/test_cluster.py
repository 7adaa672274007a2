"""The server that other tests stand on: it starts, answers, survives a restart, and asks for its password."""

from __future__ import annotations

import psycopg
import pytest
from wherry_cluster import PASSWORD, Cluster


def test_runs_a_query_in_an_empty_database(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        assert connection.execute("select 1 + 1").fetchone() == (2,)
        tables = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
        assert tables == (0,)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_keeps_committed_rows(postgres_cluster: Cluster, postgres_database: str, mode: str) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("create table kept as select 42 as answer")
        before = postgres_cluster.pid
        postgres_cluster.restart(mode)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    assert postgres_cluster.pid != before
    database = postgres_database.rpartition("/")[2]
    assert postgres_cluster.psql("select answer from kept", database) == [(42,)]


def test_password_user_needs_the_password(postgres_password_user: str) -> None:
    with psycopg.connect(postgres_password_user) as connection:
        assert connection.execute("select current_user::text").fetchone() == ("wherry_password",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_password_user.replace(PASSWORD.replace(" ", "%20"), "wrong"))
