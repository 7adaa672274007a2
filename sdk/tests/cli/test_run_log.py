"""The run log: private, bounded, never in a run's way."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from wherry.cli.run_log import RunLog, read, recent, state_folder
from wherry.config.redact import Redactor
from wherry.errors import PolicyError, ResourceError, SourceError, StreamError
from wherry.host.hooks import observer
from wherry.testing import Faults, MemoryDestination, MemorySource, MemoryStream, Store, run_sync

ORDERS = MemoryStream(name="orders", tables=(pa.table({"id": [1, 2, 3]}),), key=("id",))


def logged(log, *, store=None, faults=None, pipeline=None):
    return run_sync(
        lambda: MemorySource.of(ORDERS, faults=faults or Faults()),
        MemoryDestination.of(store or Store()),
        observers=(observer(log, "log", builtin=True),),
        pipeline=pipeline,
    )


class Clock:
    def __init__(self):
        self.now = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


def test_a_run_is_kept_as_lines(tmp_path):
    log = RunLog(tmp_path / "state", clock=Clock())
    logged(log)
    assert log.path == tmp_path / "state/runs/memory-memory/20261120T060002.000000Z-run1.jsonl"
    events = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [e["event"] for e in events] == ["run_started", "load_committed", "stream_finished", "run_finished"]
    assert events[-1]["totals"]["staged"] == 3


def test_nobody_else_may_read_it(tmp_path):
    log = RunLog(tmp_path / "state")
    logged(log)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    for folder in (log.path.parent, log.path.parent.parent, tmp_path / "state"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_last_runs_of_a_pipeline_are_kept(tmp_path):
    store, clock = Store(), Clock()
    for _ in range(5):
        logged(RunLog(tmp_path, clock=clock, kept=3), store=store)
    logged(RunLog(tmp_path, clock=clock, kept=3), pipeline="other")
    (tmp_path / "runs/memory-memory/notes.txt").write_text("not a log")
    found = recent(tmp_path, 10)
    assert [(run.pipeline, run.run) for run in found] == [
        ("other", 1), ("memory-memory", 5), ("memory-memory", 4), ("memory-memory", 3)
    ]  # fmt: skip
    assert (tmp_path / "runs/memory-memory/notes.txt").exists()
    assert [run.run for run in recent(tmp_path, 2)] == [1, 5]
    assert [run.run for run in recent(tmp_path, 2, "memory-memory")] == [5, 4]


def test_what_the_log_says_of_a_run(tmp_path):
    log = RunLog(tmp_path, clock=Clock())
    logged(log)
    run = read(log.path)
    assert (run.pipeline, run.run, run.started) == ("memory-memory", 1, "2026-11-20T06:00:02Z")
    assert (run.source, run.destination, run.schema) == ("memory memory", "memory", "memory")
    assert (run.outcome, run.exit_code, run.totals["staged"], run.error) == ("ok", 0, 3, "")
    assert run.seconds > 0


def test_a_run_that_never_began_is_kept_with_its_error(tmp_path):
    log = RunLog(tmp_path, pipeline="shop")
    faults = Faults().arm("discover", SourceError("nobody answers"))
    with pytest.raises(SourceError) as raised:
        logged(log, faults=faults)
    log.error(raised.value)
    run = recent(tmp_path, 1)[0]
    assert (run.pipeline, run.run, run.outcome, run.error) == ("shop", None, "failed", "nobody answers")
    assert log.path.parent.name == "shop"
    assert log.path.name.endswith("-run0.jsonl")


def test_a_killed_run_is_unfinished_and_half_a_line_harms_nothing(tmp_path):
    log = RunLog(tmp_path)
    logged(log)
    whole = log.path.read_text().splitlines()
    log.path.write_text("\n".join([*whole[:-1], whole[-1][:-9]]))
    run = recent(tmp_path, 1)[0]
    assert (run.outcome, run.exit_code, run.run) == ("unfinished", None, 1)


def test_secrets_are_masked(tmp_path):
    redactor = Redactor()
    redactor.add("hunter2hunter2")
    log = RunLog(tmp_path, redactor)
    logged(log, faults=Faults().arm("read", StreamError("refused hunter2hunter2")))
    assert "refused ***" in log.path.read_text()
    assert "hunter2" not in log.path.read_text()


@pytest.mark.parametrize("name", ["../../etc", ".", "a/b", "x" * 300, "läden", "\ud800", ".hidden"])
def test_any_name_of_a_pipeline_is_a_folder_of_its_own(tmp_path, name):
    log = RunLog(tmp_path)
    log.run_started(1, name, "s", "d", "main", [])
    assert log.path.parent.parent == tmp_path / "runs"
    assert not log.path.parent.name.startswith(".")
    assert recent(tmp_path, 1, name)[0].pipeline == name


def test_long_names_that_differ_at_the_end_stay_apart(tmp_path):
    for end in "ab":
        RunLog(tmp_path, clock=Clock()).run_started(1, "x" * 300 + end, "s", "d", "main", [])
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_folder_that_cannot_be_written_costs_the_log_and_one_warning(tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    warnings = []
    outcome = logged(RunLog(tmp_path / "state", warn=warnings.append))
    assert outcome.exit_code == 0
    assert len(warnings) == 1
    assert warnings[0].startswith(f"this run is not logged: {tmp_path / 'state'}")


def test_a_link_put_in_the_logs_place_is_not_followed(tmp_path):
    log = RunLog(tmp_path / "state")
    log.run_started(1, "p", "s", "d", "main", [])
    (tmp_path / "victim").write_text("precious")
    log.path.unlink()
    log.path.symlink_to(tmp_path / "victim")
    log.message("info", "more")
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("name", ["runs", "runs/p"])
def test_a_link_in_a_folders_place_is_refused(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "state" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PolicyError, match=f"{link} is a link"):
        RunLog(tmp_path / "state", pipeline="p").prepare()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_swapped_for_a_link_in_mid_run_takes_nothing_along(tmp_path):
    log = RunLog(tmp_path / "state", pipeline="p")
    log.prepare()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state/runs/p").rename(tmp_path / "state/runs/moved")
    (tmp_path / "state/runs/p").symlink_to(tmp_path / "elsewhere")
    log.run_started(1, "p", "s", "d", "main", [])
    log.message("info", "more")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (kept,) = (tmp_path / "state/runs/moved").iterdir()
    assert len(kept.read_text().splitlines()) == 2


def test_what_is_wrong_with_the_folder_is_told_before_the_run(tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    log = RunLog(tmp_path / "state", pipeline="p")
    with pytest.raises(ResourceError, match=f"run logs cannot be kept in {tmp_path / 'state'}: not a directory"):
        log.prepare()


def test_no_runs_yet(tmp_path):
    assert recent(tmp_path / "nothing", 5) == []
    assert recent(tmp_path / "nothing", 5, "p") == []


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/ana"}, "/home/ana/.local/state/wherry"),
        ({"HOME": "/home/ana", "XDG_STATE_HOME": "/var/state"}, "/var/state/wherry"),
        ({"HOME": "/home/ana", "XDG_STATE_HOME": "relative"}, "/home/ana/.local/state/wherry"),
        ({"HOME": "/home/ana", "XDG_STATE_HOME": "/var/state", "WHERRY_STATE_DIR": "/own"}, "/own"),
    ],
)
def test_where_state_is_kept(environ, folder):
    assert state_folder(environ) == Path(folder)
