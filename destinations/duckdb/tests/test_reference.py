"""The engine does what the reference destination does, for random changes over several runs."""

from __future__ import annotations

import dataclasses
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wherry import Counts, Destination, Entry, ReadPlan, Selection, Session, Split, Stream, Target
from wherry.testing import MemoryDestination, Store
from wherry_destination_duckdb.destination import DuckDBDestination

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("part", pa.string()),
        ("a", pa.int64()),
        ("b", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclasses.dataclass
class Step:
    """One load: rows, and what its entry says."""

    rows: pa.RecordBatch
    complete: bool
    truncate: bool
    parts: tuple[str, ...]


def random_row(dice: random.Random, changes: bool, cursor: bool) -> dict[str, Any]:
    op = dice.choice([0, 0, 1, 2, 2]) if changes else 0
    row: dict[str, Any] = {
        "id": dice.randrange(5), "part": dice.choice(["x", "y"]), "a": dice.choice([1, 2, None]),
        "b": dice.choice(["p", None]), "at": START + timedelta(microseconds=dice.randrange(9)) if cursor else None,
        "_wherry_op": op, "_wherry_unset": None,
    }  # fmt: skip
    if op == 1:
        row |= {"a": None, "b": None, "part": None}
    if op == 2:
        row["_wherry_unset"] = dice.sample([1, 2, 3], dice.randrange(3))
        row |= {SCHEMA.names[place]: None for place in row["_wherry_unset"]}
    return row


def random_step(dice: random.Random, changes: bool, cursor: bool, parts: bool) -> Step:
    rows = [random_row(dice, changes, cursor) for _ in range(dice.randrange(9))]
    fields = [*SCHEMA, pa.field("_wherry_op", pa.int8()), pa.field("_wherry_unset", pa.list_(pa.int16()))]
    batch = pa.RecordBatch.from_pylist(rows, schema=pa.schema(fields))
    batch = batch.append_column("_wherry_pos", pa.array(range(100, 100 + len(rows)), pa.int64()))
    if not changes:
        batch = batch.drop_columns(["_wherry_op", "_wherry_unset"])
    return Step(
        rows=batch,
        complete=dice.random() < 0.2,
        truncate=dice.random() < 0.1,
        parts=("x",) if parts and dice.random() < 0.4 else (),
    )


def play(session: Session, target: Target, step: Step, number: int) -> Any:
    stream = Stream(name="t", schema=target.schema)
    split = Split(key="t", streams=(Selection(stream=stream, mode=target.mode),))
    plan = ReadPlan(key="t", splits=(split,), id=str(number))
    generation = session.start(plan)
    load = session.begin(plan, split)
    load.prepare(target)
    half = step.rows.num_rows // 2
    before = 0 if step.truncate else half
    load.write("t", step.rows.slice(0, half))
    if step.truncate:
        load.truncate("t")
    load.write("t", step.rows.slice(half))
    counts = Counts(mapped=before + step.rows.num_rows - half)
    receipt = load.commit(
        Entry(
            bookmark=number, done=True, counts={"t": counts}, complete=("t",) if step.complete else (),
            parts={"t": step.parts} if step.parts else {},
        )
    )  # fmt: skip
    session.publish(plan, [target], generation, Entry(bookmark=number, done=True))
    return receipt.applied["t"]


def content(session: Session, target: Target, times: bool) -> list[tuple[Any, ...]]:
    """Rows of the table; a history's times only where they come from the data, else their order."""
    table = session.read(target).read_all()
    names = [name for name in table.schema.names if name != "_wherry_load_id"]
    keyed = [{name: row[name] for name in names} for row in table.to_pylist()]
    if target.mode == "history":
        keyed.sort(key=lambda row: (row["id"], row["_wherry_valid_from"]))
        if not times:
            for row in keyed:
                row["_wherry_valid_from"] = None
                row["_wherry_valid_to"] = row["_wherry_valid_to"] is None
        return [tuple(row.values()) for row in keyed]
    return sorted((tuple(row.values()) for row in keyed), key=str)


@pytest.mark.parametrize("seed", range(30))
def test_modes_do_what_the_reference_does(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:  # stream every batch
        monkeypatch.setattr("wherry_destination_duckdb.load.BYTES", 1)
    dice = random.Random(seed)
    mode: Any = ("merge", "history", "merge", "history", "append")[seed % 5]
    changes, cursor, parts = mode != "append" and dice.random() < 0.7, dice.random() < 0.6, dice.random() < 0.3
    target = Target(
        stream="t", table="t", schema=SCHEMA, mode=mode, key=() if mode == "append" else ("id",),
        cursor="at" if cursor else None, part="part" if parts else None, exclusive=dice.random() < 0.5, changes=changes,
    )  # fmt: skip
    homes: list[Destination] = [
        MemoryDestination.of(Store()),
        DuckDBDestination(DuckDBDestination.Config.model_validate({"path": str(tmp_path / "t.duckdb")})),
    ]
    steps = [random_step(dice, changes, cursor, parts) for _ in range(5)]
    for number, step in enumerate(steps):
        seen = []
        for home in homes:
            session = home.open("p", schema="s")
            done = play(session, target, step, number)
            exact = cursor and not any(s.complete or s.truncate or s.parts for s in steps)
            seen.append((content(session, target, times=exact), done))
            session.close()
        assert seen[1] == seen[0], f"run {number}"
