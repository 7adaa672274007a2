"""The progress view over real runs: lines where there are only lines, a picture where there is a terminal."""

import io
import re
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pytest
from wherry.cli.style import plain
from wherry.cli.view import Progress
from wherry.config.redact import Redactor
from wherry.errors import StreamError, TransientError
from wherry.host.hooks import observer
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.lanes import Patience
from wherry.pipeline.outcome import NUMBERS
from wherry.pipeline.rejects import MaxRejects
from wherry.testing import Faults, MemoryDestination, MemorySource, MemoryStream, Store, run_sync


def stream(name="orders", rows=4, **options):
    table = pa.table({"id": range(rows), "at": range(rows)})
    return MemoryStream(name=name, tables=(table,), **{"key": ("id",), "batch": 1} | options)


def watched(progress, *streams, store=None, faults=None, **settings):
    return run_sync(
        lambda: MemorySource.of(*streams, faults=faults or Faults()),
        MemoryDestination.of(store or Store()),
        observers=(observer(progress, "view", builtin=True),),
        **settings,
    )


def shown(stream):
    """What was printed, without times and colours."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    return [re.sub(r"\d+\.\d s", "T s", line) for line in text.splitlines()]


def test_lines_of_a_run():
    out = io.StringIO()
    watched(Progress(out), stream(), stream("countries", 2))
    assert shown(out)[0] == "memory memory → memory, schema memory   pipeline memory-memory"
    assert sorted(shown(out)[1:]) == [
        "  countries  2 rows    32 B   T s  replace → memory.countries",
        "  orders     4 rows    64 B   T s  replace → memory.orders",
    ]


def test_second_run_says_what_was_read_again():
    store, out = Store(), io.StringIO()
    given = stream(cursor="at", ordered=True)
    watched(Progress(io.StringIO()), given, store=store)
    watched(Progress(out), given, store=store)
    assert shown(out)[1:] == ["  orders  unchanged     0 B   T s  merge → memory.orders, 1 re-read"]


def test_retries_failures_and_rejects_are_lines():
    faults = Faults().arm("read", TransientError("the line went dead"), at=3)
    faults.arm("read", StreamError("no such page"), at=6)
    out = io.StringIO()
    watched(Progress(out), stream(batch=1), faults=faults, patience=Patience(attempts=3, seconds=5, longest_wait=0.01))
    assert shown(out)[1] == "! the line went dead; trying again in T s"
    assert len(shown(out)) == 2, "why the only stream failed is for the last words to say"


def failed(out, name, text, redactor=None):
    progress = Progress(out, redactor=redactor)
    about = {"schema": "memory", "mode": "replace", "key": [], "cursor": None, "row_estimate": None, "notes": []}
    streams = [{"stream": path, "table": path, **about} for path in (name, "other")]
    progress.run_started(1, "memory-memory", "memory memory", "memory", "memory", streams)
    progress.stream_finished(name, "failed", dict.fromkeys(NUMBERS, 0), 0.1, {"type": "StreamError", "message": text})
    progress.run_finished()


def test_a_failure_among_several_streams_is_a_line():
    out = io.StringIO()
    failed(out, "orders", "no such page")
    assert shown(out)[1] == "✗ orders  failed: no such page"


def test_schema_changes_and_rejected_rows_are_told_once_a_column():
    old = pa.table({"id": [1, 2]})
    new = pa.table({"id": [3, 4], "n": pa.array(["x", "y"])})
    out = io.StringIO()
    progress = Progress(out)
    progress.rows_rejected("orders", 1, "n", "not a number")
    progress.rows_rejected("orders", 7, "n", "not a number")
    assert out.getvalue() == "! orders: a row was rejected: not a number\n"
    watched(progress, MemoryStream(name="orders", tables=(old, new)), max_rejects=MaxRejects(rows=5))
    assert "! orders: new column n (text)" in shown(out)


def test_a_secret_and_a_control_character_never_reach_the_screen():
    out, redactor = io.StringIO(), Redactor()
    redactor.add("hunter2hunter2")
    failed(out, "hunter2hunter2", "refused hunter2hunter2 \x1b[2Jbang", redactor)
    assert "hunter2" not in out.getvalue()
    assert shown(out)[1] == "✗ ***    failed: refused *** \\x1b[2Jbang"


def test_many_unchanged_streams_are_one_line():
    store, given = Store(), [stream(f"t{n:02}", cursor="at", ordered=True) for n in range(30)]
    watched(Progress(io.StringIO()), *given, store=store)
    out = io.StringIO()
    watched(Progress(out), *given, store=store)
    assert shown(out)[1:] == ["  30 of 30 streams unchanged"]


def test_a_long_run_gives_signs_of_life():
    faults = Faults().arm("read", lambda stop: stop.wait(0.4), at=3)
    out = io.StringIO()
    watched(Progress(out, heartbeat=0.1), stream(cursor="at", ordered=True), faults=faults,
            commit_every=CommitEvery(rows=1))  # fmt: skip
    beats = [line for line in shown(out) if line.startswith("…")]
    seen = r"… T s, 0 of 1 streams done; orders [23] rows read, [23] committed"  # while the third read waits
    assert any(re.fullmatch(seen, beat) for beat in beats)
    assert not [t for t in threading.enumerate() if t.name == "heartbeat" and t.is_alive() and not _ends(t)]


def _ends(thread):
    thread.join(2)
    return not thread.is_alive()


def test_before_the_plan_it_says_what_it_waits_for():
    out = io.StringIO()
    progress = Progress(out, heartbeat=0.05)
    progress.opening("reading acmebase localhost/shop")
    threading.Event().wait(0.15)
    progress.close()
    assert shown(out)[0] == "… reading acmebase localhost/shop  T s"


@pytest.fixture
def live():
    """A terminal of 80 columns and its view, always left as it was found."""
    made = []

    def make(**options):
        out = io.StringIO()
        progress = Progress(out, live=True, width=80, **options)
        made.append(progress)
        return out, progress

    yield make
    for progress in made:
        progress.close()


def picture(progress, height=24):
    return [re.sub(r"\d+\.\d s", "T s", plain(line)) for line in progress.picture(height)]


def test_a_picture_keeps_committed_rows_apart_from_those_on_the_way(live):
    _, progress = live(clock=lambda: 10.0)  # 0.1 s is the least that a rate is taken over
    start(progress, {"orders": 100, "events": None, "later": 5})
    progress.batch_loaded("orders", 50, 400)
    progress.load_committed("orders", {"staged": 50, "mapped": 50, "rejected": 0, "bytes": 400})
    progress.batch_loaded("orders", 25, 200)
    progress.batch_loaded("events", 7, 70)
    assert picture(progress) == [
        "  orders  ━━━━━━━━━━────   75 rows   600 B   T s  50 committed, 750 rows/s",
        "  events  ⠋                 7 rows    70 B   T s  none committed yet",
        "  later   ──────────────    0 rows     0 B          waiting",
        "  0 of 3 streams done  50 rows committed  32 on the way  670 B  T s",
    ]
    progress.load_aborted("orders", 25)
    assert "50 rows" in picture(progress)[0]


def test_a_picture_of_many_streams_stays_within_the_screen(live):
    _, progress = live()
    start(progress, {f"t{n:03}": 10 for n in range(150)})
    assert picture(progress)[-2:] == ["  … and 148 more", "  0 of 150 streams done  0 rows committed  0 B  T s"]
    for n in range(150):
        progress.batch_loaded(f"t{n:03}", 1, 1)
    for height in (5, 10, 24):
        assert len(progress.picture(height)) < height


def test_a_terminal_is_left_as_it_was_found(live):
    out, progress = live()
    watched(progress, stream(), stream("countries", 2), wish=None)
    text = out.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    kept = [line for line in shown(out) if "━━━━━━━━" in line and "replace" in line]
    assert any("orders" in line and "4 rows" in line for line in kept)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text), "no colours unless asked for"
    progress.close()


def test_lines_and_pictures_do_not_lock_each_other_out(live):
    _, progress = live()
    start(progress, {"orders": 10})
    threads = [threading.Thread(target=lambda: [progress.message("info", "x") for _ in range(100)]) for _ in range(4)]
    threads.append(threading.Thread(target=lambda: [progress.picture(10) for _ in range(500)]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_ten_thousand_streams_cost_no_processor(live):
    _, progress = live()
    start(progress, {f"t{n:05}": 10 for n in range(10_000)})
    began = time.process_time()
    for n in range(1_000):
        progress.stream_finished(f"t{n:05}", "unchanged", dict.fromkeys(NUMBERS, 0), 0.0, None)
    for _ in range(10):
        progress.picture(24)
    assert time.process_time() - began < 5  # measuring them all at each event takes minutes


def test_rich_is_imported_only_for_a_terminal():
    code = "import sys, wherry.cli.view as v; v.Progress(sys.stderr); sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def start(progress, streams):
    told = [
        {"stream": name, "schema": "main", "table": name, "mode": "replace", "key": [], "cursor": None,
         "row_estimate": estimate, "notes": []}
        for name, estimate in streams.items()
    ]  # fmt: skip
    progress.run_started(1, "p", "memory memory", "memory", "main", told)
