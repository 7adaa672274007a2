"""What an engine has to bring: connections, a type map, a few statements that differ, and its locks."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from wherry.errors import HandOffRefused
from wherry.sql.compose import SQL, Identifier, Literal, Part, Quoting, names

if TYPE_CHECKING:
    import pyarrow as pa

    from wherry.contracts.loading import Lease, Target

_LOCKS: defaultdict[tuple[str, ...], threading.RLock] = defaultdict(threading.RLock)
_LOCKS_LOCK = threading.Lock()


class Writer(ABC):
    """Arrow rows on their way into one table over one connection. Used by one thread.

    occupies: between `write` and `finish` nothing else may run on the connection; the load finishes a writer before it
    uses another. False: the connection itself sees to that.
    """

    occupies = True

    @abstractmethod
    def write(self, rows: pa.RecordBatch) -> None:
        """Take rows, with the very schema that the writer was made for; may keep some back."""

    @abstractmethod
    def finish(self) -> int:
        """Put in whatever was kept back; returns how many rows the engine says it took since the last call.

        The writer may be written to again afterwards.
        """

    def show(self) -> tuple[Identifier, int] | None:
        """The name under which rows that were all kept back can be queried where they are, and how many they are.

        None: they cannot be, and `finish` has to put them in. Called in its place when nothing more will be written,
        and the rows are only going to be read.
        """
        return None

    def drop(self) -> None:
        """Forget what was kept back and end a transfer that is under way."""


class Taker(ABC):
    """Rows of a hand-over on their way into one table, in a form that the engine takes as it is. Used by one thread.

    occupies: as of a `Writer`.
    """

    occupies = True

    @abstractmethod
    def take(self, data: Any) -> int:
        """Take what a piece brought; how many rows are in by now. Raises `HandOffRefused` for what does not fit."""

    @abstractmethod
    def finish(self) -> int:
        """End the transfer; how many rows the engine says it took since the last call."""

    def drop(self) -> None:
        """End a transfer that is under way."""


class Connection(ABC):
    """One connection of the engine, used by one thread at a time. Outside begin/commit each statement stands alone.

    Every engine error leaves here as a `WherryError`.
    """

    @abstractmethod
    def run(self, statement: Part) -> int:
        """Run one statement; returns the number of rows it changed (0 where that has no meaning)."""

    @abstractmethod
    def rows(self, statement: Part) -> list[tuple[Any, ...]]:
        """The rows of a query as Python values: for bookkeeping, a handful of texts and integers."""

    @abstractmethod
    def reader(self, statement: Part) -> pa.RecordBatchReader | None:
        """Run one statement; its rows as a stream of Arrow batches, None when it has none."""

    @abstractmethod
    def begin(self) -> None:
        """Open a transaction."""

    @abstractmethod
    def commit(self) -> None:
        """Commit, and make sure it happened: engines answer the COMMIT of an aborted transaction without an error."""

    @abstractmethod
    def rollback(self) -> None:
        """End the transaction, if there is one, without a trace. Never raises."""

    @abstractmethod
    def writer(self, table: Identifier, schema: pa.Schema) -> Writer:
        """A way to put Arrow rows of this schema into the columns of the same names, as fast as the engine can."""

    def maker(self, table: Identifier, schema: pa.Schema, kinds: Sequence[Part]) -> Writer:
        """A writer for a table that is not there yet, which gets columns of these types; `finish` is called once."""
        columns = [SQL("{name} {type}").format(name=n, type=t) for n, t in zip(names(schema.names), kinds, strict=True)]
        self.run(SQL("create table {table} ({columns})").format(table=table, columns=columns))
        return self.writer(table, schema)

    def taker(self, form: str, table: Identifier, target: Target, load_id: int) -> Taker:
        """A way to take rows in one of the forms that the destination's capabilities name.

        The table has the target's columns, in its types, and `_wherry_load_id` if the target keeps it: it becomes
        `load_id`. A transaction is open.
        """
        raise HandOffRefused(f"{form} is not known here")

    def interrupt(self) -> None:
        """Make the statement that is under way fail soon. Called from another thread."""

    def ping(self) -> None:
        """Say something small to the server, now and then, so that nobody on the way takes the connection for dead."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back; an open transaction is rolled back. Never raises."""


