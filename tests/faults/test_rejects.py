"""Rejected rows: beside the table in the same transaction, and from there into it, whatever is killed meanwhile."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from conftest import Wherry
from harness import hostile
from harness.places import InDuckDB, Place, tables
from test_values import LET_PASS, SCHEMA, destination
from wherry.errors import DataError
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.rejects import MaxRejects
from wherry.pipeline.select import Wish
from wherry.testing import MemorySource, MemoryStream, run_sync

BIG = {"v": "bigint"}
KEYED = ("merge", "history")


def table(*rows: tuple[int, str | None, int]) -> pa.Table:
    """id, v (text that should be a number), at."""
    ids, values, at = (list(column) for column in zip(*rows, strict=True))
    moments = pa.array(at, pa.int64()).cast(pa.timestamp("us"))
    return pa.table({"id": pa.array(ids, pa.int64()), "v": pa.array(values, pa.utf8()), "at": moments})


def sync(place: Place, rows: pa.Table, mode: str, limit: MaxRejects = LET_PASS, **settings: Any) -> Any:
    cursor = settings.pop("cursor", None)
    stream = MemoryStream(
        name="t", tables=(rows,), key=("id",), cursor=cursor, ordered=bool(cursor), batch=settings.pop("batch", 100)
    )
    wish = Wish(mode=mode, types=BIG, key=("id",) if mode in KEYED else None)
    made = {"schema": SCHEMA, "pipeline": "p", "max_rejects": limit, "wish": wish, **settings}
    return run_sync(lambda: MemorySource.of(stream), destination(place), **made)


def rows_of(place: Place, columns: str = "id, v", where: str = "true") -> list[tuple[Any, ...]]:
    return sorted(place.query(f"select {columns} from {SCHEMA}.t where {where}"))


def aside(place: Place, columns: str = "raw") -> list[tuple[Any, ...]]:
    return sorted(place.query(f"select {columns} from {SCHEMA}.t__rejected")) if tables(place, "t__rejected") else []


def ids_aside(place: Place) -> list[int]:
    return sorted(json.loads(raw)["id"] for (raw,) in aside(place))


def change(place: Place, statement: str) -> None:
    """As a user does it, with the engine's own client."""
    if isinstance(place, InDuckDB):
        import duckdb

        with duckdb.connect(str(place.path)) as database:
            database.execute(statement)
    else:
        place.query(statement)


@pytest.mark.fault(75)
def test_a_rejected_row_is_told_whole(place: Place, mode: str) -> None:
    """With its stream, reason, column, position, values, and the load that its transaction was."""
    outcome = sync(place, table((1, "7", 1), (2, "x\0'", 2), (3, None, 3)), mode)
    assert outcome.exit_code == 0
    assert rows_of(place) == [(1, 7), (3, None)]
    columns = 'id, stream, reason, "column", "row", raw, _wherry_load_id'
    ((id, stream, reason, column, row, raw, load),) = aside(place, columns)
    assert (stream, reason, column, row) == ("t", "column 'v': not a bigint", "v", 2)
    assert json.loads(raw)["v"] == "x\0'"
    assert [(load,)] == place.query(f"select distinct _wherry_load_id from {SCHEMA}.t")
    assert id


@pytest.mark.fault(75, tier=1)
def test_rejected_rows_of_many_loads_and_of_a_repeated_read(place: Place, mode: str) -> None:
    """Each is there once: loads count on, replacing replaces, a key read again is the same row."""
    rows = table(*((n, "x" if n % 3 == 0 else str(n), n) for n in range(1, 31)))
    every = CommitEvery(rows=1, seconds=0)
    cursor = None if mode == "replace" else "at"
    outcome = sync(place, rows, mode, batch=5, commit_every=every, cursor=cursor)
    assert outcome.exit_code == 0, outcome.failed[0].error
    assert ids_aside(place) == list(range(3, 31, 3))
    assert outcome.streams[0].counts["rejected"] == 10
    again = table(*((n, "x" if n % 6 == 0 else str(n), n) for n in range(1, 31)))
    if mode == "replace":
        assert sync(place, again, mode).exit_code == 0
        assert ids_aside(place) == list(range(6, 31, 6))
    elif mode in KEYED:
        change(place, f"delete from {SCHEMA}._wherry_state")
        assert sync(place, rows, mode, cursor=cursor, wish=Wish(mode=mode, types=BIG, key=("id",))).exit_code == 0
        assert ids_aside(place) == list(range(3, 31, 3))


