"""Rows 4, 34, 36-45: servers that restart, answers that are lost, lines that break, names, certificates, privileges.

Each for the destination, and where a row is about a connection for the source too.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from harness import certificates, oracle, places
from harness.ledger import Ledger, stream_of
from harness.proxy import Proxy
from harness.resolver import NAME, Resolver
from harness.served import CURSORS, Served, Through
from wherry.cli.main import run

SLOW = ("--set", "rows=250", "--set", "pause=0.05")
QUICK = ("--dest-set", "lease=3", "--dest-set", "connect_timeout=1")


@pytest.fixture
def proxy(postgres_cluster: Any) -> Iterator[Proxy]:
    with Proxy(postgres_cluster.port) as found:
        yield found


@pytest.fixture
def through(postgres_place: Any, proxy: Proxy) -> Through:
    """A database behind the proxy."""
    return Through(postgres_place.url, postgres_place.cluster, proxy=proxy)


@pytest.fixture
def source_database(postgres_cluster: Any) -> Iterator[str]:
    url = postgres_cluster.create_database()
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture
def served(ledger: Ledger, source_database: str, proxy: Proxy) -> Served:
    """The ledger in a database behind the proxy."""
    return Served.of(ledger, source_database, proxy.url(source_database))


@pytest.fixture
def small(new_ledger: Callable[..., Ledger]) -> Ledger:
    return new_ledger(rows=300, changes=100)


@pytest.fixture
def in_process(plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., str]:
    """Runs `wherry sync` in this process, from a ledger or a server; what it said, if that is not exit 0."""
    monkeypatch.syspath_prepend(str(plugins))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHERRY_STATE_DIR", str(tmp_path / "state"))

    def sync(ledger: Ledger, place: Any, mode: str, *args: str) -> str:
        reference = ledger.reference if isinstance(ledger, Served) else "wherry_ledger:LedgerSource"
        folder = () if isinstance(ledger, Served) else ("--set", f"folder={ledger.folder}")
        words = ("--schema", places.SCHEMA, "--stream", stream_of(mode), "--mode", mode)
        code = run(["sync", reference, place.reference, *words, *folder, *args])
        said = capsys.readouterr().err
        return "" if code == 0 else f"exit {code}: {said}"

    return sync


def first(row: int, *values: Any) -> list[Any]:
    """Parameters, of which the first is tried in tier 0."""
    return [pytest.param(value, marks=pytest.mark.fault(row, tier=int(n > 0))) for n, value in enumerate(values)]


MODES = ("append", "merge", "replace", "history")


def reset(place: Any) -> None:
    """Forget everything."""
    place.query(f"drop schema if exists {places.SCHEMA} cascade")


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Its first true value."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.01)
    return found


# --- 4: COMMIT was sent, and no answer came


@pytest.mark.parametrize("answer", first(4, "lost", "never", "late"))
def test_a_commit_in_doubt(in_process, small, through, answer) -> None:
    """At each COMMIT of a run in turn: leases, plans, load ids, the load itself, publishing."""
    assert not in_process(small, through, "append")
    commits, nth = through.proxy.commits, 0
    for nth in range(1, commits + 1):
        reset(through)
        through.proxy.clear()
        through.proxy.commit(nth, answer, seconds=0.05)
        wrong = in_process(small, through, "append")
        assert not wrong, f"{answer} at COMMIT {nth}: {wrong}"
        assert not oracle.holds(through, small, "append"), f"{answer} at COMMIT {nth}"
    assert nth >= 5
    assert through.proxy.done.count(f"commit {answer}") == commits


@pytest.mark.fault(4, tier=1)
@pytest.mark.parametrize("answer", ["lost", "never", "late"])
@pytest.mark.parametrize("mode", ["merge", "replace", "history"])
def test_a_commit_in_doubt_in_other_modes(in_process, small, through, mode, answer) -> None:
    test_a_commit_in_doubt_of(in_process, small, through, mode, answer, random.Random(f"{mode} {answer}"))


def test_a_commit_in_doubt_of(in_process, small, through, mode, answer, chance) -> None:
    half = small.end // 2
    assert not in_process(small, through, mode, "--set", f"until={half}")
    commits = through.proxy.commits
    for nth in sorted(chance.sample(range(1, commits + 1), 4)):
        through.proxy.clear()
        reset(through)
        assert not in_process(small, through, mode, "--set", f"until={half}")
        through.proxy.commit(nth, answer, seconds=0.05)
        assert not in_process(small, through, mode), f"{mode} {answer} at COMMIT {nth}"
        assert not oracle.holds(through, small, mode, half, small.end), f"{mode} {answer} at COMMIT {nth}"


test_a_commit_in_doubt_of.__test__ = False  # type: ignore[attr-defined]


# --- 34: restarts


@pytest.mark.fault(34)
def test_a_destination_that_restarts(wherry, ledger, postgres_place) -> None:
    restarted(wherry, ledger, postgres_place, "append", postgres_place.cluster, 0.6, *SLOW)


@pytest.mark.fault(34, tier=1)
@pytest.mark.parametrize("seed", range(2))
def test_a_destination_that_restarts_at_random(wherry, ledger, postgres_place, mode, seed) -> None:
    moment = random.Random(f"{mode}{seed}").random() * 2
    restarted(wherry, ledger, postgres_place, mode, postgres_place.cluster, moment, *SLOW)


@pytest.mark.fault(34, tier=1)
@pytest.mark.parametrize("seed", range(2))
def test_a_source_that_restarts_at_random(
    wherry, new_ledger, source_database, duckdb_place, mode, postgres_cluster, seed
) -> None:
    served = Served.of(new_ledger(rows=20_000, wide=200), source_database)
    moment = random.Random(f"{mode}{seed}").random() * 1.5
    restarted(wherry, served, duckdb_place, mode, postgres_cluster, moment, *CURSORS.get(mode, ()), source=True)


def restarted(wherry, ledger, place, mode, cluster, moment, *args, source=False) -> None:
    """A restart as in a crash at some moment of a run, and the run after it."""
    child = wherry.start(*wherry.syncing(ledger, place, mode, *args))
    time.sleep(moment)
    cluster.restart("immediate")
    done = child.wait()
    failed = 3 if source else 4
    wrong = oracle.told(done, 0, failed) + oracle.bounded(done)
    if done.code:
        done = wherry.sync(ledger, place, mode, *args, "--wait", "90")
        wrong += oracle.told(done, 0)
    # temporary tables of a server that crashed stay listed until their place is used again
    left = [name for name in oracle.clean(place) if "_wherry_stage" not in name]
    assert not wrong + oracle.holds(place, ledger, mode) + left, f"restart after {moment:.2f} s"


# --- 36: one backend is ended


@pytest.mark.parametrize("mode", first(36, *MODES))
def test_a_backend_ended_in_mid_copy(wherry, ledger, postgres_place, mode) -> None:
    child = wherry.start(*wherry.syncing(ledger, postgres_place, mode, *SLOW))
    copying = (
        "select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'copy %stdin%' and state = 'active'"
    )
    until(lambda: postgres_place.query(copying))
    done = child.wait()
    assert "trying again" in done.stderr
    wrong = oracle.told(done, 0) + oracle.holds(postgres_place, ledger, mode) + oracle.clean(postgres_place)
    assert not wrong


@pytest.mark.fault(36, tier=1)
def test_a_backend_of_the_source_ended_in_mid_copy(wherry, new_ledger, source_database, duckdb_place, proxy) -> None:
    served = Served.of(new_ledger(rows=100_000, changes=0), source_database, proxy.url(source_database))
    proxy.limit(1 << 20)
    child = wherry.start(*wherry.syncing(served, duckdb_place, "replace"))
    copying = (  # more of it than the sockets' buffers hold is still to come
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where query ilike 'copy (%' and wait_event = 'ClientWrite'"
    )
    with psycopg.connect(source_database, autocommit=True) as session:
        until(lambda: session.execute(copying).fetchall())
    proxy.limit(0)
    done = child.wait()
    assert "trying again" in done.stderr
    assert not oracle.told(done, 0) + oracle.holds(duckdb_place, served, "replace")


# --- 37: reset after n bytes


def swept(in_process, ledger, place, mode, proxy, points, *args) -> int:
    """Runs that are reset after n bytes, for each n that `points` makes of the bytes of an undisturbed one."""
    before = proxy.sent
    reset_of(place)
    assert not in_process(ledger, place, mode, *args)
    found = points(proxy.sent - before)
    for n in found:
        reset_of(place)
        proxy.clear()
        proxy.cut(after=n)
        wrong = in_process(ledger, place, mode, *args)
        assert not wrong, f"reset after {n} bytes: {wrong}"
        assert not oracle.holds(place, ledger, mode), f"reset after {n} bytes"
    return len(found)


def reset_of(place: Any) -> None:
    if place.name == "postgres":
        reset(place)
    else:
        Path(place.path).unlink(missing_ok=True)


def some(count: int) -> Callable[[int], list[int]]:
    """So many points, spread over the exchange, the same each time."""
    return lambda total: sorted(random.Random(total // 1000).sample(range(1, total), count))


@pytest.mark.fault(37)
def test_a_reset_after_some_bytes(in_process, small, through, proxy) -> None:
    swept(in_process, small, through, "merge", proxy, some(2))


@pytest.mark.fault(37, tier=1)
def test_resets_all_over_the_exchange(in_process, small, through, mode, proxy, record_property) -> None:
    record_property("cases", swept(in_process, small, through, mode, proxy, some(10)))


@pytest.mark.fault(37, tier=1)
def test_resets_all_over_the_exchange_with_a_source(
    in_process, small, source_database, duckdb_place, mode, proxy, record_property
) -> None:
    served = Served.of(small, source_database, proxy.url(source_database))
    record_property("cases", swept(in_process, served, duckdb_place, mode, proxy, some(8), *CURSORS.get(mode, ())))


@pytest.mark.fault(37, tier=2)
def test_a_reset_after_every_kilobyte(in_process, small, through, mode, proxy, record_property) -> None:
    record_property("cases", swept(in_process, small, through, mode, proxy, lambda total: list(range(1, total, 1024))))


# --- 38: gone without a word


@pytest.mark.fault(38, tier=1)
def test_a_connection_that_goes_silent_is_left_for_another(wherry, ledger, through) -> None:
    """What stood between has forgotten the connection; the server can be reached."""
    child = wherry.start(*wherry.syncing(ledger, through, "append", *SLOW, *QUICK, "--json"))
    assert child.wait_for("batch_loaded", 3)
    through.proxy.freeze()
    done = child.wait()
    assert not oracle.told(done, 0) + oracle.holds(through, ledger, "append")
    assert "does not" in done.stdout


@pytest.mark.fault(38, tier=1)
def test_servers_that_go_silent_for_good(
    wherry, ledger, through, source_database, duckdb_place, postgres_cluster
) -> None:
    with Proxy(postgres_cluster.port) as other:
        served = Served.of(ledger, source_database, other.url(source_database))
        other.limit(20_000)
        slow = ("--set", "rows=250", "--set", "pause=1")
        to = wherry.start(*wherry.syncing(ledger, through, "append", *slow, *QUICK, "--json"))
        come = wherry.start(
            *wherry.syncing(served, duckdb_place, "append", *CURSORS["append"], "--set", "connect_timeout=1")
        )
        assert to.wait_for("batch_loaded", 2)
        copying = "select 1 from pg_stat_activity where query ilike 'copy (%'"  # done or not: its rows are on their way
        until(lambda: postgres_cluster.psql(copying))
        for proxy in (through.proxy, other):
            proxy.freeze(forever=True)
        ended = [to.wait(150), come.wait(150)]
        other.clear()
        through.proxy.clear()
        wrong = oracle.told(ended[0], 4, names="log") + oracle.told(ended[1], 3, names="log")
        wrong += oracle.bounded(ended[0], seconds=120) + oracle.bounded(ended[1], seconds=120)
        wrong += wherry.recovers(ledger, through, "append", *QUICK, "--wait", "20")
        done = wherry.sync(served, duckdb_place, "append", *CURSORS["append"])
        assert not wrong + oracle.told(done, 0) + oracle.holds(duckdb_place, served, "append")


# --- 39: dropped while idle


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("append", marks=pytest.mark.fault(39, tier=1)),
        pytest.param("merge", marks=pytest.mark.fault(39, tier=2)),
    ],
)
def test_idle_connections_are_dropped_while_the_source_is_slow(wherry, new_ledger, through, mode) -> None:
    ledger = new_ledger(rows=300, changes=0)
    through.proxy.idle(5)
    done = wherry.sync(ledger, through, mode, "--set", "rows=150", "--set", "pause=7")
    assert "idle" in through.proxy.done  # the connection for bookkeeping, at least
    assert "trying again" not in done.stderr
    assert not oracle.told(done, 0) + oracle.holds(through, ledger, mode)


# --- 40: a slow line


@pytest.mark.fault(40, tier=1)
def test_a_line_of_56_kbit(wherry, new_ledger, through, source_database, duckdb_place) -> None:
    ledger = new_ledger(rows=200, changes=0)
    served = Served.of(ledger, source_database, through.proxy.url(source_database))
    through.proxy.limit(7000)
    runs = [
        wherry.start(*wherry.syncing(ledger, through, "merge")),
        wherry.start(*wherry.syncing(served, duckdb_place, "replace")),
    ]
    ended = [begun.wait() for begun in runs]
    for done in ended:
        assert not oracle.told(done, 0)
        assert "trying again" not in done.stderr
    assert not oracle.holds(through, ledger, "merge") + oracle.holds(duckdb_place, served, "replace")


@pytest.mark.fault(40, tier=1)
def test_memory_stays_flat_on_a_slow_line(wherry, new_ledger, through) -> None:
    """48 MB from a source that is much faster than the line: as much memory as on a fast one."""
    ledger, peaks = new_ledger(rows=600, changes=0, wide=40_000), []
    for rate in (0, 6 << 20):
        reset(through)
        through.proxy.limit(rate)
        done = wherry.sync(ledger, through, "append", "--set", "rows=20", "--memory", "32MB")
        assert not oracle.told(done, 0)
        assert through.query(f"select count(*), sum(length(payload)) from {places.SCHEMA}.log") == [(600, 24_000_000)]
        peaks.append(done.peak)
    assert peaks[1] - peaks[0] < 32 << 20, [peak >> 20 for peak in peaks]


# --- 41: names


@pytest.fixture
def resolver(tmp_path: Path) -> Resolver:
    if not Resolver.possible():
        pytest.skip("answers for names need a C compiler")
    return Resolver(tmp_path)


@pytest.mark.fault(41, tier=1)
def test_a_name_that_resolves_late_and_otherwise(
    wherry, small, through, source_database, duckdb_place, resolver
) -> None:
    """Nothing answers at the second address."""
    through.host, through.query_string = NAME, "?sslmode=disable"
    resolver.answers("fail", "127.0.0.2", "127.0.0.1")
    done = wherry.sync(small, through, "append", env=resolver.env)
    assert not oracle.told(done, 0) + oracle.holds(through, small, "append")
    assert resolver.left() == 1
    assert f"{NAME}:{through.proxy.port}" in done.stderr
    assert "sslmode=disable lets rows and password go unencrypted" in done.stderr
    served = Served.of(small, source_database, through.proxy.url(source_database, NAME) + "?sslmode=disable")
    resolver.answers("fail", "127.0.0.2", "127.0.0.1")
    done = wherry.sync(served, duckdb_place, "replace", env=resolver.env)
    assert not oracle.told(done, 0) + oracle.holds(duckdb_place, served, "replace")
    assert "sslmode=disable lets rows and password go unencrypted" in done.stderr


@pytest.mark.fault(41, tier=1)
def test_a_name_that_never_resolves(wherry, small, through, duckdb_place, resolver) -> None:
    through.host, through.query_string = NAME, "?sslmode=disable"
    resolver.answers("fail")
    done = wherry.sync(small, through, "append", env=resolver.env)
    assert not oracle.told(done, 4) + oracle.bounded(done)
    assert NAME in done.stderr
    done = wherry("sync", through.reference, duckdb_place.reference, env=resolver.env)
    assert not oracle.told(done, 3) + oracle.bounded(done)
    assert NAME in done.stderr


# --- 42: TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not certificates.possible():
        pytest.skip("makes its certificates with openssl")
    return certificates.make(tmp_path_factory.mktemp("tls") / "ca", NAME)


@pytest.fixture
def show(postgres_cluster: Any, authority: Path) -> Iterator[Callable[[str | None], None]]:
    """Has the server show a certificate of a kind, or speak no TLS."""
    if postgres_cluster.psql("show ssl_library") == [("",)]:
        pytest.skip("this server was built without TLS")
    yield lambda kind: certificates.serve(postgres_cluster, authority, kind)
    certificates.serve(postgres_cluster, authority, None)


@pytest.fixture
def check(wherry: Any, through: Through, resolver: Resolver) -> Callable[..., list[Any]]:
    """`wherry check` of the source, and of the destination: how both ended."""

    def both(words: str = "", **env: str) -> list[Any]:
        reference = through.proxy.url(through.url, NAME) + words
        runs = [wherry.start("check", *ends, env=resolver.env | env) for ends in ((reference,), ("sample", reference))]
        return [begun.wait() for begun in runs]

    return both


@pytest.mark.fault(42, tier=1)
def test_another_machine_has_to_speak_tls(wherry, check, show, small, through, resolver) -> None:
    show(None)
    for done in check():
        assert not oracle.told(done, 2)
        assert "does not speak TLS" in done.stderr
        assert "sslmode=disable" in done.stderr
    for done in [*check("?sslmode=disable"), *check(PGSSLMODE="prefer")]:
        assert not oracle.told(done, 0)
        assert "lets rows and password go unencrypted" in done.stdout
    show("good")
    through.host = NAME
    done = wherry.sync(small, through, "append", env=resolver.env)
    assert not oracle.told(done, 0) + oracle.holds(through, small, "append")
    assert "unencrypted" not in done.stderr
    assert through.proxy.commits == 0  # else the proxy could read along


@pytest.mark.fault(42, tier=1)
def test_a_downgrade_is_refused(check, show, through, authority) -> None:
    """Somebody on the way says that the server speaks no TLS."""
    show("good")
    through.proxy.downgrade()
    for done in [*check(), *check(f"?sslmode=verify-full&sslrootcert={authority / 'ca.crt'}")]:
        assert not oracle.told(done, 2)
        assert "TLS" in done.stderr


@pytest.mark.fault(42, tier=1)
@pytest.mark.parametrize(
    ("kind", "reason"), [("good", ""), ("expired", "expired"), ("stranger", "match"), ("self", "self")]
)
def test_certificates_are_checked_by_the_authority_that_is_named(check, show, authority, kind, reason) -> None:
    show(kind)
    for done in check(f"?sslrootcert={authority / 'ca.crt'}"):
        assert not oracle.told(done, 2 if reason else 0)
        assert reason in done.stderr or "certificate verify failed" in done.stderr
        assert not reason or "sslmode" in done.stderr


# --- 43: the server's disk


@pytest.mark.fault(43, tier=1)
def test_a_full_disk_of_the_server(wherry, new_ledger, postgres_cluster, tmp_path) -> None:
    ledger = new_ledger(rows=20_000, changes=0, wide=400)  # too short to be compressed
    name = f"small_{os.getpid()}"
    space = postgres_cluster.folder / name
    space.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0777", "none", space], capture_output=True
    ).returncode:
        space.rmdir()
        pytest.skip("no right to mount a small file system")
    (space / "in").mkdir(mode=0o700)
    shutil.chown(space / "in", postgres_cluster.data.owner(), postgres_cluster.data.group())
    postgres_cluster.psql(f"create tablespace {name} location '{space / 'in'}'")
    url = postgres_cluster.create_database()
    try:
        postgres_cluster.psql(f"alter database {url.rpartition('/')[2]} set default_tablespace = {name}")
        place = places.InPostgres(url, postgres_cluster)
        for mode in ("append", "merge"):
            done = wherry.sync(ledger, place, mode)
            assert not oracle.told(done, 4, names=stream_of(mode))
            assert "the server's disk is full" in done.stderr
            assert not places.rows(place, stream_of(mode))
        subprocess.run(["mount", "-o", "remount,size=64m", space], check=True)
        for mode in ("append", "merge"):
            assert not wherry.recovers(ledger, place, mode)
    finally:
        postgres_cluster.drop_database(url)
        postgres_cluster.psql(f"drop tablespace {name}")
        subprocess.run(["umount", "-l", space], check=True)


# --- 44: privileges


@pytest.fixture
def limited(postgres_place: Any) -> Iterator[places.InPostgres]:
    """The same database for a user who owns what it creates, and nothing else."""
    user, database = f"limited_{os.getpid()}", postgres_place.url.rpartition("/")[2]
    postgres_place.query(f"create role {user} login")
    postgres_place.query(f"grant create, temporary on database {database} to {user}")
    yield places.InPostgres(postgres_place.cluster.url(database, user), postgres_place.cluster)
    postgres_place.query(f"drop owned by {user} cascade")
    postgres_place.query(f"drop role {user}")


@pytest.mark.fault(44, tier=1)
@pytest.mark.parametrize(("mode", "right"), [("append", "insert"), ("merge", "insert, update")])
def test_the_right_to_insert_is_revoked_in_mid_run(wherry, ledger, limited, postgres_place, mode, right) -> None:
    half, user, table = ledger.end // 2, f"limited_{os.getpid()}", f"{places.SCHEMA}.{stream_of(mode)}"
    assert not oracle.told(wherry.sync(ledger, limited, mode, "--set", f"until={half}"), 0)
    child = wherry.start(*wherry.syncing(ledger, limited, mode, "--set", "rows=1000", "--set", "pause=0.5", "--json"))
    assert child.wait_for("run_started")
    postgres_place.query(f"revoke {right} on {table} from {user}")
    done = child.wait()
    assert not oracle.told(done, 4, names=stream_of(mode))
    assert f'permission denied for table {stream_of(mode)}: user "{user}" lacks INSERT' in done.stderr
    assert not oracle.holds(postgres_place, ledger, mode, half)
    postgres_place.query(f"grant {right} on {table} to {user}")
    assert not wherry.recovers(ledger, limited, mode)


@pytest.mark.fault(44, tier=1)
def test_the_right_to_create_is_revoked_in_mid_run(wherry, ledger, limited, postgres_place) -> None:
    user, schema = f"limited_{os.getpid()}", places.SCHEMA
    assert not oracle.told(wherry.sync(ledger, limited, "replace", "--set", "until=3000"), 0)
    child = wherry.start(*wherry.syncing(ledger, limited, "replace", "--set", "pause=1", "--json"))
    assert child.wait_for("run_started")
    postgres_place.query(f"revoke create on schema {schema} from {user}")
    done = child.wait()
    assert not oracle.told(done, 4, names="items")
    assert f'permission denied for schema {schema}: user "{user}" lacks CREATE' in done.stderr
    assert not oracle.holds(postgres_place, ledger, "replace", 3000)
    postgres_place.query(f"grant create on schema {schema} to {user}")
    assert not wherry.recovers(ledger, limited, "replace")


@pytest.mark.fault(44, tier=1)
def test_the_right_to_select_is_revoked_at_the_source(wherry, served, limited, duckdb_place) -> None:
    """Nothing is emptied: the table stays as it was."""
    database, user = served.url.rpartition("/")[2], f"limited_{os.getpid()}"
    cluster = limited.cluster
    cluster.psql(f"grant select on items to {user}", database)
    reader = Served(served.folder, served.rows, served.url, cluster.url(database, user))
    assert not oracle.told(wherry.sync(reader, duckdb_place, "replace"), 0)
    cluster.psql(f"revoke select on items from {user}", database)
    done = wherry.sync(reader, duckdb_place, "replace")
    assert done.code in (2, 3)
    assert "items" in done.stderr
    assert not oracle.holds(duckdb_place, served, "replace")
    cluster.psql(f"grant select on items to {user}", database)
    assert not oracle.told(wherry.sync(reader, duckdb_place, "replace"), 0)
    cluster.psql(f"drop owned by {user}", database)


# --- 45: conflicts


@pytest.mark.fault(45, tier=1)
def test_a_deadlock_that_the_load_loses(wherry, ledger, postgres_place) -> None:
    half = ledger.end // 2
    assert not oracle.told(wherry.sync(ledger, postgres_place, "merge", "--set", f"until={half}"), 0)
    with psycopg.connect(postgres_place.url) as other:
        other.execute("set deadlock_timeout = '60s'")
        other.execute(f"lock table {places.SCHEMA}._wherry_loads in share mode")
        child = wherry.start(*wherry.syncing(ledger, postgres_place, "merge"))
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'insert%wherry_loads%'"
        until(lambda: postgres_place.query(waiting))
        crossed = threading.Thread(
            target=other.execute, args=(f"lock table {places.SCHEMA}.items in access exclusive mode",)
        )
        crossed.start()
        crossed.join(60)
        other.rollback()
        done = child.wait()
    assert "deadlock detected; trying again" in done.stderr
    assert not oracle.told(done, 0) + oracle.holds(postgres_place, ledger, "merge") + oracle.clean(postgres_place)


@pytest.mark.parametrize("mode", first(45, *MODES))
def test_serialization_failures(wherry, ledger, postgres_place, mode) -> None:
    """Two in succession, from a trigger of the user's on the bookkeeping of loads."""
    half = ledger.end // 2
    assert not oracle.told(wherry.sync(ledger, postgres_place, mode, "--set", f"until={half}"), 0)
    postgres_place.query("create sequence tries")
    postgres_place.query("""create function clash() returns trigger language plpgsql as $$ begin
        if nextval('public.tries') <= 2 then
            raise exception 'could not serialize access' using errcode = 'serialization_failure';
        end if; return new; end $$""")
    postgres_place.query(
        f"create trigger clash before insert on {places.SCHEMA}._wherry_loads for each row execute function clash()"
    )
    done = wherry.sync(ledger, postgres_place, mode)
    assert done.stderr.count("could not serialize access; trying again") == 2
    wrong = oracle.told(done, 0) + oracle.holds(postgres_place, ledger, mode, half, ledger.end)
    assert not wrong
