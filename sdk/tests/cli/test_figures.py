import pytest
from wherry.cli import figures


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (999.6, "1.0k"), (12_345, "12.3k"), (999_960, "1.0M"), (5_000_249, "5.0M"),
     (123_456_789, "123M"), (99_999_999_999, "100G")],
)  # fmt: skip
def test_short_numbers(number, text):
    assert figures.short(number) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("bytes", "text"),
    [(0, "0 B"), (317, "317 B"), (9_100, "9 kB"), (999_600, "1 MB"), (612_000_000, "612 MB"), (1_200_000_000, "1.2 GB"),
     (3 * 10**12, "3.0 TB")],
)  # fmt: skip
def test_sizes(bytes, text):
    assert figures.size(bytes) == text


@pytest.mark.parametrize(
    ("number", "text", "clock"),
    [(0.04, "0.0 s", "0.0 s"), (2.91, "2.9 s", "2.9 s"), (59.96, "1 min 00 s", "1m00s"),
     (75.2, "1 min 15 s", "1m15s"), (7500, "2 h 05 min", "2h05m")],
)  # fmt: skip
def test_durations(number, text, clock):
    assert figures.seconds(number) == text
    assert figures.clock(number) == clock


def test_rows():
    assert [figures.rows(n) for n in (0, 1, 5_000_249)] == ["0 rows", "1 row", "5,000,249 rows"]
