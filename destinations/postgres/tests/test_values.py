"""Every storage type, through COPY and back, at its extremes; compared as Arrow values."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import islice
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from wherry import DataError, Identifier, Quoting
from wherry_destination_postgres import decode, encode, types

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


def round_trip(url: str, batch: pa.RecordBatch) -> pa.Table:
    names = [f"c{i}" for i in range(batch.num_columns)]
    columns = ", ".join(
        f"{n} {types.column_type(f).render(Quoting())}" for n, f in zip(names, batch.schema, strict=True)
    )
    items = ", ".join(decode.item(Identifier(n), f).render(Quoting()) for n, f in zip(names, batch.schema, strict=True))
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("set timezone to utc")
        cursor.execute(f"create table t ({columns}, n bigint generated always as identity)".encode())
        with cursor.copy(f"copy t ({', '.join(names)}) from stdin (format csv)".encode()) as copy:
            for text, _ in encode.csv(batch):
                for piece in encode.chunks(text):
                    copy.write(piece)
        with cursor.copy(f"copy (select {items} from t order by n) to stdout (format csv)".encode()) as copy:
            return pa.Table.from_batches(decode.batches(iter(copy), batch.schema), batch.schema)


@pytest.mark.parametrize("name", CASES)
def test_every_value_comes_back(postgres_database: str, name: str) -> None:
    kind, values = CASES[name]
    batch = pa.record_batch({"v": pa.array(values, kind), "w": pa.array(values[::-1], kind)})
    found = round_trip(postgres_database, batch).combine_chunks()
    assert found.equals(pa.Table.from_batches([batch]))


@pytest.mark.parametrize("name", CASES)
def test_a_single_column_and_a_slice_come_back(postgres_database: str, name: str) -> None:
    kind, values = CASES[name]
    batch = pa.record_batch({"v": pa.array(values, kind)}).slice(1, len(values) - 1)
    found = round_trip(postgres_database, batch)
    assert found.equals(pa.Table.from_batches([batch]))


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_nan_comes_back(postgres_database: str, kind: pa.DataType) -> None:
    batch = pa.record_batch({"v": pa.array([NAN, 1.0, None], kind)})
    found = round_trip(postgres_database, batch).column(0).to_pylist()
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
    with pytest.raises(DataError) as caught:
        list(encode.csv(batch))
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
