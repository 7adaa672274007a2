"""What a boundary says of the cursor values it has seen."""

import pyarrow as pa
import pytest
from wherry.pipeline.boundary import Boundary


def batch(type, *values):
    number = pa.int32() if type.bit_width == 32 else pa.int64()
    return pa.record_batch({"at": pa.array(values, number).cast(type)})


@pytest.mark.parametrize(
    ("type", "first", "second"),
    [
        (pa.time64("us"), "00:00:00.000003", "00:00:00.000005"),
        (pa.time32("s"), "00:00:03", "00:00:05"),
        (pa.timestamp("ns", "UTC"), "1970-01-01 00:00:00.000000003Z", "1970-01-01 00:00:00.000000005Z"),
        (pa.int64(), "3", "5"),
    ],
    ids=str,
)
def test_the_window_of_a_read_in_full_precision(type, first, second):
    boundary = Boundary("at")
    assert boundary.window() == (None, None)
    boundary.filter(batch(type, 1, 3))
    assert boundary.window() == (None, first)
    boundary = Boundary("at", stored=boundary.to_json())
    boundary.filter(batch(type, 3, 5))
    assert boundary.window() == (first, second)
