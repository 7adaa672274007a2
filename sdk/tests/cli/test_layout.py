"""Lines of the progress view at the widths people have."""

import pytest
from wherry.cli import layout
from wherry.cli.style import painted, plain
from wherry.cli.table import cells
from wherry.cli.tally import Stream

NOW = 100.0


def streams():
    return [
        Stream("orders", "shop.orders", "merge", 5_000_000, "running", 3_000_000, 400_000, 500_000_000, 65_000_000,
               began=NOW - 4),
        Stream("countries", "shop.countries", "replace", 249, "committed", 249, bytes=9_000, seconds=0.1),
        Stream("events", "shop.events", "append", None, "running", 0, 1_000, 0, 90_000, began=NOW - 0.5),
        Stream("customers", "shop.customers", "merge", None, "unchanged", boundary=1, seconds=0.2),
        Stream("files", "shop.files", "replace", 10, "committed", 8, bytes=300, rejected=2, seconds=75),
        Stream("later", "shop.later", "replace", 10),
        Stream("broken", "shop.broken", "append", 10, "failed", 5, error="the line went dead"),
        Stream("halted", "shop.halted", "append", 10, "stopped", 5, bytes=80, seconds=1),
    ]  # fmt: skip


def rows(width, bars=True):
    found = streams()
    fit = layout.columns(found, width, bars)
    return [plain(layout.row(s, fit, NOW)) for s in found]


def test_a_failed_replacement_put_no_row_into_its_table():
    broken = Stream("t", "shop.t", "replace", 10, "failed", 5, error="the line went dead")
    fit = layout.columns([broken], 120, True)
    assert plain(layout.row(broken, fit, NOW)).endswith("failed, 5 rows aside: the line went dead")


def test_120_columns_have_room_for_everything():
    assert rows(120) == [
        "  orders     ━━━━━━━━━─────  3,400,000 rows  565 MB   4.0 s  3,000,000 committed, 850k rows/s",
        "  countries  ━━━━━━━━━━━━━━        249 rows    9 kB   0.1 s  replace → shop.countries",
        "  events     ⠋                   1,000 rows   90 kB   0.5 s  none committed yet, 2.0k rows/s",
        "  customers  ━━━━━━━━━━━━━━       unchanged     0 B   0.2 s  merge → shop.customers, 1 re-read",
        "  files      ━━━━━━━━━━━━━━          8 rows   300 B   1m15s  replace → shop.files  2 rejected",
        "  later      ──────────────          0 rows     0 B          waiting",
        "✗ broken     failed, 5 rows committed: the line went dead",
        "■ halted     ━━━━━━━───────          5 rows    80 B   1.0 s  append → shop.halted",
    ]


def test_80_columns_keep_the_numbers():
    assert rows(80) == [
        "  orders     ━━━━━───  3,400,000 rows  565 MB   4.0 s  3,000,000 committed",
        "  countries  ━━━━━━━━        249 rows    9 kB   0.1 s  replace → shop.countries",
        "  events     ⠋             1,000 rows   90 kB   0.5 s  none committed yet",
        "  customers  ━━━━━━━━       unchanged     0 B   0.2 s  merge → shop.customers",
        "  files      ━━━━━━━━          8 rows   300 B   1m15s  2 rejected",
        "  later      ────────          0 rows     0 B          waiting",
        "✗ broken     failed, 5 rows committed: the line went dead",
        "■ halted     ━━━━────          5 rows    80 B   1.0 s  append → shop.halted",
    ]


def test_40_columns_say_it_in_short():
    assert rows(40) == [
        "  orders     ━━━━──    3.0M+400k   4.0 s",
        "  countries  ━━━━━━          249   0.1 s",
        "  events     ⠋            0+1.0k   0.5 s",
        "  customers  ━━━━━━    unchanged   0.2 s",
        "  files      ━━━━━━            8   1m15s",
        "  later      ──────            0        ",
        "✗ broken     failed: the line went dead",
        "■ halted     ━━━───            5   1.0 s",
    ]


def test_without_a_width_lines_are_as_long_as_they_take_and_have_no_bars():
    assert rows(None, bars=False)[:2] == [
        "  orders     3,400,000 rows  565 MB   4.0 s  3,000,000 committed, 850k rows/s",
        "  countries        249 rows    9 kB   0.1 s  replace → shop.countries",
    ]


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width):
    found = streams()
    found[0].name = "顧客" * 20
    found[3].name = "a\x1b[31m name"
    fit = layout.columns(found, width, bars=True)
    lines = [layout.row(s, fit, NOW) for s in found]
    lines += layout.header("acmebase localhost/shop", "lakedb shop.lakedb", "main", "acmebase-shop", width)
    lines += [layout.total(found, 3, width), layout.opening("reading acmebase localhost/shop", 3, width)]
    assert max(cells(plain(line)) for line in lines) <= width
    assert not any("\x1b" in plain(line) for line in lines)


