"""Every error of the server or the driver becomes a `WherryError` here. No message carries a password or a row."""

from __future__ import annotations

import re

import psycopg
from wherry import AuthError, DataError, DestinationError, SchemaError, TransientError, UsageError, WherryError

_REFUSED: tuple[tuple[str, type[WherryError], str, str], ...] = (
    ("password authentication failed", AuthError, "password", "correct the password"),
    ("no password supplied", AuthError, "password", "give a password: in the environment, or in ~/.pgpass"),
    ("authentication failed", AuthError, "user", "check the user and how the server lets it in (pg_hba.conf)"),
    ("no pg_hba.conf entry", AuthError, "host", "let this host and user in (pg_hba.conf), or use sslmode"),
    ("is not permitted to log in", AuthError, "user", "grant the role LOGIN, or use another user"),
    ("certificate", UsageError, "sslmode", "check sslmode, sslrootcert, sslcert and sslkey"),
    ("SSL", UsageError, "sslmode", "check sslmode, sslrootcert, sslcert and sslkey"),
    ("invalid connection option", UsageError, "url", "remove the parameter from the URL"),
    ("permission denied for database", AuthError, "user", "grant CONNECT on the database to this user"),
)

_CUT = re.compile("SSL SYSCALL|SSL error: (unexpected eof|shutdown)|SSL connection has been closed|reset by peer")
"""A handshake that the network ended."""
_LATER = re.compile("too many|connection slots|starting up|shutting down|recovery mode|not currently accepting")


_ASIDE = re.compile(r"\s*(Is the server running|This probably means|before or while processing)")
"""Lines in which the driver guesses why."""
_RIGHTS = {"insert into": "INSERT", "copy": "INSERT", "update": "UPDATE", "delete from": "DELETE"}
AGAIN = "run it again: what was committed stands"


def refused(error: psycopg.Error, place: str) -> WherryError:
    """Why no connection came about: from the text, and whether a password was asked for where that is translated."""
    text = str(error)
    said = [line for line in text.strip().splitlines() if not _ASIDE.match(line)]
    last = re.sub(r"\s+", " ", said[-1] if said else "").removeprefix("connection failed: ")
    reason = re.sub(r"^.*?(FATAL|failed|error): +", "", last)
    if match := re.search(r'database "(.*)" does not exist', text):
        return UsageError(
            f"{place}: there is no database {match[1]!r}", key="database", next=f"create it: createdb {match[1]}"
        )
    if match := re.search(r'role "(.*)" does not exist', text):
        return AuthError(f"{place}: there is no user {match[1]!r}", key="user", next="check the user's name")
    if "does not support SSL" in text:
        return no_tls(place)
    for pattern, kind, key, next in () if _CUT.search(text) else _REFUSED:
        if pattern in text:
            return kind(f"{place}: {_known(text, pattern)}", key=key, next=next)
    asked = error.pgconn is not None and (error.pgconn.needs_password or error.pgconn.used_password)
    if asked and "FATAL" in text and not _LATER.search(text):
        return AuthError(f"{place}: {reason}", key="password", next="correct the password")
    if "FATAL" in text:  # it is there, and takes nobody just now
        return TransientError(f"{place}: {reason}", next=AGAIN)
    return TransientError(
        f"{place} cannot be reached: {reason}", key="host", next="check host, port, and that the server runs"
    )


def no_tls(place: str) -> WherryError:
    """The server takes no encrypted connections, and is not on this machine, or TLS was asked for."""
    return UsageError(
        f"{place}: the server does not speak TLS, which is asked for unless it is on this machine", key="sslmode",
        next="turn TLS on there (ssl = on); or, where the way there is private, say sslmode=disable (key, URL or "
        "PGSSLMODE)",
    )  # fmt: skip


def _known(text: str, pattern: str) -> str:
    """The line that says so, without where it was said."""
    line = next(line for line in text.splitlines() if pattern in line)
    return re.sub(r"^.*(FATAL|failed|fe_sendauth): +", "", line).strip()


