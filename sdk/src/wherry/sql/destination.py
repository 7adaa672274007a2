"""`SqlDestination`: a destination whose engine is described by a `Dialect`."""

from __future__ import annotations

from abc import abstractmethod

from wherry.contracts.destination import Destination, Session
from wherry.contracts.loading import Lease
from wherry.sql.dialect import Dialect
from wherry.sql.session import SqlSession


class SqlDestination(Destination):
    """Base of SQL warehouses. An engine brings `dialect` and `storage`, its `Config` and its `capabilities`."""

    @abstractmethod
    def dialect(self, *, read_only: bool = False, wait: float = 0) -> Dialect:
        """Open the database; the session closes it.

        wait: seconds to wait for a file lock that somebody else holds (engines whose file lock is the lease).
        """

    def open(
        self, pipeline: str, *, schema: str, join: Lease | None = None, read_only: bool = False, wait: float = 0
    ) -> Session:
        dialect = self.dialect(read_only=read_only, wait=wait)
        try:
            return SqlSession(dialect, pipeline, schema, label=self.label(), join=join, read_only=read_only, wait=wait)
        except BaseException:
            dialect.close()
            raise
