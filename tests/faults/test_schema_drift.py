"""Columns that are many, come, go and change their type in mid-read: as the policy says, and no old value changes."""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from conftest import Wherry
from harness import hostile
from harness.places import InDuckDB, InPostgres, Place, tables
from hypothesis import strategies as st
from test_values import LET_PASS, SCHEMA, destination
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.rejects import MaxRejects
from wherry.pipeline.select import Wish
from wherry.testing import MemorySource, MemoryStream, run_sync

STRUCT = pa.struct([("a", pa.int64())])
GROWN = pa.struct([("a", pa.int64()), ("b", pa.utf8())])


def sync(place: Place, *parts: pa.Table, mode: str = "append", **settings: Any) -> Any:
    """One run; each part another schema, in mid-read."""
    key = ("id",) if mode in ("merge", "history") else ()
    stream = MemoryStream(name="t", tables=parts, key=key, batch=settings.pop("batch", 1000))
    wish = Wish(mode=mode, key=key or None, types=settings.pop("types", None))
    made = {"schema": SCHEMA, "pipeline": "p", "wish": wish, **settings}
    return run_sync(lambda: MemorySource.of(stream), destination(place), **made)


def part(first: int, **columns: Any) -> pa.Table:
    """Rows with ids from `first` on."""
    rows = len(next(iter(columns.values())))
    return pa.table({"id": pa.array(range(first, first + rows), pa.int64()), **columns})


def values(place: Place, columns: str = "id, v") -> list[tuple[Any, ...]]:
    return sorted(place.query(f"select {columns} from {SCHEMA}.t"), key=str)


def v(*values: Any, type: Any) -> pa.Array:
    return pa.array(values, type)


@pytest.mark.fault(79)
@pytest.mark.parametrize("columns", [1, 200])
def test_some_columns(place: Place, columns: int) -> None:
    wide(place, columns, "replace")


@pytest.mark.fault(79, tier=1)
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("columns", "mode"), [(1590, "replace"), (1590, "merge"), (4096, "replace")])
def test_many_columns(place: Place, columns: int, mode: str) -> None:
    wide(place, columns, mode)


def wide(place: Place, columns: int, mode: str) -> None:
    """PostgreSQL takes 1,600 with ours among them: more are refused with exit 6, and nothing is written."""
    names = ["id", *(f"c{n}" for n in range(columns - 1))]
    row = pa.table(
        {name: pa.array([n % 7], pa.int64() if name == "id" else pa.int16()) for n, name in enumerate(names)}
    )
    source = hostile.Rows({"t": row}, {"t": row.schema}, key=("id",))
    outcome = run_sync(lambda: source, destination(place), schema=SCHEMA, wish=Wish(mode=mode, key=("id",)))
    if columns > 1590 and isinstance(place, InPostgres):
        (stream,) = outcome.failed
        assert outcome.exit_code == 6
        assert "4,096 columns, and a table takes 1,590" in stream.error.message
        assert "--columns" in stream.error.next
        assert tables(place, "t%") == []
        return
    assert outcome.exit_code == 0, outcome.failed[0].error
    quoted = ", ".join(f'"{name}"' for name in names)
    assert place.query(f"select {quoted} from {SCHEMA}.t") == [tuple(n % 7 for n in range(columns))]


@pytest.mark.fault(79, tier=1)
def test_a_row_that_fits_on_no_page(postgres_place: InPostgres) -> None:
    """PostgreSQL keeps a row on one page: exit 6, and nothing is written."""
    row = pa.table({f"c{n}": ["ten and more bytes"] for n in range(700)})
    outcome = run_sync(lambda: hostile.Rows({"t": row}, {"t": row.schema}), destination(postgres_place), schema=SCHEMA)
    assert outcome.exit_code == 6
    assert "row is too big" in outcome.failed[0].error.message
    assert "--columns" in outcome.failed[0].error.next
    assert tables(postgres_place, "t") == []


