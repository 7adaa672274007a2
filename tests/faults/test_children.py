"""Sources that are programs of their own: killed, stopped, left alone, and whatever foreign taps may send."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from wherry_taps import PLAIN, Commanded, activate, entry, record, records, schema, state

SCHEMA = schema("users", PLAIN)
FIRST = [SCHEMA, *records("users", 20), state(users={"id": 19})]
ALL = [SCHEMA, *records("users", 40), state(users={"id": 39})]
DAEMON = "daemon.pid"


@pytest.fixture
def tap(wherry: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commanded]:
    """A tap in the command's folder; its private files are below it."""
    private = wherry.folder / "tmp"
    private.mkdir()
    wherry.env |= {"TMPDIR": str(private), "WHERRY_CACHE_DIR": str(wherry.folder / "cache")}
    yield Commanded(wherry.folder)
    with contextlib.suppress(OSError, ValueError):  # what a failed test leaves behind
        os.kill(int((wherry.folder / DAEMON).read_text()), signal.SIGKILL)


@pytest.fixture
def sync(wherry: Any, tap: Commanded) -> Callable[..., Any]:
    """Runs the command with a tap that does these steps."""

    def run(*steps: Any, options: tuple[str, ...] = (), patience: float = 60) -> Any:
        return wherry("sync", *tap.does(*steps), "shop.duckdb", *options, patience=patience)

    return run


def ids(wherry: Any, stream: str = "users") -> list[int]:
    """What is in the table; [] if there is none."""
    with (
        duckdb.connect(str(wherry.folder / "shop.duckdb"), read_only=True) as place,
        contextlib.suppress(duckdb.CatalogException),
    ):
        return [row[0] for row in place.execute(f'select id from script."{stream}" order by id').fetchall()]
    return []


