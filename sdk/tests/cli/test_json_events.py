"""What `--json` prints fits the published schema, and the schema fits the hooks."""

import inspect
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator
from wherry import hookspecs
from wherry.cli import json_events
from wherry.cli.json_events import JsonWriter
from wherry.config.redact import Redactor
from wherry.errors import DataError, StreamError, TransientError, UsageError
from wherry.host.hooks import observer
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.lanes import Patience
from wherry.pipeline.outcome import NUMBERS
from wherry.pipeline.rejects import MaxRejects
from wherry.testing import Faults, MemoryDestination, MemorySource, MemoryStream, Store, run_sync

SCHEMA = json.loads(Path(json_events.__file__).with_name("events.schema.json").read_text(encoding="utf-8"))
HOOKS = {name: function for name, function in vars(hookspecs).items() if hasattr(function, "wherry_spec")}
ORDERS = MemoryStream(
    name="orders", tables=(pa.table({"id": [1, 2, 3], "at": [1, 2, 2]}),), key=("id",), cursor="at", ordered=True,
    batch=1, namespace="shop",
)  # fmt: skip


def written(*streams, store=None, faults=None, redactor=None, **settings):
    out = io.StringIO()
    run_sync(
        lambda: MemorySource.of(*streams, faults=faults or Faults()),
        MemoryDestination.of(store or Store()),
        observers=(observer(JsonWriter(out, redactor), "json", builtin=True),),
        patience=Patience(attempts=3, seconds=5, longest_wait=0.01),
        **settings,
    )
    return events(out)


def events(out):
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    validator = Draft202012Validator(SCHEMA)
    for event in found:
        validator.validate(event)
        Draft202012Validator(SCHEMA | {"oneOf": [{"$ref": f"#/$defs/{event['event']}"}]}).validate(event)
    return found


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


def test_every_hook_has_an_entry_with_exactly_its_arguments():
    entries = {ref["$ref"].rpartition("/")[2] for ref in SCHEMA["oneOf"]}
    assert entries == HOOKS.keys() | {"error"}
    for name, function in HOOKS.items():
        entry = SCHEMA["$defs"][name]
        assert set(entry["properties"]) == {"event", "time", *inspect.signature(function).parameters}, name
        assert entry["properties"]["event"]["const"] == name


def test_the_writer_takes_every_hook_whole():
    seen = observer(JsonWriter(io.StringIO()), "json")
    assert seen.hooks.keys() == HOOKS.keys()
    for name, function in HOOKS.items():
        assert inspect.signature(getattr(JsonWriter, name)).parameters.keys() - {"self"} == set(
            inspect.signature(function).parameters
        )


def test_everything_in_the_schema_is_closed_required_and_described():
    for name, entry in SCHEMA["$defs"].items():
        assert entry["description"], name
        if "properties" in entry:
            assert entry["additionalProperties"] is False, name
            described = [p for p, v in entry["properties"].items() if "description" not in v and "$ref" not in v]
            assert described == [], name
        if name in HOOKS or name == "error":
            assert set(entry["required"]) == set(entry["properties"]), name
    assert set(SCHEMA["$defs"]["counts"]["required"]) == set(NUMBERS)


def test_a_run_from_start_to_end():
    found = written(ORDERS, commit_every=CommitEvery(rows=2))
    assert [e["event"] for e in found] == [
        "run_started", "batch_loaded", "batch_loaded", "load_committed", "batch_loaded", "load_committed",
        "stream_finished", "run_finished",
    ]  # fmt: skip
    started, finished = found[0], found[-1]
    assert started["streams"] == [
        {"stream": "shop.orders", "schema": "memory__shop", "table": "orders", "mode": "merge", "key": ["id"],
         "cursor": "at", "row_estimate": 3, "notes": []}
    ]  # fmt: skip
    assert (started["run"], started["schema"], started["pipeline"]) == (1, "memory", "memory-memory")
    assert [e["bookmark"] for e in found if e["event"] == "load_committed"] == [{"cursor": "2"}, {"cursor": "2"}]
    assert (finished["outcome"], finished["exit_code"], finished["totals"]["staged"]) == ("ok", 0, 3)


def test_only_changes_are_estimated_to_be_unknown():
    store = Store()
    written(ORDERS, store=store)
    assert written(ORDERS, store=store)[0]["streams"][0]["row_estimate"] is None


