"""Rows 92 and 94: what another user of the machine can see, and what children and drivers take from the environment."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Wherry
from harness import limits
from harness.places import InDuckDB, InPostgres
from wherry.host.probe import PASSED
from wherry_distributions import SOURCE, write_source

AS_ANOTHER = ["setpriv", f"--reuid={limits.STRANGER}", f"--regid={limits.STRANGER}", "--clear-groups"]


def readable(folder: Path) -> set[str]:
    """Files that another user can read, and folders that they can list."""
    script = 'find "$0" \\( -type f -o -type d \\) -readable 2>/dev/null'
    done = subprocess.run([*AS_ANOTHER, "sh", "-c", script, str(folder)], capture_output=True, text=True)
    return set(done.stdout.splitlines())


def listening(pid: int) -> list[str]:
    """Sockets of a process that wait for connections."""
    mine = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link)):
                mine.add(found[1])
    tcp = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    unix = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return [str(f) for f in tcp if f[3] == "0A" and f[9] in mine] + [
        str(f) for f in unix if f[3] == "00010000" and f[6] in mine
    ]


@pytest.mark.fault(92, tier=1)
@pytest.mark.skipif(not limits.available(AS_ANOTHER), reason="only root can act as another user")
def test_another_user_sees_nothing(wherry: Wherry) -> None:
    open_to_all = Path(tempfile.mkdtemp(prefix="wherry-open-"))
    try:
        open_to_all.chmod(0o755)
        (open_to_all / "control").write_text("this can be read")
        (open_to_all / "control").chmod(0o644)
        wherry.env |= {"WHERRY_STATE_DIR": str(open_to_all / "state"), "TMPDIR": str(open_to_all / "tmp")}
        (open_to_all / "tmp").mkdir(0o755)
        shared = segments()
        shell = ["sh", "-c", 'umask 000 && exec "$@"', "sh"]
        child = wherry.start("sync", "sample:100000", open_to_all / "shop.duckdb", "--json", under=shell)
        sockets: list[str] = []
        seen: set[str] = set()
        while child.alive:
            with contextlib.suppress(FileNotFoundError):
                sockets += listening(child.pid)
            seen |= readable(open_to_all)
        done = child.wait()
        assert done.code == 0, done
        assert (open_to_all / "shop.duckdb").stat().st_size > 1 << 20
        assert seen | readable(open_to_all) == {str(open_to_all / name) for name in ("control", "tmp")} | {
            str(open_to_all)
        }
        assert sockets == []
        assert segments() <= shared
    finally:
        shutil.rmtree(open_to_all)


def segments() -> set[str]:
    """Shared memory of this machine, but for that of servers."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith("PostgreSQL.")}


@contextlib.contextmanager
def trap() -> Iterator[tuple[int, list[object]]]:
    """A port, and who came to it."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, address = server.accept()
                    came.append(address)
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.fault(94, tier=1)
def test_traps_in_the_environment_catch_nothing(
    wherry: Wherry, duckdb_place: InDuckDB, postgres_place: InPostgres
) -> None:
    with trap() as (port, came):
        home = wherry.folder
        (home / ".netrc").write_text("default login evil password evil\n")
        (home / ".pg_service.conf").write_text(f"[evil]\nhost=127.0.0.1\nport={port}\ndbname=evil\nuser=evil\n")
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), f"http://127.0.0.1:{port}")
        wherry.env |= proxies | {name.lower(): value for name, value in proxies.items()}
        wherry.env |= {
            "PGSERVICE": "evil", "PGSERVICEFILE": str(home / ".pg_service.conf"), "PGHOST": "127.0.0.1",
            "PGPORT": str(port), "PGUSER": "evil", "PGDATABASE": "evil", "PGPASSWORD": "evil-evil",
            "PGOPTIONS": "-c datestyle=SQL,DMY -c timezone=Asia/Kathmandu",
        }  # fmt: skip
        orders = ("--stream", "orders", "--schema", "s")
        assert wherry("sync", "sample:200", postgres_place.reference, *orders).code == 0
        done = wherry("sync", postgres_place.reference, duckdb_place.reference, "--stream", "s.orders", "--schema", "s")
        assert done.code == 0, done
        rows = "select id, status, cast(updated_at at time zone 'UTC' as varchar) from {} order by id"
        assert duckdb_place.query(rows.format("s__s.orders")) == postgres_place.query(rows.format("s.orders"))
        assert came == []


@pytest.mark.fault(94)
def test_children_get_a_short_list_of_variables(wherry: Wherry, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    write_source(
        site, "nosy", f"import json, os\njson.dump(dict(os.environ), open({str(tmp_path / 'env')!r}, 'w'))\n{SOURCE}"
    )
    wherry.env |= {
        "PYTHONPATH": str(site), "LD_PRELOAD": "", "HTTPS_PROXY": "http://ana:secret@127.0.0.1:1", "PGSERVICE": "x",
        "PGPASSWORD": "secret", "AWS_SESSION_TOKEN": "secret", "WHERRY_SOURCE_NOSY_URL": "secret", "LC_TIME": "C",
        "SSH_AUTH_SOCK": "/x", "NETRC": "/x", "OTHER": "x",
    }  # fmt: skip
    done = wherry("plugins", "info", "nosy")
    assert done.code == 0, done
    got = json.loads((tmp_path / "env").read_text())
    assert got["PYTHONPATH"] == str(site)
    assert got["HOME"] == wherry.env["HOME"]
    assert [name for name in got if name not in PASSED and not name.startswith(("LC_", "PYTHON"))] == []
    assert "secret" not in str(got)
