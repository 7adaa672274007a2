"""What answers mean: rules of the stream, then of the source, then the status; messages that say what to do."""

from typing import Any

import pytest
from wherry import AuthError, Bearer, OnResponse, SourceError, StreamError, WherryError
from wherry.http.models import Action
from wherry.http.values import Request
from wherry_clock import Hands
from wherry_web import said


def send(serve: Any, client: Any, answer: Any, rules: Any = (), **options: Any) -> tuple[Any, Any]:
    web = serve(answer if callable(answer) else lambda asked: answer)
    return client(web, **options).send(Request(url="items"), rules), web


@pytest.mark.parametrize("do", ["skip", "stop"])
def test_an_answer_without_rows(serve: Any, client: Any, do: Action) -> None:
    answer, web = send(serve, client, said({"error": "gone"}, 404), [OnResponse(404, do=do)])
    assert (answer.outcome, answer.status, len(web.log)) == (do, 404, 1)


def test_rules_of_the_stream_come_first_and_the_first_that_fits_holds(serve: Any, client: Any) -> None:
    source = [OnResponse(404, do="stop"), OnResponse((403, 410), do="skip"), OnResponse(410, do="stop")]
    assert send(serve, client, said([], 404), on_response=source)[0].outcome == "stop"
    assert send(serve, client, said([], 404), [OnResponse(404, do="skip")], on_response=source)[0].outcome == "skip"
    assert send(serve, client, said([], 410), [OnResponse(404, do="skip")], on_response=source)[0].outcome == "skip"


def test_a_rule_looks_into_the_body_also_of_an_answer_that_is_well(serve: Any, client: Any) -> None:
    rules = [OnResponse(200, "ratelimited", "retry"), OnResponse(contains='"ok": false', do="fail")]
    answer, web = send(serve, client, lambda a: said({"error": "ratelimited"} if a.number < 2 else {"ok": True}), rules)
    assert (answer.body, len(web.log)) == (b'{"ok": true}', 3)
    with pytest.raises(StreamError, match=r"which on_response calls a failure \(contains: '\"ok\": false'\)"):
        send(serve, client, said({"ok": False}), rules)


@pytest.mark.parametrize("do", ["retry", "wait"])
def test_retry_and_wait_heed_what_the_server_asks(serve: Any, client: Any, hands: Hands, do: Action) -> None:
    busy = said(status=403, headers={"Retry-After": "9"})
    answer, web = send(serve, client, lambda a: said([1]) if a.number else busy, [OnResponse(403, do=do)])
    assert (answer.outcome, len(web.log), sum(hands.waited)) == ("ok", 2, 9)


def test_wait_without_a_time_is_a_pause(serve: Any, client: Any, hands: Hands) -> None:
    _, web = send(serve, client, lambda a: said([1]) if a.number else said(status=403), [OnResponse(403, do="wait")])
    assert (len(web.log), hands.waited) == (2, [0.5])


def test_auth_without_a_way_to_log_in_is_final(serve: Any, client: Any) -> None:
    with pytest.raises(AuthError, match="the credentials were refused"):
        send(serve, client, said({}, 419), [OnResponse(419, do="auth")], auth=Bearer("tok3n"))


@pytest.mark.parametrize(
    ("status", "kind", "message", "step"),
    [
        (401, AuthError, "the credentials were refused", "have not expired"),
        (403, AuthError, "the credentials may not read this", "--exclude NAME"),
        (404, StreamError, "there is nothing", "on_response: [{status: 404, do: skip}]"),
        (410, StreamError, "there is nothing", "on_response: [{status: 410, do: skip}]"),
        (400, StreamError, "it does not take this request", "see path, params, headers and body"),
        (422, StreamError, "it does not take this request", "see path, params, headers and body"),
        (418, SourceError, "answered 418", "on_response: [{status: 418, do: retry}]"),
        (501, SourceError, "answered 501", "on_response: [{status: 501, do: retry}]"),
        (300, SourceError, "without saying where to", "base_url"),
        (304, SourceError, "without saying where to", "base_url"),
    ],
)
def test_what_a_status_says_to_do(
    serve: Any, client: Any, status: int, kind: type[WherryError], message: str, step: str
) -> None:
    with pytest.raises(kind) as caught:
        send(serve, client, said(b"", status), auth=Bearer("tok3n"))
    assert f"/v1/items answered {status}" in caught.value.message
    assert message in caught.value.message
    assert step in (caught.value.next or "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "unknown\nfield 'x'"}, " (unknown field 'x')"),
        ({"error": {"message": "bad"}}, " (bad)"),
        ({"errors": [{"detail": "first"}, {"detail": "second"}]}, " (first)"),
        ({"error_description": "token s3cret-token is odd"}, " (token *** is odd)"),
        ({"message": "m" * 300}, f" ({'m' * 200})"),
        ({"rows": [{"name": "somebody"}]}, ""),
        (["a", "b"], " (a)"),
        (b"<html>", ""),
    ],
)
def test_the_servers_own_words_are_told_without_secrets(serve: Any, client: Any, body: Any, words: str) -> None:
    with pytest.raises(StreamError) as caught:
        send(serve, client, said(body, 400), auth=Bearer("s3cret-token"))
    assert caught.value.message.partition("answered 400")[2] == f"{words}: it does not take this request"
