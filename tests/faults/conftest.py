"""Fixtures of the fault tests: the real command, places to sync to, a ledger of what happened."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness import child, oracle, places
from harness.api import Api, page
from harness.ledger import Ledger, stream_of
from harness.places import InDuckDB, InPostgres, Place
from harness.trial import Trial
from harness.warm import Warm
from wherry_cluster import Cluster
from wherry_distributions import write_distribution
from wherry_web import Web

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the source `ledger` installed in it."""
    return install(tmp_path_factory.mktemp("plugins") / "installed")


def install(folder: Path) -> Path:
    """Make the folder, with the source `ledger` installed in it."""
    folder.mkdir()
    shutil.copy(PLUGIN / "wherry_ledger.py", folder)
    groups = {"wherry.sources": {"ledger": "wherry_ledger:LedgerSource"}}
    return write_distribution(folder, "wherry-source-ledger", groups)


@dataclass
class Wherry:
    """Runs the real command in a folder of its own, and remembers how each run ended."""

    folder: Path
    env: dict[str, str]
    ended: list[child.Ended] = field(default_factory=list)
    running: list[child.Child] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """The folder of run logs."""
        return Path(self.env["WHERRY_STATE_DIR"])

    def start(self, *args: object, env: dict[str, str] | None = None, **options: Any) -> child.Child:
        """Start `wherry ARGS`; see `harness.child.start`. env: added to what every child gets."""
        begun = child.start(*args, env=self.env | (env or {}), cwd=self.folder, **options)
        self.running.append(begun)
        return begun

    def __call__(self, *args: object, patience: float = child.PATIENCE, **options: Any) -> child.Ended:
        """Run it to its end."""
        done = self.start(*args, **options).wait(patience)
        self.ended.append(done)
        return done

    def sync(self, ledger: Ledger, place: Place, mode: str, *args: object, **options: Any) -> child.Ended:
        """Sync the ledger's stream of that mode into the place."""
        return self(*self.syncing(ledger, place, mode, *args), **options)

    @staticmethod
    def syncing(ledger: Ledger, place: Place, mode: str, *args: object) -> list[object]:
        """The arguments of that sync."""
        return [
            "sync", ledger.reference, place.reference, "--schema", places.SCHEMA, "--stream", stream_of(mode),
            "--mode", mode, *args,
        ]  # fmt: skip

    def recovers(
        self, ledger: Ledger, place: Place, mode: str, *args: object, until: tuple[int, ...] = (), runs: int = 2
    ) -> list[str]:
        """Without the fault: the bookmark is not ahead of the rows, a run or two end with 0, and the oracle agrees."""
        wrong = oracle.not_ahead(place, ledger, mode)
        for _ in range(runs):
            done = self.sync(ledger, place, mode, *args)
            if done.code == 0:
                break
        wrong += oracle.told(done, 0)
        return wrong + oracle.holds(place, ledger, mode, *until) + oracle.clean(place)


@pytest.fixture
def wherry(tmp_path: Path, plugins: Path) -> Iterator[Wherry]:
    """The real command; what a test leaves running is killed."""
    folder = tmp_path / "work"
    folder.mkdir()
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TZ") if key in os.environ}
    env = kept | {
        "HOME": str(folder), "WHERRY_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(plugins), "NO_COLOR": "1",
        "TMPDIR": tempfile.gettempdir(),
    }  # fmt: skip
    found = Wherry(folder, env)
    yield found
    for begun in found.running:
        if begun.process.returncode is None:
            begun.kill()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """5,000 rows and 2,000 later versions of some."""
    return Ledger.write(tmp_path / "ledger")


@pytest.fixture
def new_ledger(tmp_path: Path) -> Callable[..., Ledger]:
    """Makes a ledger of another size: see `Ledger.write`."""
    return lambda **sizes: Ledger.write(tmp_path / "ledger", **sizes)


@pytest.fixture
def duckdb_place(tmp_path: Path) -> InDuckDB:
    """A database file that does not exist yet, alone in its folder."""
    folder = tmp_path / "db"
    folder.mkdir()
    return InDuckDB(folder / "shop.duckdb")


@pytest.fixture
def postgres_place(postgres_cluster: Cluster, postgres_database: str) -> InPostgres:
    """A new empty database."""
    return InPostgres(postgres_database, postgres_cluster)


@pytest.fixture(params=["duckdb", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    """Both, one after the other."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


@pytest.fixture(scope="session")
def warm(plugins: Path) -> Iterator[Warm]:
    """Runs without their start-up."""
    server = Warm.start(plugins)
    yield server
    server.close()


@pytest.fixture
def trial(warm: Warm, wherry: Wherry, place: Place, postgres_cluster: Cluster) -> Iterator[Trial]:
    """A new PostgreSQL database as a source, beside each of the places."""
    url = postgres_cluster.create_database()
    yield Trial(warm, wherry, place, url)
    postgres_cluster.drop_database(url)


@pytest.fixture
def web() -> Iterator[Web]:
    """A server of its own; what it answers is set by the test."""
    with Web(page) as found:
        yield found


@pytest.fixture
def api(warm: Warm, wherry: Wherry) -> Api:
    """An API to read, in the command's folder."""
    return Api(warm, wherry, wherry.folder)


@pytest.fixture(params=["append", "merge", "replace", "history"])
def mode(request: pytest.FixtureRequest) -> str:
    """Each of the modes."""
    return str(request.param)