def test_a_stream_that_has_begun_and_has_no_figures_yet_is_not_said_to_wait():
    stream = Stream("orders", estimate=10, state="running", began=NOW - 2)
    fit = layout.columns([stream], 80, bars=True)
    assert plain(layout.row(stream, fit, NOW)).endswith("2.0 s  under way, no figures yet")


def test_long_names_that_end_otherwise_can_be_told_apart():
    found = [Stream(f"a_table_with_a_rather_long_name_{n:02}", state="committed") for n in range(2)]
    fit = layout.columns(found, 80, bars=True)
    names = [plain(layout.row(s, fit, NOW)).split()[0] for s in found]
    assert names == ["a_table_w…ng_name_00", "a_table_w…ng_name_01"]


def test_the_name_of_a_stream_that_failed_is_said_once():
    stream = Stream("orders", state="failed", error="orders: permission denied")
    assert (
        plain(layout.row(stream, layout.columns([stream], 80, bars=True), NOW)) == "✗ orders  failed: permission denied"
    )


def test_committed_rows_and_rows_on_the_way_are_told_apart():
    stream = streams()[0]
    assert layout.bar(stream, 10, NOW) == [("━" * 6, "good"), ("", "accent"), ("─" * 4, "dim")]
    stream.pending = 1_500_000
    assert layout.bar(stream, 10, NOW) == [("━" * 6, "good"), ("━" * 3, "accent"), ("─", "dim")]


def test_a_bar_is_full_only_at_the_end():
    stream = Stream("orders", estimate=10, state="running", committed=1_000)
    assert layout.bar(stream, 10, NOW)[-1] == ("─", "dim")
    stream.state = "committed"
    assert layout.bar(stream, 10, NOW) == [("━" * 10, "good")]


def test_a_stopped_stream_shows_how_far_it_came():
    stream = Stream("orders", estimate=10, state="stopped", committed=5)
    assert layout.bar(stream, 4, NOW) == [("━━", "warn"), ("", "accent"), ("──", "dim")]


def test_header_folds():
    def header(width):
        return [plain(line) for line in layout.header("acmebase localhost/shop", "lakedb shop.lakedb", "main",
                                                      "acmebase-shop", width)]  # fmt: skip

    assert header(100) == [
        "acmebase localhost/shop → lakedb shop.lakedb, schema main                     pipeline acmebase-shop"
    ]
    assert header(60) == [
        "acmebase localhost/shop → lakedb shop.lakedb, schema main",
        "  pipeline acmebase-shop",
    ]
    assert header(40) == [
        "acmebase localhost/shop",
        "  → lakedb shop.lakedb, schema main",
        "  pipeline acmebase-shop",
    ]
    assert header(None) == ["acmebase localhost/shop → lakedb shop.lakedb, schema main   pipeline acmebase-shop"]


def test_totals_keep_what_is_safe_apart():
    found = streams()
    assert plain(layout.total(found, 4.5, 120)) == (
        "  5 of 8 streams done, 1 failed  3,000,267 rows committed  401,000 on the way  565 MB  4.5 s"
    )
    assert plain(layout.total(found, 4.5, 40)) == "  5/8  3.0M committed  4.5 s"


def test_heartbeat_names_what_is_at_work():
    assert plain(layout.heartbeat(streams(), 20)) == (
        "… 20.0 s, 5 of 8 streams done; orders 3,400,000 rows read, 3,000,000 committed; "
        "events 1,000 rows read, 0 committed"
    )
    assert (
        plain(layout.heartbeat([Stream("orders")], 10)) == "… 10.0 s, 0 of 1 streams done; waiting for the first rows"
    )


def test_colours_mark_success_and_failure():
    found = streams()
    fit = layout.columns(found, 120, bars=True)
    assert "\x1b[32m━" in painted(layout.row(found[1], fit, NOW), True)
    assert painted(layout.row(found[6], fit, NOW), True).startswith("\x1b[31m✗ ")
    assert "\x1b[33m  2 rejected" in painted(layout.row(found[4], fit, NOW), True)
