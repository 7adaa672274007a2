"""Streams that are asked for only if they changed: what is sent, what is kept, and what is never taken for empty."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from typing import Any

import pytest
from wherry import Progress, RestSource, Selection, TransientError, UsageError
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.patience import Patience
from wherry.pipeline.select import Wish, Wishes
from wherry.rest.manifest import build_manifest, parse_manifest
from wherry.testing import Faults, MemoryDestination, run_sync
from wherry_web import Asked, Said, said

from .conftest import NOW, Shore

SOON = Patience(attempts=4, seconds=5, longest_wait=0.01)
ONE = {"items": {"conditional": True, "paginate": {"type": "none"}, "primary_key": "id"}}
DAY = 86_400


def at(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


@dataclass
class Versions:
    """An answer that is known by its headers, and not given again to whoever knows it. asks: what it goes by."""

    rows: Any
    headers: dict[str, str]
    asks: str = "if-none-match"
    knows: list[str] = field(default_factory=lambda: ["etag"])

    def __call__(self, asked: Asked) -> Said:
        told = {"Date": at(NOW)} | self.headers
        mine = {name.lower(): value for name, value in told.items()}
        known = asked.headers.get(self.asks)
        if known is not None and known in [mine.get(name) for name in self.knows]:
            return said(status=304, headers=told)
        return said(self.rows, headers=told)


def conditions(shore: Shore, route: str = "/items") -> list[str | None]:
    """What each request of a route was asked on."""
    names = ("if-none-match", "if-modified-since")
    return [next((a.headers[n] for n in names if n in a.headers), None) for a in shore.web.to(route)]


def kept(shore: Shore) -> list[Any]:
    """The source's own bookmarks."""
    rows = [row.bookmark for (_, _, split), row in shore.store.now.state.items() if not split]
    return [envelope["source"] for envelope in rows if envelope is not None]


def untouched(shore: Shore) -> dict[str, Any]:
    """All that is kept, but for the runs themselves."""
    now = shore.store.now.copy()
    found = {name: getattr(now, name) for name in ("tables", "rebuilds", "plans", "published", "loads")}
    return found | {"state": {key: (row.seq, row.bookmark) for key, row in now.state.items()}}


@pytest.mark.parametrize("mode", ["replace", "merge", "append", "history"])
@pytest.mark.parametrize("tag", ['"v1"', 'W/"v1"', "v1"])
def test_what_did_not_change_is_neither_sent_nor_written(shore: Shore, tag: str, mode: Any) -> None:
    shore.routes["/items"] = Versions([{"id": 1}, {"id": 2}], {"ETag": tag, "Last-Modified": at(NOW - DAY)})
    shore.sync(ONE, run_wish=Wish(mode=mode))
    before = untouched(shore)
    for _ in range(2):
        (outcome,) = shore.sync(ONE).streams
        assert (outcome.outcome, outcome.counts["read"]) == ("unchanged", 0)
    assert conditions(shore) == [None, tag, tag]
    assert untouched(shore) == before
    assert shore.ids("items") == [1, 2]


@pytest.mark.parametrize(("mode", "ids"), [("replace", [2, 3]), ("merge", [1, 2, 3]), ("append", [1, 2, 2, 3])])
def test_what_changed_is_read_with_the_one_request(shore: Shore, mode: Any, ids: list[int]) -> None:
    shore.routes["/items"] = Versions([{"id": 1}, {"id": 2}], {"ETag": '"v1"'})
    shore.sync(ONE, run_wish=Wish(mode=mode))
    shore.routes["/items"] = Versions([{"id": 2}, {"id": 3}], {"ETag": '"v2"'})
    assert [s.outcome for s in shore.sync(ONE).streams] == ["committed"]
    assert shore.ids("items") == ids
    assert [s.outcome for s in shore.sync(ONE).streams] == ["unchanged"]
    assert conditions(shore) == [None, '"v1"', '"v2"']


def test_an_empty_list_is_an_answer_as_others_are(shore: Shore) -> None:
    shore.routes["/items"] = Versions([{"id": 1}], {"ETag": '"v1"'})
    shore.sync(ONE)
    shore.routes["/items"] = Versions([], {"ETag": '"v2"'})
    assert [shore.sync(ONE).streams[0].outcome for _ in range(2)] == ["committed", "unchanged"]
    assert shore.ids("items") == []


def test_a_time_of_change_does_where_there_is_no_tag(shore: Shore) -> None:
    changed = at(NOW - 1)
    shore.routes["/items"] = Versions([{"id": 1}], {"Last-Modified": changed}, "if-modified-since", ["last-modified"])
    assert [shore.sync(ONE).streams[0].outcome for _ in range(2)] == ["committed", "unchanged"]
    assert conditions(shore) == [None, changed]


