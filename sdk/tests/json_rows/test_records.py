"""Bodies into batches: what is kept, what is refused, how the schema grows, and that it happens in bulk."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from wherry import KIND, DataError
from wherry.json_rows import Records, declared, exact
from wherry.pipeline.types import show

MANY = [{"id": i, "x": i / 4, "s": f"t{i}", "o": {"k": i, "l": ["a"] * (i % 3)}} for i in range(40)]


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def rows(records: Records, *bodies: bytes) -> list[dict[str, Any]]:
    return [row for batch in records.parse(bodies).batches for row in batch.to_pylist()]


def types(records: Records) -> dict[str, str]:
    return {field.name: show(field) for field in records.schema}


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The documents that Python's parser was asked for."""
    asked: list[bytes] = []
    document = exact.document

    def noted(text: bytes, where: str) -> Any:
        asked.append(text)
        return document(text, where)

    monkeypatch.setattr(exact, "document", noted)
    return asked


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("data", '{"next": "data", "data": %s, "more": {"data": [1]}}'),
        ("", "%s"),
        ("a.b", '{"a": {"b": %s}}'),
        ("groups.*.rows", '{"groups": [{"rows": []}, {"rows": %s}, {"rows": null}, {"no": 1}]}'),
        ("edges.*.node", '{"edges": [{"node": %s}, {"node": null}]}'),
        ('"a.b"', '{"a.b": %s}\n'),
        ("data", '\ufeff{\n "data":\r\n %s\n}'),
    ],
)
def test_once_the_schema_is_known_python_parses_no_page(path: str, form: str, slowly: list[bytes]) -> None:
    whole = "node" not in form
    bodies = [(form % json.dumps(MANY[i : i + 10] if whole else MANY[i])).encode() for i in range(0, 40, 10)]
    wanted = MANY if whole else MANY[::10]
    records = Records(path)
    assert rows(records, *bodies) == wanted
    slowly.clear()
    parsed = records.parse(bodies)
    assert [row for batch in parsed.batches for row in batch.to_pylist()] == wanted
    assert parsed.counts == ((10,) if whole else (1,)) * 4
    assert not slowly


def test_a_page_that_does_not_fit_is_looked_at_exactly_and_the_next_are_not(slowly: list[bytes]) -> None:
    records = Records("")
    rows(records, dumped(MANY))
    odd = dumped([{"id": 1, "new": True, "o": {"k": 2, "z": None, "new": [1]}}])
    slowly.clear()
    assert rows(records, dumped(MANY), odd, dumped(MANY))[40] == {
        "id": 1, "x": None, "s": None, "o": {"k": 2, "l": None, "z": None, "new": [1]}, "new": True,
    }  # fmt: skip
    assert slowly == [odd]
    assert rows(records, odd)[0]["new"] is True
    assert slowly == [odd]


def test_of_the_first_pages_one_tells_how_the_others_are_read(slowly: list[bytes]) -> None:
    pages = [dumped(MANY[i : i + 5]) for i in range(0, 40, 5)]
    assert rows(Records(""), *pages) == MANY
    assert slowly == pages[:1]


def test_the_first_pages_are_looked_at_once_where_each_value_must_be(slowly: list[bytes]) -> None:
    pages = [dumped([{"v": n}, {"v": str(n)}]) for n in range(8)]
    found = rows(Records(""), *pages)
    assert [row["v"] for row in found] == [text for n in range(8) for text in (str(n), f'"{n}"')]
    assert slowly == [pages[0], *pages]


def test_bodies_that_lack_the_path_are_told_from_empty_ones() -> None:
    records = Records("data")
    bodies = [b'{"data":[{"id":1}]}', b'{"error":"no"}', b'{"data":[]}', b'{"data":null}', b"[]", b'{"data":{"id":2}}']
    assert records.parse(bodies).counts == (1, None, 0, 0, None, 1)
    assert records.parse(bodies[:4]).counts == (1, None, 0, 0)
    assert records.parse([]).counts == ()


