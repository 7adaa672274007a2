"""Deletes, keys and empty sources: what each mode makes of them, and what half a read must never do."""

from __future__ import annotations

from typing import Any

import pytest
from harness.trial import Trial

fault = pytest.mark.fault
CURSOR = ("--cursor", "changed")
MODES: dict[str, tuple[str, ...]] = {
    "replace": ("--mode", "replace"),
    "merge": ("--mode", "merge", *CURSOR),
    "append": ("--mode", "append", *CURSOR),
    "history": ("--mode", "history"),
    "history by cursor": ("--mode", "history", *CURSOR),
}
BLIND = ("merge", "append", "history by cursor")
"""Read by a cursor: what is gone at the source is not seen."""


def filled(trial: Trial, rows: int = 9) -> None:
    """Ids from 1, `changed` their number."""
    trial.do(
        "create table t (id int primary key, changed int not null, v text, deleted_at timestamptz)",
        f"insert into t select g, g, 'first' from generate_series(1, {rows}) g",
    )


def live(trial: Trial, columns: str = "id", mode: str = "") -> list[Any]:
    """Rows that are there now; of a history those that are open."""
    where = "_wherry_valid_to is null" if mode.startswith("history") else ""
    found = trial.rows(columns, where=where)
    return sorted(row[0] for row in found) if columns == "id" else found


# --- 72: deletes


@fault(72, tier=1)
@pytest.mark.parametrize("mode", [pytest.param(m, marks=fault(72, tier=1)) for m in MODES])
def test_deletes_do_what_the_mode_promises(trial: Trial, mode: str) -> None:
    filled(trial)
    done = trial.sync(*MODES[mode])
    assert ("deletes not seen" in done.stdout) == (mode in BLIND)
    trial.do("delete from t where id in (2, 3)", "insert into t values (10, 10, 'new')")
    trial.sync()
    gone = {2, 3} if mode not in BLIND else set()
    assert live(trial, mode=mode) == [i for i in range(1, 11) if i not in gone]
    # the same key again, and one that is only marked
    trial.do("insert into t values (2, 11, 'again')", "update t set deleted_at = now(), changed = 12 where id = 4")
    trial.sync()
    found = live(trial, "id, v, deleted_at is null", mode)
    again = [row for row in found if row[0] == 2]
    assert (2, "again", True) in again
    assert len(again) == (2 if mode == "append" else 1)
    assert (4, "first", False) in found
    assert ((4, "first", True) in found) == (mode == "append")
    assert not [row for row in found if row[0] in gone - {2}]


@pytest.mark.parametrize("mode", [pytest.param(m, marks=fault(72, tier=1)) for m in MODES])
def test_a_truncated_table(trial: Trial, mode: str) -> None:
    filled(trial)
    trial.sync(*MODES[mode])
    trial.do("truncate t")
    trial.sync()
    assert live(trial, mode=mode) == (list(range(1, 10)) if mode in BLIND else [])
    if mode in BLIND:  # rows below the bookmark would never be read: said, and the way on works
        trial.do("insert into t values (1, 1, 'anew')")
        done = trial.sync(expect=8)
        assert "t.changed ends at 1, before its bookmark 9" in done.stderr
        trial.sync(*MODES[mode], "--full-refresh", "--yes")
        assert live(trial, "id, v", mode) == [(1, "anew")]


@fault(72, tier=1)
@pytest.mark.parametrize("mode", MODES)
def test_a_partition_that_is_dropped(trial: Trial, mode: str) -> None:
    trial.do(
        "create table t (id int, changed int not null, primary key (id, changed)) partition by range (changed)",
        "create table t_old partition of t for values from (0) to (5)",
        "create table t_new partition of t for values from (5) to (100)",
        "insert into t select g, g from generate_series(1, 9) g",
    )
    trial.sync(*MODES[mode])
    trial.do("drop table t_old", "insert into t values (10, 10)")
    trial.sync()
    assert live(trial, mode=mode) == list(range(1 if mode in BLIND else 5, 11))


