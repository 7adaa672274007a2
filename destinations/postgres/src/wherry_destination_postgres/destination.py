"""The PostgreSQL destination."""

from __future__ import annotations

import pyarrow as pa
from wherry import SQL, Capabilities, DestinationError, SqlDestination

from wherry_destination_postgres import types
from wherry_destination_postgres.config import PostgresConfig
from wherry_destination_postgres.dialect import PostgresDialect

_RIGHTS = SQL("""
    select pg_is_in_recovery(), current_database()::text, current_user::text,
           has_database_privilege(current_database(), 'TEMPORARY'),
           has_database_privilege(current_database(), 'CREATE')
           or exists (select 1 from pg_namespace where nspname not like 'pg\\_%' and nspname <> 'information_schema'
                      and has_schema_privilege(oid, 'CREATE') and has_schema_privilege(oid, 'USAGE'))""")


class PostgresDestination(SqlDestination):
    """Tables in a PostgreSQL database (14 or later), one schema a source."""

    Config = PostgresConfig
    capabilities = Capabilities(
        types=frozenset(
            {"bool", "int", "float", "decimal", "decimal256", "text", "binary", "date", "time", "timestamp",
             "timestamptz", "interval", "json", "uuid"}
        ),
        columns=1590,
        loads=4,
        identifier_limit=63,
        case_sensitive=True,
        reserved=frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}),
        handoffs=("pg-copy-binary",),
    )  # fmt: skip
    config: PostgresConfig

    def dialect(self, *, read_only: bool = False, wait: float = 0) -> PostgresDialect:
        return PostgresDialect(self.config)

    def storage(self, field: pa.Field) -> tuple[pa.DataType, ...]:
        return types.storage(field)

    def refuses(self, field: pa.Field, column: pa.Array) -> tuple[pa.Array, str] | None:
        return types.refuses(column)

    def check(self) -> None:
        """Reach the server, and ask it for the rights to create tables somewhere."""
        dialect = PostgresDialect(self.config)
        connection = dialect.connect()
        try:
            standby, database, user, temporary, create = connection.rows(_RIGHTS)[0]
        finally:
            connection.close()
            dialect.close()
        if standby:
            raise DestinationError(
                f"{self.label()} is a standby, which takes no writes", key="host", next="write to the primary server"
            )
        if not (create and temporary):
            right = "CREATE" if temporary else "TEMPORARY"
            raise DestinationError(
                f"user {user} may not create {'schemas' if temporary else 'temporary tables'} in database {database}",
                next=f'on the server: grant {right.lower()} on database "{database}" to "{user}"',
            )