@pytest.mark.fault(75)
def test_a_row_without_its_key_is_rejected(place: Place) -> None:
    rows = table((1, "7", 1), (2, "8", 2))
    rows = rows.set_column(0, "id", pa.array([1, None], pa.int64()))
    assert sync(place, rows, "merge").exit_code == 0
    assert rows_of(place) == [(1, 7)]
    assert aside(place, '"column", reason') == [("id", "column 'id': no value, though it is part of the key")]


@pytest.mark.fault(75)
def test_a_percentage_is_judged_of_all_rows_read(place: Place) -> None:
    """A bad row at the beginning of a good run is no reason to end it; too many of them are, before the commit."""
    rows = [(n, "x" if n <= 2 else str(n), n) for n in range(1, 201)]
    assert sync(place, table(*rows), "append", MaxRejects(percent=1), batch=10).exit_code == 0
    assert len(rows_of(place)) == 198
    worse = sync(
        place, table(*((n + 1000, v, a) for n, v, a in rows), (1999, "x", 1999)), "append", MaxRejects(percent=1)
    )
    error = worse.streams[0].error
    assert worse.exit_code == 6
    assert isinstance(error, DataError)
    assert "3 of 201 rows rejected, more than 1 %" in error.message
    assert (error.row, error.column) == (200, "v")
    assert error.message.startswith("stream t, row 201: ")
    assert "--max-rejects 2%" in error.next
    assert len(rows_of(place)) == 198
    assert ids_aside(place) == [1, 2]


def replay(wherry: Wherry, place: Place, *args: str, **options: Any) -> Any:
    return wherry("rejects", "replay", place.reference, "t", "--schema", SCHEMA, *args, **options)


@pytest.mark.fault(1, tier=1)
def test_a_replay_moves_what_fits_and_leaves_the_rest(wherry: Wherry, place: Place) -> None:
    sync(place, table((1, "7", 1), (2, "x", 2), (3, "y", 3), (4, "z", 4)), "merge")
    edited = json.dumps({"id": 2, "v": "12", "at": "1970-01-01 00:00:00.000002"})
    change(place, f"update {SCHEMA}.t__rejected set raw = '{edited}' where raw like '%: 2,%'")
    change(place, f"update {SCHEMA}.t__rejected set raw = 'no json' where raw like '%: 4,%'")
    done = replay(wherry, place, "--json")
    assert done.code == 6, done
    told = json.loads(done.stdout)
    assert (told["moved"], told["superseded"], told["undecided"]) == (1, 0, 0)
    assert {(why["column"], why["rows"]) for why in told["left"]} == {("v", 1), ("raw", 1)}
    micros = [(id, v, (moment - datetime(1970, 1, 1)).microseconds) for id, v, moment in rows_of(place, 'id, v, "at"')]
    assert micros == [(1, 7, 1), (2, 12, 2)]
    assert len(aside(place)) == 2
    shown = wherry("rejects", "show", place.reference, "t", "--schema", SCHEMA, "--json")
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    id = next(row["id"] for row in rows if '"y"' in row["raw"])
    assert replay(wherry, place, id[:6], "--type", "v=text").code == 0
    assert rows_of(place) == [(1, "7"), (2, "12"), (3, "y")]
    refused = wherry("rejects", "drop", place.reference, "t", "--schema", SCHEMA)
    assert refused.code == 2
    assert "--yes" in refused.stderr
    assert len(aside(place)) == 1
    assert wherry("rejects", "drop", place.reference, "t", "--schema", SCHEMA, "--yes").code == 0
    assert aside(place) == []
    sums = "sum(read_rows - boundary_rows - mapped_rows), sum(mapped_rows - rejected_rows - staged_rows)"
    loads = place.query(f"select {sums} from {SCHEMA}._wherry_loads where split_key <> ''")
    assert [tuple(map(int, row)) for row in loads] == [(0, 0)]


