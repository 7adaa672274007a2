"""History: every version of a key, each valid from its own time to the next one's, without gaps and overlaps.

All arithmetic is in UTC microseconds. A version's time is the cursor's, else the load's; within a key it is moved to
at least one microsecond after the version before it, or to the end of it if it was deleted. With s_n, the number of
new versions up to the n-th that follow a live one, that is `s_n + max(floor, at_1 - s_1, …, at_n - s_n)`; the floor is
where the version in the table began, or ended.
"""

from __future__ import annotations

from wherry.contracts.loading import Applied
from wherry.contracts.values import LOAD_ID, POSITION, VALID_FROM, VALID_TO
from wherry.failpoints import failpoint
from wherry.sql.apply import Work, has_doubles, is_delete, refuse_difference, refuse_null_keys, rows_of
from wherry.sql.compose import SQL, Composed, Identifier, Literal, Part, names
from wherry.sql.dialect import match
from wherry.sql.resolve import resolve

FROM, TO = Identifier(VALID_FROM), Identifier(VALID_TO)


def apply_history(work: Work) -> Applied:
    """Close versions that changed or went, add the new ones; equal neighbours are one version."""
    refuse_null_keys(work)
    closed = _close(work, SQL("true")) if work.stage.truncated else 0
    work.dialect.joined(work.connection, work.stage.table, [*work.target.key, POSITION], work.stage.rows)
    source = resolve(work, SQL("t.{to} is null").format(to=TO))
    once = not has_doubles(work, source)
    if once and not work.connection.rows(SQL("select 1 from {table} limit 1").format(table=work.table)):
        inserted, updated, deleted = _first(work, source), 0, 0
        keep = SQL("not {gone}").format(gone=is_delete(work, "s"))
        refuse_difference(work.target, rows_of(work, source, keep), inserted)
    else:
        changed = _changed_once(work, source) if once else _changed(work, source)
        versions = _timed_once(work, changed) if once else _timed(work, changed)
        ended, inserted = _end(work, versions), _insert(work, versions)
        new, live, updated, deleted = _count(work, versions)
        refuse_difference(work.target, new, inserted)
        refuse_difference(work.target, live, ended)
    if work.complete:
        closed += _close(work, _absent(work, source))
    elif work.parts and work.target.part is not None:
        inside = SQL("t.{part} in ({parts}) and {absent}").format(
            part=Identifier(work.target.part), parts=[Literal(part) for part in work.parts],
            absent=_absent(work, source),
        )  # fmt: skip
        closed += _close(work, inside)
    return Applied(staged=work.stage.rows, inserted=inserted, updated=updated, deleted=closed + deleted)


def _keys(work: Work) -> list[Identifier]:
    return names(work.target.key)


def _changed(work: Work, source: Identifier) -> Identifier:
    """Staged rows that differ from the one before them, be it staged or the live version in the table."""
    changed = Identifier(f"{source.names[-1]}_changed")
    columns = names(work.columns)
    over = SQL("over (partition by {keys} order by _wherry_pos nulls first)").format(keys=_keys(work))
    before = [
        SQL("lag({column}) {over} as {name}").format(column=column, over=over, name=Identifier(f"_wherry_was_{n}"))
        for n, column in enumerate(columns)
    ]
    equal = [
        work.dialect.same(field, Identifier(field.name), Identifier(f"_wherry_was_{n}"))
        for n, field in enumerate(work.target.schema)
    ]
    statement = SQL(
        "create temporary table {changed} as "
        "with sequence as ("
        "select {live}, cast(null as bigint) as _wherry_pos, cast(null as bigint) as _wherry_at, 0 as _wherry_gone "
        "from {table} as t where t.{to} is null and exists (select 1 from {source} as s where {match}) "
        "union all select {staged}, s._wherry_pos, coalesce(s._wherry_at, {now}), "
        "case when {gone} then 1 else 0 end from {source} as s), "
        "compared as (select {columns}, _wherry_pos, _wherry_at, _wherry_gone, {before}, "
        "lag(_wherry_gone) {over} as _wherry_was_gone from sequence) "
        "select {columns}, _wherry_pos, _wherry_at, _wherry_gone, coalesce(_wherry_was_gone, 1) as _wherry_was_gone "
        "from compared where _wherry_pos is not null and "
        "case when _wherry_gone = 1 then coalesce(_wherry_was_gone, 1) = 0 "
        "else coalesce(_wherry_was_gone, 1) = 1 or not ({equal}) end"
    )
    work.connection.run(
        statement.format(
            changed=changed, live=names(work.columns, "t"), table=work.table, to=TO, source=source,
            match=match(work.target.key), staged=names(work.columns, "s"), now=Literal(work.now),
            gone=is_delete(work, "s"), columns=columns, before=before, over=over, equal=SQL(" and ").join(equal),
        )
    )  # fmt: skip
    return changed


