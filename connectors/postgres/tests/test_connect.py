"""Reaching a server: references, passwords, TLS, and what is said when it does not work."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from wherry import AuthError, TransientError, UsageError
from wherry_source_postgres.config import PostgresConfig
from wherry_source_postgres.source import PostgresSource

Sources = Callable[..., PostgresSource]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("keys", "name", "address"),
    [
        ({"url": "postgresql://ana:s3cret@localhost/shop"}, "shop", "postgresql://localhost:5432/shop"),
        ({"url": "postgres://db.example:6000/a%20b?sslmode=require"}, "a b", "postgresql://db.example:6000/a b"),
        ({"url": "postgresql://ana@[::1]:5433/shop"}, "shop", "postgresql://[::1]:5433/shop"),
        ({"url": "postgresql:///shop?host=/run/pg"}, "shop", "postgresql:///run/pg:5432/shop"),
        ({"url": "postgresql://ana@localhost"}, "ana", "postgresql://localhost:5432/ana"),
        ({"host": "h", "port": 7, "database": "d", "user": "u"}, "d", "postgresql://h:7/d"),
        ({"url": "postgresql://localhost/shop", "host": "other", "database": "x"}, "x", "postgresql://other:5432/x"),
    ],
)
def test_identity_is_place_and_database_as_typed(keys: dict[str, Any], name: str, address: str) -> None:
    source = PostgresSource(PostgresConfig.model_validate(keys))
    assert source.identity() == (name, address)
    assert "s3cret" not in repr(source.config) + str(source.config) + source.config.dsn()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "localhost/x", "postgresql://localhost:99999/x"])
def test_a_url_of_another_kind_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PostgresConfig.model_validate({"url": url})
    assert url not in str(caught.value)


def test_a_wrong_password_names_place_and_user_and_no_secret(
    postgres_password_user: str, postgres_cluster: Any, source_of: Sources
) -> None:
    wrong = postgres_password_user.replace("correct%20horse", "S3CR3T")
    with pytest.raises(AuthError) as caught:
        source_of(wrong).check()
    place = f"127.0.0.1:{postgres_cluster.port}"
    assert caught.value.message == f'{place} refused user "wherry_password": password authentication failed'
    assert caught.value.where == "password from the URL"
    assert caught.value.key == "password"
    assert "S3CR3T" not in str(caught.value.to_json())


def test_a_password_from_url_key_environment_or_file(
    postgres_password_user: str, source_of: Sources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source_of(postgres_password_user).check()
    bare = postgres_password_user.replace(":correct%20horse", "")
    with pytest.raises(AuthError, match="password"):
        source_of(bare).check()
    source_of(bare, password="correct horse").check()
    source_of(postgres_password_user.replace("horse", "cow"), password="correct horse").check()
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:wherry_password:correct horse\n")
    passfile.chmod(0o600)
    source_of(bare, passfile=str(passfile)).check()
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    source_of(bare).check()
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.setenv("PGPASSWORD", "correct horse")
    source_of(bare).check()


def test_single_keys_and_environment_instead_of_a_url(
    postgres_database: str, postgres_cluster: Any, source_of: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = postgres_database.rpartition("/")[2]
    source_of(host="127.0.0.1", port=postgres_cluster.port, user="postgres", database=database).check()
    monkeypatch.setenv("PGPORT", str(postgres_cluster.port))
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGDATABASE", database)
    source = source_of()
    source.check()
    assert source.identity() == (database, f"postgresql://127.0.0.1:{postgres_cluster.port}/{database}")
    source_of(f"postgresql://localhost/{database}?connect_timeout=3&application_name=me&keepalives=1").check()


def test_what_is_not_there_is_named(postgres_cluster: Any, source_of: Sources) -> None:
    place = f"127.0.0.1:{postgres_cluster.port}"
    with pytest.raises(UsageError, match=f'{place} has no database "nowhere"') as unknown:
        source_of(postgres_cluster.url("nowhere")).check()
    assert unknown.value.next == "correct the database's name"
    with pytest.raises(AuthError, match=f'{place} refused user "nobody": role "nobody" does not exist'):
        source_of(postgres_cluster.url("postgres", "nobody")).check()


def test_a_place_that_does_not_answer_is_transient(source_of: Sources) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(TransientError, match=f"127.0.0.1:{port} cannot be reached") as refused:
        source_of(f"postgresql://ana@127.0.0.1:{port}/shop").check()
    assert (refused.value.key, refused.value.where) == ("host", "host from the URL")
    with pytest.raises(TransientError, match=r"no-such-host\.invalid:5432 cannot be reached"):
        source_of("postgresql://ana@no-such-host.invalid/shop").check()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(TransientError, match=f"127.0.0.1:{port} did not answer in time"):
            source_of(f"postgresql://ana@127.0.0.1:{port}/shop", connect_timeout=1).check()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.crt, other.crt (another authority), server.crt/.key for 127.0.0.1, ana.crt/.key for the user ana."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        openssl(*new, "-keyout", f"{name}.key", "-out", f"{name}.crt")
    for name, subject in (("server", "server"), ("ana", "ana")):
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            f"/CN={subject}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
        )
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n" if name == "server" else "")
        sign = [
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
        ]
        openssl(*sign, "-extfile", "ext", "-out", f"{name}.crt")
        (folder / f"{name}.key").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def tls(certificates: Path) -> Iterator[Any]:
    """A server that takes TLS, and the user ana only with her certificate."""
    with import_module("wherry_cluster").Cluster() as cluster:
        if cluster.psql("show ssl_library") == [("",)]:
            pytest.skip("this server was built without TLS")
        owner = cluster.data.stat()
        for name in ("ca.crt", "server.crt", "server.key"):
            shutil.copy(certificates / name, cluster.data / name)
            os.chown(cluster.data / name, owner.st_uid, owner.st_gid)
            (cluster.data / name).chmod(0o600)
        cluster.psql("create role ana login")
        with (cluster.data / "postgresql.conf").open("a") as conf:
            conf.write("ssl = on\nssl_ca_file = 'ca.crt'\n")
        access = cluster.data / "pg_hba.conf"
        access.write_text(
            "hostssl all ana 127.0.0.1/32 cert\n" + access.read_text().replace("host all all", "hostssl all all")
        )
        cluster.restart()
        yield cluster


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl")


@needs_openssl
def test_tls_modes_mean_what_they_mean_to_libpq(tls: Any, certificates: Path, source_of: Sources) -> None:
    url = tls.url()
    for mode in (None, "prefer", "require", "allow"):
        source_of(url, sslmode=mode).check()
    source_of(url, sslmode="verify-full", sslrootcert=str(certificates / "ca.crt")).check()
    source_of(url + "?sslmode=verify-full&sslrootcert=" + str(certificates / "ca.crt")).check()
    source_of(
        url.replace("127.0.0.1", "localhost"), sslmode="verify-ca", sslrootcert=str(certificates / "ca.crt")
    ).check()
    for keys in ({"sslmode": "verify-ca"}, {"sslmode": "verify-full"}):
        with pytest.raises(UsageError, match="TLS was refused") as caught:
            source_of(url, sslrootcert=str(certificates / "other.crt"), **keys).check()
        assert caught.value.key == "sslmode"
    with pytest.raises(UsageError, match="TLS was refused: hostname mismatch"):
        source_of(
            url.replace("127.0.0.1", "localhost"), sslmode="verify-full", sslrootcert=str(certificates / "ca.crt")
        ).check()
    with pytest.raises(AuthError, match="no encryption"):
        source_of(url, sslmode="disable").check()


@needs_openssl
def test_client_certificates(tls: Any, certificates: Path, source_of: Sources) -> None:
    url = tls.url("postgres", "ana")
    keys = {"sslcert": str(certificates / "ana.crt"), "sslkey": str(certificates / "ana.key")}
    source_of(url, sslmode="verify-full", sslrootcert=str(certificates / "ca.crt"), **keys).check()
    source_of(url, sslmode="require", **keys).check()
    with pytest.raises(AuthError, match='refused user "ana"'):
        source_of(url, sslmode="require").check()
    with pytest.raises(UsageError, match="sslcert: no file /nowhere") as caught:
        source_of(url, sslmode="require", sslcert="/nowhere.crt", sslkey="/nowhere.key").check()
    assert caught.value.key == "sslcert"


def test_a_server_without_tls_says_so(postgres_cluster: Any, source_of: Sources) -> None:
    with pytest.raises(UsageError, match="does not speak TLS") as caught:
        source_of(postgres_cluster.url(), sslmode="require").check()
    assert caught.value.key == "sslmode"
