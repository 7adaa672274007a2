"""The arithmetic of the bench, and what it reads from the kernel and from other programs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import contest
import pytest
from contest import Case, fastest, finished, held, lines, ratio, result
from environments import Environment, NotInstalled
from lineitem import changed, digest_in_duckdb, write_files
from measure import Failed, Measured, measure
from places import DuckdbFile
from processes import parsed, server_cpu, threads, tree
from profiles import estimated, summed
from report import _result


def timed(name: str, role: str, *times: float, rows: int = 0, fails: str = "") -> Case:
    """A case whose runs print these seconds one after the other."""
    left = list(times)

    def seconds(run: Measured) -> float:
        assert run.output == "hello\n"
        if fails and not left:
            raise Failed(fails)
        return left.pop(0)

    return Case(name, role, lambda: ["echo", "hello"], rows=rows, seconds=seconds)


def of(*cases: Case, times: int = 3, rows: int = 1000) -> dict[str, Any]:
    return result("t", rows, held(cases, times), {"far": "far: no such package"})


def test_medians_ratios_and_rates() -> None:
    part = timed("tenth", "peer", 1, 1, 1, rows=100)
    found = of(timed("limit", "limit", 2, 9, 1), timed("ours", "wherry", 4, 3, 5), part)
    limit, ours, tenth = found["cases"]
    assert (limit["seconds"], ours["seconds"], ours["ratio"], ours["rate"]) == (2, 4, 2.0, 250)
    assert (tenth["seconds"], tenth["ratio"], tenth["rate"], tenth["rows"]) == (1, 5.0, 100, 100)
    assert ratio(found, "ours", "limit") == 2
    assert ratio(found, "tenth", "ours") == 2.5
    assert fastest(found, "peer") == tenth
    assert fastest(found, "other") is None
    assert found["missing"] == {"far": "far: no such package"}
    assert lines(found)[2][1:4] == ("1.00 for 100 rows", "5.00", "100")


def test_cases_take_turns_and_a_slow_peer_runs_once(capfd: pytest.CaptureFixture[str]) -> None:
    found = of(timed("limit", "limit", 1, 1, 1), timed("slow", "peer", 61), timed("quick", "peer", 59, 3, 3))
    assert [len(case["times"]) for case in found["cases"]] == [3, 1, 3]
    order = [line.split(":")[0].strip() for line in capfd.readouterr().err.splitlines()]
    assert order == ["limit", "slow", "quick", "limit", "quick", "limit", "quick"]


def test_a_peer_that_fails_is_not_counted_and_says_why() -> None:
    found = of(timed("limit", "limit", 1, 1, 1), timed("peer", "peer", 1, fails="it said:\nno disk"))
    assert [case["name"] for case in found["cases"]] == ["limit"]
    assert found["missing"]["peer"] == "no disk"


def test_what_fails_of_ours_ends_the_bench() -> None:
    with pytest.raises(Failed, match="no disk"):
        of(timed("ours", "wherry", fails="no disk"))


def test_results_are_kept_beside_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contest, "RESULTS", tmp_path / "results.json")
    found = of(timed("limit", "limit", 1), times=1)
    for title in ("b", "a"):
        finished(argparse.Namespace(json=None, save=True), [found | {"title": title}])
    assert list(json.loads((tmp_path / "results.json").read_text())) == ["a", "b"]
    assert "not counted: far: far: no such package" in capsys.readouterr().out
    assert "Not counted: far: far: no such package" in _result(found)


def test_a_command_is_measured_with_its_children() -> None:
    code = "import time\nblock = bytearray(60 << 20)\nwhile time.process_time() < 0.3: pass"
    found = measure(["sh", "-c", f"{sys.executable} -c '{code}'; echo done"], output=True)
    assert found.output == "done\n"
    assert 0.3 <= found.cpu < 3
    assert found.rss > 60
    assert found.wall >= 0.3
    assert found.others <= found.wall * (os.cpu_count() or 1)
    assert max(found.threads.values()) >= 0.1


def test_a_command_has_to_succeed_in_time() -> None:
    with pytest.raises(Failed, match=r"exit 3\n.*no disk"):
        measure(["sh", "-c", "echo no disk >&2; exit 3"])
    with pytest.raises(Failed, match="stopped after 0 s"):
        measure(["sleep", "60"], seconds=0.1)


def test_lines_of_the_kernel() -> None:
    text = "12 (a (b) c) S 1 12 12 0 -1 4194560 100 0 0 0 150 50 300 100 20 0 1 0 5 1 1"
    assert parsed(text) == ("a (b) c", (2.0, 4.0))
    assert os.getpid() in tree(os.getppid())
    assert sum(threads(os.getpid()).values()) > 0
    assert server_cpu(os.getpid()) > 0


def test_cores_divide_what_can_be_divided() -> None:
    assert estimated(6, total=12, single=3, cores=4) == 3
    assert estimated(6, total=12, single=4, cores=4) == 4
    assert estimated(7.5, total=12, single=8, cores=4) == 7.5


def test_a_profile_adds_up_threads_of_a_kind() -> None:
    line = {"thread": "lane-1", "where": "load.write", "line": "write()", "file": "f", "cpu": 0.5}
    found = {"cpu": 4.0, "threads": {"lane-1": 1.0, "lane-2": 1.5, "read x": 0.5}, "others": 1.0, "lines": [line, line]}
    kept = summed(found, Measured(3.0, 4.0, 10, server=2.0, sessions={1: 1.75, 2: 0.25}))
    assert kept["threads"] == {"lane": 2.5, "read x": 0.5, "threads of Arrow and DuckDB": 1.0}
    assert (kept["single"], kept["session"], kept["cores"]) == (1.75, 1.75, {"3": 2.0, "4": 1.75})
    assert kept["lines"] == [{"where": "load.write", "line": "write()", "cpu": 1.0}]


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_BENCH_CACHE", str(tmp_path))
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho one >&2; echo no such package >&2; exit 1\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(NotInstalled, match=r"^x: no such package$"):
        Environment("x", ("y==1",)).ready()
    assert Environment("x", ("y==1",)).folder != Environment("x", ("y==2",)).folder


def test_four_in_a_hundred_change() -> None:
    assert changed(5_000_000) == (150_000, 50_000)


def test_a_file_is_put_back_as_it_was_kept(tmp_path: Path) -> None:
    import duckdb

    place = DuckdbFile(tmp_path / "t.duckdb")
    with duckdb.connect(str(place.target)) as db:
        db.execute("create table t as select 1 as a")
    (tmp_path / "t.duckdb.wal").write_bytes(b"")
    place.keep("base")
    assert not Path(place.target).exists()
    place.restored("base")
    with duckdb.connect(str(place.target)) as db:
        assert db.execute("update t set a = 2 returning a").fetchall() == [(2,)]
    place.restored("base")
    assert (tmp_path / "t.duckdb.wal").exists()
    with duckdb.connect(str(place.target)) as db:
        assert db.sql("select a from t").fetchall() == [(1,)]
    place.emptied()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["t.duckdb.base", "t.duckdb.base.wal"]


def test_the_digest_is_the_same_in_both_kinds_of_file_and_sees_every_kind_of_change(tmp_path: Path) -> None:
    import duckdb

    files = write_files(tmp_path, 2000, ["duckdb", "jsonl"])
    wanted = digest_in_duckdb(str(files["duckdb"]), "lineitem")
    other = str(tmp_path / "other.duckdb")
    with duckdb.connect(other) as db:
        db.execute("create table lineitem as from read_json(?)", [str(files["jsonl"])])
    assert digest_in_duckdb(other, "lineitem", cast=True) == wanted
    for change in ("l_comment = '' where l_comment is null", "l_tax = l_tax + 0.01 where l_orderkey = 1"):
        with duckdb.connect(other) as db:
            db.execute(f"update lineitem set {change}")
        changed_digest = digest_in_duckdb(other, "lineitem", cast=True)
        assert (changed_digest[0], changed_digest[1] == wanted[1]) == ("2000", False)