def _first(work: Work, source: Identifier) -> int:
    """One version a key into an empty table."""
    into, values = _row(work, names(work.columns, "s"))
    start = work.dialect.moment(SQL("coalesce(s._wherry_at, {now})").format(now=Literal(work.now)))
    statement = SQL("insert into {table} ({into}) select {values} from {source} as s where not {gone}")
    values[len(work.columns) : len(work.columns) + 2] = [start, work.dialect.moment(SQL("cast(null as bigint)"))]
    return work.connection.run(
        statement.format(table=work.table, into=into, values=values, source=source, gone=is_delete(work, "s"))
    )


def _row(work: Work, columns: list[Identifier]) -> tuple[list[Part], list[Part]]:
    """(columns of a version, their values) from a row with `_wherry_from` and `_wherry_next`."""
    start, end = work.dialect.moment(SQL("_wherry_from")), work.dialect.moment(SQL("_wherry_next"))
    into: list[Part] = [*names(work.columns), FROM, TO]
    values: list[Part] = [*columns, start, end]
    if work.mark is not None:
        into.append(Identifier(LOAD_ID))
        values.append(work.mark)
    return into, values


def _changed_once(work: Work, source: Identifier) -> Identifier:
    """The same where no key is staged twice: compared by a join, without windows."""
    changed = Identifier(f"{source.names[-1]}_changed")
    key = Identifier("t", work.target.key[0])
    equal = [
        work.dialect.same(field, Identifier("s", field.name), Identifier("t", field.name))
        for field in work.target.schema
        if field.name not in work.target.key
    ]
    statement = SQL(
        "create temporary table {changed} as select {columns}, s._wherry_pos, "
        "coalesce(s._wherry_at, {now}) as _wherry_at, case when {gone} then 1 else 0 end as _wherry_gone, "
        "case when {key} is null then 1 else 0 end as _wherry_was_gone "
        "from {source} as s left join (select * from {table} as t where t.{to} is null) as t on {match} "
        "where case when {gone} then {key} is not null else {key} is null or not ({equal}) end"
    )
    work.connection.run(
        statement.format(
            changed=changed, columns=names(work.columns, "s"), now=Literal(work.now), gone=is_delete(work, "s"),
            key=key, source=source, table=work.table, to=TO, match=match(work.target.key),
            equal=SQL(" and ").join([SQL("true"), *equal]),
        )
    )  # fmt: skip
    return changed


def _timed_once(work: Work, changed: Identifier) -> Identifier:
    timed = Identifier(f"{changed.names[-1]}_timed")
    statement = SQL(
        "create temporary table {timed} as with floors as ({floors}) "
        "select {columns}, s._wherry_gone, s._wherry_was_gone, 1 as _wherry_n, "
        "case when f._wherry_floor + 1 - s._wherry_was_gone > s._wherry_at "
        "then f._wherry_floor + 1 - s._wherry_was_gone else s._wherry_at end as _wherry_from, "
        "cast(null as bigint) as _wherry_next from {changed} as s left join floors as f on {match}"
    )
    work.connection.run(
        statement.format(
            timed=timed, floors=_floors(work, changed), columns=names(work.columns, "s"), changed=changed,
            match=match(work.target.key, "f"),
        )
    )  # fmt: skip
    return timed


