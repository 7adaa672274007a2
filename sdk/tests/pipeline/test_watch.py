"""Time: signs of life, limits, and what is left behind. The fault tests do the same to whole processes."""

import threading
import time

import pyarrow as pa
import pytest
from wherry import Batch, DestinationError, SourceError, Stream
from wherry.errors import Stopped
from wherry.pipeline.select import Wish, Wishes
from wherry.pipeline.watch import Interrupt, Limits, Watch, hangs, stacks, within

MERGE = Wishes(common=Wish(mode="merge", cursor="id"))


class Heard:
    """Takes events as (name, arguments)."""

    def __init__(self):
        self.events = []

    def __getattr__(self, name):
        return lambda **arguments: self.events.append((name, arguments))

    def of(self, name):
        return [arguments for found, arguments in self.events if found == name]


@pytest.fixture
def heard():
    return Heard()


def watched(heard, **limits):
    watch = Watch(Limits(**limits), heard, threading.Event(), limits.pop("give_up", None))
    watch.start()
    return watch


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_signs_of_life_come_at_growing_distances_and_name_what_is_waited_for(heard):
    watch = watched(heard, quiet=0.3)
    watch.blocked = lambda: "a lock held by pid 7"
    with watch.waiting("destination", "to commit orders"):
        until(lambda: len(heard.of("waiting")) >= 2)
    watch.end()
    first, second = heard.of("waiting")[:2]
    assert (first["side"], first["what"]) == ("destination", "to commit orders, a lock held by pid 7")
    assert first["seconds"] >= 0.3
    assert second["seconds"] >= 2 * first["seconds"]


def test_whoever_moves_is_not_told_to_stand_still(heard):
    watch = watched(heard, quiet=1.0, stall=1.0)
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        with watch.waiting("source", "rows"):
            time.sleep(0.05)
    watch.end()
    assert heard.events == []
    assert watch.verdict is None


def test_nobody_waits_while_nothing_is_asked_for(heard):
    watch = watched(heard, quiet=0.2, stall=0.3)
    time.sleep(1)
    watch.end()
    assert heard.events == []


@pytest.mark.parametrize(("side", "kind"), [("source", SourceError), ("destination", DestinationError)])
def test_the_side_that_hangs_has_failed(heard, side, kind):
    watch = watched(heard, stall=0.3)
    with watch.waiting(side, "rows of orders"):
        until(watch._stop.is_set)
    watch.end()
    assert isinstance(watch.verdict, kind)
    assert "while waiting for rows of orders" in watch.verdict.message
    assert watch.verdict.side == side
    told = heard.of("stalled")[0]
    assert any("test_the_side_that_hangs_has_failed" in line for line in told["stacks"])


def test_the_longest_wait_is_to_blame(heard):
    watch = watched(heard, stall=0.5)
    with watch.waiting("destination", "to commit"):
        other = threading.Thread(target=lambda: _wait(watch), daemon=True)
        other.start()
        until(lambda: watch.verdict is not None)
    watch.end()
    assert "to commit" in watch.verdict.message


def test_a_wait_that_a_source_has_chosen_is_told_and_is_no_standstill(heard):
    watch = watched(heard, quiet=0.2, stall=0.4)
    with watch.waiting("source", "rows of orders"):
        with watch.resting("the server asks for a pause", 1.2):
            time.sleep(1.2)
        assert watch.verdict is None
        until(lambda: watch.verdict is not None)
    watch.end()
    assert heard.of("waiting")[0]["what"] == "the server asks for a pause"
    assert heard.of("stalled")[0]["what"] == "rows of orders"


def test_a_rest_that_lasts_longer_than_was_said_is_still_no_standstill(heard):
    """What ends it late is this machine."""
    watch = watched(heard, stall=0.3)
    with watch.resting("a pause", 0.1):
        time.sleep(0.8)
    assert watch.verdict is None
    watch.end()


def _wait(watch):
    with watch.waiting("source", "rows"):
        time.sleep(2)


def test_a_call_that_outlives_the_end_is_given_up(heard):
    ended = []
    stop = threading.Event()
    watch = Watch(Limits(end=0.2), heard, stop, ended.append)
    watch.start()
    stop.set()
    until(lambda: ended)
    watch.end()
    assert ended[0].exit_code == 130