def test_retry_abort_and_failure():
    faults = Faults().arm("read", TransientError("the line went dead"), at=3).arm("read", StreamError("gone"), at=5)
    found = written(replace(ORDERS, ordered=False), faults=faults)  # no bookmark before its end
    words = [e["event"] for e in found]
    assert words.count("load_aborted") == 2
    assert next(e for e in found if e["event"] == "load_aborted")["rows"] == 2
    assert next(e for e in found if e["event"] == "message")["text"].startswith("the line went dead; trying again in ")
    end = next(e for e in found if e["event"] == "stream_finished")
    assert (end["outcome"], end["error"]) == ("failed", {"type": "StreamError", "message": "gone"})
    assert (found[-1]["outcome"], found[-1]["exit_code"]) == ("failed", 3)


def test_rejects_and_new_columns():
    changed = pa.table({"id": [4], "at": [5], "note": ["x"]})
    bad = MemoryStream(name="bad", tables=(pa.table({"id": [1], "n": ["x"]}),))
    found = written(
        MemoryStream(name="orders", tables=(*ORDERS.tables, changed)), bad, max_rejects=MaxRejects(rows=9),
        wishes=wishes(bad={"n": "int"}),
    )  # fmt: skip
    assert next(e for e in found if e["event"] == "schema_changed")["added"] == {"note": "text"}
    rejected = next(e for e in found if e["event"] == "rows_rejected")
    assert (rejected["stream"], rejected["rows"], rejected["column"]) == ("bad", 1, "n")


def wishes(**types):
    from wherry.pipeline.select import Wish, Wishes

    return Wishes(special={name: Wish(types=wanted) for name, wanted in types.items()})


def test_a_run_that_never_got_anywhere():
    out = io.StringIO()
    writer = JsonWriter(out, clock=lambda: datetime(2026, 11, 20, 6, 0, 0, 123456, tzinfo=UTC))
    faults = Faults().arm("discover", UsageError("no such file", key="path", next="name another"))
    with pytest.raises(UsageError) as raised:
        run_sync(
            lambda: MemorySource.of(ORDERS, faults=faults),
            MemoryDestination.of(Store()),
            observers=(observer(writer, "json", builtin=True),),
        )
    writer.error(raised.value)
    assert events(out)[-1] == {
        "event": "error", "time": "2026-11-20T06:00:00.123456Z", "code": 2, "type": "UsageError",
        "message": "no such file", "where": None, "next": "name another",
    }  # fmt: skip
    assert [e["event"] for e in events(out)] == ["run_finished", "error"]


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (None, ["--stream", "nobody"], ["run_finished", "error"]),
        ("nothing:x", [], ["error"]),
        (None, ["--mode", "nonsense"], []),
    ],
    ids=["no-plan", "unknown-name", "wrong-option"],
)
def test_mistakes_end_as_the_page_says(shop, source, options, words):
    done = shop.run("sync", source or shop.ends[0], shop.ends[1], *options, "--json")
    assert done.code == 2
    assert [json.loads(line)["event"] for line in done.out.splitlines()] == words
    assert words or "nonsense" in done.err


def test_secrets_are_masked_and_odd_values_are_still_json():
    out, redactor = io.StringIO(), Redactor()
    redactor.add("hunter2hunter2")
    writer = JsonWriter(out, redactor)
    writer.load_committed("a\nb", 7, dict.fromkeys(NUMBERS, 0), {"at": float("nan"), "k": ("hunter2hunter2", 1)})
    writer.error(DataError("cannot keep hunter2hunter2 \ud800"), code=5)
    first, last = events(out)
    assert first["bookmark"] == {"at": "nan", "k": ["***", 1]}
    assert (first["stream"], last["message"], last["code"]) == ("a\nb", "cannot keep *** \ud800", 5)
    assert out.getvalue().isascii()
    assert out.getvalue().count("\n") == 2


def test_a_reader_that_went_away_does_not_end_the_run():
    told = []

    class Closed(io.StringIO):
        def write(self, text):
            told.append(text)
            raise BrokenPipeError

    outcome = run_sync(
        lambda: MemorySource.of(ORDERS),
        MemoryDestination.of(Store()),
        observers=(observer(JsonWriter(Closed()), "json", builtin=True),),
    )
    assert outcome.exit_code == 0
    assert outcome.totals()["inserted"] == 3
    assert len(told) == 1, "after the first refusal nothing more is written"
