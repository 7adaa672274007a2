"""Plans, bookmarks and the fence: what `_wherry_plans` and `_wherry_state` hold, and how they change."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from wherry.contracts.loading import Lease, Receipt
from wherry.contracts.values import Bookmark, Progress, ReadPlan
from wherry.contracts.wire import from_json, to_json
from wherry.errors import StateError, TransientError
from wherry.failpoints import failpoint
from wherry.sql.compose import SQL, Literal, Part, Value
from wherry.sql.dialect import Connection
from wherry.sql.lease import lost
from wherry.sql.meta import Meta, condition


def dump(value: Any) -> str:
    """JSON text, the same for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def digest(text: str) -> str:
    """Tells a text from one that was damaged, or written by hand."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def load(text: str | None, known: str | None = None) -> Any:
    """The value that `dump` wrote; None for null. known: its digest, if one was kept. ValueError: another text."""
    if text is None:
        if known:
            raise ValueError("it is gone")
        return None
    if known and digest(text) != known:
        raise ValueError("it is not the text that was stored")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too many levels") from None


def covers(bookmark: Bookmark | None) -> str:
    """What a bookmark says that it covers."""
    return str(bookmark.get("covers") or "") if isinstance(bookmark, dict) else ""


def progress(
    meta: Meta, connection: Connection, pipeline: str, missing: Mapping[str, Collection[str]], broken: Collection[str]
) -> dict[str, Progress]:
    """By plan key. missing: stream paths whose table is gone.  broken: ids of plans whose generation is gone."""
    rows = meta.select(
        connection, "_wherry_state", ("plan_key", "split_key", "seq", "bookmark", "done", "digest"),
        {"pipeline": pipeline},
    )  # fmt: skip
    plans = meta.select(
        connection, "_wherry_plans", ("plan_key", "plan_id", "plan", "generation", "digest"),
        {"pipeline": pipeline, "status": "open"},
    )  # fmt: skip
    opened = {key: (plan, generation, known) for key, id, plan, generation, known in plans if id not in broken}
    keys = {key for key, split, *_ in rows if split == ""} | opened.keys() | missing.keys()
    result = {}
    for key in keys:
        try:
            mine = [row for plan_key, *row in rows if plan_key == key]
            result[key] = _known(mine, opened.get(key), frozenset(missing.get(key, ())))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            result[key] = Progress(missing=frozenset(missing.get(key, ())), damaged=f"{error}" or type(error).__name__)
    return result


def _known(
    rows: Sequence[Sequence[Any]], opened: tuple[str, int, str | None] | None, missing: frozenset[str]
) -> Progress:
    """What is stored under one plan key; raises what reading damaged text may raise."""
    splits = {split: (seq, load(bookmark, known), done) for split, seq, bookmark, done, known in rows}
    lasting = splits[""][1] if "" in splits else None
    found = Progress(bookmark=lasting, covers=covers(lasting), missing=missing)
    if opened is None:
        return found
    text, generation, known = opened
    return _resumed(found, from_json(ReadPlan, load(text, known)), int(generation), splits)


def _resumed(known: Progress, plan: ReadPlan, generation: int, rows: Mapping[str, tuple[Any, Any, Any]]) -> Progress:
    """The open plan with the bookmarks that its splits have reached."""
    reached = {split: bookmark for split, (_, bookmark, _) in rows.items() if split and bookmark is not None}
    splits = tuple(dataclasses.replace(split, bookmark=reached.get(split.key, split.bookmark)) for split in plan.splits)
    hashes = [known.covers, *(covers(bookmark) for bookmark in reached.values())]
    return dataclasses.replace(
        known,
        open=dataclasses.replace(plan, splits=splits),
        done=frozenset(split for split, (_, _, done) in rows.items() if split and done),
        covers=next(filter(None, hashes), ""),
        generation=generation,
    )


def start(meta: Meta, connection: Connection, lease: Lease, plan: ReadPlan) -> int:
    """Store plan and splits and return the generation; inside the caller's transaction."""
    if not plan.id:
        raise StateError(f"plan {plan.key} has no id")
    owner: dict[str, Value] = {"pipeline": lease.pipeline, "plan_key": plan.key}
    known, last = _plans(meta, connection, owner)
    for id, generation, status in known:
        if id == plan.id and status != "dropped":
            if status == "open":
                _add_splits(meta, connection, lease, plan)
            return generation
    if known:
        drop_plan(meta, connection, lease.pipeline, plan.key)
        meta.delete(connection, "_wherry_plans", owner)
    # Unique in the pipeline: a table that moves to another plan key never meets an older key's rebuild.
    text = dump(to_json(plan))
    row: dict[str, Value | Part] = {
        **owner, "plan_id": plan.id, "generation": last + 1, "plan": text, "status": "open", "epoch": lease.epoch,
        "started": meta.dialect.now(), "digest": digest(text),
    }  # fmt: skip
    meta.insert(connection, "_wherry_plans", row)
    _add_splits(meta, connection, lease, plan)
    return last + 1