@pytest.mark.parametrize(
    "headers",
    [
        {"Last-Modified": at(NOW)},  # there may be another change in this second
        {"Last-Modified": at(NOW - DAY), "Date": "lately"},
        {"Last-Modified": "lately"},
        {"ETag": "*"},
        {"ETag": '"a", "b"'},
        {"ETag": ""},
    ],
)
def test_what_cannot_be_relied_on_is_not_kept(shore: Shore, headers: dict[str, str]) -> None:
    shore.routes["/items"] = Versions([{"id": 1}], headers)
    assert [shore.sync(ONE).streams[0].outcome for _ in range(2)] == ["committed", "committed"]
    assert conditions(shore) == [None, None]


def test_a_tag_that_went_away_is_forgotten(shore: Shore) -> None:
    for number, headers in enumerate([{"ETag": '"v1"'}, {}, {"ETag": '"v1"'}]):
        shore.routes["/items"] = Versions([{"id": number}], headers, asks="nothing")
        shore.sync(ONE)
        assert shore.ids("items") == [number]
    assert conditions(shore) == [None, '"v1"', None]


@pytest.mark.parametrize("rule", [[], [{"status": 304, "do": "skip"}], [{"status": 304, "do": "stop"}]])
def test_not_modified_never_becomes_an_empty_table(shore: Shore, rule: list[Any]) -> None:
    """Nor where an author's rule would make that of it."""
    streams = {"items": {**ONE["items"], "on_response": rule}}
    shore.routes["/items"] = Versions([{"id": 1}], {"ETag": '"v1"'})
    shore.sync(streams)
    assert shore.sync(streams).streams[0].outcome == "unchanged"
    assert shore.ids("items") == [1]


@pytest.mark.parametrize("conditional", [True, False])
def test_not_modified_that_was_not_asked_for_is_an_error(shore: Shore, conditional: bool) -> None:
    streams = {"items": {**ONE["items"], "conditional": conditional}}
    shore.routes["/items"] = Versions([{"id": 1}], {})
    shore.sync(streams)
    shore.routes["/items"] = said(status=304)
    outcome = shore.sync(streams)
    assert (outcome.exit_code, outcome.streams[0].outcome) == (3, "failed")
    assert shore.ids("items") == [1]


def test_a_stream_without_the_word_is_asked_for_as_ever(shore: Shore) -> None:
    shore.routes["/items"] = Versions([{"id": 1}], {"ETag": '"v1"'})
    for _ in range(2):
        assert shore.sync({"items": {"primary_key": "id"}}).streams[0].outcome == "committed"
    assert (conditions(shore), kept(shore)) == ([None, None], [None])


SIZED = {"items": {"conditional": True, "paginate": {"type": "page", "size": 2, "size_param": "n"}}}


def test_of_several_pages_none_speaks_for_the_others(shore: Shore) -> None:
    """The first page may stay as it is while others come, go and change."""
    rows = [{"id": 1}]

    def answer(asked: Asked) -> Said:
        first = (int(asked.query["page"]) - 1) * 2
        return Versions(rows[first : first + 2], {"ETag": f'"{rows[first : first + 2]}"'.replace(" ", "")})(asked)

    shore.routes["/items"] = answer
    for count in (1, 1, 2, 2, 3, 3, 1, 1):
        rows[:] = [{"id": number + 1} for number in range(count)]
        shore.sync(SIZED)
        assert shore.ids("items") == [row["id"] for row in rows]
    one = "\"[{'id':1}]\""
    firsts = [
        condition for a, condition in zip(shore.web.log, conditions(shore), strict=True) if a.query["page"] == "1"
    ]
    assert firsts == [None, one, one, None, None, None, None, one]
    assert [a.path for a in shore.web.log if a.query["page"] != "1" and "if-none-match" in a.headers] == []


@pytest.mark.parametrize("do", ["skip", "stop"])
def test_a_second_page_without_rows_is_one_too(shore: Shore, do: str) -> None:
    rule = [{"status": 404, "do": do}]
    first = Versions([{"id": 1}, {"id": 2}], {"ETag": '"v1"'})
    shore.routes["/items"] = lambda asked: first(asked) if asked.query["page"] == "1" else said(status=404)
    for _ in range(2):
        shore.sync({"items": {**SIZED["items"], "on_response": rule}})
    assert conditions(shore) == [None, None, None, None]


def test_an_answer_that_a_rule_leaves_out_is_not_one_to_keep(shore: Shore) -> None:
    streams = {"items": {**ONE["items"], "on_response": [{"status": 200, "contains": "later", "do": "skip"}]}}
    shore.routes["/items"] = Versions({"wait": "later"}, {"ETag": '"v1"'})
    for _ in range(2):
        shore.sync(streams)
    assert conditions(shore) == [None, None]


