"""Hostile names of streams, columns, schemas and files: a map that is injective and stays, and a canary that lives."""

from __future__ import annotations

import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from conftest import Wherry
from harness import hostile
from harness.places import InDuckDB, Place
from hypothesis import strategies as st
from test_values import destination
from wherry.errors import DataError, WherryError
from wherry.pipeline.rejects import MaxRejects
from wherry.pipeline.select import Wish, Wishes
from wherry.testing import run_sync

SCHEMA = "faults"
DRAWN = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=90)


@pytest.fixture
def canary(place: Place) -> Place:
    """The place, with tables that a name with SQL in it would like to drop."""
    statements = [f"create schema if not exists {SCHEMA}"]
    statements += [f"create table {home}canary as select 42 as alive" for home in ("", f"{SCHEMA}.")]
    if isinstance(place, InDuckDB):
        import duckdb

        with duckdb.connect(str(place.path)) as database:
            for statement in statements:
                database.execute(statement)
    else:
        for statement in statements:
            place.query(statement)
    return place


def alive(place: Place) -> bool:
    return [place.query(f"select alive from {home}canary") for home in ("", f"{SCHEMA}.")] == [[(42,)]] * 2


def many(tier: int) -> list[str]:
    """Picked and drawn names, none twice."""
    return list(dict.fromkeys([*hostile.NAMES, *hostile.examples("names", DRAWN, 40 if tier == 0 else 1000)]))


def streams(names: list[str]) -> hostile.Rows:
    """A stream of each name, with a row that says it."""
    schema = pa.schema([("called", pa.utf8())])
    return hostile.Rows({n: pa.table({"called": [n]}, schema=schema) for n in names}, dict.fromkeys(names, schema))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def mapped(place: Place, column: str = "") -> dict[str, str]:
    """What the catalogue says: source's name -> name in the destination, of streams, or of the columns of one."""
    key, where = ("source", f"stream = '{column}' and source <> ''") if column else ("stream", "source = ''")
    return dict(place.query(f"select {key}, name from {SCHEMA}._wherry_names where {where} and generation is null"))


def sync(place: Place, source: Any, **settings: Any) -> Any:
    return run_sync(lambda: source, destination(place), connector="hostile", **{"schema": SCHEMA, **settings})


def folded(place: Place, names: Any) -> set[str]:
    """As the engine tells names apart."""
    return {n if place.name == "postgres" else n.casefold() for n in names}


@pytest.mark.fault(31)
@pytest.mark.fault(32)
@pytest.mark.fault(80)
def test_streams_called_anything_have_a_table_each(canary: Place) -> None:
    streams_have_tables(canary, 0)


@pytest.mark.fault(80, tier=1)
@pytest.mark.timeout(900)
def test_many_streams_called_anything_have_a_table_each(canary: Place) -> None:
    streams_have_tables(canary, 1)


def streams_have_tables(place: Place, tier: int) -> None:
    names = hostile.NAMES[::8] if tier == 0 else many(tier)[:96]
    outcome = sync(place, streams(names))
    assert outcome.exit_code == 0, [str(s.error) for s in outcome.failed]
    first = mapped(place)
    assert first.keys() >= set(names)
    assert len(folded(place, first.values())) == len(first)
    whole = " union all ".join(f"select {i}, called from {SCHEMA}.{quoted(first[n])}" for i, n in enumerate(names))
    assert sorted(place.query(whole)) == list(enumerate(names))
    assert all(len(name.encode()) <= (63 if place.name == "postgres" else 255) for name in first.values())
    assert sync(place, streams(names[::-1])).exit_code == 0
    assert mapped(place) == first
    assert alive(place)


@pytest.mark.fault(32)
@pytest.mark.fault(80)
def test_columns_called_anything_keep_their_values(canary: Place) -> None:
    columns_keep_values(canary, many(0))


@pytest.mark.fault(80, tier=1)
def test_many_columns_called_anything_keep_their_values(canary: Place) -> None:
    columns_keep_values(canary, many(1)[: 1000 if canary.name == "duckdb" else 500])


def columns_keep_values(place: Place, names: list[str]) -> None:
    table = pa.table([pa.array([n]) for n in names], names=names)
    source = hostile.Rows({"wide": table}, {"wide": table.schema})
    outcome = sync(place, source)
    assert outcome.exit_code == 0, [str(s.error) for s in outcome.failed]
    first = mapped(place, "wide")
    assert first.keys() == set(names)
    assert len(folded(place, first.values())) == len(names)
    columns = ", ".join(quoted(first[n]) for n in names)
    assert place.query(f"select {columns} from {SCHEMA}.wide") == [tuple(names)]
    back = table.select(names[::-1])
    assert sync(place, hostile.Rows({"wide": back}, {"wide": back.schema})).exit_code == 0
    assert mapped(place, "wide") == first
    assert alive(place)


