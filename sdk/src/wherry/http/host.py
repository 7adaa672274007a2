"""One host as a lane sees it: its own connections, the budget that all lanes share, and the patience of a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wherry.contracts.source import Run
from wherry.errors import LaterError, SourceError, WherryError
from wherry.http import waits
from wherry.http.answers import Verdict
from wherry.http.budget import Asked, Budget, budget_of
from wherry.http.failures import Failed
from wherry.http.models import RateLimit, Retry
from wherry.http.places import Addresses, Place
from wherry.http.transport import Call, Reply, Wire
from wherry.http.waits import Clock


class Host:
    """Asks one host, again and again where that may help, and waits where the host or the configuration says so."""

    def __init__(
        self, place: Place, run: Run, *, limit: RateLimit | None, retry: Retry, timeout: float, clock: Clock
    ) -> None:
        self.place = place
        self._run = run
        self._retry = retry
        self._limit = limit or RateLimit()
        self._clock = clock
        addresses = run.shared.get(("http addresses", place.host), lambda: Addresses(place.host))
        self._wire = Wire(run, timeout, addresses)
        self._budget = budget_of(run, f"{place.scheme}://{place}", lambda: Budget(str(place), limit, clock))

    def ask(self, call: Call, judge: Callable[[Reply], Verdict]) -> tuple[Reply, Verdict]:
        """An answer that is final. judge: what an answer means.

        SourceError: there is none after `retry.max_seconds`. LaterError: the host asks for more time than that.
        """
        chain = _Chain(self._clock, float(self._retry.max_seconds))
        while True:
            with self._budget.place(self._run, chain.most) as asked:
                found = self._once(call, judge, asked, chain)
            if found is not None:
                return found
            wait = max(chain.wait, self._budget.wait())
            if not chain.hopeful or chain.over(wait):
                raise self._end(chain, wait)
            waits.rest(self._run, self._clock, wait, chain.why)

    def _once(
        self, call: Call, judge: Callable[[Reply], Verdict], asked: Asked, chain: _Chain
    ) -> tuple[Reply, Verdict] | None:
        """One try; None: it failed, and the chain knows how."""
        try:
            reply = self._wire.exchange(call)
        except Failed as failed:
            chain.failed(f"{call.shown}: {failed.why}", None, reached=failed.reached)
            chain.hopeful = self._budget.failed(asked, chain.why, failed.reached)
            return None
        verdict = judge(reply)
        if verdict.meaning not in ("retry", "wait"):
            self._budget.answered(reply.headers)
            return reply, verdict
        pause = self._pause(reply)
        chain.failed(f"{call.shown} answered {reply.status}", pause, later=pause is not None or reply.status == 429)
        if pause is not None:
            self._budget.paused(chain.wait, chain.why, reply.headers)
        else:
            chain.hopeful = self._budget.failed(asked, chain.why, reached=True)
        return None

    def _end(self, chain: _Chain, wait: float) -> WherryError:
        if not chain.later:
            self._budget.given_up()
        return chain.end(wait)

    def _pause(self, reply: Reply) -> float | None:
        """Seconds for which the host asks; None: it does not say."""
        wall = self._clock.wall()
        asked = waits.asked_for(reply.headers, wall)
        if asked is None and self._limit.reset_header:
            left = waits.remaining(self._limit, reply.headers) if self._limit.remaining_header else 0
            asked = waits.until_reset(self._limit, reply.headers, wall) if not left else None
        if self._limit.pause_header and (pause := waits.asks_to_pause(self._limit, reply.headers)):
            asked = max(asked or 0.0, pause)
        return asked

    def close(self) -> None:
        """Let go of the connections."""
        self._wire.close()


@dataclass(slots=True)
class _Chain:
    """The tries of one request. wait: seconds after the last of them.  later: the host asked for time."""

    clock: Clock
    most: float
    tries: int = 0
    began: float = 0.0
    wait: float = 0.0
    why: str = ""
    hopeful: bool = True
    reached: bool = True
    later: bool = False

    def failed(self, why: str, asked: float | None, *, reached: bool = True, later: bool = False) -> None:
        """One more failure. asked: seconds for which the host asked."""
        self.tries += 1
        if self.tries == 1:
            self.began = self.clock.now()
        self.why, self.reached, self.later, self.hopeful = why, reached, later, True
        if asked is None:
            self.wait = self.clock.pause(self.tries)
        else:
            self.wait = max(self.clock.later(asked), self.clock.pause(min(self.tries, 3)) if asked < 1 else 0.0)

    def over(self, wait: float) -> bool:
        """Whether the patience ends within a wait."""
        return self.clock.now() + wait - self.began > self.most

    def end(self, wait: float) -> WherryError:
        """The error that ends it."""
        if self.later and wait > self.most:
            return waits.too_long(self.clock, wait, self.most, self.why)
        passed = waits.length(self.clock.now() - self.began)
        tried = f"{self.why} (tried {self.tries} {'time' if self.tries == 1 else 'times'} in {passed})"
        if self.later:
            return LaterError(tried, next=f"run it again after {self.clock.moment(wait)}: it goes on from there")
        step = (
            "see what is wrong there" if self.reached else "see that base_url is right, and the host up and reachable"
        )
        return SourceError(tried, next=step)
