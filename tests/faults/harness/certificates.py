"""Certificates of an authority of our own, good and bad ones, made with openssl."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

KINDS = ("good", "expired", "stranger", "self")
_CONF = """
[ca]
default_ca = ours
[ours]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
"""


def possible() -> bool:
    """Whether there is openssl."""
    return shutil.which("openssl") is not None


def make(folder: Path, name: str) -> Path:
    """ca.crt, and for each kind KIND.crt and KIND.key: for a server called `name`, or, stranger, called otherwise.

    expired: of long ago.  self: signed by itself.
    """
    folder.mkdir()
    (folder / "index").touch()
    (folder / "serial").write_text("01\n")
    (folder / "ca.conf").write_text(_CONF)
    _openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=faults authority",
             "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
    for kind in KINDS:
        host = "other.faults.test" if kind == "stranger" else name
        (folder / "extra").write_text(f"subjectAltName=DNS:{host}\n")
        request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-keyout", f"{kind}.key"]
        if kind == "self":
            _openssl(
                folder, *request, "-x509", "-days", "2", "-addext", f"subjectAltName=DNS:{host}", "-out", "self.crt"
            )
            continue
        _openssl(folder, *request, "-out", f"{kind}.csr")
        years = ("20200101000000Z", "20200102000000Z") if kind == "expired" else ("20200101000000Z", "21200101000000Z")
        _openssl(folder, "ca", "-batch", "-notext", "-config", "ca.conf", "-cert", "ca.crt", "-keyfile", "ca.key",
                 "-startdate", years[0], "-enddate", years[1], "-extfile", "extra", "-in", f"{kind}.csr",
                 "-out", f"{kind}.crt")  # fmt: skip
    return folder


def serve(cluster: Any, folder: Path, kind: str | None) -> None:
    """Have the server show the certificate of a kind to new connections; None: speak no TLS."""
    owner = cluster.data.stat()
    if kind is not None:
        for suffix in ("crt", "key"):
            target = cluster.data / f"server.{suffix}"
            shutil.copy(folder / f"{kind}.{suffix}", target)
            os.chown(target, owner.st_uid, owner.st_gid)
            target.chmod(0o600)
    cluster.psql(f"alter system set ssl = {'off' if kind is None else 'on'}")
    cluster.psql("select pg_reload_conf()")


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
