"""A real PostgreSQL for tests: its own cluster in a temporary folder, on a free loopback port, never as root.

In tests: the fixtures `postgres_cluster`, `postgres_database`, `postgres_password_user`. In scripts:

    from wherry_cluster import Cluster
    with Cluster() as cluster:
        url = cluster.create_database()
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from wherry_binaries import account, binaries

PASSWORD_USER = "wherry_password"
PASSWORD = "correct horse"
_PREFIX = "wherry-pg-"
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "shared_buffers": "'32MB'",
    "max_connections": "100",
    "wal_level": "logical",
    "max_wal_size": "'256MB'",
    "log_min_messages": "warning",
    "timezone": "'UTC'",
}
_ACCESS = f"""local all all trust
local replication all trust
host all {PASSWORD_USER} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
"""
_numbers = itertools.count(1)


class Cluster:
    """One server and its data. Nothing runs before `start`; `close` stops it and removes the folder.

    bin: the server's programs.  settings: lines of postgresql.conf, values as written there.
    """

    host = "127.0.0.1"
    superuser = "postgres"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.settings = _SETTINGS | dict(settings or {})
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = int(probe.getsockname()[1])
        self.folder = Path(tempfile.gettempdir())
        self.data = self.folder
        self.bin = Path()
        self._as = account()

    def __enter__(self) -> Cluster:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def url(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """`postgresql://user[:password]@host:port/database`."""
        secret = "" if password is None else ":" + quote(password, safe="")
        return f"postgresql://{user or self.superuser}{secret}@{self.host}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, and wait until it answers; the first time, make its data."""
        if self.bin == Path():
            self._create()
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "-t", "60", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: "smart", "fast" (sessions end, transactions roll back) or "immediate" (like a crash)."""
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "-t", "60", "stop")

    def restart(self, mode: str = "fast") -> None:
        """Stop and start again, on the same port."""
        self.stop(mode)
        self.start()

    def crash(self) -> int:
        """SIGKILL to every process of the server, and start it again; how many there were."""
        processes = [self.pid, *_children(self.pid)]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        while any(Path("/proc", str(process)).exists() for process in processes):
            time.sleep(0.01)
        self.start()
        return len(processes)

    def psql(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement outside a transaction as the superuser; its rows, if it has any."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def create_database(self) -> str:
        """A new empty database; its URL."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.psql(f"create database {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """End its sessions and drop it."""
        self.psql(f"drop database if exists {url.rpartition('/')[2]} with (force)")

    def close(self) -> None:
        """Stop the server if it runs, and remove its folder."""
        atexit.unregister(self.close)
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        if self.folder.name.startswith(_PREFIX):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _create(self) -> None:
        self.bin = binaries()
        _remove_orphans()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        atexit.register(self.close)
        (self.folder / "owner").write_text(str(os.getpid()))
        if self._as:
            os.chown(self.folder, self._as.pw_uid, self._as.pw_gid)
            self._make_readable()
        self.data = self.folder / "data"
        self._run("initdb", "-D", str(self.data), "-U", self.superuser, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        lines = self.settings | {"port": str(self.port), "unix_socket_directories": f"'{self.folder}'"}
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{key} = {value}\n" for key, value in lines.items())
        (self.data / "pg_hba.conf").write_text(_ACCESS)

    def _make_readable(self) -> None:
        """Copy the programs, and the libraries of a wheel, if the account cannot reach them (below /root)."""
        try:
            self._run("postgres", "--version")
        except (OSError, subprocess.SubprocessError):
            package = self.bin.parent.parent
            for tree in (self.bin.parent, package.with_name(package.name + ".libs")):
                if tree.exists():
                    shutil.copytree(tree, self.folder / tree.relative_to(package.parent), symlinks=True)
            self.bin = self.folder / self.bin.relative_to(package.parent)

    def _run(self, program: str, *args: str) -> None:
        account = {"user": self._as.pw_uid, "group": self._as.pw_gid, "extra_groups": []} if self._as else {}
        output = self.folder / "output"  # a file: a server that inherits a pipe would keep us waiting for its end
        with output.open("w") as out:
            command = [str(self.bin / program), *args]
            done = subprocess.run(command, stdout=out, stderr=out, cwd=self.folder, **account)  # type: ignore[call-overload]
        if done.returncode:
            raise subprocess.SubprocessError(f"{program} ended with {done.returncode}:\n{output.read_text()}")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _remove_orphans() -> None:
    """Stop and remove clusters whose test run was killed."""
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        try:
            if Path("/proc", (folder / "owner").read_text()).exists() or not Path("/proc/self").exists():
                continue
            left = Cluster()
            left.folder, left.data, left.bin = folder, folder / "data", binaries()
            left.close()
        except (OSError, subprocess.SubprocessError):
            continue  # somebody else's, or just going


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """One server for the whole run, started by the first test that wants it."""
    with Cluster({"fsync": "off"}) as cluster:  # what was committed survives the server's end, not the machine's
        cluster.psql(f"create role {PASSWORD_USER} login password '{PASSWORD}'")
        yield cluster


@pytest.fixture
def postgres_database(postgres_cluster: Cluster) -> Iterator[str]:
    """The URL of a new empty database."""
    url = postgres_cluster.create_database()
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture
def postgres_password_user(postgres_cluster: Cluster, postgres_database: str) -> str:
    """The URL of the same database for a user with a password, who may create schemas in it."""
    database = postgres_database.rpartition("/")[2]
    postgres_cluster.psql(f"grant all on database {database} to {PASSWORD_USER}")
    postgres_cluster.psql(f"grant all on schema public to {PASSWORD_USER}", database)
    return postgres_cluster.url(database, PASSWORD_USER, PASSWORD)