def gone(pid: int, within: float = 2.0) -> bool:
    """Whether the process is over in time."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def kept(wherry: Any, patience: float = 30) -> dict[str, Any]:
    """What the tap wrote of itself, once it is there."""
    deadline = time.monotonic() + patience
    while not (wherry.folder / "kept.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found: dict[str, Any] = json.loads((wherry.folder / "kept.json").read_text())
    return found


def told(done: Any, code: int) -> None:
    """The exit code, and a last line that names what to do."""
    assert done.code == code, done
    assert "wherry sync" in done.last, done


@pytest.mark.parametrize(
    "signalled",
    [
        pytest.param("idle", marks=pytest.mark.fault(7, tier=1)),
        pytest.param("stopped", marks=pytest.mark.fault(7, tier=1)),
        pytest.param("with a daemon", marks=pytest.mark.fault(7, tier=1)),
    ],
)
def test_the_parent_alone_is_killed(wherry: Any, tap: Commanded, sync: Any, signalled: str) -> None:
    daemon = [{"daemon": {"seconds": 60, "pid": str(wherry.folder / DAEMON)}}] if signalled == "with a daemon" else []
    steps = [*daemon, *FIRST, {"keep": str(wherry.folder / "kept.json")}, {"sleep": 60}]
    run = wherry.start("sync", *tap.does(*steps), "shop.duckdb")
    child = kept(wherry)
    if signalled == "stopped":
        os.kill(child["pid"], signal.SIGSTOP)
    run.send(signal.SIGKILL)
    assert run.wait().code == 137
    pids = [child["pid"], child["parent"]] + ([int((wherry.folder / DAEMON).read_text())] if daemon else [])
    assert all(gone(pid) for pid in pids)
    left = Path(child["--config-file"]).parent
    assert not left.exists()  # with the tap's configuration
    done = sync(*ALL)
    assert done.code == 0, done
    assert ids(wherry) == list(range(40))


@pytest.mark.parametrize(
    "cut",
    [pytest.param(n, id=f"after {n} bytes", marks=pytest.mark.fault(8, tier=n != 61)) for n in (1, 30, 61, 70, 78)],
)
def test_a_child_is_killed_in_the_middle_of_a_line(wherry: Any, sync: Any, cut: int) -> None:
    line = json.dumps({"type": "RECORD", "stream": "users", "record": {"id": 20, "name": "n20"}})
    done = sync(*FIRST, {"text": line[:cut]}, {"kill": 9})
    told(done, 3)
    assert "signal 9" in done.stderr
    assert "users" in done.last
    assert ids(wherry) == list(range(20))  # what the last state covers
    assert sync(*ALL).code == 0
    assert ids(wherry) == list(range(40))


@pytest.mark.fault(10, tier=1)
def test_a_child_stands_still_for_a_while(wherry: Any, tap: Commanded) -> None:
    steps = [*FIRST, {"keep": str(wherry.folder / "kept.json")}, {"sleep": 0.5}, *ALL[1:]]
    run = wherry.start("sync", *tap.does(*steps), "shop.duckdb")
    pid = kept(wherry)["pid"]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2)
    assert run.alive
    os.kill(pid, signal.SIGCONT)
    assert run.wait().code == 0
    assert ids(wherry) == list(range(40))


@pytest.mark.fault(10, tier=1)
def test_people_hear_of_a_child_that_stands_still(wherry: Any, tap: Commanded) -> None:
    steps = [*FIRST, {"keep": str(wherry.folder / "kept.json")}, {"sleep": 0.5}, *ALL[1:]]
    run = wherry.start("sync", *tap.does(*steps), "shop.duckdb", "--json")
    pid = kept(wherry)["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert run.wait_for("waiting", patience=30)
    os.kill(pid, signal.SIGCONT)
    done = run.wait()
    assert done.code == 0
    assert any(event["event"] == "waiting" and event["side"] == "source" for event in done.events)
    assert ids(wherry) == list(range(40))


@pytest.mark.fault(10, tier=1)
def test_a_child_stands_still_for_good(wherry: Any, tap: Commanded, sync: Any) -> None:
    steps = [*FIRST, {"keep": str(wherry.folder / "kept.json")}, {"sleep": 0.5}, *ALL[1:]]
    run = wherry.start("sync", *tap.does(*steps), "shop.duckdb", "--stall-timeout", "2s")
    pid = kept(wherry)["pid"]
    os.kill(pid, signal.SIGSTOP)
    done = run.wait(30)
    told(done, 3)
    assert gone(pid)
    assert sync(*ALL).code == 0
    assert ids(wherry) == list(range(40))


ODD: dict[str, tuple[list[Any], int]] = {
    "a schema twice": ([SCHEMA, *records("users", 5), SCHEMA, *records("users", 35, first=5)], 0),
    "a schema that grows": ([SCHEMA, *records("users", 39), schema("users", PLAIN | {"age": {"type": "integer"}}),
                             record("users", id=39, name="n39", age=3)], 0),
    "a schema after records": ([*records("users", 5), SCHEMA], 3),
    "a record of no stream": ([SCHEMA, *records("users", 40), record("who", id=1)], 0),
    "an unknown message": ([{"say": {"type": "TALK", "value": 1}}, SCHEMA, *records("users", 40)], 0),
    "a batch": ([SCHEMA, {"say": {"type": "BATCH", "stream": "users", "manifest": ["file:///x"]}}], 3),
    "a state of no stream": ([SCHEMA, *records("users", 40), state(who={"id": 1})], 0),
    "no key in a record": ([SCHEMA, *records("users", 5), record("users", name="a")], 6),
    "no key in the schema": ([schema("users", {"name": PLAIN["name"]}), *records("users", 40)], 0),
    "another key": ([schema("users", PLAIN, key=["name"]), *records("users", 40)], 0),
    "a reference": ([schema("users", PLAIN | {"r": {"$ref": "#/definitions/x"}},
                            definitions={"x": {"type": "integer"}}),
                     *records("users", 40)], 0),
    "a reference to nothing": ([schema("users", PLAIN | {"r": {"$ref": "#/definitions/x"}}), *records("users", 40)], 0),
    "a reference to itself": ([schema("users", PLAIN | {"r": {"$ref": "#"}}), *records("users", 40)], 0),
    "any of several": ([schema("users", PLAIN | {"a": {"anyOf": [{"type": "integer"}, {"type": "object"}]}}),
                        *records("users", 40)], 0),
    "no types": ([schema("users", {"id": {}, "name": {}}), *records("users", 40)], 0),
    "a schema that is none": ([{"say": {"type": "SCHEMA", "stream": "users", "schema": None}},
                               *records("users", 40)], 0),
    "a version of nothing": ([SCHEMA, *records("users", 40), activate("who", 1)], 0),
}  # fmt: skip
SOON = ("no types",)


def odd_cases() -> list[Any]:
    """Some in tier 0, all in tier 1."""
    return [
        pytest.param(steps, code, id=name, marks=pytest.mark.fault(82, tier=0 if name in SOON else 1))
        for name, (steps, code) in ODD.items()
    ]


@pytest.mark.parametrize(("steps", "code"), odd_cases())
def test_odd_transcripts(wherry: Any, sync: Any, steps: list[Any], code: int) -> None:
    assert sync(*FIRST).code == 0
    done = sync(*steps)
    assert done.code == code, done
    assert ids(wherry) == list(range(20 if code else 40))
    assert sync(*ALL).code == 0
    assert ids(wherry) == list(range(40))


EMPTYING = {
    "a version without rows": [SCHEMA, activate("users", 1), *[record("users", 1, id=n) for n in range(40)],
                               activate("users", 1)],
    "a version before its rows": [activate("users", 2), SCHEMA, *[record("users", 2, id=n) for n in range(40)],
                                  activate("users", 2)],
    "an older version": [SCHEMA, *[record("users", 5, id=n) for n in range(40)], activate("users", 3),
                         activate("users", 5)],
}  # fmt: skip


@pytest.mark.fault(82, tier=1)
@pytest.mark.parametrize("mode", ["replace", "merge"])
@pytest.mark.parametrize("steps", [pytest.param(s, id=name) for name, s in EMPTYING.items()])
def test_no_table_is_emptied_by_a_version(wherry: Any, tap: Commanded, sync: Any, mode: str, steps: list[Any]) -> None:
    tap.streams = [entry("users", PLAIN)]
    for _ in range(2):
        assert sync(*steps, state(), options=("--mode", mode)).code == 0
        assert ids(wherry) == list(range(40))
    half = [SCHEMA, *[record("users", 9, id=n) for n in range(10)], {"exit": 1}]
    told(sync(*half, options=("--mode", mode)), 3)
    assert ids(wherry) == list(range(40))


NOISE = {"text": "starting \xfc\n\x1b[31mred\x1b[0m\r\nDeprecationWarning: old\n\x00\xff\n"}
FLOOD = 300_000
MANNERS: dict[str, tuple[list[Any], int]] = {
    "noise": ([NOISE, SCHEMA, NOISE, *records("users", 40), NOISE], 0),
    "line ends of Windows": ([SCHEMA, {"text": "\r\n".join(
        json.dumps(r["say"]) for r in records("users", 40)) + "\r\n"}], 0),
    "no line end at the end": ([SCHEMA, *records("users", 39), {"text": json.dumps(record("users", id=39)["say"])}], 0),
    "a line of 50 MB": ([SCHEMA, *records("users", 39), {"long": {
        "size": 50_000_000, "before": '{"type": "RECORD", "stream": "users", "record": {"id": 39, "name": "',
        "after": '"}}'}}], 0),
    "a line that never ends": ([SCHEMA, {"long": {"size": 200_000_000, "before": "", "after": ""}}], 9),
    "bytes that are no text": ([SCHEMA, {"text": '{"type": "RECORD", "stream": "users", "record": {"id": 1, "name": '
                                                 '"\xff\xfe"}}\n'}], 6),
    "output closed, then exit 0": ([SCHEMA, *records("users", 40), {"close": 1}, {"sleep": 0.3}], 0),
    "output closed, then exit 1": ([SCHEMA, *records("users", 20), {"close": 1}, {"exit": 1}], 3),
    "a flood of errors": ([{"flood": FLOOD}, SCHEMA, *records("users", 40), {"flood": FLOOD}], 0),
    "never exits": ([SCHEMA, *records("users", 20), {"close": 1}, {"sleep": 100}], 3),
    "a daemon holds the output": ([{"daemon": {"seconds": 100, "pid": DAEMON}}, SCHEMA, *records("users", 40)], 0),
    "a daemon and exit 1": ([{"daemon": {"seconds": 100, "pid": DAEMON}}, SCHEMA, *records("users", 20),
                             {"exit": 1}], 3),
    "exit 0 in the middle of a line": ([SCHEMA, *records("users", 20), {"text": '{"type": "RECORD", "str'}], 3),
    "exit 1 after the final state": ([*ALL, {"err": "Traceback (most recent call last):\nValueError: it is late\n"},
                                      {"exit": 1}], 3),
}  # fmt: skip
EARLY = ("a daemon holds the output",)


def manner_cases() -> list[Any]:
    """Some in tier 0, all in tier 1."""
    return [
        pytest.param(name, steps, code, id=name, marks=pytest.mark.fault(83, tier=0 if name in EARLY else 1))
        for name, (steps, code) in MANNERS.items()
    ]


@pytest.mark.parametrize(("name", "steps", "code"), manner_cases())
def test_manners_of_children(wherry: Any, sync: Any, name: str, steps: list[Any], code: int) -> None:
    steps = json.loads(json.dumps(steps).replace(f'"{DAEMON}"', json.dumps(str(wherry.folder / DAEMON))))
    assert sync(*FIRST).code == 0
    done = sync(*steps, patience=60)
    assert done.code == code, done
    if name == "exit 1 after the final state":
        assert "ValueError: it is late" in done.stderr
        assert ids(wherry) == list(range(40))
    else:
        assert ids(wherry) == list(range(20 if code else 40))
    if (wherry.folder / DAEMON).exists():
        assert gone(int((wherry.folder / DAEMON).read_text()))
    assert sync(*ALL).code == 0
    assert ids(wherry) == list(range(40))
    assert not list((wherry.folder / "tmp").glob("wherry-singer-*/run-*"))