@pytest.mark.fault(79)
def test_no_columns(place: Place) -> None:
    """Objects without a key: rows are counted, and the table has Wherry's own columns."""
    source = hostile.Rows({"t": [{}, {}]}, {"t": pa.schema([])})
    outcome = run_sync(lambda: source, destination(place), schema=SCHEMA)
    assert outcome.exit_code in (0, 6), outcome.failed[0].error
    if outcome.exit_code == 0:
        assert place.query(f"select count(*) from {SCHEMA}.t") == [(outcome.streams[0].counts["inserted"],)]


@pytest.mark.fault(79, tier=1)
@pytest.mark.timeout(300)
def test_a_hundred_thousand_columns_are_refused(wherry: Wherry, place: Place) -> None:
    """In JSON, by the real command: exit 6 before anything is written."""
    (wherry.folder / "wide.jsonl").write_text(json.dumps({f"c{n}": n for n in range(100_000)}) + "\n")
    done = wherry("sync", "wide.jsonl", place.reference, "--schema", SCHEMA)
    assert done.code == 6, done
    assert "100,000 columns" in done.stderr
    assert tables(place, "wide%") == []


@pytest.mark.fault(79, tier=1)
@pytest.mark.timeout(300)
def test_a_hundred_megabytes_in_one_value(place: Place) -> None:
    text = "0123456789" * 10_000_000
    outcome = sync(place, part(1, v=[text, "x"]))
    assert outcome.exit_code == 0, outcome.failed[0].error
    assert values(place, "id, length(v), md5(v)") == [(1, len(text), _md5(text)), (2, 1, _md5("x"))]


@pytest.mark.fault(79, tier=2)
@pytest.mark.timeout(1800)
def test_a_row_of_a_gibibyte(place: Place) -> None:
    """Four values of 256 MiB: loaded whole, or refused with nothing of it in the table."""
    columns = {f"v{n}": pa.array([str(n) * (256 << 20)]) for n in range(4)}
    outcome = sync(place, part(1, **columns), memory=2 << 30)
    if outcome.exit_code == 0:
        lengths = ", ".join(f"length({name})" for name in columns)
        assert values(place, lengths) == [(256 << 20,) * 4]
    else:
        assert outcome.exit_code in (4, 6, 9)
        assert not tables(place, "t") or values(place, "id") == []


def _md5(text: str) -> str:
    import hashlib

    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.fault(81)
def test_a_column_comes_and_goes_in_mid_read(place: Place, mode: str) -> None:
    outcome = sync(place, part(1, v=[1, 2]), part(3, v=[3], w=["new"]), part(4, w=["alone"]), mode=mode)
    assert outcome.exit_code == 0, outcome.failed[0].error
    assert values(place, "id, v, w") == [(1, 1, None), (2, 2, None), (3, 3, "new"), (4, None, "alone")]


@pytest.mark.fault(81, tier=1)
def test_a_type_widens_step_by_step(place: Place, mode: str) -> None:
    """int → bigint → numeric → text, in one read: every value is what it was."""
    steps = [
        part(1, v=v(1, -(2**31), type=pa.int32())),
        part(3, v=v(2**62, type=pa.int64())),
        part(4, v=v(Decimal("99999999999999999999.25"), type=pa.decimal128(22, 2))),
        part(5, v=v("seven", "", type=pa.utf8())),
    ]
    expected = ["1", str(-(2**31)), str(2**62), "99999999999999999999.25", "seven", ""]
    outcome = sync(place, *steps, mode=mode)
    assert outcome.exit_code == 0, outcome.failed[0].error
    found = [text for _, text in values(place)]
    assert [_number(text) for text in found] == [_number(text) for text in expected]


def _number(text: str) -> Any:
    try:
        return Decimal(text)
    except ArithmeticError:
        return text


