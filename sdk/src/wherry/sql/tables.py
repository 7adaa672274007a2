"""The tables of one pipeline: where a target lives, who owns it, and how its columns keep up."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from wherry.contracts.loading import Target
from wherry.errors import DestinationError, StateError, UsageError
from wherry.failpoints import failpoint
from wherry.sql.compose import SQL, Identifier, Literal, Part, Value
from wherry.sql.ddl import difference, fold, kind, stored
from wherry.sql.dialect import Connection
from wherry.sql.meta import Meta
from wherry.sql.state import dump, load

SOURCE = b"wherry:source"


class Tables:
    """Names, owners and columns, as recorded in `_wherry_names` and `_wherry_schemas`. Any thread."""

    def __init__(self, meta: Meta, pipeline: str, label: str) -> None:
        self.meta = meta
        self.pipeline = pipeline
        self.label = label
        self._recorded: dict[tuple[str, ...], str] = {}
        self._generations: dict[tuple[str, str, int], str] = {}
        self._there: set[tuple[str, ...]] = set()
        """Tables of this pipeline that were there when they were last looked at."""
        self._lock = threading.Lock()

    def namespace(self, target: Target) -> str:
        """The schema that the target is in."""
        return target.namespace or self.meta.namespace

    def live(self, target: Target) -> Identifier:
        """The target's own table, whatever generation is being built."""
        return Identifier(self.namespace(target), target.table)

    def place(self, connection: Connection, target: Target) -> Identifier:
        """Where rows of the target go: its own table, or that of its generation."""
        if target.generation is None:
            return self.live(target)
        key = (self.namespace(target), target.table, target.generation)
        with self._lock:
            if key not in self._generations:
                self._generations[key] = self._generation(connection, target)
            return Identifier(key[0], self._generations[key])

    def _generation(self, connection: Connection, target: Target) -> str:
        namespace = self.namespace(target)
        where: dict[str, Value] = {
            "pipeline": self.pipeline, "namespace": namespace, "name": target.table, "source": "",
            "generation": target.generation,
        }  # fmt: skip
        found = self.meta.select(connection, "_wherry_names", ("table_name",), where)
        if found:
            return str(found[0][0])
        suffix = f"__gen{target.generation}"
        name, number = shorten(target.table, suffix, self.meta.dialect.limit), 1
        while self.meta.dialect.columns(connection, Identifier(namespace, name)) is not None:
            number += 1
            name = shorten(target.table, f"{suffix}_{number}", self.meta.dialect.limit)
        return name

    def refuse(self, connection: Connection, target: Target) -> bool:
        """Raise unless the target's own table is this pipeline's, or does not exist; whether it does."""
        namespace = self.namespace(target)
        where: dict[str, Value] = {
            "namespace": namespace, "table_name": target.table, "source": "", "generation": None
        }  # fmt: skip
        owners = self.meta.select(connection, "_wherry_names", ("pipeline", "stream"), where)
        mine = [stream for pipeline, stream in owners if pipeline == self.pipeline]
        if mine and not {target.stream, ""} & set(mine):
            raise UsageError(
                f"table {namespace}.{target.table} already takes stream {mine[0]}, not {target.stream}",
                key="table", next="give one of the two another table with --table",
            )  # fmt: skip
        if self.meta.dialect.columns(connection, self.live(target)) is None:
            return False
        if not self.meta.dialect.is_table(connection, self.live(target)):
            raise UsageError(
                f"{namespace}.{target.table} is a view: rows go into tables only",
                key="table", next="drop the view or give it another name, or choose another --table",
            )  # fmt: skip
        if mine:
            return True
        owner = f"belongs to pipeline {owners[0][0]}" if owners else "was made by hand"
        name = target.table if namespace == self.meta.namespace else f"{namespace}.{target.table}"
        raise UsageError(
            f"table {namespace}.{target.table} {owner}; pipeline {self.pipeline} would write to it",
            key="table",
            next=f"wherry state adopt {self.label} {name} --pipeline {self.pipeline}, or choose another --table",
        )

    def ready(
        self, connection: Connection, plan_key: str, target: Target, *, begun: bool = False, rewritten: bool = False
    ) -> Identifier:
        """Create the table or bring its columns up to date, and record both; the table.

        begun: a transaction is open on the connection, and the changes become part of it.  rewritten: all its rows
        will be replaced.
        """
        table, want = self.place(connection, target), stored(target)
        have = self.meta.dialect.columns(connection, table)
        signature = _signature(target)
        if have is not None and self._recorded.get(table.names) == signature:
            added, widened = difference(target.table, have, want, self.meta.dialect.fold)
            if not added and not widened:
                return table
        with self._changing(connection, target, begun):
            self.refuse(connection, target)
            have = self.meta.dialect.columns(connection, table)
            if not rewritten:
                self._refuse_losses(connection, table, have, want)
            self._align(connection, table, have, want, target.mode)
            self._record(connection, plan_key, target, table, signature)
        failpoint("K13")
        self._recorded[table.names] = signature
        self._there.add(table.names)
        return table

    def look(self, connection: Connection) -> None:
        """See which of the pipeline's tables are there."""
        columns = ("namespace", "table_name")
        rows = self.meta.select(connection, "_wherry_names", columns, {"pipeline": self.pipeline, "source": ""})
        there = {space: self.meta.dialect.tables(connection, space) for space in {space for space, _ in rows}}
        self._there = {(space, table) for space, table in rows if table in there[space]}

    def _refuse_losses(
        self, connection: Connection, table: Identifier, have: pa.Schema | None, want: pa.Schema
    ) -> None:
        """Raise when somebody took away rows or values that were loaded: to go on would leave holes for ever."""
        name, folds = ".".join(table.names), self.meta.dialect.fold
        if have is None:
            if table.names in self._there:
                raise DestinationError(
                    f"table {name} was dropped or renamed while this run wrote to it: nothing more is committed",
                    next="run it again: the table is made anew, from the beginning",
                )
            return
        where: dict[str, Value] = {"namespace": table.names[0], "table_name": table.names[-1]}
        known = self.meta.select(connection, "_wherry_schemas", ("columns",), where, order=("version",))
        loaded = [column for column, *_ in load(known[-1][0])] if known else []
        kept = [column for column in want.names if column.startswith("_wherry_valid")] if known else []
        held = {fold(column, folds) for column in have.names}
        if gone := [column for column in [*loaded, *kept] if fold(column, folds) not in held]:
            raise StateError(
                f"table {name} has lost column {', '.join(gone)}, which its rows were loaded with: dropped or renamed?",
                key="table", next="give it its name back, or rebuild the table with --full-refresh",
            )  # fmt: skip

    def claim(self, connection: Connection, plan_key: str, target: Target) -> None:
        """Record the target's own table as this pipeline's; it was just put there."""
        live = self.live(target)
        self._record(connection, plan_key, dataclasses.replace(target, generation=None), live, _signature(target))
        self._recorded[live.names] = _signature(target)
        self._there.add(live.names)

    def records(self, plan_key: str, target: Target, now: int) -> tuple[list[dict[str, Value]], dict[str, Value]]:
        """What is recorded of a table of which nothing was known: `_wherry_names`, and one row of `_wherry_schemas`."""
        row: dict[str, Value] = {
            "pipeline": self.pipeline, "namespace": self.namespace(target), "table_name": target.table,
            "stream": target.stream, "since": now,
        }  # fmt: skip
        names = {"": target.table} | {_source(field): field.name for field in target.schema}
        made = [row | {"plan_key": plan_key, "source": source, "name": name} for source, name in names.items()]
        return made, row | {"version": 1, "columns": _signature(target)}

    def made(self, target: Target) -> None:
        """Such a table is there, as it was recorded."""
        names = self.live(target).names
        self._recorded[names] = _signature(target)
        self._there.add(names)

    @contextmanager
    def _changing(self, connection: Connection, target: Target, begun: bool) -> Iterator[None]:
        if begun:
            yield
            return
        with self.meta.dialect.setup(connection, self.meta.namespace):
            yield

    def _align(
        self, connection: Connection, table: Identifier, have: pa.Schema | None, want: pa.Schema, mode: str
    ) -> None:
        dialect = self.meta.dialect
        if have is None:
            dialect.create_namespace(connection, table.names[0])
            columns = [
                SQL("{name} {type}").format(name=Identifier(field.name), type=dialect.column_type(field))
                for field in want
            ]
            create = SQL("create table {table} ({columns}){layout}")
            connection.run(create.format(table=table, columns=columns, layout=dialect.layout(mode)))
            return
        added, widened = difference(table.names[-1], have, want, dialect.fold)
        for field in added:
            dialect.add_column(connection, table, field)
        for field in widened:
            dialect.widen(connection, table, field)

    def _record(self, connection: Connection, plan_key: str, target: Target, table: Identifier, signature: str) -> None:
        namespace, name = table.names
        row: dict[str, Value] = {"pipeline": self.pipeline, "namespace": namespace, "table_name": name}
        if target.generation is not None:
            row |= {"stream": target.stream, "source": "", "generation": target.generation, "name": target.table}
            if not self.meta.select(connection, "_wherry_names", ("name",), row):
                made: dict[str, Value | Part] = {"plan_key": plan_key, "since": self.meta.dialect.now()}
                self.meta.insert(connection, "_wherry_names", row | made)
            return
        self._claim(connection, plan_key, target, row)
        self._remember(connection, target, row, signature)

    def _claim(self, connection: Connection, plan_key: str, target: Target, row: dict[str, Value]) -> None:
        """Own the table: whoever owned it before has lost it, since it was gone or adopted."""
        table: dict[str, Value] = {k: row[k] for k in ("namespace", "table_name")}
        known = self.meta.select(
            connection, "_wherry_names", ("pipeline", "stream", "plan_key", "source", "name"),
            table | {"generation": None},
        )  # fmt: skip
        if any(owner != self.pipeline or stream != target.stream for owner, stream, *_ in known):
            self.meta.delete(connection, "_wherry_names", table | {"generation": None})
            known = []
        names = {"": target.table} | {_source(field): field.name for field in target.schema}
        have = {source: name for *_, source, name in known}
        common: dict[str, Value | Part] = {
            **row, "plan_key": plan_key, "stream": target.stream, "since": self.meta.dialect.now()
        }  # fmt: skip
        new = {source: name for source, name in names.items() if have.get(source) != name}
        for source in new.keys() & have.keys():
            self.meta.delete(connection, "_wherry_names", row | {"stream": target.stream, "source": source})
        if new:
            rows = [common | {"source": source, "name": name} for source, name in new.items()]
            self.meta.insert(connection, "_wherry_names", *rows)
        if any(key != plan_key for _, _, key, *_ in known):
            where = row | {"stream": target.stream, "generation": None}
            self.meta.update(connection, "_wherry_names", {"plan_key": plan_key}, where)

    def _remember(self, connection: Connection, target: Target, row: dict[str, Value], signature: str) -> None:
        table: dict[str, Value] = {k: row[k] for k in ("namespace", "table_name")}
        known = self.meta.select(connection, "_wherry_schemas", ("version", "columns"), table, order=("version",))
        if known and known[-1][1] == signature:
            return
        version: dict[str, Value] = {"version": known[-1][0] + 1 if known else 1, "columns": signature}
        extra: dict[str, Value | Part] = {"stream": target.stream, "since": self.meta.dialect.now()}
        self.meta.insert(connection, "_wherry_schemas", row | extra | version)

    def names(self, connection: Connection) -> dict[tuple[str, str], str]:
        """(stream path, source column or "") -> name in the destination."""
        columns = ("stream", "source", "name")
        where: dict[str, Value] = {"pipeline": self.pipeline, "generation": None}
        rows = self.meta.select(connection, "_wherry_names", columns, where, order=("since",))
        return {(stream, source): name for stream, source, name in rows if stream}

    def adopt(self, connection: Connection, namespace: str, table: str) -> None:
        """Own a table that exists; the first stream that writes to it keeps it."""
        where: dict[str, Value] = {"namespace": namespace, "table_name": table}
        if self.meta.dialect.columns(connection, Identifier(namespace, table)) is None:
            raise UsageError(f"there is no table {namespace}.{table}", key="table", next="check the spelling")
        self.meta.delete(connection, "_wherry_names", where)
        self.meta.delete(connection, "_wherry_schemas", where)  # it is taken as it is now
        row: dict[str, Value] = {"pipeline": self.pipeline, "plan_key": "", "stream": "", "source": "", "name": table}
        self.meta.insert(connection, "_wherry_names", where | row | {"since": self.meta.now(connection)})
        self._recorded.pop((namespace, table), None)

    def missing(self, connection: Connection) -> tuple[dict[str, set[str]], set[str]]:
        """(plan key -> streams whose table is gone, ids of open plans of which a generation's table is gone)."""
        columns = ("plan_key", "stream", "namespace", "table_name", "generation")
        rows = self.meta.select(connection, "_wherry_names", columns, {"pipeline": self.pipeline, "source": ""})
        there = {space: self.meta.dialect.tables(connection, space) for space in {row[2] for row in rows}}
        gone: dict[str, set[str]] = {}
        lost: set[tuple[str, int]] = set()
        for key, stream, namespace, table, generation in rows:
            if table in there[namespace] or not stream:
                continue
            if generation is None:
                gone.setdefault(key, set()).add(stream)
            else:
                lost.add((key, generation))
        plans = self.meta.select(
            connection, "_wherry_plans", ("plan_key", "generation", "plan_id"),
            {"pipeline": self.pipeline, "status": "open"},
        )  # fmt: skip
        return gone, {id for key, generation, id in plans if (key, generation) in lost}

    def sweep(self, connection: Connection) -> None:
        """Drop the tables of generations whose plan is not open."""
        statement = SQL(
            "select namespace, table_name from {names} as n where pipeline = {me} and source = '' "
            "and generation is not null and not exists (select 1 from {plans} as p where p.pipeline = {me} "
            "and p.status = 'open' and p.plan_key = n.plan_key and p.generation = n.generation)"
        ).format(
            names=self.meta.table("_wherry_names"), plans=self.meta.table("_wherry_plans"), me=Literal(self.pipeline)
        )
        for namespace, table in connection.rows(statement):
            with self.meta.dialect.setup(connection, namespace):
                connection.run(SQL("drop table if exists {table}").format(table=Identifier(namespace, table)))
                self.forget(connection, namespace, table)

    def forget(self, connection: Connection, namespace: str, table: str) -> None:
        """Remove a generation's table from the records; it is gone or renamed."""
        where: dict[str, Value] = {"pipeline": self.pipeline, "namespace": namespace, "table_name": table}
        self.meta.delete(connection, "_wherry_names", where | {"source": ""})
        with self._lock:
            self._generations = {k: v for k, v in self._generations.items() if (k[0], v) != (namespace, table)}
            self._recorded.pop((namespace, table), None)
            self._there.discard((namespace, table))


def shorten(name: str, suffix: str, limit: int) -> str:
    """name + suffix within `limit` bytes; what had to be cut is told apart by a hash."""
    whole = name + suffix
    if len(whole.encode()) <= limit:
        return whole
    mark = "_" + hashlib.sha256(name.encode()).hexdigest()[:8] + suffix
    return name.encode()[: limit - len(mark.encode())].decode(errors="ignore") + mark


def _signature(target: Target) -> str:
    return dump([[field.name, kind(field), _source(field)] for field in target.schema])


def _source(field: pa.Field) -> str:
    return str((field.metadata or {}).get(SOURCE, field.name.encode()).decode())
