"""Both ends on a server that is reached through a proxy: a ledger in PostgreSQL, and a database to sync to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
import pyarrow as pa

from harness.ledger import LOG, TABLE, Ledger
from harness.places import InPostgres
from harness.proxy import Proxy

COLUMNS = "id bigint, version bigint, seq bigint not null, changed timestamptz, payload text, hash text"
CURSORS = {"append": ("--cursor", "seq"), "merge": ("--cursor", "seq", "--key", "id"), "history": ("--key", "id")}


@dataclass(frozen=True, slots=True)
class Served(Ledger):
    """A ledger whose tables a server offers. url: of the database; reference: what the command gets."""

    url: str = ""
    via: str = ""

    @classmethod
    def of(cls, ledger: Ledger, url: str, via: str = "") -> Served:
        """Put the ledger's tables into the database at `url`."""
        rows = {TABLE: sorted(ledger.expected("merge")), LOG: sorted(ledger.expected("append"))}
        times = dict(
            zip(ledger.rows["seq"].to_pylist(), ledger.rows["changed"].cast(pa.utf8()).to_pylist(), strict=True)
        )
        with psycopg.connect(url, autocommit=True) as session:
            for name, key in ((TABLE, ", primary key (id)"), (LOG, "")):
                session.execute(f"create table {name} ({COLUMNS}{key})")
                with session.cursor() as cursor, cursor.copy(f"copy {name} from stdin") as copy:
                    for id, version, seq, payload, digest in rows[name]:
                        copy.write_row((id, version, seq, times[seq], payload, digest))
                session.execute(f"create index on {name} (seq)")
                session.execute(f"analyze {name}")
        return cls(ledger.folder, ledger.rows, url, via or url)

    @property
    def reference(self) -> str:
        return self.via


@dataclass
class Through(InPostgres):
    """A database that the command reaches through a proxy, and we directly."""

    proxy: Any = field(default=None)
    host: str = Proxy.host
    query_string: str = ""

    @property
    def reference(self) -> str:
        return str(self.proxy.url(self.url, self.host)) + self.query_string