def translated(error: psycopg.Error, place: str, blocker: str = "") -> WherryError:
    """What a statement's error means. blocker: who held the lock that was waited for."""
    state, diag = error.sqlstate or "", error.diag
    if (
        not state
        or state[:2] in ("08", "40")
        or state in ("57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "53300")
    ):
        return TransientError(f"{place}: {_first(error)}", next=AGAIN)
    if state[:2] in ("22", "23"):
        return _data(error, place)
    if state == "55P03":
        return DestinationError(
            f"{place}: waited too long for a lock{blocker}", key="lock_timeout", next="end that session, then run again"
        )
    if state == "57014":
        asked = "statement timeout" in _first(error)
        what = f"a statement took longer than it may{blocker and ', maybe for a lock' + blocker}"
        return DestinationError(
            f"{place}: {what if asked else _first(error)}", key="statement_timeout" if asked else None,
            next="end what holds it, or raise statement_timeout; then run again" if asked else "ask who cancelled it",
        )  # fmt: skip
    if state == "53100":
        return DestinationError(f"{place}: the server's disk is full", next="make room on the server, then run again")
    if state == "25006":
        return DestinationError(f"{place} is read-only (a standby?)", key="host", next="write to the primary server")
    if state[:2] == "28":
        return AuthError(f"{place}: {_first(error)}", key="user", next="check user and password")
    if state[:2] == "54":  # a row too big for a page, too many columns
        text = f"{place}: {_first(error)} (SQLSTATE {state})"
        return DataError(text, next="keep fewer or shorter columns: --columns NAME,…")
    if state == "2BP01":
        return SchemaError(
            f"{place}: {_first(error)} ({(diag.message_detail or '').strip()})", next="drop what depends on it"
        )
    return DestinationError(f"{place}: {_first(error)} (SQLSTATE {state})", next="see the server's log")


def denied(error: psycopg.Error, place: str, user: str, statement: str) -> WherryError:
    """Which privilege on what the user lacks, as far as the statement tells."""
    told = _first(error)
    match = re.search(r"for (table|view|materialized view|schema|database|sequence|column) (.+)$", told)
    if match is None:  # "must be owner of …"
        return DestinationError(f"{place}: {told}", next="grant the right to this user, or use another --schema")
    kind, name = match.groups()
    if kind == "schema":
        right = "CREATE" if re.match(r"create|alter", statement) else "USAGE"
    elif kind == "database":
        right = "TEMPORARY" if "temporary" in statement else "CREATE"
    else:
        quoted = re.escape(name.replace('"', '""'))
        verb = re.search(rf'(insert into|update|delete from|copy|\w+)\s+(?:"(?:[^"]|"")*"\.)?"{quoted}"', statement)
        right = _RIGHTS.get(verb[1] if verb else "", "SELECT")
        right += " and UPDATE" if right == "INSERT" and "on conflict" in statement else ""
    return DestinationError(
        f'{place}: {told}: user "{user}" lacks {right}',
        next=f'on the server: grant {right.lower().replace(" and", ",")} on {kind} {name} to "{user}", then run again',
    )


def _first(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return re.sub(r"\s+", " ", text.strip().splitlines()[0]) if text.strip() else type(error).__name__


def _data(error: psycopg.Error, place: str) -> WherryError:
    """A value that the server refused: which column and row of the transfer, never the value."""
    context = error.diag.context or ""
    line = re.search(r"^COPY .*?, line (\d+)", context, re.MULTILINE)
    column = re.search(r"^COPY .*?, line \d+, column ([^:\n]+)", context, re.MULTILINE)
    name, row = (column[1] if column else error.diag.column_name), (int(line[1]) - 1 if line else None)
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
    where = f"column {name}, " if name else ""
    constraint = f", constraint {error.diag.constraint_name}" if error.diag.constraint_name else ""
    return DataError(
        f"{place}: {where}a value was refused: {words}{constraint} (SQLSTATE {error.sqlstate})",
        column=name,
        row=row,
        next="keep the column as text, or correct the value in the source",
    )