@pytest.mark.parametrize("mode", [
    pytest.param("replace", marks=fault(72, tier=1)), pytest.param("history", marks=fault(72, tier=1)),
])  # fmt: skip
@pytest.mark.parametrize("end", ["K02:kill:2", "K02:raise:2", "K07:kill:2"])
def test_absent_keys_stay_after_half_a_read(trial: Trial, mode: str, end: str) -> None:
    """The read ends in its middle: by a kill, by an error of ours."""
    filled(trial, 3000)
    trial.do("update t set v = repeat('x', 2000)")
    trial.sync(*MODES[mode])
    trial.do("delete from t where id % 10 = 0", "update t set v = 'changed' where id % 10 = 1")
    before = live(trial, "id, length(v)", mode)
    trial.sync("--memory", "64MiB", failpoint=end, expect=(137, 3))
    assert live(trial, "id, length(v)", mode) == before
    trial.sync()
    assert live(trial, "id, length(v)", mode) == sorted(
        ((i, 7 if i % 10 == 1 else 2000) for i in range(1, 3001) if i % 10), key=repr
    )


# --- 73: keys


@fault(73, tier=1)
def test_one_key_twice_in_one_batch_and_across_batches(trial: Trial) -> None:
    """The last by the source's order wins, in one load and over several."""
    trial.do(
        "create table t (id int not null, changed int not null, v text); create index on t (changed)",
        "insert into t select g % 700, g, repeat('x', 300) || g from generate_series(1, 2100) g; analyze t",
    )
    args = ("--mode", "merge", "--key", "id", *CURSOR, "--memory", "16MiB")
    trial.sync(*args, commit_rows=500)
    wanted = sorted(((i, 1400 + i if i else 2100) for i in range(700)), key=repr)
    assert trial.rows("id, changed") == wanted
    trial.do("insert into t values (5, 3000, 'a'), (5, 3001, 'b'), (6, 3001, 'a'), (5, 3001, 'b')")
    trial.sync(commit_rows=500)
    assert [row for row in trial.rows("id, changed, v") if row[0] in (5, 6)] == [(5, 3001, "b"), (6, 3001, "a")]
    trial.quiet()


@fault(73, tier=1)
@pytest.mark.parametrize("mode", ["merge", "history"])
def test_a_key_that_is_null_is_refused_or_put_aside(trial: Trial, mode: str) -> None:
    trial.do(
        "create table t (id int, part text, changed int not null)",
        "insert into t values (1, 'a', 1), (null, 'a', 2), (1, null, 3), (1, 'b', 4)",
    )
    args = ("--mode", mode, "--key", "id,part", *CURSOR)
    done = trial.sync(*args, expect=6)
    assert "id" in done.stderr
    assert "next:" in done.last
    assert trial.rows() == []
    trial.sync(*args, "--max-rejects", "2")
    assert trial.rows("id, part") == [(1, "a"), (1, "b")]
    assert trial.rows("count(*)", "t__rejected") == [(2,)]


@pytest.mark.parametrize("mode", [
    pytest.param("replace", marks=fault(73, tier=1)), pytest.param("merge", marks=fault(73, tier=1)),
    pytest.param("history", marks=fault(73, tier=1)),
])  # fmt: skip
def test_a_key_that_changes(trial: Trial, mode: str) -> None:
    """A cursor shows the row under its new key; only a whole read shows that the old one is gone."""
    filled(trial, 3)
    trial.sync(*MODES[mode])
    trial.do("update t set id = 30, changed = 9 where id = 3")
    done = trial.sync()
    assert live(trial, mode=mode) == ([1, 2, 3, 30] if mode == "merge" else [1, 2, 30])
    assert ("deletes not seen" in done.stdout) == (mode == "merge")


