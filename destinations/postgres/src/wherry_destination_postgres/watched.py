"""A session that does not wait for ever: when nothing comes, another one asks the server what it is doing."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")
_DOING = """
    select a.state, a.wait_event, (select c.bytes_processed from pg_stat_progress_copy as c where c.pid = a.pid)
      from pg_stat_activity as a where a.pid = %s"""
_FOR_US = ("ClientRead", "ClientWrite")
Seen = tuple[Any, ...]


class Watched(psycopg.Connection[Any]):
    """A session of psycopg. pid: its process on the server, also behind a pooler.

    patience: seconds without a byte after which it asks. A server that works, or waits for a lock, may do so as long
    as it likes; one that cannot be reached, knows nothing of the session, or waits for us while we wait for it, twice
    in succession with nothing moved, is a lost connection: `OperationalError`.
    """

    patience = 20.0
    pid = 0

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """As psycopg's own, with an eye on the time."""
        return super().wait(self._watched(gen), *args, **kwargs)

    @property
    def ended(self) -> bool:
        """Whether the other side has ended the session while we said nothing; seen without asking it."""
        try:
            for _ in range(8):  # a farewell comes before the end
                if self.closed or not _readable(self.pgconn.socket):
                    break
                self.pgconn.consume_input()
        except (psycopg.Error, OSError, ValueError):
            return True
        return self.closed

    def _watched(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """The same generator, that looks around when it is told again and again that nothing is there."""
        since, seen, ready = time.monotonic(), None, None
        try:
            while True:
                ready = yield gen.send(ready)
                if ready:
                    since, seen = time.monotonic(), None
                elif time.monotonic() - since > self.patience and self.pid:
                    seen = self._look(seen)
                    since = time.monotonic()
        except StopIteration as end:
            value: T = end.value
            return value

    def _look(self, before: Seen | None) -> Seen | None:
        """What both sides wait for; None when the server is at work. before: the same, last time."""
        reason = ""
        try:
            doing = self._doing()
        except psycopg.OperationalError as error:
            if "FATAL" in str(error):  # it answers, if only to say that it takes no more sessions
                return before
            reason = "and cannot be reached any more"
        else:
            if doing is None:
                reason = "and has ended this session"
            elif doing[0] == "active" and doing[1] not in _FOR_US:
                return None
            elif (now := (*doing, self._moved())) == before:
                reason = "and waits for us: what was sent does not arrive"
            else:
                return now
        self.pgconn.finish()
        raise psycopg.OperationalError(f"the server does not answer {reason}")

    def _doing(self) -> Seen | None:
        """(state, wait event, bytes of a COPY) of our process."""
        with psycopg.connect(self.info.dsn, password=self.info.password or None, autocommit=True) as other:
            return other.execute(_DOING, (self.pid,)).fetchone()

    def _moved(self) -> object:
        """Bytes sent and arrived, and received, as the system counts them; where it does not, they always move."""
        try:
            with socket.socket(fileno=os.dup(self.pgconn.socket)) as copy:
                return struct.unpack_from("QQ", copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136), 120)
        except (AttributeError, OSError, struct.error, psycopg.Error):
            return object()


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
