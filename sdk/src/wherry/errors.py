"""Every error of Wherry, sorted by what happens next.

    WherryError                     anything we can explain: one line, where the value came from, what to do next
    ├── UsageError          exit 2  the user changes the command or the configuration; running again cannot help
    ├── AuthError           exit 2  credentials were refused: stop, tell the user            (for authors)
    ├── TransientError      exit 3/4 the host waits and tries again, then gives up           (for authors)
    ├── StreamError         exit 3  this stream fails, the others go on                      (for authors)
    ├── DataError           exit 6  a value cannot be represented; names column and row      (for authors)
    ├── SourceError         exit 3  the source failed for good
    ├── DestinationError    exit 4  the destination failed for good
    ├── SchemaError         exit 6  a schema change that policy or engine does not allow
    ├── LeaseError          exit 7  another run holds the pipeline, or took it over from us
    ├── StateError          exit 8  bookmarks missing, unreadable, newer, or of another source
    ├── ResourceError       exit 9  local disk, memory, descriptors, permissions of a local path
    ├── PluginError         exit 10 a connector could not be loaded or is incompatible
    ├── PolicyError         exit 11 a security rule refused it
    ├── HandOffRefused      -       never leaves the pipeline: these rows are read, not handed over as they are
    ├── NotGatheredError    -       never leaves the pipeline: this plan is committed by itself, not with others
    ├── LaterError          exit 75 nothing is wrong: it stopped at a limit, and goes on when it is run again
    └── Stopped             exit 130/143 a signal asked us to stop, and we did cleanly

Messages are lower case, name the key and show the value (never a secret, never a data row), say what would be
accepted; `next` is the command or step that helps. The four errors for authors are also the wire format between a
host and a worker elsewhere: see `to_json` and `from_json`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class WherryError(Exception):
    """Base of every error that Wherry can explain to a user.

    message: what is wrong and which value, one line.  key: the configuration key concerned; the host adds where its
    value came from.  next: what to do now, best a command.  where: where the value came from, if the raiser knows.
    """

    exit_code: ClassVar[int] = 1
    side: str | None = None
    """"source" or "destination", when the pipeline knows which of them raised it."""

    def __init__(self, message: str, *, key: str | None = None, next: str | None = None, where: str | None = None):
        super().__init__(message)
        self.message = message
        self.key = key
        self.next = next
        self.where = where

    def to_json(self) -> dict[str, Any]:
        """JSON object that `from_json` turns back into an equal error."""
        fields = {"key": self.key, "next": self.next, "where": self.where}
        return {"type": type(self).__name__, "message": self.message} | {k: v for k, v in fields.items() if v}

    @staticmethod
    def from_json(data: dict[str, Any]) -> WherryError:
        """The error that `to_json` described; an unknown type becomes a plain `WherryError`."""
        fields = dict(data)
        kind = _TYPES.get(str(fields.pop("type", "")), WherryError)
        return kind(fields.pop("message", ""), **fields)


class UsageError(WherryError):
    """The command or the configuration is wrong."""

    exit_code = 2


class AuthError(WherryError):
    """Credentials were refused; trying again cannot help."""

    exit_code = 2


class TransientError(WherryError):
    """May pass by itself: the host waits (at least `retry_after` seconds, if given) and tries again."""

    exit_code = 3

    def __init__(self, message: str, *, retry_after: float | None = None, **fields: Any):
        super().__init__(message, **fields)
        self.retry_after = retry_after

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | ({} if self.retry_after is None else {"retry_after": self.retry_after})


class StreamError(WherryError):
    """One stream cannot be read or loaded; the other streams go on."""

    exit_code = 3


class DataError(WherryError):
    """A value cannot be represented. Names the column and the row, never the value.

    row: its position, from 0; messages count from 1, as people do.
    """

    exit_code = 6

    def __init__(self, message: str, *, column: str | None = None, row: int | None = None, **fields: Any):
        super().__init__(message, **fields)
        self.column = column
        self.row = row

    def to_json(self) -> dict[str, Any]:
        extra = {"column": self.column, "row": self.row}
        return super().to_json() | {k: v for k, v in extra.items() if v is not None}


class SourceError(WherryError):
    """The source failed, and trying again did not help."""

    exit_code = 3


class DestinationError(WherryError):
    """The destination failed, and trying again did not help."""

    exit_code = 4


class SchemaError(WherryError):
    """A schema change that the policy or the engine does not allow."""

    exit_code = 6


class LeaseError(WherryError):
    """Another run holds the pipeline, or has taken it over from this one."""

    exit_code = 7


class StateError(WherryError):
    """Bookmarks that are missing, unreadable, from a newer version, or of another source."""

    exit_code = 8


class ResourceError(WherryError):
    """A local disk, path, memory or descriptor limit."""

    exit_code = 9


class PluginError(WherryError):
    """A connector that could not be loaded or does not fit this version of Wherry."""

    exit_code = 10


class PolicyError(WherryError):
    """A security rule refused it."""

    exit_code = 11


class HandOffRefused(WherryError):
    """Rows cannot go to the destination as they are; the message says why. They are read instead, nothing is lost."""


class NotGatheredError(WherryError):
    """A plan is not one that can be committed together with others. It takes its ordinary way, nothing is lost."""


class LaterError(WherryError):
    """A limit of time was reached: run it again, now or when the message says."""

    exit_code = 75


class Stopped(WherryError):
    """A signal asked the run to stop; what was committed stands."""

    exit_code = 130

    def __init__(self, message: str = "stopped", *, signal: int = 2, **fields: Any):
        super().__init__(message, **fields)
        self.signal = signal


_TYPES: dict[str, type[WherryError]] = {
    kind.__name__: kind
    for kind in (
        UsageError, AuthError, TransientError, StreamError, DataError, SourceError, DestinationError, SchemaError,
        LeaseError, StateError, ResourceError, PluginError, PolicyError, LaterError, Stopped,
    )
}  # fmt: skip
