"""`SqlDestination`: a destination whose engine is described by a `Dialect`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from wherry.contracts.destination import Destination, Session
from wherry.contracts.loading import Lease
from wherry.sql.compose import SQL
from wherry.sql.dialect import Dialect
from wherry.sql.meta import Meta
from wherry.sql.session import SqlSession


class SqlDestination(Destination):
    """Base of SQL warehouses. An engine brings `dialect` and `storage`, its `Config` and its `capabilities`."""

    @abstractmethod
    def dialect(self, *, read_only: bool = False, wait: float = 0) -> Dialect:
        """Open the database; the session closes it.

        wait: seconds to wait for a file lock that somebody else holds (engines whose file lock is the lease); `tell`
        whom it waits for.
        """

    def open(
        self, pipeline: str, *, schema: str, join: Lease | None = None, read_only: bool = False, wait: float = 0
    ) -> Session:
        dialect = self.dialect(read_only=read_only, wait=wait)
        try:
            return SqlSession(
                dialect, pipeline, schema, label=self.label(), join=join, read_only=read_only, wait=wait, tell=self.tell
            )
        except BaseException:
            dialect.close()
            raise

    def pipelines(self) -> Sequence[tuple[str, str]]:
        dialect = self.dialect(read_only=True)
        try:
            connection = dialect.connect()
            try:
                schemas = connection.rows(_SCHEMAS)
                return sorted({(s, p) for (s,) in schemas for p in Meta(dialect, s).pipelines(connection)})
            finally:
                connection.close()
        finally:
            dialect.close()


_SCHEMAS = SQL("select table_schema from information_schema.tables where table_name = '_wherry_meta'")