@pytest.mark.fault(81, tier=1)
@pytest.mark.parametrize(
    ("first", "later"),
    [
        (v("a", "07", type=pa.utf8()), v(7, 8, type=pa.int64())),
        (v(1, None, type=pa.int64()), v(None, None, type=pa.int64())),
        (v(True, False, type=pa.bool_()), v(2, 3, type=pa.int64())),
        (v(1, 2, type=pa.int64()), v(0.5, 1e300, type=pa.float64())),
        (v([1], [], type=pa.list_(pa.int64())), v(5, 6, type=pa.int64())),
        (v(5, 6, type=pa.int64()), v([1], None, type=pa.list_(pa.int64()))),
        (v(0, 1, type=pa.timestamp("us")), v(0, 1, type=pa.timestamp("us", "UTC"))),
        (v({"a": 1}, None, type=STRUCT), v({"a": 2, "b": "x"}, {"a": None, "b": None}, type=GROWN)),
    ],
    ids=["text-int", "nullable", "bool-int", "int-float", "list-scalar", "scalar-list", "naive-aware", "struct-grows"],
)  # fmt: skip
def test_no_old_value_changes(place: Place, first: pa.Array, later: pa.Array) -> None:
    """Whatever the column becomes, the text of each old value stays, and new ones are there."""
    assert sync(place, part(1, v=first)).exit_code == 0
    text = "id, to_json(v)::varchar" if isinstance(place, InDuckDB) else "id, to_json(v)::text"
    before = {id: _member(value) for id, value in values(place, text)}
    outcome = sync(place, part(11, v=later))
    assert outcome.exit_code == 0, outcome.failed[0].error
    after = {id: _member(value) for id, value in values(place, text)}
    assert {id: after[id] for id in before} == before
    assert len(after) == 4
    wanted = [None if x is None else hostile.plain(_member(x)) for x in later.to_pylist()]
    assert [hostile.plain(after[11 + n]) for n in range(2)] == wanted or pa.types.is_timestamp(later.type)


def _member(value: Any) -> Any:
    """JSON of a value: numbers and texts of them alike, absent members of an object left out."""
    if isinstance(value, str):
        try:
            return _member(json.loads(value))
        except ValueError:
            return value.replace("T", " ")
    if isinstance(value, dict):
        return {k: _member(x) for k, x in value.items() if x is not None}
    return [_member(x) for x in value] if isinstance(value, list) else value


@pytest.mark.fault(81)
@pytest.mark.parametrize("policy", ["evolve", "freeze", "quarantine"])
def test_a_type_that_flips_from_row_to_row(place: Place, policy: str) -> None:
    """Evolve: text for all. Freeze (--type): exit 6, the table as before. Quarantine (and --max-rejects): set aside."""
    mixed = [{"id": n, "v": n if n % 2 else f"x{n}"} for n in range(1, 9)]
    source = hostile.Rows({"t": mixed}, {"t": pa.schema([])}, batch=3)
    types = None if policy == "evolve" else {"v": "bigint"}
    limit = LET_PASS if policy == "quarantine" else MaxRejects()
    made = {"schema": SCHEMA, "wish": Wish(mode="append", types=types), "max_rejects": limit}
    outcome = run_sync(lambda: source, destination(place), **made)
    if policy == "evolve":
        assert outcome.exit_code == 0, outcome.failed[0].error
        assert [text for _, text in values(place)] == ["1", "x2", "3", "x4", "5", "x6", "7", "x8"]
    elif policy == "freeze":
        assert outcome.exit_code == 6
        assert not tables(place, "t") or values(place) == []
    else:
        assert values(place) == [(1, 1), (3, 3), (5, 5), (7, 7)]
        assert outcome.streams[0].counts["rejected"] == 4


_COLUMN = st.sampled_from(["a", "b", "c", "d"])
_CELLS = st.one_of(
    st.integers(-100, 100).map(lambda n: (pa.int16(), n)),
    st.integers(-(2**40), 2**40).map(lambda n: (pa.int64(), n)),
    st.decimals(-(10**9), 10**9, places=2).map(lambda d: (pa.decimal128(18, 2), d)),
    st.text("xyz ", max_size=4).map(lambda t: (pa.utf8(), t)),
    st.none().map(lambda n: (pa.utf8(), n)),
)
_DRIFT = st.lists(st.dictionaries(_COLUMN, _CELLS, min_size=1), min_size=2, max_size=6)


