"""Staged rows into their table, inside the load's transaction: which mode does what."""

from __future__ import annotations

from dataclasses import dataclass

from wherry.contracts.loading import Applied, Target
from wherry.contracts.values import LOAD_ID, OP
from wherry.errors import DataError, DestinationError
from wherry.failpoints import failpoint
from wherry.sql.compose import SQL, Identifier, Literal, Part, names
from wherry.sql.dialect import Connection, Dialect, insert
from wherry.sql.staging import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One stream of a load that is being committed. table: where its rows end up.  now: UTC microseconds.

    parts: parts whose earlier rows go.  complete: the load holds every key that exists.
    """

    connection: Connection
    dialect: Dialect
    target: Target
    stage: Stage
    table: Identifier
    load_id: int
    now: int
    parts: tuple[str, ...] = ()
    complete: bool = False

    @property
    def columns(self) -> list[str]:
        """The target's own columns."""
        return list(self.target.schema.names)

    @property
    def mark(self) -> Part | None:
        """The load id as a literal, if rows keep one."""
        return Literal(self.load_id) if self.target.load_id else None


def apply(work: Work) -> Applied:
    """Bring one stream's rows into its table; raises `DataError` for rows that cannot be."""
    from wherry.sql.history import apply_history
    from wherry.sql.merge import apply_merge

    if work.target.mode == "merge":
        return apply_merge(work)
    if work.target.mode == "history":
        return apply_history(work)
    return apply_append(work)


def apply_append(work: Work) -> Applied:
    """Add the staged rows, after earlier rows of their parts are gone."""
    deleted = delete_earlier(work)
    inserted = work.stage.rows
    if not work.stage.direct:
        inserted = insert(work.connection, work.table, work.stage.table, work.columns, SQL("true"), work.mark)
    refuse_difference(work.target, work.stage.rows, inserted)
    return Applied(staged=work.stage.rows, inserted=inserted, deleted=deleted)


def refuse_difference(target: Target, expected: int, applied: int) -> None:
    """Raise when not exactly the rows that should have come into the table did."""
    if expected != applied:
        raise DestinationError(
            f"stream {target.stream}: {expected} rows should have come into table {target.table}, {applied} did: "
            "nothing was committed",
            next="look for a trigger or rule on the table that drops rows; if there is none, report it",
        )


def rows_of(work: Work, source: Identifier, keep: Part) -> int:
    """How many staged rows, or what was made of them, are to come into the table."""
    if source == work.stage.table and not work.target.changes:
        return work.stage.rows
    counted = SQL("select count(*) from {source} as s where {keep}").format(source=source, keep=keep)
    return int(work.connection.rows(counted)[0][0])


def delete_earlier(work: Work) -> int:
    """Empty a truncated table, and remove earlier rows of the parts that were read again; how many went."""
    if work.stage.direct:
        older = SQL("{id} is distinct from {load}").format(id=Identifier(LOAD_ID), load=Literal(work.load_id))
        return work.stage.emptied + delete_parts(work, older)
    if work.stage.truncated:
        return work.connection.run(SQL("delete from {table}").format(table=work.table))
    return delete_parts(work, SQL("true"))


def delete_parts(work: Work, where: Part) -> int:
    """Remove rows of the parts that were read again."""
    if not work.parts or work.target.part is None:
        return 0
    gone = work.connection.run(
        SQL("delete from {table} where {part} in ({parts}) and {where}").format(
            table=work.table, part=Identifier(work.target.part), parts=[Literal(p) for p in work.parts], where=where
        )
    )
    failpoint("K16")
    return gone


def refuse_null_keys(work: Work) -> None:
    """Raise when a staged row lacks a value in its key."""
    for column in work.target.key:
        if column in work.stage.nulls:
            rows, first = work.stage.nulls[column]
            raise DataError(
                f"{rows} rows of stream {work.target.stream} have no value in key column {column}",
                column=column, row=first, next="choose another key with --key, or filter those rows",
            )  # fmt: skip


def last_versions(work: Work, source: Identifier) -> Identifier:
    """A table with the last row of each key: `source` itself where no key comes twice."""
    if not has_doubles(work, source):
        return source
    last = Identifier(f"{source.names[-1]}_last")
    work.connection.run(
        SQL(
            "create temporary table {last} as select * from {source} where _wherry_pos in "
            "(select max(_wherry_pos) from {source} group by {keys})"
        ).format(last=last, source=source, keys=names(work.target.key))
    )
    return last


def has_doubles(work: Work, source: Identifier) -> bool:
    """Whether some key is staged more than once."""
    twice = SQL("select 1 from {source} group by {keys} having count(*) > 1 limit 1")
    return bool(work.connection.rows(twice.format(source=source, keys=names(work.target.key))))


def is_delete(work: Work, alias: str) -> Part:
    """Whether the row removes its key."""
    if not work.target.changes:
        return SQL("false")
    return SQL("coalesce({op}, 0) = 1").format(op=Identifier(alias, OP))
