"""Names and values are quoted in one place, whatever they hold."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from wherry import SQL, DataError, Identifier, Literal, Quoting

HOSTILE = ['a"b', "a'b", "select", '"; drop table t; --', "{x}", "%s", "🛶", "back\\slash", "new\nline", " ", "x" * 255]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_engine_reads_back_what_was_quoted(text: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        create = SQL("create table {table} ({column} text)").format(table=Identifier(text), column=Identifier(text))
        connection.execute(create.render(Quoting()))
        insert = SQL("insert into {table} values ({value})").format(table=Identifier("main", text), value=Literal(text))
        connection.execute(insert.render(Quoting()))
        cursor = connection.execute(SQL("select * from {table}").format(table=Identifier(text)).render(Quoting()))
        assert [column[0] for column in cursor.description] == [text]
        assert cursor.fetchall() == [(text,)]


@pytest.mark.parametrize("text", ["", "a\0b", "\0"])
def test_names_that_cannot_be(text: str) -> None:
    with pytest.raises(DataError, match="cannot be written in SQL"):
        Identifier("main", text).render(Quoting())


def test_a_text_with_nul_has_no_literal() -> None:
    with pytest.raises(DataError):
        Literal("a\0b").render(Quoting())


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), (False, "false"), (7, "7"), (-1.5, "-1.5"), ("o'clock", "'o''clock'")],
)
def test_literals(value: str | int | float | bool | None, text: str) -> None:
    assert Literal(value).render(Quoting()) == text


def test_numbers_that_are_not_finite_are_refused() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(DataError):
            Literal(value).render(Quoting())


def test_lists_are_joined_and_templates_nest() -> None:
    columns = [Identifier("a"), Identifier("b")]
    where = SQL(" and ").join([SQL("{c} = 1").format(c=column) for column in columns])
    statement = SQL("select {columns} from {table} where {where} and j = '{{}}'").format(
        columns=columns, table=Identifier("s", "t"), where=where
    )
    assert statement.render(Quoting()) == """select "a", "b" from "s"."t" where "a" = 1 and "b" = 1 and j = '{}'"""


@pytest.mark.parametrize("value", ["orders", b"orders", 7, None])
def test_bare_values_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="wants an Identifier"):
        SQL("select {x}").format(x=value)  # type: ignore[arg-type]


def test_a_place_without_a_part_is_an_error() -> None:
    with pytest.raises(KeyError):
        SQL("select {x}").format()


def test_another_dialect_quotes_its_own_way() -> None:
    class Ticks(Quoting):
        mark = "`"

    assert Identifier("a`b", 'c"d').render(Ticks()) == '`a``b`.`c"d`'
