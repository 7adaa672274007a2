"""What the tap is given, what it leaves behind, and how one run follows another."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

import pyarrow as pa
import pytest
from wherry import Run, Selection, SourceError, Split, UsageError
from wherry.testing import Wish
from wherry_source_singer.private import Folder
from wherry_taps import ID, TEXT, WHEN, Script, entry, record, records, schema, state

PLAIN = {"id": ID, "name": TEXT}
USERS, VISITS = schema("users", PLAIN), schema("visits", PLAIN)
BY_ID = {"forced_replication_method": "INCREMENTAL", "valid_replication_keys": ["id"]}


def keep(tap: Script) -> dict[str, Any]:
    return {"keep": str(tap.folder / "kept.json")}


def marked(catalog: dict[str, Any], name: str) -> dict[tuple[str, ...], dict[str, Any]]:
    (found,) = [s for s in catalog["streams"] if s["tap_stream_id"] == name]
    return {tuple(m["breadcrumb"]): m["metadata"] for m in found["metadata"]}


def test_streams_and_columns_are_selected(tap: Script) -> None:
    tap.streams = [entry("users", PLAIN | {"age": ID, "odd": {"inclusion": "unsupported"}}), entry("visits", PLAIN)]
    tap.streams[0]["metadata"].append({"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "automatic"}})
    source = tap.source([keep(tap), schema("users", PLAIN | {"age": ID}), record("users", id=1, name="a", age=2)])
    users = next(s for s in source.discover() if s.name == "users")
    batches = list(source.read(Split(key="tap", streams=(Selection(stream=users, columns=("age",)),))))
    rows = pa.concat_tables([pa.Table.from_batches([b.data]) for b in batches if hasattr(b, "data")])
    assert rows.to_pylist() == [{"age": 2}]
    source.close()
    catalog = tap.kept()["--catalog"]
    users_, visits = marked(catalog, "users"), marked(catalog, "visits")
    assert users_[()]["selected"] is True
    assert visits[()]["selected"] is False
    on = {c[1]: m["selected"] for c, m in users_.items() if len(c) == 2}
    assert on == {"id": True, "name": False, "age": True, "odd": False}
    assert catalog["streams"][0]["schema"]["selected"] is True
    assert tap.kept()["--properties"] == catalog  # its help speaks of both
    assert users_[()]["replication-method"] == "FULL_TABLE"


def test_the_users_cursor_is_the_replication_key(tap: Script) -> None:
    tap.streams = [entry("users", PLAIN | {"at": WHEN})]
    tap.sync(keep(tap), schema("users", PLAIN | {"at": WHEN}), record("users", id=1, at="2024-01-01T00:00:00Z"),
             wish=Wish(cursor="at"))  # fmt: skip
    found = marked(tap.kept()["--catalog"], "users")[()]
    assert (found["replication-method"], found["replication-key"]) == ("INCREMENTAL", "at")


def test_a_forced_method_stays(tap: Script) -> None:
    tap.streams = [entry("users", PLAIN, **BY_ID)]
    tap.sync(keep(tap), USERS, *records("users", 2), state(users={"id": 1}))
    assert marked(tap.kept()["--catalog"], "users")[()]["forced-replication-method"] == "INCREMENTAL"
    (stream,) = tap.source().discover()
    assert stream.cursor == "id"


def test_names_of_tables_are_those_of_the_database(tap: Script) -> None:
    tables = [("public-people", "public", "people"), ("sales-people", "sales", "people"), ("plain", "public", "other")]
    tap.streams = [entry(id, PLAIN, schema_name=schema) | {"table_name": table} for id, schema, table in tables]
    assert [s.path for s in tap.source().discover()] == ["people", "sales.people", "plain"]


def test_state_goes_on_and_a_replaced_stream_has_none(tap: Script) -> None:
    tap.streams = [entry("users", PLAIN, **BY_ID), entry("visits", PLAIN)]
    for count in (2, 4):
        tap.sync(
            keep(tap), USERS, VISITS, *records("users", count), *records("visits", count),
            state(users={"id": count - 1}, visits={"last": 3}),
        )  # fmt: skip
    assert tap.kept()["--state"] == {"bookmarks": {"users": {"id": 1}}}
    assert tap.ids() == tap.ids("visits") == [0, 1, 2, 3]


def test_numbers_in_a_state_keep_every_digit(tap: Script) -> None:
    tap.streams = [entry("users", PLAIN, **BY_ID)]
    tap.sync(
        USERS, *records("users", 2), {"text": '{"type": "STATE", "value": {"at": 12345678901234567.89, "b": 1.0}}\n'}
    )
    tap.sync({"err": "x"}, {"keep": str(tap.folder / "kept.json")}, {"exit": 1}, code=3)
    config = json.loads((tap.folder / "kept.json").read_text())
    assert config["--state-text"] == '{"at": 12345678901234567.89, "b": 1.0}'


def test_other_streams_later_and_one_anew(tap: Script) -> None:
    tap.streams = [entry("users", PLAIN, key=[], **BY_ID), entry("visits", PLAIN, **BY_ID)]
    tap.streams[0]["key_properties"] = []
    tap.sync(USERS, VISITS, *records("users", 3), *records("visits", 3), state(users={"id": 2}, visits={"id": 2}))
    only = {"only": ("visits",)}
    tap.sync(keep(tap), VISITS, *records("visits", 2, first=2), state(users={"id": 2}, visits={"id": 3}), wishes=only)
    assert tap.kept()["--state"]["bookmarks"] == {"users": {"id": 2}, "visits": {"id": 2}}
    steps = [VISITS, *records("visits", 3, first=5), state(users={"id": 2}, visits={"id": 7})]
    tap.sync(keep(tap), *steps, wishes=only | {"full_refresh": True})
    assert tap.kept()["--state"]["bookmarks"] == {"users": {"id": 2}}
    assert tap.ids("visits") == [5, 6, 7]
    again = [*records("users", 2, first=2), *records("visits", 1, first=7)]
    tap.sync(keep(tap), USERS, VISITS, *again, state(users={"id": 3}, visits={"id": 7}))
    assert tap.ids() == [
        0,
        1,
        2,
        3,
    ]  # appended to: the row at the boundary is known, after all that happened to the other
    assert tap.ids("visits") == [5, 6, 7]


def test_a_table_that_is_gone_is_read_anew_and_the_others_go_on(tap: Script) -> None:
    tap.streams = [entry("users", PLAIN, **BY_ID), entry("visits", PLAIN, **BY_ID)]
    tap.sync(USERS, VISITS, *records("users", 3), *records("visits", 3), state(users={"id": 2}, visits={"id": 2}))
    tap.store.drop("script", "visits")
    tap.sync(keep(tap), USERS, VISITS, *records("visits", 4), state(users={"id": 2}, visits={"id": 3}))
    assert tap.kept()["--state"]["bookmarks"] == {"users": {"id": 2}}
    assert (tap.ids(), tap.ids("visits")) == ([0, 1, 2], [0, 1, 2, 3])


def test_a_failed_tap_keeps_what_its_last_state_covers(tap: Script) -> None:
    tap.streams = [entry("users", PLAIN, **BY_ID)]
    outcome = tap.sync(
        USERS, *records("users", 3), state(users={"id": 2}), {"err": "ERROR it went wrong\nbye\n"}, {"exit": 4}, code=3
    )
    assert "ended with exit 4: ERROR it went wrong" in tap.said(outcome)
    assert tap.ids() == [0, 1, 2]
    tap.sync(keep(tap), USERS, *records("users", 3, first=2), state(users={"id": 4}))
    assert tap.kept()["--state"] == {"bookmarks": {"users": {"id": 2}}}
    assert tap.ids() == [0, 1, 2, 3, 4]


def test_rows_that_are_only_added_come_once(tap: Script) -> None:
    tap.streams = [entry("users", PLAIN, **BY_ID)]
    tap.streams[0]["key_properties"] = []
    steps = [USERS, *records("users", 3), state(users={"id": 2}), *records("users", 1, first=3)]
    tap.sync(*steps, {"exit": 1}, code=3, wish=Wish(mode="append", cursor="id"))
    tap.sync(*steps, state(users={"id": 3}), wish=Wish(mode="append", cursor="id"))
    assert tap.ids() == [0, 1, 2, 3]


def test_a_preview_ends_the_tap(tap: Script) -> None:
    source = tap.source([USERS, *records("users", 50), {"sleep": 60}])
    (stream,) = source.discover()
    selection = Selection(stream=stream, limit=3)
    rows = [i.data for i in source.read(Split(key="tap", streams=(selection,))) if hasattr(i, "data")]
    assert sum(batch.num_rows for batch in rows) == 3
    source.close()


@pytest.mark.parametrize("option", ["start", "end", "lookback"])
def test_what_only_the_tap_could_do_is_refused(tap: Script, option: str) -> None:
    source = tap.source()
    (stream,) = source.discover()
    selection = Selection(stream=stream, cursor="id", mode="merge", **{option: 5 if option == "lookback" else "5"})
    with pytest.raises(UsageError, match=option):
        list(source.plan([selection], {}))
    source.close()


def test_no_secret_is_left_or_seen(tap: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/evil")
    monkeypatch.setenv("SOME_TOKEN", "S3CR3T-other")
    secret = "S3CR3T-4711"
    steps = [keep(tap), USERS, *records("users", 1), {"err": f"ERROR bad password {secret}\n"}, {"exit": 1}]
    outcome = tap.sync(*steps, code=3, config={"password": secret, "env": {"TAP_EXTRA": "yes"}})
    assert "bad password ***" in tap.said(outcome)
    kept = tap.kept()
    assert kept["--config"]["password"] == secret
    assert kept["env"]["TAP_EXTRA"] == "yes"
    assert not {"PYTHONPATH", "SOME_TOKEN"} & kept["env"].keys()
    assert set(kept["modes"]) == {"0o600"}
    (base,) = tap.folder.glob("wherry-singer-*")
    assert stat.S_IMODE(base.stat().st_mode) == 0o700
    assert not list(base.glob("run-*"))


def test_what_a_killed_run_left_is_removed_by_the_next(tap: Script) -> None:
    used, left = Folder(), Folder()
    (left.path / "config.json").write_text("secret")
    os.close(left._lock)  # as its process's end does it
    Folder().remove()
    assert used.path.exists()
    assert not left.path.exists()
    used.remove()


@pytest.mark.parametrize(
    ("steps", "told"),
    [("[]", "no catalog"), ('{"streams": 5}', "no catalog")],
)
def test_what_is_no_catalog(tap: Script, steps: str, told: str) -> None:
    tap.streams = json.loads(steps) if steps == "[]" else json.loads(steps)["streams"]
    source = tap.source()
    source.config.config["catalog"] = json.loads(steps)
    with pytest.raises(SourceError, match=told):
        source.discover()
    source.close()


def test_a_catalog_of_ones_own(tap: Script) -> None:
    path = tap.folder / "mine.json"
    path.write_text(json.dumps({"streams": [entry("mine", PLAIN)]}))
    assert [s.name for s in tap.source(catalog=str(path)).discover()] == ["mine"]
    with pytest.raises(UsageError, match="cannot be read"):
        tap.source(catalog=str(tap.folder / "none.json")).discover()


def test_errors_of_a_tap_are_logged_within_reason(tap: Script, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "wherry.source")
    tap.sync({"err": "\x1b[31mERROR\x1b[0m red\n"}, {"flood": 20_000}, {"text": "hello\n"}, USERS, *records("users", 1))
    told = [r.getMessage() for r in caplog.records]
    assert "tap-script (error): ERROR red" in told
    assert "tap-script: wrote on standard output: hello" in told or any("not kept" in line for line in told)
    assert len(told) < 1000
    assert any("more lines, not kept" in line for line in told)


def test_a_tap_of_this_environment(tap: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    from wherry_source_singer import tap_source

    (tap.folder / "tap_mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tap.folder)
    found = tap_source("tap_mine:TapMine")
    assert found.__doc__ == "Mine."
    assert sorted(found.Config.model_fields.keys() - set(SHARED)) == ["api_key", "count", "region"]
    config = found.Config.model_validate({"api_key": "S3CR3T", "count": 3, "env": {"PYTHONPATH": str(tap.folder)}})
    assert "S3CR3T" not in repr(config)
    source = found(config)
    source.run = Run()
    (stream,) = source.discover()
    assert source.identity()[0] == "mine"
    items = list(source.read(Split(key="tap", streams=(Selection(stream=stream),))))
    rows = [row for item in items if hasattr(item, "data") for row in item.data.to_pylist()]
    assert rows == [{"n": n, "key": "S3CR3T"} for n in range(3)]
    source.close()


SHARED = ("tap", "package", "python", "executable", "catalog", "config", "env")
MINE = '''
import json
import sys


class TapMine:
    """Mine."""

    name = "tap-mine"
    config_jsonschema = {
        "type": "object", "required": ["api_key"], "properties": {
            "api_key": {"type": "string", "secret": True, "description": "key"}, "count": {"type": ["integer", "null"]},
            "region": {"type": "string", "enum": ["eu", "us"], "default": "eu"},
        },
    }

    @classmethod
    def cli(cls):
        if "--about" in sys.argv:
            print(json.dumps({"settings": cls.config_jsonschema}))
            return
        config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
        schema = {"properties": {"n": {"type": "integer"}, "key": {"type": "string"}}}
        if "--discover" in sys.argv:
            print(json.dumps({"streams": [{"tap_stream_id": "s", "schema": schema}]}))
            return
        print(json.dumps({"type": "SCHEMA", "stream": "s", "schema": schema, "key_properties": []}))
        for n in range(config["count"]):
            print(json.dumps({"type": "RECORD", "stream": "s", "record": {"n": n, "key": config["api_key"]}}))
'''
