"""The peers, each at the fastest settings that its own pages name, as command lines.

What is asked of each is what a user of it would ask: the same rows, with their types where it can keep them.
"""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from environments import Environment, NotInstalled, run
from lineitem import KEY

HERE = Path(__file__).resolve().parent
Step = Literal["copy", "base", "merge"]


@dataclass(frozen=True)
class Table:
    """A table of a PostgreSQL database."""

    url: str
    name: str = "lineitem"


class Peer(ABC):
    """One tool, installed.

    table: where rows are then, in a DuckDB file and in a database.  env: what is added to the environment.
    share: it gets this part of the rows, for all of them would take too long.
    """

    name: str
    pins: Sequence[str]
    table = "main.lineitem"
    table_in_postgres = "public.lineitem"
    env: Mapping[str, str] = {}
    share = 1

    def __init__(self, folder: Path):
        short = self.name.partition(" ")[0].lower()
        self.folder = folder / short
        self.folder.mkdir()
        self.environment = Environment(short, self.pins, self.finish).ready()

    def finish(self, environment: Path) -> None:
        """What installing its packages leaves to be done."""

    @property
    def version(self) -> str:
        """Of its first package."""
        return self.pins[0].partition("==")[2]

    @property
    def memory(self) -> Path | None:
        """The folder in which it remembers earlier runs, if it does."""
        return None

    @abstractmethod
    def copy(self, source: Table | Path, target: Path | str, step: Step = "copy") -> list[str] | None:
        """The command that brings a table or a file into a DuckDB file or a database (its URL), as lineitem.

        step: "base" is a copy into which rows will be merged; "merge" does that, by key.  None: it does not do this.
        """


class Dlt(Peer):
    """connectorx in two partitions or Arrow readers; Parquet in between, which the engine's own reader loads."""

    name = "dlt"
    pins = (
        "dlt[duckdb,postgres,sql_database,filesystem,parquet]==1.31.0", "connectorx==0.4.6", "pyarrow==26.0.1",
        "duckdb==2.0.0", "adbc-driver-postgresql==1.13.0", "adbc-driver-manager==1.13.0", "psycopg[binary]==3.3.9",
        "psycopg2-binary==2.9.13",
        "sqlalchemy==2.1.9",
    )  # fmt: skip
    table = table_in_postgres = "bench.lineitem"
    env = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "WARNING"}

    @property
    def memory(self) -> Path | None:
        return self.folder / "state"

    def copy(self, source: Table | Path, target: Path | str, step: Step = "copy") -> list[str] | None:
        where, table = (source.url, source.name) if isinstance(source, Table) else (str(source), "")
        command = [self.environment.python, str(HERE / "dlt_pipeline.py"), where, table, str(target)]
        return [*command, str(self.folder / "state"), "--step", step, "--key", ",".join(KEY)]


class Ingestr(Peer):
    """The newest release whose wheel carries the program. Its driver for DuckDB comes from DuckDB's npm package."""

    name = "ingestr"
    pins = ("ingestr==0.15.9",)
    driver = "@duckdb/node-bindings-linux-x64@1.5.6-r.1"

    def finish(self, environment: Path) -> None:
        if shutil.which("npm") is None:
            raise NotInstalled("ingestr: its driver for DuckDB is unpacked by npm, which is not here")
        run(["npm", "pack", "--silent", self.driver], cwd=environment)
        run(["tar", "xzf", next(environment.glob("*.tgz")).name], cwd=environment)
        drivers = environment / "home" / ".config" / "adbc" / "drivers"
        drivers.mkdir(parents=True)
        library = environment / "package" / "libduckdb.so"
        (drivers / "duckdb.toml").write_text(
            f'manifest_version = 1\nname = "DuckDB"\nversion = "1.5.6"\n[Driver]\nentrypoint = "duckdb_adbc_init"\n'
            f'[Driver.shared]\nlinux_amd64 = "{library}"\n'
        )
        installer = environment / "home" / ".gong" / "uv"  # it wants one there, to fetch the driver that it has
        installer.parent.mkdir()
        installer.write_text("#!/bin/sh\nexit 0\n")
        installer.chmod(0o755)

    def copy(self, source: Table | Path, target: Path | str, step: Step = "copy") -> list[str] | None:
        self.env = {"HOME": str(self.environment.folder / "home")}
        command = [str(self.environment.folder / "bin" / "ingestr"), "ingest", "--yes", "--progress", "log"]
        command += ["--page-size", "100000", "--loader-file-size", "100000"]  # a tenth less CPU than at its defaults
        if isinstance(source, Table):
            command += ["--source-uri", f"{source.url}?sslmode=disable", "--source-table", f"public.{source.name}"]
        elif source.suffix == ".csv":
            command += ["--source-uri", f"csv://{source}", "--source-table", "sample"]
        else:
            command += ["--source-uri", f"file://{source.parent}", "--source-table", source.name]
        if isinstance(target, Path):
            command += ["--dest-uri", f"duckdb:///{target}", "--dest-table", self.table]
        else:
            command += ["--dest-uri", f"{target}?sslmode=disable", "--dest-table", self.table_in_postgres]
        command += [] if step == "copy" else [part for key in KEY for part in ("--primary-key", key)]
        return command + (["--incremental-strategy", "merge"] if step == "merge" else [])


