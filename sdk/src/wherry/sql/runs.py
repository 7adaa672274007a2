"""What the destination remembers of loads and runs: `_wherry_loads` and `_wherry_leases`, for people and reports."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.contracts.loading import Applied, Counts, Entry, Lease, RunRecord, Target
from wherry.sql.compose import SQL, Value
from wherry.sql.dialect import Connection
from wherry.sql.meta import Meta
from wherry.sql.state import Place, dump

SUMS = ("read", "inserted", "updated", "deleted", "rejected")


def record_load(
    meta: Meta, connection: Connection, lease: Lease, load_id: int, place: Place, entry: Entry,
    applied: Mapping[str, Applied], targets: Mapping[str, Target], now: int,
) -> None:  # fmt: skip
    """One row a stream, or one in all for a load without any; the bookmark stands on the first."""
    meta.insert(connection, "_wherry_loads", *load_rows(lease, load_id, place, entry, applied, targets, now))


def load_rows(
    lease: Lease, load_id: int, place: Place, entry: Entry, applied: Mapping[str, Applied],
    targets: Mapping[str, Target], now: int,
) -> list[dict[str, Value]]:  # fmt: skip
    """The same, to be inserted."""
    streams = sorted(applied.keys() | entry.counts.keys()) or [""]
    common: dict[str, Value] = {
        "load_id": load_id, "pipeline": lease.pipeline, "run": lease.epoch, "plan_key": place[0],
        "split_key": place[2], "started": entry.started or now, "committed": now,
    }  # fmt: skip
    rows: list[dict[str, Value]] = []
    for number, stream in enumerate(streams):
        counts, done = entry.counts.get(stream, Counts()), applied.get(stream, Applied())
        target = targets.get(stream)
        row: dict[str, Value] = {
            "stream": stream, "table_name": target.table if target else None,
            "generation": target.generation if target else None, "read_rows": counts.read,
            "boundary_rows": counts.boundary, "mapped_rows": counts.mapped, "staged_rows": done.staged,
            "inserted_rows": done.inserted, "updated_rows": done.updated, "deleted_rows": done.deleted,
            "rejected_rows": counts.rejected, "bytes": counts.bytes,
            "bookmark": dump(entry.bookmark) if number == 0 and entry.bookmark is not None else None,
        }  # fmt: skip
        rows.append(common | row)
    return rows


def loaded_rows(meta: Meta, connection: Connection, lease: Lease, plan_key: str, target: Target) -> int:
    """Rows that the loads of a generation have left in its table, as they counted them.

    In history mode what a load ends stays in the table.
    """
    where: dict[str, Value] = {
        "pipeline": lease.pipeline, "plan_key": plan_key, "stream": target.stream, "generation": target.generation
    }  # fmt: skip
    counted = meta.select(connection, "_wherry_loads", ("inserted_rows", "deleted_rows", "split_key"), where)
    return sum(int(new) - (0 if target.mode == "history" else int(gone)) for new, gone, split in counted if split)


def applied(meta: Meta, connection: Connection, load_id: int) -> dict[str, Applied] | None:
    """What a load did, by stream path; None when there is no such load."""
    columns = ("stream", "staged_rows", "inserted_rows", "updated_rows", "deleted_rows")
    rows = meta.select(connection, "_wherry_loads", columns, {"load_id": load_id})
    return {stream: Applied(staged=s, inserted=i, updated=u, deleted=d) for stream, s, i, u, d in rows} or None


def run_records(meta: Meta, connection: Connection) -> list[RunRecord]:
    """Runs of every pipeline of the schema, newest first.

    Rows that a plan rewrites when it is published were counted when they were loaded into the generation.
    """
    rows = connection.rows(
        SQL(
            "select l.epoch, l.pipeline, l.holder, l.started, l.finished, l.outcome, n.* from {leases} as l left join "
            "(select pipeline, run, sum(read_rows), sum(inserted_rows), sum(updated_rows), sum(deleted_rows), "
            "sum(rejected_rows) from {loads} where split_key <> '' group by pipeline, run) as n "
            "on n.pipeline = l.pipeline and n.run = l.epoch order by l.started desc, l.epoch desc"
        ).format(leases=meta.table("_wherry_leases"), loads=meta.table("_wherry_loads"))
    )
    return [
        RunRecord(
            run=int(run), pipeline=pipeline, holder=holder, started=int(started),
            finished=None if finished is None else int(finished), outcome=outcome,
            **dict(zip(SUMS, (int(n or 0) for n in sums), strict=True)),
        )
        for run, pipeline, holder, started, finished, outcome, _, _, *sums in rows
    ]  # fmt: skip