def last_generation(meta: Meta, connection: Connection, pipeline: str) -> int:
    """The highest generation of any plan of the pipeline."""
    rows = meta.select(connection, "_wherry_plans", ("generation",), {"pipeline": pipeline})
    return max((int(generation) for (generation,) in rows), default=0)


def finished(
    lease: Lease, plan: ReadPlan, generation: int, receipt: Receipt, bookmark: Bookmark | None, now: int
) -> tuple[dict[str, Value], dict[str, Value]]:
    """What is stored of a plan that is begun and published at once, under a key that is new: the plan, its bookmark."""
    owner: dict[str, Value] = {"pipeline": lease.pipeline, "plan_key": plan.key}
    done: dict[str, Value] = {
        "plan_id": plan.id, "generation": generation, "plan": "", "status": "done", "epoch": lease.epoch,
        "started": now, "finished": now, "receipt": dump(to_json(receipt)), "digest": digest(""),
    }  # fmt: skip
    lasting: dict[str, Value] = {
        "plan_id": "", "split_key": "", "seq": receipt.seq, "epoch": lease.epoch, "done": False,
        "load_id": receipt.load_id, "changed": now, "covers": "", "bookmark": None, "digest": None,
    }  # fmt: skip
    return owner | done, owner | lasting | bookmark_change(bookmark)


def _plans(meta: Meta, connection: Connection, owner: Mapping[str, Value]) -> tuple[list[tuple[str, int, str]], int]:
    """(plan id, generation, status) of the plans of a key, and the highest generation of any plan of the pipeline."""
    rows = connection.rows(
        SQL(
            "select plan_key = {key}, plan_id, generation, status from {table} where pipeline = {pipeline} and "
            "(plan_key = {key} or generation = (select max(generation) from {table} where pipeline = {pipeline}))"
        ).format(table=meta.table("_wherry_plans"), key=Literal(owner["plan_key"]), pipeline=Literal(owner["pipeline"]))
    )
    mine = [(id, int(generation), status) for own, id, generation, status in rows if own]
    return mine, max((int(generation) for _, _, generation, _ in rows), default=0)


def _add_splits(meta: Meta, connection: Connection, lease: Lease, plan: ReadPlan) -> None:
    """A row for each split that has none (all of them, or those that a source adds when it goes on with a plan), and
    one for the lasting bookmark."""
    mine: dict[str, Value] = {"pipeline": lease.pipeline, "plan_key": plan.key}
    have = {tuple(row) for row in meta.select(connection, "_wherry_state", ("plan_id", "split_key"), mine)}
    wanted = [("", ""), *((plan.id, split.key) for split in plan.splits)]
    fresh: dict[str, Value | Part] = {
        "seq": 0, "epoch": lease.epoch, "covers": "", "done": False, "changed": meta.dialect.now()
    }  # fmt: skip
    missing = [place for place in wanted if place not in have]
    rows = [mine | fresh | {"plan_id": id, "split_key": split} for id, split in missing]
    if rows:
        meta.insert(connection, "_wherry_state", *rows)


def drop_plan(
    meta: Meta, connection: Connection, pipeline: str, key: str, status: str = "dropped",
    more: Mapping[str, Value] | None = None,
) -> None:  # fmt: skip
    """Close the open plan of a key, if there is one, and forget the state of its splits. more: to keep in its row."""
    owner: dict[str, Value] = {"pipeline": pipeline, "plan_key": key}
    row: dict[str, Value | Part] = {"status": status, "finished": meta.dialect.now(), "plan": ""}
    meta.update(connection, "_wherry_plans", {**row, **(more or {})}, owner | {"status": "open"})
    _retire(meta, connection, SQL("{mine} and split_key <> ''").format(mine=condition(owner)))