def _floors(work: Work, changed: Identifier) -> Composed:
    """For each changed key, when its last version in the table began, or ended."""
    start, end = (work.dialect.micros(SQL("t.{at}").format(at=at)) for at in (FROM, TO))
    return SQL(
        "select {keys}, max(case when t.{to} is null then {start} else {end} end) as _wherry_floor from {table} as t "
        "where exists (select 1 from {changed} as s where {match}) group by {keys}"
    ).format(
        keys=names(work.target.key, "t"), to=TO, start=start, end=end, table=work.table, changed=changed,
        match=match(work.target.key),
    )  # fmt: skip


def _timed(work: Work, changed: Identifier) -> Identifier:
    """The changed rows with `_wherry_from` and `_wherry_next`, UTC microseconds."""
    timed = Identifier(f"{changed.names[-1]}_timed")
    statement = SQL(
        "create temporary table {timed} as "
        "with floors as ({floors}), "
        "numbered as (select s.*, f._wherry_floor, row_number() over (partition by {skeys} order by s._wherry_pos) "
        "as _wherry_n, sum(1 - s._wherry_was_gone) over (partition by {skeys} order by s._wherry_pos "
        "rows between unbounded preceding and current row) as _wherry_steps "
        "from {changed} as s left join floors as f on {fmatch}), "
        "raised as (select numbered.*, max(_wherry_at - _wherry_steps) over (partition by {keys} order by _wherry_pos "
        "rows between unbounded preceding and current row) as _wherry_most from numbered), "
        "placed as (select raised.*, _wherry_steps + case when _wherry_floor > _wherry_most then _wherry_floor "
        "else _wherry_most end as _wherry_from from raised) "
        "select {columns}, _wherry_gone, _wherry_was_gone, _wherry_n, cast(_wherry_from as bigint) as _wherry_from, "
        "cast(lead(_wherry_from) over "
        "(partition by {keys} order by _wherry_pos) as bigint) as _wherry_next from placed"
    )
    work.connection.run(
        statement.format(
            timed=timed, floors=_floors(work, changed), changed=changed, skeys=names(work.target.key, "s"),
            fmatch=match(work.target.key, "f"), keys=_keys(work), columns=names(work.columns),
        )
    )  # fmt: skip
    return timed


def _end(work: Work, versions: Identifier) -> int:
    """Close the live version of each key that has a new one, or was deleted, at the time of the first; how many."""
    return work.connection.run(
        SQL(
            "update {table} as t set {to} = {moment} from {versions} as s "
            "where t.{to} is null and s._wherry_n = 1 and {match}"
        ).format(
            table=work.table, to=TO, moment=work.dialect.moment(SQL("s._wherry_from")), versions=versions,
            match=match(work.target.key),
        )
    )  # fmt: skip


def _insert(work: Work, versions: Identifier) -> int:
    into, values = _row(work, names(work.columns))
    statement = SQL("insert into {table} ({into}) select {values} from {versions} where _wherry_gone = 0")
    return work.connection.run(statement.format(table=work.table, into=into, values=values, versions=versions))


def _count(work: Work, versions: Identifier) -> tuple[int, int, int, int]:
    """(new versions, live ones in the table that end, new ones that follow a live one, deletions of a live one)."""
    statement = SQL(
        "select sum(1 - _wherry_gone), sum(case when _wherry_n = 1 and _wherry_was_gone = 0 then 1 else 0 end), "
        "sum(case when _wherry_gone = 0 and _wherry_was_gone = 0 then 1 else 0 end), "
        "sum(_wherry_gone) from {versions}"
    )
    new, live, updated, deleted = work.connection.rows(statement.format(versions=versions))[0]
    return int(new or 0), int(live or 0), int(updated or 0), int(deleted or 0)


def _absent(work: Work, source: Identifier) -> Composed:
    """No staged row has the key."""
    return SQL("not exists (select 1 from {source} as s where {match})").format(
        source=source, match=match(work.target.key)
    )


def _close(work: Work, where: Part) -> int:
    """Close live versions now, or just after they began if that is later."""
    start = work.dialect.micros(SQL("t.{from_}").format(from_=FROM))
    end = SQL("case when {start} >= {now} then {start} + 1 else {now} end").format(start=start, now=Literal(work.now))
    closed = work.connection.run(
        SQL("update {table} as t set {to} = {end} where t.{to} is null and {where}").format(
            table=work.table, to=TO, end=work.dialect.moment(end), where=where
        )
    )
    failpoint("K16")
    return closed
