"""The SELECTs of a read: names quoted by the composer, the user's filter in parentheses of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
from wherry import SQL, Identifier, Literal, Part, Quoting, Selection

from wherry_source_postgres.types import BASE, FREE_NUMERIC, QUERY, READ

_ROWS = SQL("select {columns} from {table}{where}{order}{limit}")
_HEX = SQL("encode({column}, 'hex')")
_JSON = SQL("to_json({column})")
# JSON has no place for the lower bounds of an array: one that does not start at 1 becomes a JSON text, '"[0:1]={1,2}"'
_ARRAY = SQL(
    "case when least({lower}) <> 1 or greatest({lower}) <> 1 then to_json({column}::text) else to_json({column}) end"
)
_DAYS = SQL("{column} < '0001-01-01' or {column} >= '10000-01-01'")
_UNFIT = {
    "date": _DAYS,
    "timestamp": _DAYS,
    "timestamptz": _DAYS,
    "time": SQL("{column} = '24:00:00'"),
    "numeric": SQL("{column} = 'NaN'"),
}
_UNFIT_FREE = SQL("abs({column}) >= 1e29 or {column} <> round({column}, 9)")


def rows(selection: Selection, fields: Iterable[pa.Field], bounds: Sequence[Part], order: Part | None) -> str:
    """The rows of a selection within `bounds`, ascending by `order` if one is given."""
    return _ROWS(
        columns=[_column(field) for field in fields],
        table=table(selection),
        where=where(selection, bounds),
        order=SQL(" order by {order}")(order=order) if order else SQL(""),
        limit=SQL("") if selection.limit is None else SQL(" limit {n}")(n=Literal(selection.limit)),
    ).render(Quoting())


def raw(selection: Selection, fields: Iterable[pa.Field], guard: Part | None) -> str:
    """The rows of a selection, each column as it is. guard: a condition that is true of each row, or fails."""
    return _ROWS(
        columns=[Identifier(field.name) for field in fields],
        table=table(selection),
        where=where(selection, () if guard is None else (guard,)),
        order=SQL(""),
        limit=SQL(""),
    ).render(Quoting())


def query_of(selection: Selection) -> str | None:
    """The SQL of a selection that is a query; None for a table."""
    text = (selection.stream.schema.metadata or {}).get(QUERY)
    return None if text is None else str(text.decode())


def in_parentheses(query: str, name: str) -> Part:
    """A query where a table stands. It is a statement by itself: else it could close the parenthesis."""
    return SQL("(\n{query}\n) as {name}")(query=SQL(query), name=Identifier(name))


def table(selection: Selection) -> Part:
    """The relation of a selection, or its query."""
    if (query := query_of(selection)) is not None:
        return in_parentheses(query, selection.stream.name)
    return Identifier(selection.stream.namespace or "public", selection.stream.name)


def where(selection: Selection, bounds: Sequence[Part]) -> Part:
    """` where ...` of the bounds and the user's filter, or nothing."""
    # the line ends keep a comment at the end of the filter from taking the parenthesis along
    filters = [SQL("(\n{filter}\n)")(filter=SQL(selection.where))] if selection.where else []
    conditions = [*bounds, *filters]
    return SQL(" where {all}")(all=SQL(" and ").join(conditions)) if conditions else SQL("")


def unfit(field: pa.Field) -> Part | None:
    """A condition that holds for values the column's Arrow type cannot keep; None if it keeps all."""
    if pa.types.is_string(field.type):
        return None
    base = (field.metadata or {}).get(BASE, b"").decode()
    template = _UNFIT_FREE if base == "numeric" and field.type == FREE_NUMERIC else _UNFIT.get(base)
    return template(column=Identifier(field.name)) if template else None


def _column(field: pa.Field) -> Part:
    column = Identifier(field.name)
    read = (field.metadata or {}).get(READ)
    if read == b"hex":
        return _HEX(column=column)
    if read == b"json":
        return _JSON(column=column)
    if read == b"array":
        bounds = [SQL("array_lower({column}, {n})")(column=column, n=Literal(n)) for n in range(1, 7)]
        return _ARRAY(column=column, lower=bounds)
    return column
