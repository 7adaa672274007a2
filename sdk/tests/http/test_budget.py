"""What all lanes together ask of a host: the server's log is the oracle."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from wherry import RateLimit, Retry, Run, SourceError
from wherry.errors import LaterError
from wherry.http.budget import Budget
from wherry.http.values import Request
from wherry.http.waits import Clock
from wherry_clock import START, Hands
from wherry_web import Web, said


def most_within(web: Web, seconds: float) -> int:
    """Most requests that arrived within so many seconds."""
    times = [asked.at for asked in web.log]
    return max(sum(start <= at < start + seconds for at in times) for start in times)


@pytest.mark.parametrize("slow", [0, 0.03])
def test_a_sliding_window_over_all_lanes(serve: Any, client: Any, slow: float) -> None:
    def answer(asked: Any) -> Any:
        time.sleep(slow)
        return said([1])

    web, run = serve(answer), Run()
    lanes = [client(web, run=run, clock=Clock(), rate_limit=RateLimit(5, "200ms")) for _ in range(4)]
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda made: [made.send(Request(url="items")) for _ in range(4)], lanes))
    assert len(web.log) == 16
    assert most_within(web, 0.2) == 5
    assert 0.6 <= time.monotonic() - began < 3


def test_who_has_no_limit_keeps_to_that_of_the_others(serve: Any, client: Any, hands: Hands, caplog: Any) -> None:
    """And the usual pace is not talked about."""
    web, run = serve(lambda asked: said([1])), Run()
    lanes = [client(web, run=run), client(web, run=run, rate_limit=RateLimit(2, "1m"))]
    for number in range(6):
        lanes[number % 2].send(Request(url="items"))
    assert hands.passed == 120
    assert not caplog.records


def test_at_most_so_many_at_once(serve: Any, client: Any) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def answer(asked: Any) -> Any:
        with lock:
            now[0] += 1
            most[0] = max(now[0], most[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return said([1])

    web, run = serve(answer), Run()
    lanes = [client(web, run=run, clock=Clock(), rate_limit=RateLimit(concurrency=2)) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda made: made.send(Request(url="items")), lanes))
    assert (len(web.log), most) == (6, [2])


def test_a_window_longer_than_the_patience(serve: Any, client: Any, hands: Hands) -> None:
    web = serve(lambda asked: said([1]))
    made = client(web, rate_limit=RateLimit(2, "1d"))
    made.send(Request(url="items"))
    made.send(Request(url="items"))
    with pytest.raises(LaterError, match="rate_limit allows 2 requests in 24 h: it may be asked again in 24 h, at 20"):
        made.send(Request(url="items"))
    assert (len(web.log), hands.waited) == (2, [])


def test_what_the_server_grants_is_not_exceeded(serve: Any, client: Any, hands: Hands) -> None:
    """Three in each 60 s; nobody asks for a fourth."""

    def answer(asked: Any) -> Any:
        left = 2 - asked.number % 3
        reset = START + hands.passed // 60 * 60 + 60
        return said([1], headers={"X-Left": str(left), "X-Reset": f"{reset:.0f}"})

    web, run = serve(answer), Run()
    limit = RateLimit(remaining_header="X-Left", reset_header="X-Reset")
    lanes = [client(web, run=run, rate_limit=limit) for _ in range(2)]
    for number in range(9):
        lanes[number % 2].send(Request(url="items"))
    assert hands.passed == 120
    assert len(web.log) == 9


def test_an_answer_that_was_overtaken_grants_nothing() -> None:
    """Of two answers of one window the one that tells of less is the later one, whichever comes first."""
    limit = RateLimit(remaining_header="left", reset_header="reset")
    budget, reset = Budget("host", limit, Clock(wait=lambda event, seconds: False)), str(time.time() + 3600)
    for left in ("0", "3"):
        budget.answered({"left": left, "reset": reset})
    assert budget.wait() > 3000
    budget.answered({"left": "3", "reset": str(time.time() + 7200)})
    assert budget.wait() == 0


def test_a_pause_that_any_answer_asks_for(serve: Any, client: Any, hands: Hands) -> None:
    web, run = serve(lambda asked: said([1], headers={} if asked.number else {"X-Pause": "12.5"})), Run()
    lanes = [client(web, run=run, rate_limit=RateLimit(pause_header="X-Pause")) for _ in range(2)]
    for made in lanes:
        made.send(Request(url="items"))
    assert (hands.waited, len(web.log)) == ([12.5], 2)


def test_two_hundred_streams_against_a_failing_host(serve: Any, client: Any) -> None:
    """Four lanes, a stream after the other: all of them together ask hardly more often than one would."""
    web, run = serve(lambda asked: said(status=503)), Run()
    hands = Hands()
    lanes = [client(web, run=run, clock=hands.clock, retry=Retry(max_seconds=120)) for _ in range(4)]

    def lane(made: Any) -> list[str]:
        told = []
        for number in range(50):
            with pytest.raises(SourceError) as caught:
                made.send(Request(url=f"stream-{number}"))
            told.append(caught.value.message)
        return told

    with ThreadPoolExecutor(4) as pool:
        told = [message for messages in pool.map(lane, lanes) for message in messages]
    assert len(told) == 200
    assert len(web.log) <= 20
    assert sum("has failed for" in message for message in told) > 150
    assert all("answered 503" in message for message in told)


def test_a_host_that_recovers_is_asked_again(serve: Any, client: Any, hands: Hands) -> None:
    down = True
    web = serve(lambda asked: said(status=503) if down else said([1]))
    made = client(web, retry=Retry(max_seconds=60))
    for tried in ("tried 7 times", "tried 1 time ", "tried 1 time ", "has failed for"):
        with pytest.raises(SourceError, match=tried):
            made.send(Request(url="items"))
    assert len(web.log) == 9
    down = False
    hands.passed += 31
    for _ in range(3):
        before = hands.passed
        assert made.send(Request(url="items")).body == b"[1]"
        assert hands.passed == before


def test_one_bad_path_does_not_hold_up_the_others_for_long(serve: Any, client: Any, hands: Hands) -> None:
    web, run = serve(lambda asked: said(status=500) if asked.route == "/v1/bad" else said([1])), Run()
    bad, good = client(web, run=run, retry=Retry(max_seconds=30)), client(web, run=run)
    for _ in range(5):
        with pytest.raises(SourceError):
            bad.send(Request(url="bad"))
        hands.passed += 60
        before = hands.passed
        assert good.send(Request(url="good")).body == b"[1]"
        assert hands.passed - before < 1


def test_other_hosts_are_not_concerned(serve: Any, client: Any, hands: Hands) -> None:
    run = Run()
    busy, idle = serve(lambda asked: said(status=429, headers={"Retry-After": "900"})), serve(lambda asked: said([1]))
    with pytest.raises(LaterError):
        client(busy, run=run).send(Request(url="items"))
    assert client(idle, run=run).send(Request(url="items")).body == b"[1]"
    assert hands.waited == []
