"""Partial updates made whole: every staged row gets the values that it leaves alone from the row before it."""

from __future__ import annotations

from wherry.contracts.values import OP, POSITION, UNSET
from wherry.sql.apply import Work
from wherry.sql.compose import SQL, Composed, Identifier, Literal, Part, names
from wherry.sql.dialect import match
from wherry.sql.staging import AT


def resolve(work: Work, live: Part) -> Identifier:
    """The staging table, or a copy of it in which no partial update is left.

    live: which rows (alias t) of the target hold the present version of a key. A column that a row leaves alone takes
    the value of the last row of its key that set it: an upsert or a delete (null) sets all; before those, the table's.
    """
    stage, unset = work.stage.table, sorted(work.stage.unset)
    if not unset:
        return stage
    whole = Identifier(f"{stage.names[-1]}_whole")
    extra = [POSITION, OP] + ([AT] if work.target.mode == "history" else [])
    joins = [_setter(work, number, column) for number, column in enumerate(unset)]
    columns: list[Part] = [
        _value(unset.index(column), column) if column in unset else Identifier("s", column) for column in work.columns
    ]
    work.connection.run(
        SQL(
            "create temporary table {whole} as with places as (select {keys}, {pos}, {lasts} from {stage} as s) "
            "select {columns}, {extra} from {stage} as s join places as p on p.{pos} = s.{pos} "
            "left join (select * from {table} as t where {live}) as t on {match} {joins}"
        ).format(
            whole=whole, keys=names(work.target.key), pos=Identifier(POSITION), stage=stage, table=work.table,
            lasts=[_last(work, number, column) for number, column in enumerate(unset)], columns=columns,
            extra=names(extra, "s"), live=live, match=match(work.target.key), joins=SQL(" ").join(joins),
        )
    )  # fmt: skip
    return whole


def _alone(work: Work, alias: str, column: str) -> Composed:
    """Whether the row leaves the column alone."""
    mark = f"%,{work.columns.index(column)},%"
    return SQL("({op} = 2 and coalesce({unset}, '') like {mark})").format(
        op=Identifier(alias, OP), unset=Identifier(alias, UNSET), mark=Literal(mark)
    )


def _last(work: Work, number: int, column: str) -> Composed:
    """The position of the last row up to this one that set the column."""
    return SQL(
        "max(case when {alone} then null else {pos} end) over (partition by {keys} order by {pos} "
        "rows between unbounded preceding and current row) as {name}"
    ).format(
        alone=_alone(work, "s", column), pos=Identifier("s", POSITION), keys=names(work.target.key, "s"),
        name=Identifier(f"_wherry_set_{number}"),
    )  # fmt: skip


def _setter(work: Work, number: int, column: str) -> Composed:
    """The row that set the column."""
    return SQL("left join {stage} as {alias} on {alias}.{pos} = p.{place}").format(
        stage=work.stage.table, alias=Identifier(f"x{number}"), pos=Identifier(POSITION),
        place=Identifier(f"_wherry_set_{number}"),
    )  # fmt: skip


def _value(number: int, column: str) -> Composed:
    """Its value: nothing after a delete, the table's where no staged row set it."""
    return SQL(
        "case when p.{place} is null then t.{column} when {x}.{op} = 1 then null else {x}.{column} end as {column}"
    ).format(
        place=Identifier(f"_wherry_set_{number}"), column=Identifier(column), x=Identifier(f"x{number}"),
        op=Identifier(OP),
    )  # fmt: skip
