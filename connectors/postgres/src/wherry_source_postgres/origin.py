"""Where in the server's history a bookmark was taken, and whether the server has gone back behind that since.

A restored backup, a snapshot of a disk and a stand-by that took over keep the server's identity. What tells them is the
position in the write-ahead log: of one history (timeline) it only grows, also over a crash.
"""

from __future__ import annotations

from typing import Any

from wherry import SQL, Literal, Quoting, Selection, StateError, TransientError, WherryError

from wherry_source_postgres.client import Client

_NOW = """
select pg_is_in_recovery() as standby,
       case when not pg_is_in_recovery() then
           substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8) end as timeline,
       case when not pg_is_in_recovery() then pg_current_wal_flush_lsn()::text end as position
"""
_BEFORE = SQL("select {now}::pg_lsn < {then}::pg_lsn as before")

Origin = dict[str, str]
"""{"timeline": 8 hex digits, "position": "0/1A2B3C4"}; empty: the server does not tell, or is a stand-by."""


def now(client: Client) -> Origin:
    """Where the server is. Asked in a transaction of its own, because not every server answers."""
    try:
        with client.snapshot():
            (row,) = client.fetch(_NOW)
    except TransientError:
        raise
    except WherryError:
        return {}
    return {} if row["standby"] else {"timeline": row["timeline"], "position": row["position"]}


def moved(client: Client, selection: Selection, bookmark: Any, here: Origin) -> bool:
    """Whether the server has another history than when the bookmark was taken. Raises when it is behind that.

    In another history, too, everything up to the bookmark may be there: the caller looks for its rows.
    """
    then: Origin = (bookmark or {}).get("origin", {})
    if not then or not here:
        return False
    if then["timeline"] != here["timeline"]:
        return True
    sql = _BEFORE(now=Literal(here["position"]), then=Literal(then["position"])).render(Quoting())
    if client.fetch(sql)[0]["before"]:
        raise went_back(
            selection, f"the server stands at {here['position']}, before {then['position']}, where it was when the "
            f"bookmark of {selection.stream.path} was taken: it was restored from a backup",
        )  # fmt: skip
    return False


def went_back(selection: Selection, what: str) -> StateError:
    """The source is not what was read before; both ways on."""
    path = selection.stream.path
    return StateError(
        what,
        next=f"add --full-refresh to rebuild the table of {path}, or  wherry state reset DEST {path}  to read it all "
        "again into it",
    )
