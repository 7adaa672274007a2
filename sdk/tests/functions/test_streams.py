"""Functions as streams: what they are given, what they may yield, what is remembered of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from types import ModuleType
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest
import wherry
from wherry import Batch, Mark, Run, Selection, Split, WherryError
from wherry.functions.source import FunctionSource
from wherry.testing import MemoryDestination, Store, run_sync


def source_of(*functions: Any, **config: Any) -> FunctionSource:
    """A source of these functions, configured."""
    module = ModuleType("acme")
    module.__file__ = __file__
    for function in functions:
        setattr(module, function.__name__, function)
    cls = wherry.source_from(module)
    return cls(cls.Config.model_validate(config))


def read(source: FunctionSource, bookmark: Any = None, **fields: Any) -> tuple[list[dict[str, Any]], Any, list[Any]]:
    """Rows of the last stream, the last bookmark, all items. fields: of the selection."""
    *_, stream = source.discover()
    selection = Selection(stream=stream, **{"mode": "append", "cursor": stream.cursor, **fields})
    items = list(source.read(Split(key="x", streams=(selection,), bookmark=bookmark)))
    rows: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item, Batch):
            rows += item.data if isinstance(item.data, list) else item.data.to_pylist()
    return rows, next((i.bookmark for i in reversed(items) if i.bookmark is not None), None), items


@wherry.stream(primary_key="id", cursor="at", ordered=True)
def events(many: int = 5, since: str = "a0"):
    """Events, in order.

    many: how many there are
    """
    for n in range(many):
        at = f"a{n // 10:05}"
        if at >= since:
            yield {"id": n, "at": at}


def test_arguments_are_configuration() -> None:
    @wherry.stream
    def one(
        token: wherry.Secret, org: Annotated[str, "whose"], kind: Literal["a", "b"] = "a", tags: list[str] = ["x"],  # noqa: B006
        day: date = date(2024, 1, 1), rate: float = 1.5, deep: bool = False, top: Decimal | None = None, plain=7,
        nothing=None, since=None, until=None, log=None,
    ):  # fmt: skip
        """One."""
        yield {"org": org, "kind": kind, "tags": tags, "day": day, "rate": rate, "deep": deep, "top": top,
               "plain": plain, "nothing": nothing, "secret": token.get_secret_value()}  # fmt: skip

    @wherry.stream
    def two(token, org):
        yield {"org": org}

    source = source_of(
        two, one, token="sesame", org="acme", kind="b", tags=["y"], day="2024-02-03", deep=True, plain="8"
    )
    assert set(type(source.config).model_fields) == {
        "token", "org", "kind", "tags", "day", "rate", "deep", "top", "plain", "nothing",
    }  # fmt: skip
    (row,), _, _ = read(source)
    assert row == {
        "org": "acme", "kind": "b", "tags": ["y"], "day": date(2024, 2, 3), "rate": 1.5, "deep": True, "top": None,
        "plain": 8, "nothing": None, "secret": "sesame",
    }  # fmt: skip
    fields = type(source.config).model_json_schema()["properties"]
    assert (fields["org"]["description"], fields["token"]["description"]) == ("whose", "for two, one")
    assert "sesame" not in repr(source.config.model_dump()["token"])


def test_a_docstring_describes_keys_and_stream() -> None:
    source = source_of(events, many=1)
    assert type(source.config).model_fields["many"].description == "how many there are"
    (stream,) = source.discover()
    assert (stream.description, stream.primary_key, stream.cursor, stream.ordered) == (
        "Events, in order.", ("id",), "at", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "function", "message"),
    [
        ({"ordered": True}, "def f(a): yield", "ordered needs cursor"),
        ({"changes": True}, "def f(a): yield", "changes needs primary_key"),
        ({"parent": "x"}, "def f(a): yield", "stream f needs an argument parent"),
        ({}, "def f(parent): yield", "stream f needs parent=, the stream"),
        ({"name": "a b"}, "def f(): yield", "stream 'a b': a name is of letters"),
        ({}, "def f(*rest): yield", "argument *rest cannot be a key"),
        ({}, "def f(warnings: str): yield", "argument warnings cannot be a key"),
        ({}, "def f(a: dict): yield", "argument a is a dict; a key is wherry.Secret, str"),
        ({}, "def f(a: Nowhere): yield", "an annotation needs Nowhere"),
        ({"parent": "g"}, "def f(parent): yield", "there is no stream 'g' to be its parent"),
        ({"parent": "f"}, "def f(parent): yield", "stream f is its own ancestor"),
    ],
)
def test_what_makes_no_sense_is_refused(said: dict[str, Any], function: str, message: str) -> None:
    space: dict[str, Any] = {}
    exec(f"from __future__ import annotations\n{function}", space)
    with pytest.raises(ValueError) as refused:
        source_of(wherry.stream(**said)(space["f"]))
    assert message in str(refused.value)


def test_two_meanings_of_one_name_are_refused() -> None:
    @wherry.stream
    def one(size: int = 1):
        yield {}

    @wherry.stream
    def two(size: int = 2):
        yield {}

    with pytest.raises(ValueError, match="streams one and two mean different things by size"):
        source_of(one, two)
    two.__wherry_stream__ = one.__wherry_stream__  # type: ignore[attr-defined]
    assert [stream.name for stream in source_of(one, two).discover()] == ["one"]


def test_it_stays_a_function() -> None:
    assert next(events(1)) == {"id": 0, "at": "a00000"}


def test_thousands_of_dicts_make_a_batch_with_a_bookmark_where_rows_are_ordered() -> None:
    rows, bookmark, items = read(source_of(events, many=12_000))
    assert [row["id"] for row in rows] == list(range(12_000))
    sizes = [len(item.data) for item in items if isinstance(item, Batch)]
    assert len(sizes) <= 4
    assert all(item.bookmark for item in items)
    assert bookmark == {"since": "a01199"}
    again, same, _ = read(source_of(events, many=12_000), bookmark)
    assert {row["at"] for row in again} == {bookmark["since"]}
    assert same == bookmark


def test_unordered_rows_have_a_bookmark_at_the_end_alone() -> None:
    @wherry.stream(cursor="at")
    def loose(since: Any = None):
        yield [{"at": 3}, {"at": 9}, {"at": None}, {}]
        yield pa.table({"at": [5, 7]})

    _, _, items = read(source_of(loose))
    assert [item.bookmark for item in items] == [None, None, {"since": 9}]
    assert items[-1].complete == ("loose",)


@pytest.mark.parametrize(
    "value",
    ["2024-01-01T00:00:00.123456789Z", 2**60, 1.1, Decimal("1.10"), date(2024, 1, 2),
     datetime(2024, 1, 1, 2, 3, 4, 5, UTC)],
)  # fmt: skip
def test_since_is_the_value_as_it_came(value: Any) -> None:
    seen: list[Any] = []

    @wherry.stream(cursor="at")
    def things(since=None):
        seen.append(since)
        yield {"at": value}

    _, bookmark, _ = read(source_of(things))
    import json

    read(source_of(things), json.loads(json.dumps(bookmark)))
    assert seen == [None, value]
    assert type(seen[1]) is type(value)


def test_since_and_until_are_what_the_annotation_says() -> None:
    seen: list[Any] = []

    @wherry.stream(cursor="at")
    def things(since: datetime = datetime(2020, 1, 1, tzinfo=UTC), until: date | None = None):
        seen.append((since, until))
        yield {"at": "2024-01-01T00:00:00Z"}

    _, bookmark, _ = read(source_of(things))
    read(source_of(things), bookmark, end="2024-02-01", lookback=60)
    read(source_of(things), start="2023-01-01T00:00:00Z")
    assert seen == [
        (datetime(2020, 1, 1, tzinfo=UTC), None),
        (datetime(2023, 12, 31, 23, 59, tzinfo=UTC), date(2024, 2, 1)),
        (datetime(2023, 1, 1, tzinfo=UTC), None),
    ]
    with pytest.raises(WherryError, match="until yesterday is no date"):
        read(source_of(things), end="yesterday")


def test_rows_outside_the_window_are_left_out_where_the_function_does_not() -> None:
    @wherry.stream(cursor="at")
    def things():
        yield [{"at": n} for n in range(10)] + [{"at": None}]
        yield pa.table({"at": [1, 5, 8]})

    rows, _, _ = read(source_of(things), start="3", end="6")
    assert [row["at"] for row in rows] == [3, 4, 5, None, 5]
    rows, bookmark, _ = read(source_of(things), {"since": 8})
    assert [row["at"] for row in rows] == [8, 9, None, 8]
    assert bookmark == {"since": 9}


def test_limits_and_columns() -> None:
    rows, _, items = read(source_of(events, many=100), limit=3, columns=("id",), mode="replace", cursor=None)
    assert rows == [{"id": 0}, {"id": 1}, {"id": 2}]
    assert all(item.bookmark is None for item in items)


def test_a_function_is_called_for_each_row_of_its_parent() -> None:
    @wherry.stream(primary_key="id")
    def teams():
        yield pa.table({"id": [1, 2]})

    @wherry.stream(parent=teams)
    def people(parent):
        yield [{"team": parent["id"], "n": n} for n in range(2)]

    @wherry.stream(parent="people")
    def shoes(parent, log):
        log.debug("shoes of %s", parent)
        return {"of": (parent["team"], parent["n"])}

    rows, _, items = read(source_of(teams, people, shoes))
    assert [row["of"] for row in rows] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert sum(isinstance(item, Batch) for item in items) == 4
    alone = wherry.source_from(_module(teams, people, shoes), "people")
    assert [stream.name for stream in alone(alone.Config()).discover()] == ["people"]


def _module(*functions: Any) -> ModuleType:
    module = ModuleType("acme")
    for function in functions:
        setattr(module, function.__name__, function)
    return module


def test_a_mark_of_the_authors_own_is_what_since_gets() -> None:
    seen: list[Any] = []

    @wherry.stream(primary_key="id", changes=True)
    def log(since=None):
        seen.append(since)
        yield Batch(stream="log", data={"id": 1, "_wherry_op": 0})
        yield Mark(bookmark="page-7")

    _, bookmark, _ = read(source_of(log), mode="merge")
    read(source_of(log), bookmark, mode="merge")
    assert seen == [None, "page-7"]


@pytest.mark.parametrize("item", ["text", None, 5, [1], object()])
def test_what_is_no_row_is_refused(item: Any) -> None:
    @wherry.stream
    def odd():
        yield item

    with pytest.raises(WherryError, match="stream odd yielded") as refused:
        read(source_of(odd))
    assert "yield dicts" in str(refused.value.next)


def test_errors_of_the_code_name_its_line_and_no_data() -> None:
    @wherry.stream
    def wrong():
        yield {"id": 1}
        yield {"id": int("John Doe")}

    @wherry.stream
    def missing():
        return [{}["name"]]

    items: list[Any] = []
    *_, stream = source_of(wrong).discover()
    with pytest.raises(WherryError, match=r"^ValueError \(test_streams.py, line \d+\)$"):
        items.extend(source_of(wrong).read(Split(key="x", streams=(Selection(stream=stream),))))
    with pytest.raises(WherryError, match=r"^KeyError: 'name' \(test_streams.py, line \d+\)$"):
        read(source_of(missing))


def test_rows_before_a_failure_come_and_the_four_errors_pass_as_they_are() -> None:
    @wherry.stream
    def tired():
        yield {"id": 1}
        raise wherry.TransientError("busy", retry_after=3)

    (stream,) = source_of(tired).discover()
    items = source_of(tired).read(Split(key="x", streams=(Selection(stream=stream),)))
    assert next(items).data == [{"id": 1}]  # type: ignore[union-attr]
    with pytest.raises(wherry.TransientError) as raised:
        next(items)
    assert raised.value.retry_after == 3


def test_what_is_open_is_closed_when_the_read_is_given_up() -> None:
    from wherry.http.context import reading

    closed: list[str] = []

    @wherry.stream
    def opened() -> Iterator[Any]:
        reading().closing.append(lambda: closed.append(reading.__name__))
        try:
            while True:
                yield [{"name": reading().name, "stream": reading().stream}] * 5_000
        finally:
            closed.append("generator")

    source = source_of(opened)
    (stream,) = source.discover()
    items = source.read(Split(key="x", streams=(Selection(stream=stream),)))
    assert next(items).data[0] == {"name": "acme", "stream": "opened"}  # type: ignore[union-attr]
    items.close()  # type: ignore[attr-defined]
    assert closed == ["generator", "reading"]
    with pytest.raises(wherry.SourceError, match="outside a read"):
        reading()


def test_a_stop_ends_the_read() -> None:
    source = source_of(events, many=50_000)
    source.run = Run(stop=threading.Event())
    (stream,) = source.discover()
    items = source.read(Split(key="x", streams=(Selection(stream=stream),)))
    next(items)
    source.run.stop.set()
    assert list(items) == []


def test_identity_tells_what_is_read_and_no_secret() -> None:
    @wherry.stream
    def one(org: str, token: wherry.Secret, url: str = "https://a", size: int = 3, number: int | None = None):
        yield {}

    assert source_of(one, org="x", token="s").identity() == ("acme", "acme org=x")
    assert source_of(one, org="x", token="s", size=9, url="https://u:p@b").identity()[1] == "acme org=x url=https://u@b"


def test_synced_twice() -> None:
    store = Store()
    counts = []
    for many in (7_000, 7_000, 7_005):
        outcome = run_sync(lambda many=many: source_of(events, many=many), MemoryDestination.of(store))  # type: ignore[misc]
        assert outcome.exit_code == 0, outcome.streams[0].error
        counts.append(outcome.streams[0].counts["staged"])
    assert counts[:2] == [7_000, 0]
    assert store.table("acme", "events").num_rows == 7_005


def test_declared_types_are_kept_where_values_fit() -> None:
    schema = {"id": "bigint", "at": "timestamptz", "price": "decimal(10,2)", "tags": ["text"], "user": {"id": "bigint"}}

    @wherry.stream(primary_key="id", cursor="at", schema=schema)
    def things(since=None):
        yield {"id": 1, "at": "2024-01-01T00:00:00Z", "price": "1.50", "tags": [], "user": {"id": 1}}
        yield {"id": 2, "at": "2024-01-01T02:00:00+02:00", "price": 2, "tags": ["a"], "user": None, "more": "x"}
        yield pa.table({"id": [3], "at": [None]})
        yield {"id": 4, "at": "2024-01-01T00:00:01Z", "price": "much", "user": {"id": 1, "name": "Ana"}}

    rows, bookmark, items = read(source_of(things))
    assert rows[0]["at"] == rows[1]["at"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert (rows[0]["price"], rows[1]["price"], rows[1]["more"]) == (Decimal("1.50"), Decimal("2.00"), "x")
    assert bookmark == {"since": {"datetime": "2024-01-01T00:00:01+00:00"}}
    (stream,) = source_of(things).discover()
    first = next(item.data for item in items)
    assert [stream.schema.field(n) for n in ("at", "price", "user")] == [
        first.schema.field(n) for n in ("at", "price", "user")
    ]
    assert (rows[3]["price"], rows[3]["user"]) == ("much", {"id": 1, "name": "Ana"})


def test_types_of_some_columns_promise_nothing_of_the_others() -> None:
    @wherry.stream(primary_key="id", schema={"price": pa.decimal128(6, 3)})
    def things():
        yield {"id": 1, "price": "1.5"}

    (stream,) = source_of(things).discover()
    assert stream.schema.names == []
    assert read(source_of(things))[0] == [{"id": 1, "price": Decimal("1.500")}]
