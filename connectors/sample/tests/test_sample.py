"""The shop is a pure function; its log and its tables tell the same story."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from wherry import Batch, Mark, Progress, Run, Selection, Split, StateError
from wherry.testing import digest, tables_equal
from wherry_source_sample.config import SampleConfig
from wherry_source_sample.source import SampleSource

DIGESTS = {
    "customers": "dc873704202398f2570de364ca031d6f",
    "products": "b152ebef034b788730ac4ad3b425d9a3",
    "orders": "562a35e1ae8d1047213611a8eeced7af",
    "order_items": "7a8f897d3972f70f09d7ddccf160a5a5",
}


def shop(bytes: int = 64 << 20, **values: Any) -> SampleSource:
    source = SampleSource(SampleConfig(**values))
    source.run = Run(bytes=bytes)
    return source


def selections(source: SampleSource, **fields: Any) -> list[Selection]:
    return [
        Selection(stream=stream, mode="merge", key=stream.primary_key, cursor=stream.cursor, **fields)
        for stream in source.discover()
    ]


def read(source: SampleSource, name: str, bookmark: Any = None, **fields: Any) -> tuple[list[Batch], Mark]:
    selection = next(s for s in selections(source, **fields) if s.stream.name == name)
    *batches, mark = source.read(Split(key=name, streams=(selection,), bookmark=bookmark))
    assert isinstance(mark, Mark)
    return [b for b in batches if isinstance(b, Batch)], mark


def table(source: SampleSource, name: str, bookmark: Any = None, **fields: Any) -> pa.Table:
    schema = next(s.schema for s in source.discover() if s.name == name)
    batches, _ = read(source, name, bookmark, **fields)
    return pa.Table.from_batches([b.data for b in batches], schema if "columns" not in fields else None)


NAMES = ["customers", "products", "orders", "order_items"]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_config_gives_the_same_rows(name: str) -> None:
    assert digest(table(shop(), name)) == DIGESTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_or_another_day_gives_other_rows(name: str) -> None:
    digests = {digest(table(shop(**values), name)) for values in ({}, {"seed": 1}, {"until": date(2024, 4, 10)})}
    assert len(digests) == 3


@pytest.mark.parametrize("name", NAMES)
def test_the_size_of_batches_changes_no_row(name: str) -> None:
    small, _ = read(shop(bytes=200_000), name)
    assert len(small) > 1
    assert tables_equal(pa.Table.from_batches([b.data for b in small]), table(shop(), name))


@pytest.mark.parametrize("name", NAMES)
def test_rows_come_in_cursor_order_and_resume_from_each_bookmark(name: str) -> None:
    source = shop(bytes=1_000_000)
    batches, end = read(source, name)
    whole = pa.Table.from_batches([b.data for b in batches])
    times = whole["updated_at"].cast(pa.int64()).to_pylist()
    assert times == sorted(times)
    seen = 0
    for batch in batches:
        seen += batch.data.num_rows
        rest = table(source, name, batch.bookmark)
        boundary = times.count(times[seen - 1])  # rows that have the bookmark's very value come again
        assert tables_equal(rest, whole.slice(seen - boundary))
    assert end.bookmark == batches[-1].bookmark
    assert end.complete == (name,)


def test_references_hold_and_totals_add_up() -> None:
    source = shop()
    orders, items = table(source, "orders"), table(source, "order_items")
    for column, values, name in [
        ("customer_id", orders["customer_id"], "customers"),
        ("product_id", items["product_id"], "products"),
        ("order_id", items["order_id"], "orders"),
    ]:
        known = pc.is_in(values.drop_null(), table(source, name)["id"].combine_chunks())
        assert pc.all(known).as_py(), column
    price = pc.multiply(items["unit_price"].cast(pa.decimal128(12, 2)), items["quantity"].cast(pa.decimal128(10, 0)))
    sums = items.append_column("price", price).group_by("order_id").aggregate([("price", "sum")])
    together = orders.select(["id", "total"]).join(sums, "id", "order_id")
    assert together.num_rows == orders.num_rows
    assert pc.all(pc.equal(together["total"], together["price_sum"].cast(pa.decimal128(12, 2)))).as_py()


def test_there_are_nulls_and_every_key_is_once() -> None:
    source = shop()
    for stream in source.discover():
        rows = table(source, stream.name)
        assert (
            rows.select(list(stream.primary_key)).group_by(list(stream.primary_key)).aggregate([]).num_rows
            == rows.num_rows
        )
        for column in stream.schema:
            assert column.nullable == (rows[column.name].null_count > 0), column.name


def test_bounds_limit_and_columns_are_kept_to() -> None:
    source = shop()
    whole = table(source, "orders")
    part = table(source, "orders", start="2024-02-01", end="2024-03-01T00:00:00Z")
    low, high = (pa.scalar(d).cast(pa.timestamp("us", "UTC")) for d in (date(2024, 2, 1), date(2024, 3, 1)))
    times = whole["updated_at"]
    assert 0 < part.num_rows < whole.num_rows
    assert tables_equal(part, whole.filter(pc.and_(pc.greater_equal(times, low), pc.less(times, high))))
    assert table(source, "orders", limit=7).num_rows == 7
    assert table(source, "orders", columns=("status", "id")).schema.names == ["status", "id"]


def replay(source: SampleSource, tables: dict[str, dict[Any, dict[str, Any]]], bookmark: Any = None) -> Any:
    """Apply the log to tables of rows by key; return where it ends."""
    plans = list(source.plan(selections(source), {"log": Progress(bookmark=bookmark)}))
    keys = {s.name: s.primary_key for s in source.discover()}
    for split in (split for plan in plans for split in plan.splits):
        for item in source.read(split):
            bookmark = item.bookmark or bookmark
            if not isinstance(item, Batch):
                continue
            for row in item.data.to_pylist():
                rows, key = tables.setdefault(item.stream, {}), tuple(row[k] for k in keys[item.stream])
                op, unset = row.pop("_wherry_op"), row.pop("_wherry_unset")
                if op == 1:
                    del rows[key]
                else:
                    alone = {list(row)[n]: rows[key][list(row)[n]] for n in unset or ()}
                    rows[key] = row | alone
    return bookmark


def test_the_log_replayed_to_a_day_is_the_shop_on_that_day() -> None:
    replayed: dict[str, dict[Any, dict[str, Any]]] = {}
    bookmark = None
    for day in (date(2024, 1, 1), date(2024, 1, 2), date(2024, 3, 1), date(2024, 4, 9), date(2024, 9, 9)):
        before = bookmark
        bookmark = replay(shop(bytes=400_000, rows=300, until=day, changes=True), replayed, bookmark)
        assert bookmark != before
        for name in NAMES:
            state = table(shop(rows=300, until=day), name)
            rows = pa.Table.from_pylist(list(replayed[name].values()), state.schema)
            assert tables_equal(rows, state)


def test_the_log_has_every_operation_and_resumes_between_any_two_marks() -> None:
    source = shop(bytes=400_000, rows=300, changes=True)
    (plan,) = source.plan(selections(source), {})
    items = list(source.read(plan.splits[0]))
    ops = {op for item in items if isinstance(item, Batch) for op in item.data["_wherry_op"].to_pylist()}
    assert ops == {0, 1, 2}
    marks = [n for n, item in enumerate(items) if isinstance(item, Mark)]
    assert len(marks) > 5
    for n in marks[:: len(marks) // 5]:
        rest = list(source.read(Split(key="log", streams=plan.splits[0].streams, bookmark=items[n].bookmark)))
        assert [(i.stream, i.data) for i in rest if isinstance(i, Batch)] == [
            (i.stream, i.data) for i in items[n:] if isinstance(i, Batch)
        ]


def test_a_log_read_to_its_end_has_no_plan_and_an_earlier_day_is_refused() -> None:
    source = shop(changes=True)
    end = {"position": source.end}
    assert list(source.plan(selections(source), {"log": Progress(bookmark=end)})) == []
    for changes in (True, False):
        earlier, later = (shop(until=date(2024, 3, day), changes=changes) for day in (1, 20))
        (plan, *_) = later.plan(selections(later), {})
        *_, mark = later.read(plan.splits[0])
        with pytest.raises(StateError, match="until 2024-03-01 lies before") as refused:
            list(earlier.read(Split(key="x", streams=plan.splits[0].streams, bookmark=mark.bookmark)))
        assert refused.value.next


def test_replace_reads_all_again() -> None:
    source = shop()
    stream = next(iter(source.discover()))
    (plan,) = source.plan([Selection(stream=stream)], {"customers": Progress(bookmark={"updated_at": "2024-04-01"})})
    assert plan.splits[0].bookmark is None
    *_, mark = source.read(plan.splits[0])
    assert mark == Mark(complete=("customers",))


def test_a_stop_ends_the_read_before_the_next_item() -> None:
    source = shop(bytes=200_000)
    items = source.read(Split(key="orders", streams=(selections(source)[2],)))
    next(items)
    source.run.stop.set()
    assert list(items) == []
