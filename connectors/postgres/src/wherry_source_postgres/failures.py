"""What the driver raises, in Wherry's errors: the one place that knows asyncpg's exceptions."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from wherry import AuthError, SourceError, StreamError, TransientError, UsageError, WherryError, exhausted

_TRANSIENT = {"40001", "40P01", "53300", "57P01", "57P02", "57P03", "57P05"}
"""Conflict with recovery, deadlock, too many connections, shutdowns, starting up, idle."""


@contextmanager
def translated(address: str, database: str, user: str, subject: str = "") -> Iterator[None]:
    """Turn the driver's exceptions into ours. subject: what was being read, for the message."""
    try:
        yield
    except WherryError:
        raise
    except asyncpg.PostgresError as error:
        raise _from_server(error, address, database, user, subject) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise _from_client(error, address, subject) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError) as error:  # the network ended it
        raise TransientError(f"{subject + ': ' if subject else ''}lost the connection to {address}") from error
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
        raise UsageError(
            f"{address}: TLS was refused: {str(reason).lower()}", key="sslmode", next="check sslmode and sslrootcert"
        ) from error
    except (TimeoutError, OSError) as error:
        raise _from_network(error, address, subject) from error


def _from_server(error: asyncpg.PostgresError, address: str, database: str, user: str, subject: str) -> WherryError:
    code = error.sqlstate or ""
    text = (error.args[0] if error.args else "").strip() or type(error).__name__
    about = f"{subject}: " if subject else ""
    if code.startswith("28"):
        return _refused(code, text, address, user)
    if code == "3D000":
        return UsageError(f'{address} has no database "{database}"', next="correct the database's name")
    if code == "55P03":
        next = "end that session, then run again"
        return TransientError(f"{about}{address}: waited too long for a lock", key="lock_timeout", next=next)
    if code.startswith("08") or code in _TRANSIENT:
        return TransientError(f"{about}{address}: {text}")
    if code == "42501":
        return StreamError(f'{about}{text}, for user "{user}"', next="grant select on it, or leave the stream out")
    if code == "42P01":
        return UsageError(f"{about}{text}", next="wherry discover lists what is there")
    if code.startswith("42"):
        return UsageError(f"where: {text}", key="where", next="correct --where: it is SQL over the stream's columns")
    if code.startswith("22"):
        # the server's text quotes the value
        return StreamError(f"{about}the server could not compute a value ({type(error).__name__}, {code})")
    if code == "57014":
        return StreamError(f"{about}{text}", next="raise statement_timeout, or ask who cancelled it")
    return SourceError(f"{about}{address}: {text} ({code})")


def _refused(code: str, text: str, address: str, user: str) -> AuthError:
    if code == "28P01":
        text = "password authentication failed"
        return AuthError(f'{address} refused user "{user}": {text}', key="password", next="correct the password")
    next = "check the user, and how the server lets it in (pg_hba.conf)"
    return AuthError(f'{address} refused user "{user}": {text}', key="user", next=next)


def _from_client(error: Exception, address: str, subject: str) -> WherryError:
    about = f"{subject}: " if subject else ""
    text = str(error)
    if isinstance(error, asyncpg.InterfaceError) and ("connection" in text or "closed" in text):
        return TransientError(f"{about}lost the connection to {address}")
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return UsageError(f"{address}: {text}", key="url")
    return SourceError(f"{about}{address}: {text}")


def no_tls(address: str) -> WherryError:
    """The server takes no encrypted connections, and is not on this machine, or TLS was asked for."""
    return UsageError(
        f"{address} does not speak TLS, which is asked for unless it is on this machine", key="sslmode",
        next="turn TLS on there (ssl = on); or, where the way there is private, say sslmode=disable (key, URL or "
        "PGSSLMODE)",
    )  # fmt: skip


def _from_network(error: OSError, address: str, subject: str) -> WherryError:
    about = f"{subject}: " if subject else ""
    if (local := exhausted(error)) is not None:
        return local
    if "rejected SSL upgrade" in str(error):
        return no_tls(address)
    if isinstance(error, TimeoutError):
        next = "check host, port, and the way there"
        return TransientError(f"{about}{address} did not answer in time", key="host", next=next)
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    next = "check host, port, and that the server runs"
    return TransientError(f"{about}{address} cannot be reached: {reason}", key="host", next=next)
