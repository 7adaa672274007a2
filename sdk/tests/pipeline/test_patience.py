"""What may pass by itself is tried again, before there are lanes and in them; and not for ever."""

import pyarrow as pa
import pytest
from wherry import TransientError, hookimpl
from wherry.errors import DestinationError, SourceError
from wherry.host.hooks import observer
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.patience import Patience
from wherry.testing import MemoryStream

ORDERS = MemoryStream(name="orders", tables=(pa.table({"id": [1, 2, 3]}),), key=("id",))
SOON = Patience(attempts=6, contacts=3, seconds=5, longest_wait=0.001)


def fail(times, **fields):
    return {"action": TransientError("the line broke", **fields), "times": times}


@pytest.mark.parametrize(("side", "point"), [("source", "discover"), ("destination", "open"), ("source", "plan")])
@pytest.mark.parametrize(("fields", "tries"), [({}, 6), ({"key": "host"}, 3)])
def test_first_contacts_are_tried_again(world, side, point, fields, tries):
    """A host that is not there may be mistyped: it is tried less often."""
    faults = world.source_faults if side == "source" else world.faults
    faults.arm(point, **fail(tries - 1, **fields))
    assert world.run(ORDERS, patience=SOON).exit_code == 0
    assert [row["id"] for row in world.rows()] == [1, 2, 3]
    faults.arm(point, **fail(tries, **fields))
    with pytest.raises(
        SourceError if side == "source" else DestinationError, match=rf"\(tried {tries} times\)"
    ) as caught:
        world.run(ORDERS, patience=SOON)
    assert (caught.value.side, caught.value.exit_code) == (side, 3 if side == "source" else 4)


@pytest.mark.parametrize(("point", "told"), [("open", 0), ("before commit", 2)])
def test_short_waits_for_a_first_contact_are_not_told(world, point, told):
    """A user who has mistyped a host gets one message. A run that stands still in the middle says why."""
    said = []

    class Heard:
        @hookimpl
        def message(self, level, text):
            said.append(text)

    world.faults.arm(point, **fail(2))
    observers = (observer(Heard(), "heard", builtin=True),)
    assert world.run(ORDERS, patience=SOON, observers=observers).exit_code == 0
    assert [text.partition(";")[2][:13] for text in said] == [" trying again"] * told


def test_progress_renews_the_patience(world):
    """More failures in one split than are borne in succession, with a commit after each four."""
    rows = pa.table({"id": list(range(8)), "at": list(range(8))})
    stream = MemoryStream(name="orders", tables=(rows,), key=("id",), cursor="at", ordered=True, batch=1)
    for number in range(8):
        world.faults.arm("before commit", TransientError("the line broke"), at=number * 5 + 1, times=4)
    outcome = world.run(stream, patience=SOON, commit_every=CommitEvery(rows=1))
    assert outcome.exit_code == 0, outcome.streams[0].error
    assert len(world.rows()) == 8
    assert world.faults.seen["before commit"] >= 40