@fault(73, tier=1)
def test_a_composite_key_and_keys_that_look_alike(trial: Trial) -> None:
    trial.do(
        "create table t (a text, b text, changed int not null, v int, primary key (a, b))",
        "insert into t values ('a', 'bc', 1, 1), ('ab', 'c', 1, 2), ('A', 'bc', 1, 3), ('a ', 'bc', 1, 4)",
        "insert into t values ('', '', 1, 5)",
    )
    trial.sync(*MODES["merge"])
    trial.do("update t set v = v * 10, changed = 2 where v in (1, 5)")
    trial.sync()
    assert trial.rows("v, a, b") == sorted(
        [(10, "a", "bc"), (2, "ab", "c"), (3, "A", "bc"), (4, "a ", "bc"), (50, "", "")], key=repr
    )
    trial.quiet()


@fault(73, tier=1)
def test_an_append_of_a_change_log_is_refused(trial: Trial) -> None:
    trial.url = "sample"
    done = trial.sync("--mode", "append", "--set", "changes=true", stream="orders", expect=2)
    assert "mode append would add each change of stream orders as a row, deletes among them" in done.stderr
    assert "--mode merge" in done.stderr


# --- 74: a source that is empty, or looks so


@pytest.mark.parametrize("mode", [pytest.param(m, marks=fault(74, tier=1)) for m in MODES])
def test_an_empty_table_is_committed_as_empty(trial: Trial, mode: str) -> None:
    filled(trial, 0)
    trial.sync(*MODES[mode])
    assert trial.rows("count(*)") == [(0,)]
    trial.do("insert into t values (1, 1, 'a')")
    trial.sync()
    assert live(trial, mode=mode) == [1]
    trial.do("delete from t")
    trial.sync()
    assert live(trial, mode=mode) == ([1] if mode in BLIND else [])


LOST = {
    "table missing": ("drop table t", 2, "it offers no streams"),
    "select revoked": ("revoke select on t from reader", 3, "permission denied for table t"),
    "schema revoked": ("revoke usage on schema public from public; revoke usage on schema public from reader", 3,
                       "permission denied"),
    "row-level security": ("alter table t enable row level security", 3, "row-level security shows this user no row"),
    "login revoked": ("alter role reader nologin", 2, "reader"),
}  # fmt: skip


@pytest.mark.parametrize("how", [
    pytest.param(how, marks=fault(74, tier=0 if how.startswith("row") else 1)) for how in LOST
])  # fmt: skip
@pytest.mark.parametrize("mode", ["replace", "history"])
def test_what_cannot_be_seen_is_no_empty_table(trial: Trial, mode: str, how: str) -> None:
    sql, code, said = LOST[how]
    filled(trial)
    owner, name = trial.url, f"reader_{trial.url.rpartition('_')[2]}"
    trial.do(f"create role {name} login", f"grant select on t to {name}")
    trial.url = owner.replace("postgres@", f"{name}@")
    try:
        trial.sync(*MODES[mode])
        trial.url = owner
        trial.do(sql.replace("reader", name))
        trial.url = owner.replace("postgres@", f"{name}@")
        done = trial.sync(expect=code)
        assert said.replace("reader", name) in done.stderr
        assert live(trial, mode=mode) == list(range(1, 10))
    finally:
        trial.url = owner
        trial.do(f"drop owned by {name}", f"drop role {name}")


@fault(74, tier=1)
def test_a_table_that_is_gone_is_named_and_stays_as_it_was(trial: Trial) -> None:
    filled(trial)
    trial.do("create table kept (id int primary key)", "insert into kept values (1)")
    trial.sync(stream="*")
    trial.do("drop table t", "insert into kept values (2)")
    done = trial.sync(stream="*")
    assert "no longer offered by the source, so their tables stay as they are: t" in done.stderr
    assert live(trial) == list(range(1, 10))
    assert trial.ids("kept") == [1, 2]
