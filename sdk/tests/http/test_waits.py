"""Retry-After in every form, failing hosts, and how long is waited: by an injected clock."""

import threading
from email.utils import formatdate
from typing import Any

import pytest
from wherry import RateLimit, Retry, Run, SourceError
from wherry.errors import LaterError, Stopped
from wherry.http.values import Request
from wherry_clock import START, Hands
from wherry_web import said


def asked_twice(serve: Any, client: Any, status: int, headers: dict[str, str], **options: Any) -> Any:
    """A server that answers so first, then well; its log after one request."""
    web = serve(lambda asked: said([1]) if asked.number else said(status=status, headers=headers))
    assert client(web, **options).send(Request(url="items")).body == b"[1]"
    return web.log


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 7),
        ("1.5", 1.5, 1.5),
        (formatdate(START + 90, usegmt=True), 90, 90),
        (formatdate(START - 90, usegmt=True), 0.25, 0.5),
        ("-5", 0.25, 0.5),
        ("0", 0.25, 0.5),
        ("", 0.25, 0.5),
        ("soon", 0.25, 0.5),
        ("nan", 0.25, 0.5),
        ("1e999", 0.25, 0.5),
        ("Wed, 99 Foo 2026 10:00:00 GMT", 0.25, 0.5),
    ],
)
def test_what_retry_after_asks_for(
    serve: Any, client: Any, hands: Hands, status: int, text: str, least: float, most: float
) -> None:
    log = asked_twice(serve, client, status, {"Retry-After": text} if text else {})
    assert len(log) == 2
    assert least <= sum(hands.waited) <= most + 0.01


def test_a_date_is_meant_by_the_servers_own_clock(serve: Any, client: Any, hands: Hands) -> None:
    """Whose clock is a day ahead of ours."""
    ahead = START + 86_400
    headers = {"Retry-After": formatdate(ahead + 12, usegmt=True), "Date": formatdate(ahead, usegmt=True)}
    asked_twice(serve, client, 429, headers)
    assert sum(hands.waited) == pytest.approx(12)


@pytest.mark.parametrize("text", ["864000", formatdate(START + 864_000, usegmt=True), "601"])
def test_a_wait_longer_than_the_patience_is_exit_75_without_an_early_request(
    serve: Any, client: Any, hands: Hands, text: str
) -> None:
    web = serve(lambda asked: said(status=429, headers={"Retry-After": text}))
    made = client(web)
    with pytest.raises(LaterError) as caught:
        made.send(Request(url="items"))
    when = "2027-01-15 08:10:01 UTC" if text == "601" else "2027-01-25 08:00:00 UTC"
    assert (caught.value.exit_code, len(web.log), hands.waited) == (75, 1, [])
    assert when in caught.value.message
    assert caught.value.next == f"run it again after {when}: it goes on from there"
    with pytest.raises(LaterError):  # another stream does not ask either
        made.send(Request(url="others"))
    assert len(web.log) == 1


def test_waits_are_jittered_but_never_short(serve: Any, client: Any, hands: Hands) -> None:
    from wherry.http.waits import Clock

    clock = hands.clock
    late = Clock(clock.now, clock.wall, clock.wait, lambda: 1.0)
    asked_twice(serve, client, 429, {"Retry-After": "5"}, clock=late)
    assert sum(hands.waited) == pytest.approx(5.5)


def test_a_host_that_fails_for_ever_is_asked_less_and_less(serve: Any, client: Any, hands: Hands) -> None:
    web = serve(lambda asked: said(status=502))
    with pytest.raises(SourceError, match=r"/v1/items answered 502 \(tried 2. times in 10 min\)") as caught:
        client(web).send(Request(url="items"))
    assert caught.value.exit_code == 3
    assert 565 < hands.passed <= 600
    assert 20 <= len(web.log) <= 30
    assert hands.waited[:6] == [0.5, 1, 2, 4, 8, 16]


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
def test_failures_that_pass(serve: Any, client: Any, hands: Hands, status: int, times: int) -> None:
    web = serve(lambda asked: said(status=status) if asked.number < times else said([1]))
    assert client(web).send(Request(url="items")).body == b"[1]"
    assert len(web.log) == times + 1


def test_other_statuses_may_be_asked_for_again(serve: Any, client: Any) -> None:
    web = serve(lambda asked: said([1]) if asked.number else said(status=418))
    assert client(web, retry=Retry(statuses=(418,))).send(Request(url="items")).status == 200


def test_a_rate_limit_that_never_ends_is_for_later(serve: Any, client: Any, hands: Hands) -> None:
    web = serve(lambda asked: said(status=429, headers={"Retry-After": "60"}))
    with pytest.raises(LaterError, match=r"answered 429 \(tried 1. times"):
        client(web).send(Request(url="items"))
    assert len(web.log) == 11
    assert hands.passed == 600


def test_a_host_that_is_not_there_is_given_up_soon(client: Any, hands: Hands) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SourceError, match=f"http://127.0.0.1:{port}/v1/items: connection refused \\(tried 5 times"):
        client(f"http://127.0.0.1:{port}/v1").send(Request(url="items"))
    assert hands.passed < 10


def test_a_stop_ends_a_wait_at_once(serve: Any, client: Any) -> None:
    from wherry.http.waits import Clock

    stop = threading.Event()
    web = serve(lambda asked: said(status=429, headers={"Retry-After": "300"}))
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Stopped):
        client(web, run=Run(stop=stop), clock=Clock()).send(Request(url="items"))
    assert len(web.log) == 1


def test_a_stop_ends_an_answer_that_does_not_come(serve: Any, client: Any) -> None:
    from wherry.http.waits import Clock

    stop, hold = threading.Event(), threading.Event()

    def answer(asked: Any) -> Any:
        hold.wait(20)

    web = serve(answer)
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Stopped):
        client(web, run=Run(stop=stop), clock=Clock(), timeout=30).send(Request(url="items"))
    hold.set()


def test_a_wait_is_told_with_its_reason(serve: Any, client: Any) -> None:
    import contextlib

    told = []

    def resting(why: str, seconds: float) -> Any:
        told.append((why, seconds))
        return contextlib.nullcontext()

    web = serve(lambda asked: said([1]) if asked.number else said(status=429, headers={"Retry-After": "30"}))
    client(web, run=Run(resting=resting)).send(Request(url="items"))
    assert told == [(f"{web.url}/v1/items answered 429", 30)]


@pytest.mark.parametrize(
    ("reset", "value"), [("epoch_s", f"{START + 40:.0f}"), ("seconds", "40"), ("iso", "2027-01-15T08:00:40Z")]
)
def test_a_refusal_until_the_budget_is_full_again(
    serve: Any, client: Any, hands: Hands, reset: Any, value: str
) -> None:
    limit = RateLimit(remaining_header="X-Left", reset_header="X-Reset", reset=reset)
    asked_twice(serve, client, 429, {"X-Left": "0", "X-Reset": value}, rate_limit=limit)
    assert sum(hands.waited) == pytest.approx(40)


@pytest.mark.parametrize("value", ["never", "", "1e999", "-1"])
def test_a_reset_that_cannot_be_read_is_not_said(serve: Any, client: Any, hands: Hands, value: str) -> None:
    limit = RateLimit(remaining_header="X-Left", reset_header="X-Reset", reset="seconds")
    asked_twice(serve, client, 429, {"X-Left": "0", "X-Reset": value}, rate_limit=limit)
    assert sum(hands.waited) < 1
