"""Every type of a stock server: what the source delivers is compared with what another client reads as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from wherry import KIND, Batch, DataError, Selection, Stream
from wherry_source_postgres.source import PostgresSource

Sources = Callable[..., PostgresSource]

# name -> (values that the Arrow type holds, values that turn the column into text or are text anyhow)
VALUES: dict[str, tuple[list[str], list[str]]] = {
    "bool": (["t", "f"], []),
    "bytea": (["", r"\x00", r"\xdeadbeef00ff0a0d22275c"], []),
    "char": (["a", '"', "'", ",", "\\"], []),
    "name": (["pg_class", "", "x" * 63], []),
    "int2": (["0", "-32768", "32767"], []),
    "int4": (["0", "-2147483648", "2147483647"], []),
    "int8": (["0", "-9223372036854775808", "9223372036854775807", "9007199254740993"], []),
    "oid": (["0", "4294967295"], []),
    "xid": (["0", "4294967295"], []),
    "cid": (["0", "4294967295"], []),
    "xid8": (["0", "18446744073709551615"], []),
    "float4": (["0", "-0", "1.1", "3.4028235e+38", "1e-45", "NaN", "Infinity", "-Infinity"], []),
    "float8": (["0", "-0", "0.1", "5e-324", "1.7976931348623157e+308", "NaN", "Infinity", "-Infinity"], []),
    "numeric": (
        ["0", "1.50", "-0.000000001", "9" * 29 + ".999999999"],
        ["NaN", "0.1234567891", "1" + "0" * 29, "9" * 200 + "." + "9" * 200],
    ),
    "text": (
        ["", "a", "NULL", "NA", r"\N", r"\.", "a\nb\r\nc", '"', '""', "'", ",", "\ufeffx", "😀", " ", "\u2028"],
        [],
    ),
    "varchar": (["", "a b", "null"], []),
    "bpchar": (["a ", "", "b"], []),
    "date": (["0001-01-01", "1970-01-01", "9999-12-31"], ["infinity", "-infinity", "0044-03-15 BC", "5874897-12-31"]),
    "time": (["00:00:00", "23:59:59.999999", "12:00:00.5"], ["24:00:00"]),
    "timetz": (["00:00:00+00", "23:59:59.999999-15:59", "24:00:00+05:30"], []),
    "timestamp": (
        ["0001-01-01 00:00:00", "1969-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999", "2026-01-01 00:00:00.5"],
        ["infinity", "-infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999"],
    ),
    "timestamptz": (
        ["0001-01-01 00:00:00+00", "2026-03-29 01:30:00.123456+01", "9999-12-31 23:59:59.999999+00"],
        ["infinity", "-infinity", "4713-01-01 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00"],
    ),
    "interval": (["0", "1 year 2 mons -3 days 04:05:06.789", "-178000000 years", "00:00:00.000001"], []),
    "uuid": (["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"], []),
    "json": (['{"a": 1.10, "a": 2}', " [1,\n2] ", "null", '"\\u0041"'], []),
    "jsonb": (['{"a": 1.10, "b": [null, "\\n"]}', "null", "12345678901234567890.1234567890"], []),
    "jsonpath": (['$."a"[*]?(@ > 1)'], []),
    "xml": (["<a>&amp;</a>", "text"], []),
    "money": (["$0.01", "-$92,233,720,368,547,758.08"], []),
    "bit": (["1", "0"], []),
    "varbit": (["", "0101"], []),
    "inet": (["127.0.0.1", "::1", "10.0.0.0/8", "2001:db8::/32"], []),
    "cidr": (["10.0.0.0/8", "::/0"], []),
    "macaddr": (["08:00:2b:01:02:03"], []),
    "macaddr8": (["08:00:2b:01:02:03:04:05"], []),
    "point": (["(1,2)", "(0.1,-1e+300)", "(NaN,Infinity)"], []),
    "line": (["{1,2,3}"], []),
    "lseg": (["[(0,0),(1,1)]"], []),
    "box": (["(1,1),(0,0)"], []),
    "path": (["((0,0),(1,1))", "[(0,0),(1,1)]"], []),
    "polygon": (["((0,0),(1,1),(1,0))"], []),
    "circle": (["<(0,0),0.1>"], []),
    "tsvector": (["'a':1A 'b c':2", ""], []),
    "tsquery": (["'a' & !'b' <-> 'c':*"], []),
    "pg_lsn": (["0/0", "FFFFFFFF/FFFFFFFF"], []),
    "pg_snapshot": (["10:20:10,14,15"], []),
    "txid_snapshot": (["10:20:10,14,15"], []),
    "tid": (["(0,1)", "(4294967295,65535)"], []),
    "refcursor": (["c", ""], []),
    "aclitem": (["postgres=r/postgres"], []),
    "int2vector": (["1 2 3", ""], []),
    "oidvector": (["1 2 3"], []),
    "regclass": (["pg_class"], []),
    "regcollation": (['"C"'], []),
    "regconfig": (["english"], []),
    "regdictionary": (["simple"], []),
    "regnamespace": (["pg_catalog"], []),
    "regoper": (["||/", "0"], []),
    "regoperator": (["+(integer,integer)"], []),
    "regproc": (["now"], []),
    "regprocedure": (["abs(integer)"], []),
    "regrole": (["postgres"], []),
    "regtype": (["integer"], []),
    "int4range": (["empty", "[1,3)", "(,5)", "(,)"], []),
    "int8range": (["[1,9223372036854775807)"], []),
    "numrange": (["[1.50,2.0]", "(NaN,)"], []),
    "daterange": (["[2026-01-01,2026-02-01)", "[-infinity,infinity]"], []),
    "tsrange": (['["2026-01-01 00:00:00","2026-01-01 00:00:00.1"]'], []),
    "tstzrange": (['["2026-01-01 00:00:00+00",infinity]'], []),
    "int4multirange": (["{}", "{[1,3),[5,7)}"], []),
    "int8multirange": (["{[1,3)}"], []),
    "nummultirange": (["{[1.1,2.2]}"], []),
    "datemultirange": (["{[2026-01-01,2026-02-01)}"], []),
    "tsmultirange": (['{["2026-01-01 00:00:00","2026-01-02 00:00:00"]}'], []),
    "tstzmultirange": (['{["2026-01-01 00:00:00+00","2026-01-02 00:00:00+00"]}'], []),
    "cardinal_number": (["0", "2147483647"], []),
    "character_data": (["x"], []),
    "sql_identifier": (["x"], []),
    "time_stamp": (["2026-01-01 00:00:00.12+00"], ["infinity"]),
    "yes_or_no": (["YES", "NO"], []),
}
# the server has no input for them
ONLY_NULL = {"pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list"}
REFUSED = {"gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary"}
_STOCK = """
select t.typname, e.typname, t.oid::regtype::text from pg_type t left join pg_type e on e.oid = t.typelem
     and t.typoutput = 'array_out'::regproc
