"""Every storage type, through COPY and back, at its extremes; compared as Arrow values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from wherry import DataError, Identifier, Quoting
from wherry_destination_postgres import binary, decode, encode, types

INF, NAN = float("inf"), float("nan")
UTC = dt.UTC
TEXTS = [
    "", " ", "a", "NULL", r"\N", r"\.", "\\", "\\\\", '"', '""', "'", ",", ";", "\t", "\n", "\r", "\r\n", "\n\\.\n",
    "a\n\\.\nb", '"\n\\.\n"', "ä€😀", "e\u0301", "\u200b", "\x01\x7f", "{}", "x" * 1_000_000, "-", "\ufeffbom", None,
]  # fmt: skip
CASES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "bool": (pa.bool_(), [True, False, None]),
    "int16": (pa.int16(), [-(2**15), 2**15 - 1, 0, None]),
    "int32": (pa.int32(), [-(2**31), 2**31 - 1, 0, None]),
    "int64": (pa.int64(), [-(2**63), 2**63 - 1, 0, None]),
    "float": (pa.float32(), [0.0, -0.0, 1.5, INF, -INF, 3.4028234663852886e38, 1.401298464324817e-45, None]),
    "double": (pa.float64(), [0.0, -0.0, 0.1, INF, -INF, 1.7976931348623157e308, 5e-324, 2**53 + 1.0, None]),
    "decimal": (pa.decimal128(38, 10), [Decimal("-" + "9" * 28 + "." + "9" * 10), Decimal("1E-10"), Decimal(0), None]),
    "uint64": (pa.decimal128(20, 0), [Decimal(2**64 - 1), Decimal(0), None]),
    "short decimal": (
        pa.decimal128(15, 2),
        [Decimal("-9999999999999.99"), Decimal("9999999999999.99"), Decimal("0.01"), Decimal("-0.10"),
         Decimal("10000"), Decimal("100000000.05"), Decimal(0), None],
    ),
    "digits after the point": (pa.decimal128(9, 9), [Decimal("0.999999999"), Decimal("-1E-9"), Decimal(0), None]),
    "whole decimal": (pa.decimal128(38, 0), [Decimal("9" * 38), Decimal("-" + "9" * 38), Decimal(10**37), None]),
    "wide whole decimal": (pa.decimal256(76, 0), [Decimal("9" * 76), Decimal(-(10**75)), Decimal(0), None]),
    "beyond groups": (pa.decimal256(76, 3), [Decimal("9" * 73 + "." + "9" * 3), Decimal("-0.001"), None]),
    "decimal256": (pa.decimal256(76, 38), [Decimal("9" * 38 + "." + "9" * 38), Decimal("-1E-38"), None]),
    "text": (pa.utf8(), TEXTS),
    "binary": (pa.binary(), [b"", b"\x00", b"\\x41", b"\xff" * 100_000, bytes(range(256)), None]),
    "date": (pa.date32(), [-2_440_588, -719_163, -719_162, -1, 0, 2_932_896, 2_932_897, 2_145_031_948, None]),
    "time": (pa.time64("us"), [0, 1, 86_399_999_999, None]),
    "timestamp": (
        pa.timestamp("us"),
        [-210_866_803_200_000_000, -62_135_596_800_000_001, -1, 0, 253_402_300_800_000_000,
         2**63 - 2, None],
    ),
    "timestamptz": (
        pa.timestamp("us", "UTC"),
        [-210_866_803_200_000_000, -62_135_596_800_000_001, -1, 0, 253_402_300_800_000_000,
         2**63 - 2, None],
    ),
    "duration": (pa.duration("us"), [0, 1, -1, 2**62, -(2**62), None]),
}  # fmt: skip


FORMS = ["csv", "binary"]
PRINTED = {"beyond groups", "decimal256"}
"""Cases that the binary form does not have: their digits do not fall into groups of four."""
WAYS = [(name, form) for name in CASES for form in FORMS if form == "csv" or name not in PRINTED]


def sent(batch: pa.RecordBatch, form: str) -> Iterator[bytes | memoryview]:
    """What COPY takes, for columns of the types that a staging table has."""
    if form == "csv":
        for text, _ in encode.csv(batch):
            yield from encode.chunks(text)
        return
    kinds = [types.column_type(field).render(Quoting()) for field in batch.schema]
    yield binary.SIGNATURE
    for data, _ in binary.rows(batch, kinds):
        yield from encode.chunks(data)
    yield binary.TRAILER


def round_trip(url: str, batch: pa.RecordBatch, form: str = "csv") -> pa.Table:
    names = [f"c{i}" for i in range(batch.num_columns)]
    columns = ", ".join(
        f"{n} {types.column_type(f).render(Quoting())}" for n, f in zip(names, batch.schema, strict=True)
    )
    items = ", ".join(decode.item(Identifier(n), f).render(Quoting()) for n, f in zip(names, batch.schema, strict=True))
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("set timezone to utc")
        cursor.execute(f"create table t ({columns}, n bigint generated always as identity)".encode())
        with cursor.copy(f"copy t ({', '.join(names)}) from stdin (format {form})".encode()) as copy:
            for piece in sent(batch, form):
                copy.write(piece)
        with cursor.copy(f"copy (select {items} from t order by n) to stdout (format csv)".encode()) as copy:
            return pa.Table.from_batches(decode.batches(iter(copy), batch.schema), batch.schema)


@pytest.mark.parametrize("name", CASES)
def test_what_has_a_binary_form(name: str) -> None:
    field = pa.field("v", CASES[name][0])
    kind = types.column_type(field).render(Quoting())
    assert binary.fits(pa.schema([field]), [kind]) == (name not in PRINTED)


@pytest.mark.parametrize(
    ("given", "kind", "fits"),
    [(pa.int8(), "smallint", True), (pa.int32(), "bigint", True), (pa.uint32(), "integer", False),
     (pa.int64(), "integer", False), (pa.int64(), "text", False), (pa.int64(), "numeric(20,0)", False),
     (pa.decimal128(15, 2), "numeric", True), (pa.decimal128(15, 2), "double precision", False),
     (pa.decimal128(5, -2), "numeric(7,0)", False), (pa.float32(), "double precision", False),
     (pa.utf8(), "character varying(25)", True), (pa.utf8(), "character(25)", False), (pa.utf8(), "jsonb", False),
     (pa.utf8(), "json", True), (pa.utf8(), "mood", False), (pa.large_utf8(), "text", False),
     (pa.timestamp("us"), "timestamp(3) without time zone", False), (pa.timestamp("ms"), "timestamp without time zone",
     False), (pa.list_(pa.int8()), "text", False), (pa.bool_(), "", False)],
)  # fmt: skip
def test_other_types_of_the_server_read_text(given: pa.DataType, kind: str, fits: bool) -> None:
    assert binary.fits(pa.schema([pa.field("v", given)]), [kind]) == fits


def test_narrow_integers_uuids_and_wide_decimals_in_binary(postgres_database: str) -> None:
    first, last = "00000000-0000-0000-0000-00000000000A", "123e4567-e89b-12d3-a456-426614174000"
    batch = pa.record_batch({
        "n": pa.array([-128, None, 127], pa.int8()), "id": [first, None, last],
        "d": pa.array([Decimal("-12345.67"), Decimal("0.05"), None], pa.decimal128(15, 2)),
    })  # fmt: skip
    kinds = ["bigint", "uuid", "numeric(30,6)"]
    assert binary.fits(batch.schema, kinds)
    parts = [binary.SIGNATURE, *(data for data, _ in binary.rows(batch, kinds)), binary.TRAILER]
    with psycopg.connect(postgres_database) as connection, connection.cursor() as cursor:
        cursor.execute("create table t (n bigint, id uuid, d numeric(30,6))")
        with cursor.copy("copy t from stdin (format binary)") as copy:
            copy.write(b"".join(parts))
        found = cursor.execute("select n, id::text, d::text from t").fetchall()
    assert found == [(-128, first.lower(), "-12345.670000"), (None, None, "0.050000"), (127, last, None)]


def test_what_is_no_uuid_names_column_and_row() -> None:
    batch = pa.record_batch({"id": [None, "00000000-0000-0000-0000-000000000000", "secret"]})
    with pytest.raises(DataError) as caught:
        list(binary.rows(batch, ["uuid"]))
    assert (caught.value.column, caught.value.row) == ("id", 2)
    assert "secret" not in caught.value.message


def test_texts_beyond_two_gigabytes_a_slice_have_longer_offsets(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "_LARGE", 0)
    batch = pa.record_batch({"n": [1, None], "v": ["ä", None], "b": [b"\0", b""]})
    assert round_trip(postgres_database, batch, "binary").combine_chunks().equals(pa.Table.from_batches([batch]))


@pytest.mark.parametrize(("name", "form"), WAYS)
def test_every_value_comes_back(postgres_database: str, name: str, form: str) -> None:
    kind, values = CASES[name]
    batch = pa.record_batch({"v": pa.array(values, kind), "w": pa.array(values[::-1], kind)})
    found = round_trip(postgres_database, batch, form).combine_chunks()
    assert found.equals(pa.Table.from_batches([batch]))


@pytest.mark.parametrize(("name", "form"), WAYS)
def test_a_single_column_and_a_slice_come_back(postgres_database: str, name: str, form: str) -> None:
    kind, values = CASES[name]
    batch = pa.record_batch({"v": pa.array(values, kind)}).slice(1, len(values) - 1)
    found = round_trip(postgres_database, batch, form)
    assert found.equals(pa.Table.from_batches([batch]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_nan_comes_back(postgres_database: str, kind: pa.DataType, form: str) -> None:
    batch = pa.record_batch({"v": pa.array([NAN, 1.0, None], kind)})
    found = round_trip(postgres_database, batch, form).column(0).to_pylist()
    assert str(found) == "[nan, 1.0, None]"


def test_the_server_reads_times_as_we_mean_them(postgres_database: str) -> None:
    moment = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC)
    batch = pa.record_batch({"a": pa.array([moment]), "b": pa.array([-719_163], pa.date32())})
    round_trip(postgres_database, batch)
    with psycopg.connect(postgres_database) as connection:
        found = connection.execute("select c0 = '2024-02-29 23:59:59.999999+00', c1::text from t").fetchone()
    assert found == (True, "0001-12-31 BC")


@pytest.mark.parametrize("kind", [pa.utf8(), pa.large_utf8(), pa.string_view()])
def test_nul_in_text_names_column_and_row(kind: pa.DataType) -> None:
    batch = pa.record_batch({"ok": pa.array(["a", "b", None]), "bad": pa.array(["", None, "secret\0value"], kind)})
    with pytest.raises(DataError) as caught:
        list(encode.csv(batch))
    assert (caught.value.column, caught.value.row) == ("bad", 2)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("kind", "value"),
    [(pa.date32(), -2_440_589), (pa.date32(), 2_145_031_949), (pa.timestamp("us"), -210_866_803_200_000_001),
     (pa.timestamp("us", "UTC"), -(2**63))],
)  # fmt: skip
def test_dates_beyond_the_server_name_column_and_row(kind: pa.DataType, value: int) -> None:
    batch = pa.record_batch({"day": pa.array([0, None, value], kind)})
    for form in FORMS:
        with pytest.raises(DataError) as caught:
            list(sent(batch, form))
        assert (caught.value.column, caught.value.row) == ("day", 2)


def test_a_batch_of_any_size_goes_in_pieces_of_a_few_megabytes() -> None:
    texts = ["x" * 10_000] * 3_000 + ["bad\0"]
    batch = pa.record_batch({"n": range(3_001), "bad": texts})
    pieces = encode.csv(batch)
    sizes = [(len(text) < 3 * encode.SLICE, text.count(b"\n") == count) for text, count in islice(pieces, 6)]
    with pytest.raises(DataError) as caught:
        list(pieces)
    assert sizes == [(True, True)] * 6
    assert (caught.value.column, caught.value.row) == ("bad", 3_000)
    assert "row 3001:" in caught.value.message


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int8(), pa.utf8()), pa.string_view(), pa.large_utf8()])
def test_other_layouts_of_text(postgres_database: str, kind: pa.DataType) -> None:
    batch = pa.record_batch({"v": pa.array(["a", "", None, "b"]).cast(kind)})
    target = pa.schema([pa.field("v", pa.utf8())])
    with psycopg.connect(postgres_database) as connection, connection.cursor() as cursor:
        cursor.execute("create table t (v text)")
        with cursor.copy("copy t from stdin (format csv)") as copy:
            copy.write(b"".join(text for text, _ in encode.csv(batch)))
        with cursor.copy("copy t to stdout (format csv)") as copy:
            assert [b.to_pydict() for b in decode.batches(iter(copy), target)] == [{"v": ["a", "", None, "b"]}]


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (pa.int8(), pa.int16()), (pa.uint8(), pa.int16()), (pa.uint16(), pa.int32()), (pa.uint32(), pa.int64()),
        (pa.uint64(), pa.decimal128(20, 0)), (pa.float16(), pa.float32()), (pa.decimal128(5, -2), pa.decimal128(7, 0)),
        (pa.decimal128(2, 5), pa.decimal128(5, 5)), (pa.decimal256(76, 10), pa.decimal256(76, 10)),
        (pa.timestamp("ns"), pa.timestamp("us")), (pa.timestamp("s", "Europe/Berlin"), pa.timestamp("us", "UTC")),
        (pa.time32("s"), pa.time64("us")), (pa.date64(), pa.date32()), (pa.binary(4), pa.binary()),
        (pa.list_(pa.int8()), pa.utf8()), (pa.struct([("a", pa.int8())]), pa.utf8()), (pa.null(), pa.utf8()),
        (pa.dictionary(pa.int8(), pa.int32()), pa.int32()), (pa.large_utf8(), pa.utf8()),
    ],
)  # fmt: skip
def test_storage_is_read_back_from_the_catalogue(
    postgres_database: str, kind: pa.DataType, stored: pa.DataType
) -> None:
    first = types.storage(pa.field("c", kind))[0]
    assert first == stored
    with psycopg.connect(postgres_database) as connection:
        connection.execute(f"create table t (c {types.column_type(pa.field('c', first)).render(Quoting())})".encode())
        found = connection.execute(
            "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 't'::regclass and attnum = 1"
        ).fetchone()
    assert found
    assert types.arrow_field("c", found[0]).type == first