@pytest.mark.parametrize(
    ("calls", "type", "values"),
    [
        ([["1", "2.5"]], "double", [1.0, 2.5]),
        ([["1"], ["2.5"]], "decimal(20,1)", [Decimal(1), Decimal("2.5")]),
        ([["1"], ["2.5"], ["1e300"]], "text", [Decimal(1), Decimal("2.5"), "1e300"]),
        ([["1.5"], ["12345678901234567890"]], "text", [1.5, "12345678901234567890"]),
        ([["1", "12345678901234567890"]], "decimal(38,0)", [Decimal(1), Decimal("12345678901234567890")]),
        ([["0.1", "0.10000000000000000055"]], "decimal(38,20)", [Decimal("0.1"), Decimal("0.10000000000000000055")]),
        ([["1", '"a"']], "json", ["1", '"a"']),
        ([["1"], ['"a"', "2"]], "text", [1, "a", "2"]),
        ([['"a"'], ["1.50", "[1]"]], "text", ["a", "1.50", "[1]"]),
        ([["true"], ["1"]], "text", [True, "1"]),
        ([["null"], ["[]"], ["[null, 1]"]], "list<item: int64>", [None, [], [None, 1]]),
        ([['{"a": 1}'], ["5"], ['{"b": 1.10}']], "json", [{"a": 1}, "5", '{"b":1.10}']),
        ([["{}"], ['{"a": 1}']], "json", ["{}", '{"a":1}']),
        ([['"2024-01-01T00:00:00Z"'], ['"x"']], "text", ["2024-01-01T00:00:00Z", "x"]),
        ([["0"], ["4.0729892476229", "1.6526317711459342"]], "decimal(35,16)",
         [0, Decimal("4.0729892476229"), Decimal("1.6526317711459342")]),
        ([["1"], ["0.0000001"]], "decimal(26,7)", [1, Decimal("0.0000001")]),
        ([["9007199254740993"], ["0.5"]], "decimal(20,1)", [9007199254740993, Decimal("0.5")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [0, 1])
def test_columns_widen_and_keep_each_value(calls: list[list[str]], type: str, values: list[Any], before: int) -> None:
    records = Records("")
    if before:
        rows(records, b'[{"id": 1, "v": null}]')
    got = [row["v"] for call in calls for row in rows(records, *[f'[{{"v": {text}}}]'.encode() for text in call])]
    assert got == values
    assert types(records)["v"] == type


def test_long_numbers_are_found_among_pages_in_bulk() -> None:
    records = Records("")
    rows(records, dumped(MANY))
    assert rows(records, dumped(MANY), b'[{"x": 0.30000000000000004}]')[-1]["x"] == 0.30000000000000004
    assert types(records)["x"] == "double"
    assert rows(records, b'[{"x": 0.10000000000000000055}]')[-1]["x"] == "0.10000000000000000055"
    assert types(records)["x"] == "text"


@pytest.mark.parametrize(
    ("literal", "type"),
    [("0.0", "double"), ("-0.0", "double"), ("1e300", "double"), ("2.5e-300", "double"), ("1e-320", "double"),
     ("4.9406564584124654e-324", "text"), ("1e-400", "text"), ("-1E-0400", "text"), ("123456789e-330", "text"),
     ("1e400", "text")],
)  # fmt: skip
def test_numbers_next_to_nothing_and_very_large_ones_keep_each_digit(literal: str, type: str) -> None:
    """What the bulk parser makes of them is what their double prints, or they are kept as they are."""
    known, exactly = Records(""), Records("")
    for _ in range(2):
        rows(known, dumped(MANY))
    body = f'[{{"x": 1.5, "s": "one-100"}}, {{"x": {literal}}}]'.encode()
    found = rows(known, body)[1]["x"]
    rows(exactly, b'[{"x": 0.5}]')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Records, "_read", lambda *_: None)
        assert rows(exactly, body)[1]["x"] == found
    assert types(known)["x"] == types(exactly)["x"] == type
    assert found == (float(literal) if type == "double" else literal)


def test_what_stands_beside_the_records_may_change(monkeypatch: pytest.MonkeyPatch, slowly: list[bytes]) -> None:
    """Records are read in bulk whatever it is; its nesting is looked at only when it is new."""
    looked: list[int] = []
    monkeypatch.setattr("wherry.json_rows.wire.shallow", lambda data: not looked.append(len(data)))
    records, page = Records("data"), json.dumps(MANY)

    def again(beside: str) -> tuple[int, int]:
        looked.clear()
        slowly.clear()
        assert rows(records, f'{{"data": {page}{beside}}}'.encode()) == MANY
        return len(looked), len(slowly)

    again("")
    assert again(', "next": "2024-01-01", "n": 1') == (1, 0)
    assert again(', "next": "x", "n": 2.5') == (0, 0)
    assert again(', "n": null') == (0, 0)
    assert again(', "more": {"a": [[]]}') == (1, 0)
    assert again(', "next": "y", "more": {"a": []}') == (0, 0)
    assert again(', "more": {"a": [[1]]}') == (1, 0)
    assert again(', "next": 5') == (1, 0)
    assert again(', "next": 6, "more": null') == (0, 0)
    for number in range(30):
        assert again(f', "new{number}": 1')[1] == 0
    assert again(', "next": 5') == (1, 0), "nobody tries to know it all any more"


def test_a_field_that_is_new_after_many_pages_is_not_lost(slowly: list[bytes]) -> None:
    records = Records("data")
    for _ in range(3):
        rows(records, b'{"data": %b, "next": "x"}' % dumped([{"id": 1, "o": {"k": None}, "l": []}]))
    slowly.clear()
    odd = {"id": 2, "o": {"k": {"deep": 1}, "new": None}, "l": [[1]], "late": "x"}
    assert rows(records, b'{"data": %b, "next": "x"}' % dumped([odd]))[0] == odd | {
        "o": {"k": {"deep": 1}, "new": None}
    }
    assert len(slowly) == 1


def test_a_decimal_column_takes_no_text_for_a_number() -> None:
    records = Records("")
    rows(records, b'[{"v": 12345678901234567890}]')
    assert rows(records, b'[{"v": "12345678901234567891"}]')[0]["v"] == "12345678901234567891"
    assert types(records)["v"] == "text"


def test_objects_of_very_many_keys_are_maps_in_disguise() -> None:
    records = Records("")
    wide = {f"sku{i}": i for i in range(1001)}
    assert json.loads(rows(records, dumped([{"id": 1, "prices": wide}]))[0]["prices"]) == wide
    assert records.schema.field("prices").metadata == {KIND: b"json"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", ": not JSON: expecting value at character 1"),
        (b"", ": not JSON"),
        (b'{"data": [{"id": 1}', "not JSON"),
        (b'{"data": [{"id": 1}]} {"data": []}', "not JSON: extra data"),
        (b'{"data": [{"id": 1}]},"r":{"data": []', "not JSON: extra data"),
        (b'{"data": [{"id": 1}]},"x":{"data": []', "not JSON: extra data"),
        (b'{"data": []}}{"r":{"data": [{"id": 2}]}', "not JSON: extra data"),
        (b'{"data": [{"id": 1, "id": 2}]}', "key 'id' is given twice"),
        (b'{"data": [{"id": 1, "new": 1, "new": 2}]}', "key 'new' is given twice"),
        (b'{"data": [{"s": "\\ud800"}]}', "half of a surrogate pair"),
        (b'{"data": [{"s": "\xff"}]}', "not UTF-8"),
        (b'{"data": [{"\xff": 1}]}', "not UTF-8"),
        (b'{"data": [{"x": NaN}]}', "NaN is no number"),
        (b'{"data": [{"x": -Infinity}]}', "Infinity is no number"),
        (b'{"data": [{"s": "a\nb"}]}', "not JSON: invalid control character"),
        (b'{"data": [null, {"id": 1}]}', "record 1 is not a JSON object"),
        (b'{"data": [{"id": 1}, null]}', "record 2 is not a JSON object"),
        (b'{"data": [{"id": 1}, [1]]}', "record 2 is not a JSON object"),
        (b'{"data": [{"id": 1, "deep": ' + b"[" * 101 + b"]" * 101 + b"}]}", "nested deeper than 100 levels"),
        (b'{"data": [{"id": 1}], "deep": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested deeper than 100 levels"),
        (b'{"data": [{"id": 1}], "deep": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_001, "nested deeper"),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_what_is_no_json_is_refused_whether_the_schema_is_known_or_not(body: bytes, says: str, known: bool) -> None:
    records = Records("data", name="stream issues")
    if known:
        rows(records, b'{"data": [{"id": 1, "s": "a", "x": 0.5}]}')
    with pytest.raises(DataError, match=says) as raised:
        records.parse([b'{"data": [{"id": 1}]}', body])
    assert raised.value.message.startswith(f"stream issues, body {2 + known}")


DECLARED = declared({
    "id": "bigint", "at": "timestamptz", "day": "date", "price": "numeric(12,2)", "ok": "boolean", "raw": "json",
    "name": "text", "nested": {"at": "timestamp", "tags": ["text"]},
})  # fmt: skip
GOOD = {
    "id": 7, "at": "2024-01-31T12:00:00+02:00", "day": "2024-01-31", "price": 12.5, "ok": True,
    "raw": {"b": 1, "a": []}, "name": "x", "new": 1,
    "nested": {"at": "2024-01-31T12:00:00.5", "tags": ["t"], "more": 1},
}  # fmt: skip
READ = {
    "id": 7, "at": datetime(2024, 1, 31, 10, tzinfo=UTC), "day": date(2024, 1, 31), "price": Decimal("12.50"),
    "ok": True, "raw": '{"b":1,"a":[]}', "name": "x", "new": 1,
    "nested": {"at": datetime(2024, 1, 31, 12, 0, 0, 500_000), "tags": ["t"], "more": 1},
}  # fmt: skip


def test_declared_columns_are_there_from_the_start_and_others_join_them() -> None:
    records = Records("", schema=DECLARED)
    assert records.schema == DECLARED
    assert rows(records, dumped([GOOD])) == [READ]
    assert types(records)["at"] == "timestamptz"
    assert [f.name for f in records.schema] == [*DECLARED.names, "new"]


@pytest.mark.parametrize("raw", [True, False], ids=["exactly", "in bulk"])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "x"), ("id", 1.5), ("id", 2**63), ("id", "007"), ("at", "2024-01-31T12:00:00"), ("at", 5),
        ("at", "2024-01-31T12:00:00.1234567Z"), ("day", "2024-01-31T00:00:00Z"), ("day", "31/01/2024"),
        ("price", 0.125), ("price", "1,50"), ("price", "0.125"), ("price", "1e2"), ("ok", "yes"), ("ok", 2),
        ("nested", [1]), ("nested", {"at": "noon"}), ("nested", {"tags": "t"}),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_what_is_declared_are_set_aside(column: str, value: Any, raw: bool) -> None:
    schema = DECLARED if raw else pa.schema([f for f in DECLARED if f.name != "raw"])
    good = {key: value for key, value in GOOD.items() if raw or key != "raw"}
    records = Records("", schema=schema)
    rows(records, dumped([good]))
    parsed = records.parse([dumped([good, {"id": 8, column: value}]), dumped([{"id": 9}])])
    assert parsed.counts == (1, 1)
    assert [row["id"] for batch in parsed.batches for row in batch.to_pylist()] == [7, 9]
    assert parsed.rejected is not None
    assert parsed.rejected.to_pylist() == [
        {
            "reason": f"column {column!r}: not a {types(records)[column]}",
            "column": column,
            "row": 3,
            "raw": json.dumps({"id": 8, column: value}, separators=(",", ":")),
        }
    ]
    assert types(records)[column].startswith(show(schema.field(column))[:-1])


def test_texts_that_are_numbers_become_the_declared_numbers(slowly: list[bytes]) -> None:
    records = Records("", schema=declared({"id": "bigint", "price": "numeric(12,2)", "zip": "text", "x": "double"}))
    body = b'[{"id": "12", "price": "1.50", "zip": 123, "x": 3}, {"id": "-3", "price": "2", "zip": 1, "x": 4}]'
    assert rows(records, body)[0] == {"id": 12, "price": Decimal("1.50"), "zip": "123", "x": 3.0}
    slowly.clear()
    assert rows(records, body)[1] == {"id": -3, "price": Decimal("2.00"), "zip": "1", "x": 4.0}
    assert not slowly
    assert rows(records, b'[{"zip": 1.50}]')[0]["zip"] == "1.50"


def test_flattened_objects_become_columns(slowly: list[bytes]) -> None:
    records = Records("", flatten=True, schema=declared({"o": {"at": "date"}, "o__raw": "json"}))
    body = b'[{"id": 1, "o": {"at": "2024-01-31", "raw": {"x": 1}, "in": {"x": 1.5}}, "l": [{"x": 1}]}, {"id": 2}]'
    wanted = {"o__at": date(2024, 1, 31), "o__raw": '{"x":1}', "id": 1, "o__in__x": 1.5, "l": [{"x": 1}]}
    assert rows(records, body) == [wanted, dict.fromkeys(wanted) | {"id": 2}]
    bulk = Records("", flatten=True)
    assert rows(bulk, dumped(MANY))[1] == {"id": 1, "x": 0.25, "s": "t1", "o__k": 1, "o__l": ["a"]}
    slowly.clear()
    assert rows(bulk, dumped(MANY))[5] == {"id": 5, "x": 1.25, "s": "t5", "o__k": 5, "o__l": ["a"] * 2}
    assert not slowly
    with pytest.raises(DataError, match="two members become column 'o__k'"):
        rows(bulk, b'[{"o": {"k": 1}, "o__k": 2}]')


def test_the_key_of_a_map_becomes_a_column() -> None:
    records = Records("groups.*.*", include_key="name")
    body = b'{"groups": [{"a": {"id": 1}, "b": [{"id": 2}, {"id": 3}]}, {"c": null}]}'
    assert rows(records, body) == [{"name": "a", "id": 1}, {"name": "b", "id": 2}, {"name": "b", "id": 3}]


def test_json_lines_are_bodies_each(slowly: list[bytes]) -> None:
    records = Records("record")
    block = b"\n".join(dumped({"type": "RECORD", "stream": "a", "record": row}) for row in MANY) + b"\n\n"
    first = records.parse_lines(block)
    assert [row for batch in first.batches for row in batch.to_pylist()] == MANY
    slowly.clear()
    again = records.parse_lines(b"\n \n" + block)
    assert (again.rows, again.counts, slowly) == (40, (1,) * 40, [])
    long = dumped({"record": {"s": "x" * 3_000_000}})
    assert (records.parse_lines(block + long + b"\n" + block).rows, slowly) == (81, [])
    assert records.parse_lines(b"\n  \n").counts == ()


@pytest.mark.parametrize("line", [b"null", b"1", b'{"record": null}', b"{}", b'{"record": 1}'])
def test_lines_without_a_record_are_told(line: bytes) -> None:
    records = Records("record")
    good = b'{"record": {"id": 1}}'
    assert records.parse_lines(good).rows == 1
    parsed = records.parse_lines(b"\n".join([line, good, line]))
    missing = 0 if line == b'{"record": null}' else None
    assert (parsed.rows, parsed.counts) == (1, (missing, 1, missing))


@pytest.mark.parametrize(
    "lines",
    [
        ['{"a": 1}', '{"a": 12}', '{"a": 13}'],
        ['{"a": 1}', '{"b": 2}', '{"a": 3}'],
        ['{"a": 1}', " ", '{"a": 1}'],
        ['{"a": "x"}'],
        ["{}", "{}", "{}"],
    ],
)
@pytest.mark.parametrize("end", ["", "\n"])
def test_lines_that_begin_alike_or_not(lines: list[str], end: str) -> None:
    wanted = [json.loads(line) for line in lines if line.strip()]
    records = Records("")
    for _ in range(2):
        parsed = records.parse_lines(("\n".join(lines) + end).encode())
        found = [row for batch in parsed.batches for row in batch.to_pylist()]
        assert [{k: v for k, v in row.items() if v is not None} for row in found] == wanted


def test_a_line_that_is_null_among_lines_that_begin_alike() -> None:
    records = Records("")
    block = b'{"a": 1}\n{"a": 2}\nnull\n{"a": 3}\n'
    records.parse_lines(b'{"a": 1}\n')
    assert records.parse_lines(block).counts == (1, 1, 0, 1)