@pytest.mark.fault(1, tier=1)
@pytest.mark.parametrize(("mode", "cursor"), [("merge", "at"), ("merge", None), ("history", "at")])
def test_a_replay_never_replaces_a_later_version(wherry: Wherry, place: Place, mode: str, cursor: str | None) -> None:
    """By the cursor where there is one, else by the load; a version of the same load leaves it undecided."""
    sync(place, table((1, "7", 1), (2, "x", 2), (3, "x", 3), (4, "4", 4), (4, "x", 4)), mode, cursor=cursor)
    sync(place, table((2, "22", 12)), mode, cursor=cursor)
    change(place, f"update {SCHEMA}.t__rejected set raw = replace(raw, '\"x\"', '\"99\"')")
    done = replay(wherry, place, "--json")
    told = json.loads(done.stdout)
    assert (told["moved"], told["superseded"], told["undecided"], told["left"]) == (1, 1, 1, [])
    assert done.code == 6
    current = "_wherry_valid_to is null" if mode == "history" else "true"
    assert rows_of(place, where=current) == [(1, 7), (2, 22), (3, 99), (4, 4)]
    assert ids_aside(place) == ([2, 4] if mode == "history" else [4])


@pytest.mark.fault(1, tier=1)
def test_a_complete_read_says_anew_what_is_rejected(place: Place) -> None:
    """History by snapshots: what an earlier one could not hold is rejected again, or gone from the source."""
    sync(place, table((1, "7", 1), (2, "x", 2), (3, "x", 3)), "history")
    assert ids_aside(place) == [2, 3]
    sync(place, table((1, "8", 1), (3, "x", 3)), "history")
    assert ids_aside(place) == [3]
    sync(place, table((1, "9", 1), (3, "3", 3)), "history")
    assert ids_aside(place) == []
    assert rows_of(place, where="_wherry_valid_to is null") == [(1, 9), (3, 3)]


def killed_replay(wherry: Wherry, place: Place, mode: str, point: str) -> None:
    sync(place, table((1, "7", 1), (2, "x", 2), (3, "y", 3)), mode)
    before = rows_of(place), ids_aside(place)
    done = replay(wherry, place, "--type", "v=text", env={"WHERRY_FAILPOINT": f"{point}:kill"})
    passed = point != "K16" or done.code == 137
    assert done.code == 137 or not passed, done
    found = rows_of(place, "id"), ids_aside(place)
    assert found in (([(1,)], [2, 3]), ([(1,), (2,), (3,)], [])), (before, found)
    again = replay(wherry, place, "--type", "v=text")
    assert again.code == 0, again
    assert rows_of(place) == [(1, "7"), (2, "x"), (3, "y")]
    assert aside(place) == []
    assert sync(place, table((9, "9", 9)), mode).exit_code == 0
    assert place.query(f"select status from {SCHEMA}._wherry_plans where status = 'open'") == []
    assert place.leftovers() == []


@pytest.mark.fault(1)
def test_a_killed_replay_loses_and_doubles_nothing(wherry: Wherry, duckdb_place: InDuckDB) -> None:
    killed_replay(wherry, duckdb_place, "append", "K08")


@pytest.mark.fault(1, tier=1)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", ["K08", "K10", "K12"])
@pytest.mark.parametrize("mode", ["append", "merge", "history"])
def test_a_replay_killed_anywhere(wherry: Wherry, place: Place, mode: str, point: str) -> None:
    killed_replay(wherry, place, mode, point)


@pytest.mark.fault(1, tier=2)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", ["K04", "K09", "K11", "K16"])
@pytest.mark.parametrize("mode", ["append", "merge", "history"])
def test_a_replay_killed_at_other_points(wherry: Wherry, place: Place, mode: str, point: str) -> None:
    killed_replay(wherry, place, mode, point)