@pytest.mark.fault(31)
@pytest.mark.fault(80)
@pytest.mark.parametrize("name", ["a\0b", "x~rejected"], ids=["nul", "ours"])
def test_a_name_that_nobody_can_keep_is_refused(canary: Place, name: str) -> None:
    with pytest.raises(DataError) as refused:
        sync(canary, streams(["fine", name]))
    assert refused.value.exit_code == 6
    assert refused.value.message.isprintable()
    assert "--exclude" in refused.value.next
    glob = refused.value.next.rpartition(" ")[2].strip("'")
    assert sync(canary, streams(["fine", name]), wishes=Wishes(exclude=(glob,))).exit_code == 0
    assert canary.query(f"select called from {SCHEMA}.fine") == [("fine",)]
    assert alive(canary)


@pytest.mark.fault(31)
@pytest.mark.parametrize("row", [{"a\0b": 1}, {"\ud800": 1}], ids=["nul", "surrogate"])
def test_a_column_that_nobody_can_keep_fails_its_stream(canary: Place, row: dict[str, int]) -> None:
    source = hostile.Rows({"bad": [row]}, {"bad": pa.schema([])})
    outcome = sync(canary, source)
    assert [s.error.exit_code for s in outcome.failed] == [6]
    assert outcome.failed[0].error.message.isprintable()
    assert alive(canary)


@pytest.mark.fault(80, tier=1)
@pytest.mark.parametrize("schema", ['"; DROP TABLE canary;--', "'; drop table canary; --", "select", "é", "%s"])
def test_a_schema_called_anything(canary: Place, schema: str) -> None:
    table = pa.table({"v": ["x"]})
    outcome = sync(canary, hostile.Rows({"t": table}, {"t": table.schema}), schema=schema)
    assert outcome.exit_code == 0, [str(s.error) for s in outcome.failed]
    assert canary.query(f"select v from {quoted(outcome.schema)}.t") == [("x",)]
    assert alive(canary)


@pytest.mark.fault(80, tier=1)
def test_a_stream_that_is_called_like_rejected_rows_is_none_of_them(canary: Place) -> None:
    """A table `orders__rejected` of the source's own, and rejected rows of `orders`, never share a table."""
    table = pa.table({"id": [1, 2], "v": ["7", "x"]})
    rows = hostile.Rows(
        dict.fromkeys(("orders", "orders__rejected"), table),
        dict.fromkeys(("orders", "orders__rejected"), table.schema),
    )
    wishes = Wishes(special={"orders": Wish(types={"v": "bigint"})})
    outcome = sync(canary, rows, wishes=wishes, max_rejects=MaxRejects(rows=1))
    assert outcome.exit_code == 0, [str(s.error) for s in outcome.failed]
    own = mapped(canary)["orders__rejected"]
    assert own != "orders__rejected"
    assert sorted(canary.query(f"select id, v from {SCHEMA}.{quoted(own)}")) == [(1, "7"), (2, "x")]
    assert canary.query(f"select id, v from {SCHEMA}.orders") == [(1, 7)]
    assert canary.query(f"select stream, reason from {SCHEMA}.orders__rejected") == [
        ("orders", "column 'v': not a bigint")
    ]


@pytest.mark.fault(31, tier=1)
@pytest.mark.fault(32, tier=1)
def test_files_called_anything_become_tables(wherry: Wherry, canary: Place) -> None:
    """The real command on a folder of hostile file names; where it is a file system that keeps normal forms apart."""
    folder = wherry.folder / "in"
    folder.mkdir()
    stems = ["CON", "select", '"; DROP TABLE canary;--', "a b", "a\nb", "'", "😀", unicodedata.normalize("NFD", "é"),
             "é", "É", "%s", "$1", "-x", "x" * 240, "é" * 120, "orders__rejected"]  # fmt: skip
    for number, stem in enumerate(stems):
        (folder / f"{stem}.csv").write_text(f"n\n{number}\n")
    for _ in range(2):
        done = wherry("sync", folder, canary.reference, "--schema", SCHEMA, "--mode", "replace")
        assert done.code == 0, done
        found = {stem: table for stem, table in mapped(canary).items() if stem in stems}
        assert found.keys() == set(stems)
        whole = " union all ".join(f"select {i}, n from {SCHEMA}.{quoted(found[s])}" for i, s in enumerate(stems))
        assert sorted(canary.query(whole)) == [(number, number) for number in range(len(stems))]
    assert alive(canary)


@pytest.mark.fault(80)
def test_no_value_is_in_an_error(canary: Place) -> None:
    """What is wrong with a row is told by its position, column and reason."""
    secret = "value-nobody-may-see"
    for bad in (f"{secret}\ud800", f"{secret}\0", secret):
        source = hostile.Rows({"t": [{"id": 1, "v": "7"}, {"id": 2, "v": bad}]}, {"t": pa.schema([])})
        outcome = sync(canary, source, wish=Wish(types={"v": "bigint" if bad == secret else "text"}))
        if bad.endswith("\0") and canary.name == "duckdb":
            assert outcome.exit_code == 0
            continue
        (stream,) = outcome.failed
        error = stream.error
        assert isinstance(error, WherryError)
        assert error.exit_code == 6
        assert secret not in str(error.to_json())
        assert error.message.startswith("stream t, row 2: column 'v': ")
        assert "correct it at the source" in error.next
        assert "t__rejected: --max-rejects 1" in error.next
