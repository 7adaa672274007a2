"""What happened, written down outside of the system under test: versions of rows, and what each table should hold."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

SCHEMA = pa.schema([
    ("id", pa.int64()), ("version", pa.int64()), ("seq", pa.int64()), ("changed", pa.timestamp("us", "UTC")),
    ("payload", pa.utf8()), ("hash", pa.utf8()),
])  # fmt: skip
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
TABLE, LOG = "items", "log"


def stream_of(mode: str) -> str:
    """The stream that a mode is tried with: append takes the log, the others the table that changes."""
    return LOG if mode == "append" else TABLE


@dataclass(frozen=True, slots=True)
class Ledger:
    """Versions of rows, in the order in which they happened. seq counts them, from 1."""

    folder: Path
    rows: pa.Table

    @classmethod
    def write(cls, folder: Path, rows: int = 5_000, changes: int = 2_000, wide: int = 20, seed: int = 1) -> Ledger:
        """`rows` new rows, then `changes` new versions of some of them. wide: length of payloads."""
        chance = random.Random(seed)
        made: list[dict[str, Any]] = []
        versions: dict[int, int] = {}
        for seq in range(1, rows + changes + 1):
            id = seq if seq <= rows else chance.randint(1, rows)
            versions[id] = versions.get(id, 0) + 1
            payload = f"{chance.getrandbits(64):x} ünï'\"\\ {id}".ljust(wide, "·")
            digest = hashlib.blake2b(f"{id}|{versions[id]}|{payload}".encode(), digest_size=8).hexdigest()
            made.append({
                "id": id, "version": versions[id], "seq": seq, "changed": FIRST + timedelta(microseconds=seq),
                "payload": payload, "hash": digest,
            })  # fmt: skip
        table = pa.Table.from_pylist(made, schema=SCHEMA)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (TABLE, LOG):
            with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, SCHEMA) as out:
                out.write_table(table)
        return cls(folder, table)

    @property
    def reference(self) -> str:
        """What to give `wherry sync` as SOURCE."""
        return f"ledger:{self.folder}"

    @property
    def end(self) -> int:
        """The last seq."""
        return int(self.rows.num_rows)

    def expected(self, mode: str, *until: int) -> set[tuple[int, int, int, str, str]]:
        """(id, version, seq, payload, hash) that a table holds after runs up to each of these seqs.

        append: every version. merge, replace: the last of each id. history: the last of each id as of each run.
        """
        ends = until or (self.end,)
        if mode == "append":
            return _tuples(self.rows.filter(pc.less_equal(self.rows["seq"], ends[-1])))
        if mode == "history":
            return set().union(*(self._last(end) for end in ends))
        return self._last(ends[-1])

    def _last(self, until: int) -> set[tuple[int, int, int, str, str]]:
        known = self.rows.filter(pc.less_equal(self.rows["seq"], until))
        last = known.group_by("id").aggregate([("seq", "max")])["seq_max"]
        return _tuples(known.filter(pc.is_in(known["seq"], last)))


def _tuples(table: pa.Table) -> set[tuple[int, int, int, str, str]]:
    columns = [table[name].to_pylist() for name in ("id", "version", "seq", "payload", "hash")]
    return set(zip(*columns, strict=True))