@pytest.mark.fault(75, tier=1)
def test_rejects_without_a_plan_left(wherry: Wherry, place: Place) -> None:
    """A replay that was killed when all was committed leaves no plan that a later sync would take up."""
    sync(place, table((1, "7", 1), (2, "x", 2)), "append")
    assert replay(wherry, place, "--type", "v=text", env={"WHERRY_FAILPOINT": "K12:kill"}).code == 137
    assert len(place.query(f"select 1 from {SCHEMA}._wherry_plans where status = 'open'")) == 1
    assert sync(place, table((3, "3", 3)), "append").exit_code == 0
    assert place.query(f"select 1 from {SCHEMA}._wherry_plans where status = 'open'") == []
    assert [id for id, _ in rows_of(place)] == [1, 2, 3]


@pytest.mark.fault(75, tier=1)
def test_names_in_the_command(wherry: Wherry, place: Place) -> None:
    """A stream without rejected rows is told with those that have some; a name with SQL in it is a name."""
    name = '"; DROP TABLE canary;--'
    source = hostile.Rows({name: pa.table({"v": ["x"]})}, {name: pa.schema([("v", pa.utf8())])})
    run_sync(lambda: source, destination(place), schema=SCHEMA, max_rejects=LET_PASS, wish=Wish(types=BIG))
    listed = wherry("rejects", "list", place.reference, "--json")
    assert [(row["stream"], row["rows"]) for row in json.loads(listed.stdout)] == [(name, 1)]
    refused = wherry("rejects", "show", place.reference, "canary")
    assert refused.code == 2
    assert "has no rejected rows" in refused.stderr
    assert wherry("rejects", "replay", place.reference, name, "--type", "v=text").code == 0


def killed_sync(wherry: Wherry, place: Place, mode: str, point: str) -> None:
    folder = wherry.folder / "in"
    folder.mkdir()
    for number in range(3):
        rows = "".join(f"{n},{'x' if n % 10 == 0 else n}\n" for n in range(number * 40 + 1, number * 40 + 41))
        (folder / f"{number}.csv").write_text("id,v\n" + rows)
    keyed = ("--key", "id") if mode in KEYED else ()
    command = ("sync", f"{folder}/*.csv", place.reference, "--schema", SCHEMA, "--table", "t", "--mode", mode, *keyed)
    command += ("--type", "v=bigint", "--max-rejects", "20%")
    done = wherry(*command, env={"WHERRY_FAILPOINT": f"{point}:kill"})
    assert done.code == 137, done
    assert wherry(*command).code == 0
    good = [n for n in range(1, 121) if n % 10]
    assert rows_of(place) == [(n, n) for n in good]
    assert ids_aside(place) == [n for n in range(1, 121) if n % 10 == 0]
    assert place.leftovers() == []


@pytest.mark.fault(1, tier=1)
def test_rejected_rows_of_a_killed_sync_are_there_once(wherry: Wherry, place: Place, mode: str) -> None:
    killed_sync(wherry, place, mode, "K08")


@pytest.mark.fault(1, tier=1)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", ["K09", "K12"])
def test_rejected_rows_of_a_sync_killed_anywhere(wherry: Wherry, place: Place, mode: str, point: str) -> None:
    killed_sync(wherry, place, mode, point)


@pytest.mark.fault(75, tier=1)
def test_a_dropped_table_of_rejected_rows_is_made_anew(place: Place, mode: str) -> None:
    """It holds what came since; nothing else is disturbed."""
    sync(place, table((1, "7", 1), (2, "x", 2)), mode)
    change(place, f"drop table {SCHEMA}.t__rejected")
    outcome = sync(place, table((1, "7", 1), (3, "x", 3), (4, "4", 4)), mode)
    assert outcome.exit_code == 0, outcome.failed[0].error
    assert ids_aside(place) == [3]
    assert {id for id, _ in rows_of(place)} == {1, 4}