where t.typnamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) and t.typtype <> 'p'
  and t.typrelid = 0 and coalesce(e.typrelid, 0) = 0 and coalesce(e.typtype, 'b') <> 'p'
"""


@dataclass
class Case:
    table: str
    type: str
    element: str | None
    texts: list[str | None]


def cases(connection: psycopg.Connection[Any]) -> list[Case]:
    """One table a type, two where some values turn the column into text; arrays of all of them."""
    found = []
    values = dict(VALUES)
    if connection.execute("select count(*) from pg_config where setting like '%--with-libxml%'").fetchone() == (0,):
        values["xml"] = ([], [])  # such a server takes none
    for name, element, spelled in connection.execute(_STOCK).fetchall():
        base = element or name
        if base in REFUSED:
            continue
        assert base in values or base in ONLY_NULL, f"no values for the type {base}"
        plain, odd = values.get(base, ([], []))
        if element is None:
            found.append(Case(f"{name} ok", spelled, None, [None, *plain]))
            found.append(Case(f"{name} odd", spelled, None, [None, *plain, *odd]))
        else:
            found.append(Case(f"{base}[] ok", spelled, base, _arrays([*plain, *odd], ";" if base == "box" else ",")))
    return found


def _arrays(values: list[str], delimiter: str) -> list[str | None]:
    if not values:
        return [None, "{}"]
    quoted = ['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]
    flat = delimiter.join(["NULL", *quoted])
    first, last = quoted[0], quoted[-1]
    square = f"{{{{{first}{delimiter}NULL}}{delimiter}{{{last}{delimiter}{first}}}}}"
    return [
        None,
        "{}",
        f"{{{flat}}}",
        square,
        f"[0:1]={{{first}{delimiter}{last}}}",
        f"[-1:-1][3:4]={{{{{first}{delimiter}NULL}}}}",
    ]


@pytest.fixture(scope="module")
def database(postgres_cluster: Any) -> Iterator[str]:
    url = postgres_cluster.create_database()
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture(scope="module")
def typed(database: str) -> list[Case]:
    with psycopg.connect(database) as connection:
        connection.execute("set lc_monetary = 'C'")
        found = cases(connection)
        for case in found:
            table = psycopg.sql.Identifier(case.table)
            connection.execute(psycopg.sql.SQL("create table {} (id int, v " + case.type + ")").format(table))
            for number, text in enumerate(case.texts):
                insert = psycopg.sql.SQL("insert into {} values (%s, %s::text::" + case.type + ")")
                connection.execute(insert.format(table), (number, text), prepare=False)
    return found


def read(source: PostgresSource, name: str) -> tuple[Stream, list[Any], pa.DataType]:
    """The stream, the values of its column v in order of id, and the type they came in."""
    (stream,) = source.discover([name.replace("[", "[[]")])
    (plan,) = source.plan([Selection(stream=stream)], {})
    batches = [item.data for item in source.read(plan.splits[0]) if isinstance(item, Batch)]
    table = pa.Table.from_batches(batches).sort_by("id")
    return (
        stream,
        table.column("v").to_pylist() if not _temporal(table) else _texts(table),
        table.schema.field("v").type,
    )


def _temporal(table: pa.Table) -> bool:
    return bool(pa.types.is_temporal(table.schema.field("v").type))


def _texts(table: pa.Table) -> list[str | None]:
    return [None if v is None else str(v) for v in table.column("v").cast(pa.string()).to_pylist()]


def literal(value: Any) -> str | None:
    """A delivered scalar as text that the server takes back."""
    if value is None or isinstance(value, str):
        return value
    return "\\x" + value.hex() if isinstance(value, bytes) else str(value)


def array_literal(document: Any, delimiter: str) -> str:
    """A delivered JSON array as an array literal of the server."""
    if isinstance(document, list):
        return "{" + delimiter.join(array_literal(item, delimiter) for item in document) + "}"
    if document is None:
        return "NULL"
    text = ("t" if document else "f") if isinstance(document, bool) else str(document)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_every_stock_type_arrives_exactly(database: str, typed: list[Case], source_of: Sources) -> None:
    failures, source = [], source_of(database)
    with psycopg.connect(
        database, options="-c timezone=UTC -c extra_float_digits=3 -c intervalstyle=postgres"
    ) as other:
        for case in typed:
            table = psycopg.sql.Identifier(case.table)
            select = psycopg.sql.SQL("select v::text from {} order by id").format(table)
            wanted = [row[0] for row in other.execute(select).fetchall()]
            stream, got, _ = read(source, case.table)
            if case.element and KIND not in stream.schema.field("v").metadata:
                case = replace(case, element=None)  # plain text: the array literal itself
            again = [back(other, case, value, text) for value, text in zip(got, wanted, strict=True)]
            if again != wanted:
                failures.append((case.table, got, again, wanted))
    assert not failures
    assert len(typed) > 200


def fetched(other: psycopg.Connection[Any], sql: Any, *values: Any) -> tuple[Any, ...]:
    row = other.execute(sql, values, prepare=False).fetchone()
    assert row is not None
    return tuple(row)


def back(other: psycopg.Connection[Any], case: Case, value: Any, text: str | None) -> str | None:
    """The delivered value as the server prints it after taking it back."""
    given = literal(value)
    if given is None:
        return None
    if case.element in {"json", "jsonb"} and not given.startswith('"'):
        assert json.loads(given) == elements(other, case, text)
        return text
    if case.element is not None:
        document = json.loads(given, parse_float=str, parse_int=str)
        given = (
            document if isinstance(document, str) else array_literal(document, ";" if case.element == "box" else ",")
        )
    sql = psycopg.sql.SQL("select (%s::text::" + case.type + ")::text, %s::text::" + case.type + "::text = %s")
    returned = fetched(other, sql, given, text, text)
    if case.element is None and case.type == "numeric" and text is not None:
        same = fetched(other, "select %s::text::numeric = %s::text::numeric", given, text)[0]
        return text if same else str(returned[0])  # 1.50 comes as 1.500000000: the same number
    return str(returned[0])


def elements(other: psycopg.Connection[Any], case: Case, text: str | None) -> Any:
    """The documents inside an array of JSON, nested as the array is."""
    sql = psycopg.sql.SQL("select %s::text::" + case.type)
    return fetched(other, sql, text)[0]


def test_arrow_types_of_ordinary_values(database: str, typed: list[Case], source_of: Sources) -> None:
    wanted = {
        "bool": pa.bool_(), "int2": pa.int16(), "int4": pa.int32(), "int8": pa.int64(), "oid": pa.int64(),
        "float4": pa.float32(), "float8": pa.float64(), "numeric": pa.decimal128(38, 9), "bytea": pa.binary(),
        "date": pa.date32(), "time": pa.time64("us"), "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"), "time_stamp": pa.timestamp("us", "UTC"), "text": pa.string(),
        "cardinal_number": pa.int32(), "xid8": pa.decimal128(20, 0),
    }  # fmt: skip
    source = source_of(database)
    got = {name: read(source, f"{name} ok")[2] for name in wanted}
    assert got == wanted


def test_types_whose_text_leaves_something_out_are_refused_by_column(database: str, source_of: Sources) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create table summaries (id int, good text, bad gtsvector)")
    source = source_of(database)
    (stream,) = source.discover(["summaries"])
    (plan,) = source.plan([Selection(stream=stream)], {})
    with pytest.raises(DataError, match=r"summaries\.bad is gtsvector") as caught:
        next(source.read(plan.splits[0]))
    assert caught.value.column == "bad"
    (plan,) = source.plan([Selection(stream=stream, columns=("id", "good"))], {})
    list(source.read(plan.splits[0]))


def test_numerics_with_precision_enums_domains_composites(database: str, source_of: Sources) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            """
            create type mood as enum ('sad', 'so "so"');
            create domain posint as int4 check (value > 0);
            create domain posints as posint[];
            create type pair as (a int, b text, c timestamptz);
            create type holder as (x int, many int[]);
            create table made (id int, n1 numeric(38,0), n2 numeric(50,10), n3 numeric(90,2), m mood, p posint,
                ps posints, c pair, cs pair[], h holder, whole made_before);
            """.replace("whole made_before", "v int")
        )
        connection.execute(
            """
            insert into made values
            (1, 99999999999999999999999999999999999999, 1234567890123456789012345678901234567890.0123456789, 1.5,
             'so "so"', 7, array[1,2]::posint[], row(1,'x','2026-01-01 00:00:00+00'),
             array[row(1,null,null)::pair, null],
             row(1, '[0:1]={1,2}'::int[]), 1),
            (2, null, null, null, null, null, null, null, null, null, 1),
            (3, 1, 1, 1, 'sad', 1, '{}', row(null,null,null), '{}', row(null, null), 1)
            """
        )
    source = source_of(database)
    (stream,) = source.discover(["made"])
    assert [str(stream.schema.field(n).type) for n in ("n1", "n2", "n3")] == [
        "decimal128(38, 0)", "decimal256(50, 10)", "string",
    ]  # fmt: skip
    (plan,) = source.plan([Selection(stream=stream)], {})
    rows = [row for item in source.read(plan.splits[0]) if isinstance(item, Batch) for row in item.data.to_pylist()]
    first, empty, last = rows
    assert str(first["n1"]) == "9" * 38
    assert str(first["n2"]) == "1234567890123456789012345678901234567890.0123456789"
    assert (first["n3"], first["m"], first["p"]) == ("1.50", 'so "so"', 7)
    assert json.loads(first["ps"]) == [1, 2]
    assert json.loads(first["c"]) == {"a": 1, "b": "x", "c": "2026-01-01T00:00:00+00:00"}
    assert json.loads(first["cs"]) == [{"a": 1, "b": None, "c": None}, None]
    assert first["h"] == '(1,"[0:1]={1,2}")'
    assert {value for key, value in empty.items() if key not in ("id", "v")} == {None}
    assert json.loads(last["c"]) == {"a": None, "b": None, "c": None}


def test_a_value_that_does_not_fit_turns_the_column_into_text_in_mid_read(database: str, source_of: Sources) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            """create table late as select g as id, '2026-01-01'::date + g % 1000 as day, repeat('x', 200) as pad
               from generate_series(1, 60000) g"""
        )
        connection.execute("update late set day = 'infinity' where id = 50000")
    source = source_of(database)
    (stream,) = source.discover(["late"])
    (plan,) = source.plan([Selection(stream=stream)], {})
    items = list(source.read(plan.splits[0]))
    types = [str(item.data.schema.field("day").type) for item in items if isinstance(item, Batch)]
    assert types[0] == "date32[day]"
    assert types[-1] == "string"
    announced = [item.stream for item in items if not isinstance(item, Batch) and item.stream is not None]
    assert [str(s.schema.field("day").type) for s in announced] == ["string"]
    days = {
        i: str(d)
        for b in items
        if isinstance(b, Batch)
        for i, d in zip(*b.data.select(["id", "day"]).to_pydict().values(), strict=True)
    }
    assert len(days) == 60000
    assert days[50000] == "infinity"
    assert days[1] == "2026-01-02"


def test_sql_ascii_bytes_that_are_no_text_name_the_column(postgres_cluster: Any, source_of: Sources) -> None:
    postgres_cluster.psql("create database bytes_only encoding 'SQL_ASCII' template template0 locale 'C'")
    url = postgres_cluster.url("bytes_only")
    with psycopg.connect(url) as connection:
        connection.execute("create table t (id int, broken text)")
        connection.execute("set client_encoding = 'SQL_ASCII'")
        connection.execute(r"insert into t values (1, E'\xff')")
    source = source_of(url)
    (stream,) = source.discover(["t"])
    (plan,) = source.plan([Selection(stream=stream)], {})
    with pytest.raises(Exception, match=r"broken|t: ") as caught:
        list(source.read(plan.splits[0]))
    assert type(caught.value).__name__ in {"DataError", "StreamError"}
    postgres_cluster.drop_database(url)


def test_types_of_extensions(database: str, source_of: Sources) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        have = {row[0] for row in connection.execute("select name from pg_available_extensions").fetchall()}
        if not {"hstore", "citext"} <= have:
            pytest.skip("the server has no contrib extensions")
        connection.execute("create schema ext; create extension hstore schema ext; create extension citext schema ext")
        connection.execute("create table extended (id int, h ext.hstore, hs ext.hstore[], c ext.citext)")
        connection.execute(
            """insert into extended values (1, 'a=>1, "b c"=>NULL', array['x=>y'::ext.hstore, null], 'MiXed'),
               (2, null, null, null)"""
        )
    source = source_of(database)
    (stream,) = source.discover(["extended"])
    assert "hstore" not in {s.name for s in source.discover()}
    (plan,) = source.plan([Selection(stream=stream)], {})
    rows = [row for item in source.read(plan.splits[0]) if isinstance(item, Batch) for row in item.data.to_pylist()]
    assert json.loads(rows[0]["h"]) == {"a": "1", "b c": None}
    assert json.loads(rows[0]["hs"]) == [{"x": "y"}, None]
    assert rows[0]["c"] == "MiXed"
    assert rows[1] == {"id": 2, "h": None, "hs": None, "c": None}
