"""Tables fit where they are printed, and values cannot break them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wherry.cli.table import Printer, cells, clean, cut, fit, pad, shortened, show


def test_as_wide_as_it_takes_when_piped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    show(("name", "none", "n"), [("a" * 300, "", "1"), ("b", "", "22")], right=(2,))
    assert capsys.readouterr().out.splitlines() == [
        "name".ljust(300) + "   n",
        "a" * 300 + "   1",
        "b".ljust(300) + "  22",
    ]


def test_fits_the_columns_it_is_given(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    printer = Printer(("id", "text"), right=(0,))
    printer.page([("1", "a very long text that does not fit"), ("22", "日本語日本語日本語日本語")])
    assert capsys.readouterr().out.splitlines() == ["id  text", " 1  a very long tex…", "22  日本語日本語日…"]


def test_long_cells_of_a_listing_go_on_below(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "16")
    show(("name", "why"), [("x", "it could not be loaded")])
    assert capsys.readouterr().out.splitlines() == ["name  why", "x     it could", "      not be", "      loaded"]


def test_columns_without_room_are_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    printer = Printer([f"column_{n}" for n in range(10)])
    printer.page([["value"] * 10])
    assert printer.hidden == 7
    assert all(cells(line) <= 30 for line in capsys.readouterr().out.splitlines())


def test_what_would_move_a_cursor_is_spelled_out() -> None:
    assert clean("a\nb\x1b[31m\u202ex\x00\udc80é") == "a\\nb\\x1b[31m\\u202ex\\x00\\udc80é"


@given(st.text(), st.integers(1, 40))
def test_a_cut_text_never_takes_more_cells(text: str, width: int) -> None:
    short = cut(clean(text), width)
    assert cells(short) <= width
    assert cells(pad(short, width)) == width
    assert short == clean(text) or short.endswith("…")


@given(st.lists(st.integers(0, 500), min_size=1, max_size=60), st.integers(1, 300))
def test_fitted_widths_stay_within_the_line(widths: list[int], total: int) -> None:
    fitted = fit(widths, total)
    assert 1 <= len(fitted) <= len(widths)
    assert len(fitted) == 1 or sum(fitted) + 2 * (len(fitted) - 1) <= total
    assert all(got <= asked for got, asked in zip(fitted, widths, strict=False))
    if sum(widths) + 2 * (len(widths) - 1) <= total:
        assert fitted == widths


def test_a_listing_that_does_not_fit_is_stacked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    show(("schema", "bookmark", "none"), [("main", '{"value":"2024-01-01T00:00:00"}', ""), ("a_long_name", "1", "")])
    assert capsys.readouterr().out.splitlines() == [
        "schema    main",
        'bookmark  {"value":"2024-01-01',
        '          T00:00:00"}',
        "",
        "schema    a_long_name",
        "bookmark  1",
    ]


@given(st.text(), st.integers(1, 40))
def test_a_shortened_name_fits_and_keeps_both_ends(text: str, width: int) -> None:
    text = clean(text)
    found = shortened(text, width)
    assert cells(found) <= width
    assert found == text or "…" in found


def test_a_shortened_name_shows_what_differs() -> None:
    assert shortened("sales_of_the_year_2024", 12) == "sales…r_2024"
    assert shortened("顧客" * 10, 9) == "顧客…顧客"