def _retire(meta: Meta, connection: Connection, where: Part) -> None:
    """Delete state rows, written first: where a delete does not collide with a load's swap, an update does."""
    for statement in (SQL("update {table} set epoch = -1 where {where}"), SQL("delete from {table} where {where}")):
        connection.run(statement.format(table=meta.table("_wherry_state"), where=where))


Place = tuple[str, str, str]
"""A row of the state: plan key, plan id, split key; the lasting bookmark's row has no plan id and no split key."""


def sequences(meta: Meta, connection: Connection, pipeline: str, key: str | None = None) -> dict[Place, int]:
    """The seq of each row; key: of one plan key."""
    columns = ("plan_key", "plan_id", "split_key", "seq")
    where: dict[str, Value] = {"pipeline": pipeline}
    if key is not None:
        where["plan_key"] = key
    rows = meta.select(connection, "_wherry_state", columns, where)
    return {(plan, id, split): -1 if seq is None else int(seq) for plan, id, split, seq in rows}


def swap(meta: Meta, connection: Connection, lease: Lease, place: Place, seq: int, change: Mapping[str, Value]) -> None:
    """The fence: move the row at `place` from `seq` to the next; last before COMMIT.

    A bookmark of None leaves the one that is there. `LeaseError`: another run has taken over. `TransientError`: the
    row moved in this run, by a commit whose answer was lost; to be resumed from where it stands now.
    """
    failpoint("K08")
    where: dict[str, Value] = {
        "pipeline": lease.pipeline, "plan_key": place[0], "plan_id": place[1], "split_key": place[2], "seq": seq,
        "epoch": lease.epoch,
    }  # fmt: skip
    # The epoch is written too: in some engines only writers of one column collide, and a take-over writes the epoch.
    if meta.update(connection, "_wherry_state", {**change, "seq": seq + 1, "epoch": lease.epoch}, where) != 1:
        if meta.select(connection, "_wherry_state", ("seq",), {k: v for k, v in where.items() if k != "seq"}):
            raise TransientError(f"an earlier commit of {place[0]} went through after all: nothing was committed twice")
        raise lost(meta, connection, lease)
    failpoint("K09")


def bookmark_change(bookmark: Bookmark | None) -> dict[str, Value]:
    """The columns that keep a bookmark; nothing for None."""
    if bookmark is None:
        return {}
    text = dump(bookmark)
    return {"bookmark": text, "covers": covers(bookmark), "digest": digest(text)}


def put(meta: Meta, connection: Connection, lease: Lease, key: str, bookmark: Bookmark | None) -> None:
    """Make a bookmark the lasting one of a plan key, or forget the key; inside the caller's transaction."""
    drop_plan(meta, connection, lease.pipeline, key)
    owner: dict[str, Value] = {"pipeline": lease.pipeline, "plan_key": key}
    found = meta.select(connection, "_wherry_state", ("seq",), owner | {"split_key": ""})
    if bookmark is None:
        _retire(meta, connection, condition(owner))
        return
    row: dict[str, Value] = {
        **bookmark_change(bookmark), "epoch": lease.epoch, "changed": meta.now(connection),
        "seq": found[0][0] + 1 if found else 0,
    }  # fmt: skip
    if found:
        meta.update(connection, "_wherry_state", row, owner | {"split_key": ""})
    else:
        meta.insert(connection, "_wherry_state", owner | {"split_key": "", "plan_id": "", "done": False} | row)


def published(meta: Meta, connection: Connection, lease: Lease, plan: ReadPlan) -> Receipt | None:
    """The receipt of a plan that was published before, if it was."""
    owner: dict[str, Value] = {"pipeline": lease.pipeline, "plan_key": plan.key, "plan_id": plan.id}
    found = meta.select(connection, "_wherry_plans", ("status", "receipt"), owner)
    if not found:
        raise StateError(f"plan {plan.key} was never started", next="run the sync again")
    status, receipt = found[0]
    if status == "dropped":
        raise StateError(f"plan {plan.key} was dropped for a newer one", next="run the sync again")
    return from_json(Receipt, load(receipt)) if status == "done" else None


def close_plan(meta: Meta, connection: Connection, lease: Lease, plan: ReadPlan, receipt: Receipt) -> None:
    """Mark a plan as published; its splits' state goes."""
    drop_plan(meta, connection, lease.pipeline, plan.key, status="done", more={"receipt": dump(to_json(receipt))})