def drifting(place: Place, count: int) -> None:
    """Rows whose columns and types were drawn, each row a batch of its own."""
    for number, rows in enumerate(hostile.examples("drift", _DRIFT, count)):
        parts = [part(i, **{c: pa.array([x], t) for c, (t, x) in row.items()}) for i, row in enumerate(rows)]
        stream = MemoryStream(name=f"t{number}", tables=tuple(parts), batch=1)
        settings: dict[str, Any] = {"schema": SCHEMA, "commit_every": CommitEvery(rows=1, seconds=0)}
        source = partial(MemorySource.of, stream)
        outcome = run_sync(source, destination(place), wish=Wish(mode="append"), **settings)
        assert outcome.exit_code == 0, (rows, outcome.failed[0].error)
        columns = sorted({c for row in rows for c, (_, x) in row.items()})
        shown = ", ".join(f'"{c}"' for c in columns)
        found = sorted(place.query(f"select id, {shown} from {SCHEMA}.t{number}"))
        expected = [(i, *(row.get(c, (None, None))[1] for c in columns)) for i, row in enumerate(rows)]
        assert [[_same(x) for x in row] for row in found] == [[_same(x) for x in row] for row in expected], rows


def _same(value: Any) -> Any:
    return (
        value if value is None else str(_number(str(value)).normalize() if _number(str(value)) != str(value) else value)
    )


@pytest.mark.fault(81, tier=1)
def test_drawn_drift(place: Place) -> None:
    drifting(place, 3)


@pytest.mark.fault(81, tier=1)
@pytest.mark.timeout(600)
def test_much_drawn_drift(place: Place) -> None:
    drifting(place, 40)


@pytest.mark.fault(81, tier=1)
def test_a_reader_never_fails_while_columns_change(postgres_place: InPostgres) -> None:
    """A session that reads all the while sees whole loads with the columns of the moment."""
    sync(postgres_place, part(1, v=[1]))
    seen: list[int] = []
    wrong: list[str] = []
    over = threading.Event()

    def read() -> None:
        with postgres_place.session() as session:
            while not over.is_set():
                try:
                    rows = session.execute(f"select * from {SCHEMA}.t", prepare=False).fetchall()
                    seen.append(len(rows))
                except Exception as error:  # psycopg's kinds of errors are the finding
                    wrong.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for n in range(2, 12):
            assert sync(postgres_place, part(n, v=[n], **{f"c{n}": ["x"]})).exit_code == 0
        assert sync(postgres_place, part(12, v=["text"])).exit_code == 0
    finally:
        over.set()
        reader.join()
    assert wrong == []
    assert seen == sorted(seen)
    assert seen[-1] >= 1


@pytest.mark.fault(81, tier=1)
@pytest.mark.parametrize("many", [False, True], ids=["file", "folder"])
def test_a_file_cut_down_to_its_header_changes_no_column(tmp_path: Any, place: Place, many: bool) -> None:
    """A column without a value says nothing of its type; and where nothing is kept, later values say it."""
    from wherry_source_files.source import FilesSource

    (tmp_path / "t").mkdir()
    file = tmp_path / "t" / "t.csv"
    read = f"{tmp_path}/t/*.csv" if many else str(file)

    def run(text: str) -> None:
        file.write_text(text)
        made = partial(FilesSource, FilesSource.Config(path=read))
        outcome = run_sync(made, destination(place), schema=SCHEMA, pipeline="p")
        assert outcome.exit_code == 0, outcome.failed[0].error

    def types() -> dict[str, str]:
        columns = "column_name, lower(data_type)"
        where = f"table_schema = '{SCHEMA}' and table_name = 't' and column_name in ('n', 'd')"
        return dict(place.query(f"select {columns} from information_schema.columns where {where}"))

    run("n,d\n1,2024-01-31\n")
    before = types()
    assert before == {"n": "bigint", "d": "date"}
    run("n,d\n")
    assert place.query(f"select n, d from {SCHEMA}.t") == []
    assert types() == before
    run("n,d\n7,2024-02-29\n")
    assert types() == before
    assert [n for (n,) in place.query(f"select n from {SCHEMA}.t")] == [7]