def test_stacks_hold_no_values():
    secret = "S3CR3T-in-a-local"
    told = stacks()
    assert any(line.startswith("thread MainThread") for line in told)
    assert not [line for line in told if secret in line and "secret =" not in line]


def test_within():
    assert within(5, lambda: None)
    assert within(5, lambda: 1 / 0)
    assert not within(0.05, lambda: time.sleep(0.5))


def test_what_it_says():
    assert hangs("source", "rows of a", 6).message.startswith("nothing has moved for 6 s while waiting for rows of a")
    assert "waiting for the destination to publish a;" in hangs("destination", "to publish a", 6).message
    assert issubclass(Interrupt, KeyboardInterrupt)


def test_a_source_that_yields_nothing_more_is_left_and_the_rows_so_far_are_kept(world):
    """At its bookmark: the run ends with what came before, and the next one goes on."""
    rows = pa.table({"id": [1, 2], "v": ["a", "b"]})
    orders = Stream(name="orders", schema=rows.schema, primary_key=("id",), cursor="id")
    hangs = threading.Event()

    def read(source, split):
        at = split.bookmark or 0
        for n in range(at, 2):
            if n and not hangs.is_set():
                time.sleep(4)  # does not hear of the stop
            yield Batch(stream="orders", data=rows.slice(n, 1), bookmark=n + 1)

    began = time.monotonic()
    limits = Limits(run=0.5, leave=0.3, stall=None)
    outcome = world.script([orders], read, limits=limits, wishes=MERGE)
    assert time.monotonic() - began < 4
    assert (outcome.exit_code, outcome.limit, outcome.left) == (75, 0.5, True)
    assert [row["id"] for row in world.rows()] == [1]
    hangs.set()
    assert world.script([orders], read, wishes=MERGE).exit_code == 0
    assert [row["id"] for row in world.rows()] == [1, 2]


def test_a_source_that_hangs_has_failed_although_it_hears_that_it_is_to_stop(world):
    """It ends its read in time, as after a signal; what came before is kept."""
    rows = pa.table({"id": [1, 2], "v": ["a", "b"]})
    orders = Stream(name="orders", schema=rows.schema, primary_key=("id",), cursor="id")

    def read(source, split):
        yield Batch(stream="orders", data=rows.slice(0, 1), bookmark=1)
        assert source.run.stop.wait(20)

    outcome = world.script([orders], read, limits=Limits(stall=0.5), wishes=MERGE)
    assert (outcome.word, outcome.exit_code, outcome.left) == ("failed", 3, False)
    assert "while waiting for rows of orders" in outcome.streams[0].error.message
    assert [row["id"] for row in world.rows()] == [1]


def test_a_source_that_was_waiting_when_the_run_was_to_stop_has_stopped(world):
    """It raises `Stopped` out of its wait: no failure, and what came before is kept."""
    rows = pa.table({"id": [1, 2], "v": ["a", "b"]})
    orders = Stream(name="orders", schema=rows.schema, primary_key=("id",), cursor="id")

    def read(source, split):
        yield Batch(stream="orders", data=rows.slice(0, 1), bookmark=1)
        with source.run.resting("the server asks for a pause", 30):
            if source.run.stop.wait(20):
                raise Stopped

    outcome = world.script([orders], read, limits=Limits(run=0.5, stall=None), wishes=MERGE)
    assert (outcome.word, outcome.exit_code, outcome.left) == ("stopped", 75, False)
    assert [row["id"] for row in world.rows()] == [1]


def test_lanes_are_given_what_the_run_was_given(world, tmp_path):
    rows = pa.table({"id": [1]})
    orders = Stream(name="orders", schema=rows.schema)
    given, secrets = [], []

    def read(source, split):
        source.run.conceal("s3cret")
        given.append(source.run.folder)
        yield Batch(stream="orders", data=rows)

    assert world.script([orders], read, folder=tmp_path, conceal=secrets.append).exit_code == 0
    assert (given, secrets) == ([tmp_path], ["s3cret"])