class Dialect(ABC):
    """One opened database. Methods may be called from any thread, each with the caller's connection.

    quoting: how names and values are written.  address: the same text for the same database, for in-process locks.
    keys: bookkeeping tables get primary keys.  file_lock: whoever has the database open is alone, so an unfinished
    lease of another process is dead.  direct: a load may hold a transaction open while its source is slow.
    fold: names that differ only by case are one name.  limit: bytes that a name may have.  lease: seconds without a
    renewal after which a lease may be taken over.
    """

    quoting: Quoting = Quoting()
    address: str = ""
    keys: bool = True
    file_lock: bool = False
    direct: bool = True
    fold: bool = True
    limit: int = 255
    lease: int = 60

    # --- connections and locks

    @abstractmethod
    def connect(self) -> Connection:
        """A new connection, in UTC."""

    @abstractmethod
    def close(self) -> None:
        """Close the database, and with it the file lock. All connections are closed before."""

    @contextmanager
    def setup(self, connection: Connection, namespace: str) -> Iterator[None]:
        """A transaction that holds the engine's lock on the namespace: for creating tables and taking leases."""
        with self.lock((namespace, "")), transaction(connection):
            yield

    @contextmanager
    def lock(self, *tables: tuple[str, ...]) -> Iterator[None]:
        """Hold the in-process locks of these tables, taken in one order everywhere."""
        with ExitStack() as held:
            for table in sorted(set(tables)):
                with _LOCKS_LOCK:
                    lock = _LOCKS[(self.address, *table)]
                held.enter_context(lock)
            yield

    def for_query(self, connection: Connection, namespace: str) -> None:
        """Make a connection ready for a user's own statement: bare names are looked up in the namespace first.

        Where the engine can tell, nothing may be written from here on.
        """
        if self.namespace_exists(connection, namespace):
            path = Literal(self.quoting.identifier(namespace))
            connection.run(SQL("set search_path to {path}").format(path=path))

    # --- leases

    def holder(self, connection: Connection) -> str:
        """A mark of this process as the server sees it, kept in the lease row; "" where the engine has none."""
        return ""

    def lives(self, connection: Connection, mark: str) -> bool | None:
        """Whether the process with this mark is still connected; None: not to be known, its lease has to run out."""
        return False if self.file_lock else None

    def evict(self, connection: Connection, lease: Lease, mark: str) -> None:
        """End what a former holder may still have open, before its lease is taken over."""

    def blocked(self, connection: Connection) -> str:
        """Who holds what connections of this opening wait for just now, for people; "" when nobody does."""
        return ""

    # --- types and tables

    @abstractmethod
    def column_type(self, field: pa.Field) -> Part:
        """The engine's type for a storage field."""

    @abstractmethod
    def columns(self, connection: Connection, table: Identifier) -> pa.Schema | None:
        """Columns of a table or view as storage fields (kinds in the metadata); None if there is none."""

    @abstractmethod
    def tables(self, connection: Connection, namespace: str) -> set[str]:
        """Names of the tables and views of a schema."""

    def is_table(self, connection: Connection, table: Identifier) -> bool:
        """Whether there is a table of this name, and not a view of any kind."""
        same = SQL("lower({a}) = lower({b})") if self.fold else SQL("{a} = {b}")
        schema, name = (
            same.format(a=Identifier(f"table_{part}"), b=Literal(value))
            for part, value in zip(("schema", "name"), table.names, strict=True)
        )
        statement = SQL(
            "select 1 from information_schema.tables where table_catalog = current_database() "
            "and table_type = 'BASE TABLE' and {schema} and {name}"
        )
        return bool(connection.rows(statement.format(schema=schema, name=name)))

    @abstractmethod
    def create_namespace(self, connection: Connection, namespace: str) -> None:
        """Create the schema if it is missing."""

    @abstractmethod
    def namespace_exists(self, connection: Connection, namespace: str) -> bool:
        """Whether the schema exists."""

    def add_column(self, connection: Connection, table: Identifier, field: pa.Field) -> None:
        """Add a column; earlier rows have null in it."""
        statement = SQL("alter table {table} add column {column} {type}")
        connection.run(statement.format(table=table, column=Identifier(field.name), type=self.column_type(field)))

    def widen(self, connection: Connection, table: Identifier, field: pa.Field, empty: bool = False) -> None:
        """Change a column's type in place, keeping views, grants, comments and indexes, or raise `SchemaError`.

        empty: the table has no rows, and the type may be any other.
        """
        statement = SQL("alter table {table} alter column {column} type {type}{using}")
        using = SQL(" using null") if empty else SQL("")
        column = Identifier(field.name)
        connection.run(statement.format(table=table, column=column, type=self.column_type(field), using=using))

    def staging(self, connection: Connection, name: str, schema: pa.Schema) -> Identifier:
        """Create a table that only this connection sees and that ends with it."""
        table = Identifier(name)
        columns = [
            SQL("{name} {type}").format(name=Identifier(field.name), type=self.column_type(field)) for field in schema
        ]
        connection.run(SQL("create temporary table {table} ({columns})").format(table=table, columns=columns))
        return table

    # --- statements that differ

    @abstractmethod
    def now(self) -> Part:
        """The server's clock in UTC microseconds, as an integer."""

    @abstractmethod
    def moment(self, micros: Part) -> Part:
        """UTC microseconds as a timestamp with time zone, exactly; null stays null."""

    @abstractmethod
    def micros(self, moment: Part) -> Part:
        """A timestamp with time zone as UTC microseconds, exactly."""

    def same(self, field: pa.Field, left: Part, right: Part) -> Part:
        """Whether two values of a column are equal, nulls included."""
        return SQL("{left} is not distinct from {right}").format(left=left, right=right)

    def upsert(
        self, connection: Connection, table: Identifier, source: Identifier, keys: Sequence[str],
        columns: Sequence[str], where: Part, load_id: Part | None
    ) -> tuple[int, int]:  # fmt: skip
        """Put the rows of `source` (one a key) that satisfy `where` into `table`; returns (inserted, updated)."""
        updated = connection.run(
            SQL("delete from {table} as t where exists (select 1 from {source} as s where {match} and {where})").format(
                table=table, source=source, match=match(keys), where=where
            )
        )
        total = insert(connection, table, source, columns, where, load_id)
        return total - min(total, updated), min(total, updated)

    def layout(self, mode: str) -> Part:
        """How the engine is to keep a new table of this mode: what follows its columns where it is created."""
        return SQL("")

    def joined(self, connection: Connection, table: Identifier, columns: Sequence[str], rows: int) -> None:
        """A staging table with so many rows is about to be joined by these columns: the planner may have to know."""

    def keyed(self, connection: Connection, table: Identifier, keys: Sequence[str], rows: int) -> None:
        """A table took its first rows, so many; others will be merged into it by this key."""

    def swappable(self, connection: Connection, table: Identifier, rebuilt: Identifier) -> bool:
        """Whether nothing depends on `table`, so that `rebuilt` may take its name without anybody noticing."""
        return False


def match(keys: Sequence[str], left: str = "t", right: str = "s") -> Part:
    """`t.k1 = s.k1 and …`."""
    pairs = zip(names(keys, left), names(keys, right), strict=True)
    return SQL(" and ").join([SQL("{a} = {b}").format(a=a, b=b) for a, b in pairs])


def insert(
    connection: Connection, table: Identifier, source: Identifier, columns: Sequence[str],
    where: Part, load_id: Part | None
) -> int:  # fmt: skip
    """Append the rows of `source` (as s) that satisfy `where`; returns their number."""
    into: list[Part] = [*names(columns)]
    values: list[Part] = [*names(columns, "s")]
    if load_id is not None:
        into.append(Identifier("_wherry_load_id"))
        values.append(load_id)
    statement = SQL("insert into {table} ({into}) select {values} from {source} as s where {where}")
    return connection.run(statement.format(table=table, into=into, values=values, source=source, where=where))


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Begin; commit at the end, roll back on any error."""
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
