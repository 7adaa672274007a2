"""Sessions that wait for their next use: starting one takes the server longer than a small load does."""

from __future__ import annotations

import threading
from contextlib import suppress

import psycopg

from wherry_destination_postgres.watched import Watched

_MOST = 8


class Idle:
    """Sessions of one opening that were given back as good as new. Any thread."""

    def __init__(self) -> None:
        self._sessions: list[Watched] = []
        self._open = True
        self._lock = threading.Lock()

    def take(self) -> Watched | None:
        """A session that is still alive, if there is one."""
        while True:
            with self._lock:
                if not self._sessions:
                    return None
                session = self._sessions.pop()
            if not session.ended:
                return session
            with suppress(psycopg.Error):
                session.close()

    def give(self, session: Watched) -> bool:
        """Keep a session for others; False when nobody will want it."""
        with self._lock:
            if self._open and len(self._sessions) < _MOST:
                self._sessions.append(session)
                return True
            return False

    def close(self) -> None:
        """End them all, and those that are given back from now on."""
        with self._lock:
            sessions, self._sessions, self._open = self._sessions, [], False
        for session in sessions:
            with suppress(psycopg.Error):
                session.close()
