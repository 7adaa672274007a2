"""The bookkeeping tables that live in the schema of the rows, and short ways to read and write them.

`_wherry_state` one row a split: bookmark, seq, epoch · `_wherry_plans` read plans · `_wherry_loads` one row a load and
stream, with the bookmark it reached · `_wherry_schemas` columns over time · `_wherry_names` who owns which table, and
what the source calls it · `_wherry_leases` one row a run · `_wherry_meta` the format of all these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wherry.errors import StateError
from wherry.failpoints import failpoint
from wherry.sql.compose import SQL, Identifier, Literal, Part, Value, names
from wherry.sql.dialect import Connection, Dialect

FORMAT = 1

TEXT, INTEGER, TRUTH = "text", "integer", "truth"
_STATE = {
    "pipeline": TEXT, "plan_key": TEXT, "split_key": TEXT, "seq": INTEGER, "epoch": INTEGER, "bookmark": TEXT,
    "covers": TEXT, "plan_id": TEXT, "done": TRUTH, "load_id": INTEGER, "changed": INTEGER, "digest": TEXT,
}  # fmt: skip
_PLANS = {
    "pipeline": TEXT, "plan_key": TEXT, "plan_id": TEXT, "generation": INTEGER, "plan": TEXT, "status": TEXT,
    "epoch": INTEGER, "started": INTEGER, "finished": INTEGER, "receipt": TEXT, "digest": TEXT,
}  # fmt: skip
_LOADS = {
    "load_id": INTEGER, "pipeline": TEXT, "run": INTEGER, "plan_key": TEXT, "split_key": TEXT, "stream": TEXT,
    "table_name": TEXT, "generation": INTEGER, "read_rows": INTEGER, "boundary_rows": INTEGER, "mapped_rows": INTEGER,
    "staged_rows": INTEGER, "inserted_rows": INTEGER, "updated_rows": INTEGER, "deleted_rows": INTEGER,
    "rejected_rows": INTEGER, "bytes": INTEGER, "started": INTEGER, "committed": INTEGER, "bookmark": TEXT,
}  # fmt: skip
_NAMES = {
    "pipeline": TEXT, "plan_key": TEXT, "stream": TEXT, "source": TEXT, "namespace": TEXT, "table_name": TEXT,
    "name": TEXT, "generation": INTEGER, "since": INTEGER,
}  # fmt: skip
_LEASES = {
    "pipeline": TEXT, "epoch": INTEGER, "holder": TEXT, "mark": TEXT, "started": INTEGER, "renewed": INTEGER,
    "seconds": INTEGER, "finished": INTEGER, "outcome": TEXT,
}  # fmt: skip
_SCHEMAS = {
    "pipeline": TEXT, "stream": TEXT, "namespace": TEXT, "table_name": TEXT, "version": INTEGER, "columns": TEXT,
    "since": INTEGER,
}  # fmt: skip
TABLES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "_wherry_state": (_STATE, ("pipeline", "plan_key", "split_key")),
    "_wherry_plans": (_PLANS, ("pipeline", "plan_key", "plan_id")),
    "_wherry_loads": (_LOADS, ("load_id", "stream")),
    "_wherry_schemas": (_SCHEMAS, ("namespace", "table_name", "version")),
    "_wherry_names": (_NAMES, ()),
    "_wherry_leases": (_LEASES, ("pipeline", "epoch")),
    "_wherry_meta": ({"name": TEXT, "value": TEXT, "number": INTEGER}, ("name",)),
}


class Meta:
    """The bookkeeping tables of one schema. Rows are dicts; `where` compares for equality, None meaning null."""

    def __init__(self, dialect: Dialect, namespace: str) -> None:
        self.dialect = dialect
        self.namespace = namespace

    def table(self, name: str) -> Identifier:
        """The table's full name."""
        return Identifier(self.namespace, name)

    def exists(self, connection: Connection) -> bool:
        """Whether this schema has ever been written; raises `StateError` when a newer version wrote it."""
        if self.dialect.columns(connection, self.table("_wherry_meta")) is None:
            return False
        found = self._number(connection, "format")
        if found > FORMAT:
            raise StateError(
                f"schema {self.namespace} was written by a newer version (format {found}, known: {FORMAT})",
                next="upgrade wherry",
            )
        gone = sorted(TABLES.keys() - self.dialect.tables(connection, self.namespace))
        if gone:
            raise StateError(
                f"schema {self.namespace} has lost {', '.join(gone)}: without it nobody knows what its tables hold",
                next=f"restore it from a backup, or drop schema {self.namespace} to read everything anew",
            )
        return True

    def _number(self, connection: Connection, name: str) -> int:
        """One of the two numbers of `_wherry_meta`; StateError: it is gone, so who knows what else is."""
        found = self.select(connection, "_wherry_meta", ("number",), {"name": name})
        if len(found) != 1 or not isinstance(found[0][0], int):
            raise StateError(
                f"the bookkeeping of schema {self.namespace} is damaged: _wherry_meta has no {name}",
                next=f"restore the schema from a backup, or drop its tables and run again: {', '.join(TABLES)}",
            )
        return int(found[0][0])

    def create(self, connection: Connection) -> None:
        """Create what is missing, under the engine's lock."""
        if self.exists(connection):
            return
        with self.dialect.setup(connection, self.namespace):
            self.dialect.create_namespace(connection, self.namespace)
            for name, (columns, keys) in TABLES.items():
                if self.dialect.columns(connection, self.table(name)) is None:
                    connection.run(self._create(name, columns, keys if self.dialect.keys else ()))
                    failpoint("K17")
            if not self.select(connection, "_wherry_meta", ("number",), {"name": "format"}):
                self.insert(connection, "_wherry_meta", {"name": "format", "value": "", "number": FORMAT})
                self.insert(connection, "_wherry_meta", {"name": "load_id", "value": "", "number": 0})

    def _create(self, name: str, columns: Mapping[str, str], keys: Sequence[str]) -> Part:
        import pyarrow as pa

        types = {TEXT: pa.string(), INTEGER: pa.int64(), TRUTH: pa.bool_()}
        parts: list[Part] = [
            SQL("{name} {type}").format(
                name=Identifier(column), type=self.dialect.column_type(pa.field(column, types[kind]))
            )
            for column, kind in columns.items()
        ]
        if keys:
            parts.append(SQL("primary key ({keys})").format(keys=names(keys)))
        return SQL("create table {table} ({columns})").format(table=self.table(name), columns=parts)

    def pipelines(self, connection: Connection) -> list[str]:
        """Names of the pipelines that ever wrote to this schema."""
        if not self.exists(connection):
            return []
        statement = SQL("select distinct pipeline from {leases} order by pipeline")
        return [str(name) for (name,) in connection.rows(statement.format(leases=self.table("_wherry_leases")))]

    # --- rows

    def insert(self, connection: Connection, table: str, *rows: Mapping[str, Value | Part]) -> None:
        """Add rows, all with the columns of the first; a part is an expression."""
        statement = SQL("insert into {table} ({columns}) values {rows}")
        values = [SQL("({values})").format(values=[_value(row[column]) for column in rows[0]]) for row in rows]
        connection.run(statement.format(table=self.table(table), columns=names(rows[0]), rows=values))

    def append(self, connection: Connection, table: str, rows: Sequence[Mapping[str, Value]]) -> None:
        """Add many rows, as rows of data go in; columns that they do not have are null."""
        import pyarrow as pa

        types = {TEXT: pa.string(), INTEGER: pa.int64(), TRUTH: pa.bool_()}
        schema = pa.schema([(column, types[kind]) for column, kind in TABLES[table][0].items()])
        columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
        writer = connection.writer(self.table(table), schema)
        writer.write(pa.RecordBatch.from_arrays(columns, schema=schema))
        writer.finish()

    def update(
        self, connection: Connection, table: str, row: Mapping[str, Value | Part], where: Mapping[str, Value]
    ) -> int:
        """Change rows; returns how many there were."""
        changes = [SQL("{c} = {v}").format(c=Identifier(column), v=_value(value)) for column, value in row.items()]
        statement = SQL("update {table} set {changes} where {where}")
        return connection.run(statement.format(table=self.table(table), changes=changes, where=condition(where)))

    def delete(self, connection: Connection, table: str, where: Mapping[str, Value]) -> int:
        """Remove rows; returns how many there were."""
        statement = SQL("delete from {table} where {where}")
        return connection.run(statement.format(table=self.table(table), where=condition(where)))

    def select(
        self,
        connection: Connection,
        table: str,
        columns: Sequence[str],
        where: Mapping[str, Value],
        order: Sequence[str] = (),
    ) -> list[tuple[Any, ...]]:
        """Rows that match, by `order` rising."""
        statement = SQL("select {columns} from {table} where {where}").format(
            columns=names(columns), table=self.table(table), where=condition(where)
        )
        if order:
            statement = SQL("{select} order by {order}").format(select=statement, order=names(order))
        return connection.rows(statement)

    def now(self, connection: Connection) -> int:
        """The server's clock, UTC microseconds."""
        return int(connection.rows(SQL("select {now}").format(now=self.dialect.now()))[0][0])

    def next_load_id(self, connection: Connection, many: int = 1) -> int:
        """A load id that is later than all others of this schema, in this process and any other; of `many` the last."""
        statement = SQL(
            "update {table} set number = case when number < {now} then {now} else number + 1 end + {more} "
            "where name = 'load_id' returning number"
        ).format(table=self.table("_wherry_meta"), now=self.dialect.now(), more=Literal(many - 1))
        # one statement is a transaction, which waits for its like, and not for who fills tables under another lock
        with self.dialect.lock((self.namespace, "", "load_id")):
            found = connection.rows(statement)
        whole = len(found) == 1 and isinstance(found[0][0], int)
        return int(found[0][0]) if whole else self._number(connection, "load_id")  # which says what is damaged


def _value(value: Value | Part) -> Part:
    return value if isinstance(value, Part) else Literal(value)


def condition(where: Mapping[str, Value]) -> Part:
    """`a = 1 and b is null`; true when there is nothing to compare."""
    if not where:
        return SQL("true")
    return SQL(" and ").join(
        [
            SQL("{c} is null").format(c=Identifier(column))
            if value is None
            else SQL("{c} = {v}").format(c=Identifier(column), v=Literal(value))
            for column, value in where.items()
        ]
    )