class Sling(Peer):
    """The newest release whose wheel carries the program; it pipes CSV into the DuckDB program beside it."""

    name = "sling"
    pins = (
        "sling-linux-amd64==1.4.11", "duckdb-cli==1.5.5", "duckdb-extension-json==1.5.5",
        "duckdb-extension-httpfs==1.5.5",
    )  # fmt: skip

    def finish(self, environment: Path) -> None:
        place = environment / "home" / ".duckdb" / "extensions" / "v1.5.5" / "linux_amd64"
        place.mkdir(parents=True)
        for file in environment.glob("lib/python*/site-packages/*/extensions/v1.5.5/*.duckdb_extension"):
            shutil.copy(file, place)

    def copy(self, source: Table | Path, target: Path | str, step: Step = "copy") -> list[str] | None:
        library = self.environment.library
        self.env = {
            "HOME": str(self.environment.folder / "home"),
            "DUCKDB_PATH": str(library / "duckdb_cli" / "duckdb"),
            "DUCKDB_USE_INSTALLED_EXTENSIONS": "true",
            "SLING_DISABLE_TELEMETRY": "TRUE",
            "TARGET": f"duckdb://{target}" if isinstance(target, Path) else f"{target}?sslmode=disable",
        }
        command = [str(library / "sling_linux_amd64" / "bin" / "sling-linux-amd64"), "run"]
        if isinstance(source, Table):
            self.env["SOURCE"] = f"{source.url}?sslmode=disable"
            command += ["--src-conn", "SOURCE", "--src-stream", f"public.{source.name}"]
        else:
            command += ["--src-stream", f"file://{source}"]
        table = self.table if isinstance(target, Path) else self.table_in_postgres
        mode = ["incremental", "--primary-key", ",".join(KEY)] if step == "merge" else ["full-refresh"]
        return [*command, "--tgt-conn", "TARGET", "--tgt-object", table, "--mode", *mode]


class Singer(Peer):
    """tap-postgres | target-duckdb, on a tenth of the rows."""

    name = "tap-postgres | target-duckdb"
    pins = ("meltanolabs-tap-postgres==0.10.0",)
    share = 10

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.target = Environment("target-duckdb", ("target-duckdb==0.8.0",)).ready()

    @property
    def version(self) -> str:
        return "0.10.0 | 0.8.0"

    def copy(self, source: Table | Path, target: Path | str, step: Step = "copy") -> list[str] | None:
        if isinstance(source, Path) or isinstance(target, str) or step != "copy":
            return None
        self.table = f"main.{source.name}"
        parts = urlsplit(source.url)
        tap = {
            "host": parts.hostname, "port": parts.port, "user": parts.username, "password": "x",
            "database": parts.path[1:], "filter_schemas": ["public"], "default_replication_method": "FULL_TABLE",
        }  # fmt: skip
        into = {
            "path": str(target), "filepath": str(target), "default_target_schema": "main", "batch_size_rows": 100_000,
            "add_metadata_columns": False, "primary_key_required": False, "temp_dir": str(self.folder),
        }  # fmt: skip
        for name, config in (("tap", tap), ("target", into)):
            (self.folder / f"{name}.json").write_text(json.dumps(config))
        program = f"{self.environment.folder}/bin/tap-postgres --config {self.folder}/tap.json"
        catalog = json.loads(run([*program.split(), "--discover"]))
        for stream in catalog["streams"]:
            for entry in stream["metadata"]:
                if not entry["breadcrumb"]:
                    entry["metadata"]["selected"] = stream["table_name"] == source.name
        (self.folder / "catalog.json").write_text(json.dumps(catalog))
        end = f"{self.target.folder}/bin/target-duckdb --config {self.folder}/target.json"
        return ["bash", "-o", "pipefail", "-c", f"{program} --catalog {self.folder}/catalog.json | {end}"]


class Scanner(Peer):
    """DuckDB's own reader of PostgreSQL; the newest whose extension comes as a package."""

    name = "DuckDB postgres extension"
    pins = ("duckdb==1.5.5", "duckdb-extensions==1.5.5", "duckdb-extension-postgres-scanner==1.5.5")

    def finish(self, environment: Path) -> None:
        (environment / "home").mkdir()
        code = "from duckdb_extensions import import_extension; import_extension('postgres_scanner')"
        run(["env", f"HOME={environment / 'home'}", str(environment / "bin" / "python"), "-c", code])

    def copy(self, source: Table | Path, target: Path | str, step: Step = "copy") -> list[str] | None:
        if isinstance(source, Path) or isinstance(target, str) or step != "copy":
            return None
        self.env = {"HOME": str(self.environment.folder / "home")}
        code = (
            "import sys, duckdb\ndb = duckdb.connect(sys.argv[2])\ndb.execute('load postgres_scanner')\n"
            "db.execute(f\"attach '{sys.argv[1]}' as source (type postgres, read_only)\")\n"
            f"db.execute('create table lineitem as from source.public.{source.name}')\n"
        )
        return [self.environment.python, "-c", code, source.url, str(target)]


PEERS: Mapping[str, type[Peer]] = {peer.name.split("-")[0]: peer for peer in (Dlt, Ingestr, Sling, Singer)}
"""By what `--peers` calls them: dlt, ingestr, sling, tap."""