def test_a_sample_sends_no_condition_and_keeps_none(shore: Shore) -> None:
    shore.routes["/items"] = Versions([{"id": 1}, {"id": 2}], {"ETag": '"v1"'})
    sample = Wishes(limit=1)
    shore.sync(ONE, run_wishes=sample)
    assert kept(shore) == []
    shore.sync(ONE)
    before = kept(shore)
    shore.sync(ONE, run_wishes=sample)
    assert kept(shore) == before
    assert shore.sync(ONE).streams[0].outcome == "unchanged"
    assert conditions(shore) == [None, None, None, '"v1"']


def test_a_read_of_a_few_rows_says_nothing_of_the_others(shore: Shore) -> None:
    shore.routes["/items"] = Versions([{"id": 1}, {"id": 2}], {"ETag": '"v1"'})
    shore.sync(ONE)
    source = shore.source(ONE)
    (stream,) = source.discover()
    for limit, asked in (None, '"v1"'), (5, None):
        selection = Selection(stream=stream, limit=limit)
        (plan,) = source.plan([selection], {"items": Progress(bookmark=kept(shore)[0])})
        items = list(source.read(plan.splits[0]))
        assert conditions(shore)[-1] == asked
        assert [getattr(item, "unchanged", None) for item in items] == [None if limit else True]
    source.close()


@pytest.mark.parametrize(
    ("streams", "settings"),
    [
        (ONE, {"run_full_refresh": True}),
        (ONE, {"run_wish": Wish(columns=("id",))}),
        (ONE, {"run_wish": Wish(types={"id": "text"})}),
        (ONE, {"run_wish": Wish(mode="merge")}),
        ({"items": {**ONE["items"], "flatten": True}}, {}),
        ({"items": {**ONE["items"], "params": {"state": "all"}}}, {}),
        (ONE, {"headers": {"Accept-Language": "fi"}}),
    ],
)
def test_whatever_makes_another_table_of_it_has_it_read_anew(shore: Shore, streams: Any, settings: Any) -> None:
    shore.routes["/items"] = Versions([{"id": 1, "who": {"name": "Ana"}}], {"ETag": '"v1"'})
    shore.sync(ONE)
    for outcome in ("committed", "unchanged"):
        again = {
            name: value for name, value in settings.items() if name != "run_full_refresh" or outcome == "committed"
        }
        assert shore.sync(streams, **again).streams[0].outcome == outcome
    assert conditions(shore) == [None, None, '"v1"']


def test_a_table_that_is_gone_is_made_again(shore: Shore) -> None:
    shore.routes["/items"] = Versions([{"id": 1}], {"ETag": '"v1"'})
    shore.sync(ONE)
    shore.store.drop("acme", "items")
    assert shore.sync(ONE).streams[0].outcome == "committed"
    assert (shore.ids("items"), conditions(shore)) == ([1], [None, None])


def test_other_words_of_the_configuration_make_another_table_and_another_secret_does_not(shore: Shore) -> None:
    """A token that was renewed has nothing read anew; and what is kept tells nothing of it."""
    words = {"name": "acme", "base_url": shore.web.url, "auth": {"type": "bearer", "token": "{config.token}"}}
    fields = {"token": {"type": "secret"}, "region": {"default": "eu"}}
    made = RestSource.of(build_manifest({**words, "config": fields, "streams": ONE}))
    shore.routes["/items"] = Versions([{"id": 1}], {"ETag": '"v1"'})
    marks = []
    for values in {"token": "a"}, {"token": "b"}, {"token": "b", "region": "us"}:
        config = made.Config.model_validate(values)
        run_sync(partial(made, config), MemoryDestination.of(shore.store), connector="rest")
        marks += kept(shore)
    assert conditions(shore) == [None, '"v1"', None]
    assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize("mode", ["replace", "merge", "append", "history"])
@pytest.mark.parametrize("point", ["before commit", "after commit", "before publish", "after publish"])
def test_an_answer_that_turns_back_in_mid_run_leaves_the_right_table(shore: Shore, point: str, mode: Any) -> None:
    """A commit fails, or its answer is lost; asked again, the API says what it said before the run."""
    old, new = Versions([{"id": 1}], {"ETag": '"old"'}), Versions([{"id": 2}], {"ETag": '"new"'})
    shore.routes["/items"] = old
    shore.sync(ONE, run_wish=Wish(mode=mode))
    answers = [new, old, old, old]
    shore.routes["/items"] = lambda asked: answers.pop(0)(asked)
    faults = Faults().arm(point, TransientError("gone"))
    destination = MemoryDestination.of(shore.store, faults=faults)
    found = run_sync(lambda: shore.source(ONE), destination, connector="rest", patience=SOON)
    assert found.exit_code == 0
    read = point != "before commit"  # else nothing of the new answer came into the table
    assert found.streams[0].outcome == ("committed" if read else "unchanged")
    both = {"merge": [1, 2], "append": [1, 2], "history": [1, 2]}.get(mode, [2])
    assert shore.ids("items") == (both if read else [1])
    shore.sync(ONE)
    assert set(shore.ids("items")) >= {1}
    assert 2 not in shore.ids("items") or mode != "replace"
    assert conditions(shore)[1] == '"old"'


