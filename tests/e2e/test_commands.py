"""The commands beside `sync`, on real engines."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wherry_cluster import Cluster
from wherry_shop import Shop


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, shop: Shop) -> str:
    """DEST, holding a small shop in schema `data`."""
    Path("data").mkdir()
    Path("data/orders.csv").write_text('id,note,day\n1,"a,b",2024-01-01 06:00:00\n2,"",2024-01-02 00:00:00.5\n3,,\n')
    Path("data/people.csv").write_text("name\nŽofie\n")
    where = "wh.duckdb" if request.param == "duckdb" else str(request.getfixturevalue("postgres_database"))
    shop.ok("sync", "data", where)
    return where


def test_sql(shop: Shop, warehouse: str) -> None:
    query = "select id, note, day from orders order by id"
    assert shop.ok("sql", warehouse, query).splitlines() == [
        "id  note  day",
        " 1  a,b   2024-01-01 06:00:00",
        " 2        2024-01-02 00:00:00.5",
        " 3  ∅     ∅",
    ]
    rows = [json.loads(line) for line in shop.ok("sql", warehouse, query, "--json").splitlines()]
    assert rows[1:] == [{"id": 2, "note": "", "day": "2024-01-02 00:00:00.5"}, {"id": 3, "note": None, "day": None}]
    out = shop.ok("sql", warehouse, query, "--csv")
    assert out.splitlines()[1:] == ['1,"a,b",2024-01-01 06:00:00', '2,"",2024-01-02 00:00:00.5', "3,,"]
    assert list(csv.reader(io.StringIO(out)))[1] == ["1", "a,b", "2024-01-01 06:00:00"]
    assert len(shop.ok("sql", warehouse, query, "--limit", "2").splitlines()) == 3


def test_sql_takes_no_lease_and_only_reads(shop: Shop, warehouse: str) -> None:
    before = shop.ok("runs", warehouse, "--json")
    assert shop.ok("sql", warehouse, "select count(*) as n from data.people").split() == ["n", "1"]
    for statement in ("delete from people", "insert into people (name) values ('x')", "drop table people",
                      "create table more (x int)", "/* so */ update people set name = ''"):  # fmt: skip
        err = shop.refused(["sql", warehouse, statement])
        assert "wherry sql only reads" in err
    assert shop.ok("sql", warehouse, "select name from people").split() == ["name", "Žofie"]
    assert shop.ok("runs", warehouse, "--json") == before


def test_sql_mistakes(shop: Shop, warehouse: str) -> None:
    assert "nope" in shop.refused(["sql", warehouse, "select * from nope"])
    assert "selec" in shop.refused(["sql", warehouse, "selec 1"])
    assert "correct the statement" in shop.refused(["sql", warehouse, "select from where"])


def test_sql_of_a_large_result_begins_at_once(warehouse: str) -> None:
    """A million rows through a pipe whose reader goes after three lines."""
    series = "generate_series(1, 1000000)" if "://" in warehouse else "range(1000000)"
    command = [str(Path(sys.executable).with_name("wherry"))]
    child = subprocess.Popen(
        [*command, "sql", warehouse, f"select 7 as n from {series}", "--csv"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stderr is not None
    assert [child.stdout.readline() for _ in range(3)] == ["n\n", "7\n", "7\n"]
    child.stdout.close()
    assert child.wait(timeout=30) == 141
    assert child.stderr.read() == ""
    child.stderr.close()


def test_state_and_runs_of_a_real_engine(shop: Shop, warehouse: str) -> None:
    before = shop.ok("state", "show", warehouse, "--json")
    (kept,) = json.loads(before)
    assert (kept["schema"], kept["pipeline"]) == ("data", "files-data")
    assert [record["key"] for record in kept["streams"]] == ["orders", "people"]
    shop.ok("sync", "data", warehouse)
    assert shop.ok("state", "show", warehouse, "--json") == before
    runs = json.loads(shop.ok("runs", warehouse, "--json"))
    assert [(run["run"], run["inserted"]) for run in runs] == [(2, 0), (1, 4)]
    shop.ok("state", "reset", warehouse, "people", "--yes")
    assert [r["key"] for r in json.loads(shop.ok("state", "show", warehouse, "--json"))[0]["streams"]] == ["orders"]
    runs = json.loads(shop.ok("runs", warehouse, "--json"))
    assert runs[0]["outcome"] == "ok"


def test_plan_of_a_real_engine_changes_nothing(shop: Shop, warehouse: str) -> None:
    before = shop.ok("sql", warehouse, "select count(*) as n from information_schema.tables")
    Path("data/people.csv").write_text("name,age\nŽofie,7\n")
    Path("data/more.csv").write_text("x\n1\n")
    streams = {s["stream"]: s for s in json.loads(shop.ok("plan", "data", warehouse, "--json"))["streams"]}
    assert (streams["people"]["fate"], streams["people"]["added"]) == ("rebuilt", {"age": "bigint"})
    assert (streams["orders"]["fate"], streams["orders"]["reads"]) == ("kept", "nothing: no news")
    assert streams["more"]["fate"] == "created"
    assert shop.ok("sql", warehouse, "select count(*) as n from information_schema.tables") == before


def test_commands_on_a_destination_that_is_not_there_leave_it_so(shop: Shop) -> None:
    Path("x.csv").write_text("a\n1\n")
    for args in (["plan", "x.csv"], ["check", "x.csv"]):
        shop.ok(*args, "new.duckdb")
    assert shop.ok("runs", "new.duckdb") == "no runs yet\n"
    assert shop.ok("state", "show", "new.duckdb") == "no bookmarks yet\n"
    assert not Path("new.duckdb").exists()


def test_a_table_of_another_pipeline_is_adopted_by_the_command_that_is_proposed(shop: Shop, warehouse: str) -> None:
    Path("y.csv").write_text("a\n1\n")
    shop.ok("sync", "y.csv", warehouse, "--schema", "two")
    second = ["sync", "y.csv", warehouse, "--schema", "two", "--pipeline", "second"]
    proposed = re.search(r"next: wherry (.*), or choose", shop.run(*second).err)
    assert proposed is not None
    shop.ok(*shlex.split(proposed[1]))
    shop.ok(*second)


def test_beside_a_live_writer(shop: Shop, warehouse: str) -> None:
    """A file that another process writes says who holds it; a server answers."""
    code = (
        "import sys, time; from wherry.cli.app import App; from wherry.cli.options import workspace\n"
        "end = workspace(App()).destination(sys.argv[1])\n"
        "session = end.new().open('files-data', schema='data'); print('open', flush=True); sys.stdin.read()\n"
        "session.close()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, warehouse], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    try:
        if "://" in warehouse:
            assert shop.ok("sql", warehouse, "select name from people").split() == ["name", "Žofie"]
            assert len(json.loads(shop.ok("state", "show", warehouse, "--json"))) == 1
        else:
            for args in (["sql", warehouse, "select 1"], ["state", "show", warehouse], ["runs", warehouse]):
                refused = shop.refused(args, code=7)
                assert f"is being written by process {child.pid}" in refused
                assert "next: run this again when that has ended" in refused  # there is no --wait here
        err = shop.refused(["state", "reset", warehouse, "people", "--yes"], code=7)
        assert str(child.pid) in err
    finally:
        child.communicate("")
        child.stdout.close()


def test_discover_and_preview_a_database(shop: Shop, postgres_cluster: Cluster, postgres_database: str) -> None:
    name = postgres_database.rpartition("/")[2]
    postgres_cluster.psql(
        "create table orders (id int primary key, amount numeric(10,2) not null);"
        "comment on column orders.amount is 'gross'; insert into orders values (1, 1.50), (2, 9.99);", name,
    )  # fmt: skip
    assert shop.ok("check", postgres_database).startswith("✔ source postgres: postgresql://")
    lines = shop.ok("discover", postgres_database, "--columns").splitlines()
    assert lines[1].split() == ["orders", "id", "int", "not", "null", "key"]
    assert lines[2].split() == ["orders", "amount", "decimal(10,2)", "not", "null", "gross"]
    assert shop.ok("preview", postgres_database, "--where", "amount > 5").split() == ["id", "amount", "2", "9.99"]
    err = shop.refused(["preview", postgres_database, "--where", "nope > 5"])
    assert "nope" in err


def test_five_thousand_tables(shop: Shop, postgres_cluster: Cluster, postgres_database: str) -> None:
    name = postgres_database.rpartition("/")[2]
    block = "do $$ begin for i in {} .. {} loop execute format('create table t%s (id int)', i); end loop; end $$"
    for first in range(1, 5000, 1000):  # one transaction holds only so many locks
        postgres_cluster.psql(block.format(first, first + 999), name)
    began = time.monotonic()
    out = shop.ok("discover", postgres_database)
    assert len(out.splitlines()) == 5001
    assert time.monotonic() - began < 10
    out = shop.ok("preview", postgres_database, "--limit", "1")
    assert out.splitlines()[-1] == "… and 4,990 more streams: choose with --stream"


@pytest.mark.parametrize("what", ["sql", "preview"])
def test_a_command_that_reads_only_a_little_ends(postgres_database: str, tmp_path: Path, what: str) -> None:
    """While the engine still reads ahead, on threads of its own."""
    command = [
        "sql",
        postgres_database,
        "select i, repeat('x', 50) from generate_series(1, 400000) as i",
        "--limit",
        "1",
    ]
    if what == "preview":
        file = tmp_path / "large.csv"
        file.write_text("id,text\n" + "".join(f"{n},{'x' * 100}\n" for n in range(200_000)))
        command = ["preview", str(file)]
    for _ in range(4):
        done = subprocess.run(
            [Path(sys.executable).with_name("wherry"), *command, "--json"], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout.splitlines()[0])