@pytest.mark.parametrize("mode", ["replace", "merge", "append", "history"])
def test_rows_that_were_committed_before_a_failure_are_not_asked_for_again(shore: Shore, mode: Any) -> None:
    """Nor taken for the table that the condition is about: the run after this one is told by its own tag."""
    shore.routes["/items"] = Versions([{"id": 1}], {"ETag": '"old"'})
    shore.sync(ONE, run_wish=Wish(mode=mode))
    shore.routes["/items"] = Versions([{"id": 2}, {"id": 3}], {"ETag": '"new"'})
    faults = Faults().arm("before commit", TransientError("gone"), at=1 if mode == "history" else 2)
    destination = MemoryDestination.of(shore.store, faults=faults)
    often: dict[str, Any] = {"patience": SOON, "commit_every": CommitEvery(rows=1)}
    found = run_sync(lambda: shore.source(ONE), destination, connector="rest", **often)
    assert (found.exit_code, found.streams[0].outcome) == (0, "committed")
    assert shore.ids("items") == ([2, 3] if mode == "replace" else [1, 2, 3])
    assert shore.sync(ONE).streams[0].outcome == "unchanged"
    again = ['"old"'] if mode == "history" else []  # which is committed whole
    assert conditions(shore) == [None, '"old"', *again, '"new"']


def test_what_was_kept_while_the_word_was_there_is_gone_with_it(shore: Shore) -> None:
    """The API may turn back to it, when the word is there again; rows that were merged meanwhile do not."""
    plain = {"items": {**ONE["items"], "conditional": False}}
    old, new = Versions([{"id": 1, "v": 1}], {"ETag": '"old"'}), Versions([{"id": 1, "v": 2}], {"ETag": '"new"'})
    for streams, answer, value in (ONE, old, 1), (plain, new, 2), (ONE, old, 1):
        shore.routes["/items"] = answer
        shore.sync(streams, run_wish=Wish(mode="merge"))
        assert shore.rows("items", "v") == [{"v": value}]
    assert conditions(shore) == [None, None, None]


MANIFEST = """\
version: 1
name: acme
base_url: https://x
streams:
  repos: {primary_key: id}
  items:
    paginate: {type: none}
    conditional: true
"""


@pytest.mark.parametrize(
    ("was", "now", "message", "step"),
    [
        ("conditional: true", "conditional: true\n    parent: repos", "line 8: conditional .*items: it has parent", ""),
        ("conditional: true", "conditional: true\n    for_each: [a]", "line 8: .* it has for_each", ""),
        ("conditional: true", "conditional: true\n    incremental: {cursor: at}", "line 8: .* it has incremental", ""),
        ("conditional: true", "conditional: true\n    method: POST", "line 8: .* method POST takes no condition", ""),
        ("    paginate: {type: none}\n", "", "line 7: .* nothing says that there are no further pages", "{type: none}"),
        ("{type: none}", "{type: link_header}", "line 8: .* headers tell of a next page", "{type: none}"),
        ("{type: none}", "{type: next_url, header: X-Next}", "line 8: .* headers tell of a next page", "{type: none}"),
        ("{type: none}", "{type: cursor, param: c, header: X-C}", "line 8: .* headers tell of a next page", "{type"),
        ("conditional: true", "headers: {if-none-match: x}", "line 8: headers cannot hold if-n", "conditional:"),
        ("streams:", "headers: {If-Modified-Since: x}\nstreams:", "line 4: headers cannot hold If-M", "conditional"),
        ("conditional: true", "conditional: maybe", "line 8: conditional should be a valid boolean", ""),
    ],
)  # fmt: skip
def test_where_not_modified_would_not_mean_that_the_table_is_right_it_is_refused(
    was: str, now: str, message: str, step: str
) -> None:
    assert parse_manifest(MANIFEST, "acme.yaml").streams[1].conditional
    with pytest.raises(UsageError, match=f"acme.yaml, {message}") as caught:
        parse_manifest(MANIFEST.replace(was, now), "acme.yaml")
    assert step in str(caught.value.next)


@pytest.mark.parametrize(
    "paginate",
    [
        "{type: next_url, path: next}", "{type: cursor, param: c, path: next}", "{type: page, size: 10}",
        "{type: offset, limit: 10}",
    ],
)  # fmt: skip
def test_paging_that_the_body_tells_the_end_of_is_taken(paginate: str) -> None:
    assert parse_manifest(MANIFEST.replace("{type: none}", paginate), "acme.yaml").streams[1].conditional
