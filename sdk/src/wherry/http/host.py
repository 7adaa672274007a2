"""One host as a lane sees it: its own connections, the budget that all lanes share, and the patience of a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wherry.contracts.source import Run
from wherry.errors import LaterError, SourceError, WherryError
from wherry.http import waits
from wherry.http.answers import Verdict
from wherry.http.budget import Budget, budget_of
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
                wait, why, later = 0.0, "", False
                try:
                    reply = self._wire.exchange(call)
                except Failed as failed:
                    why = f"{call.shown}: {failed.why}"
                    hopeful = self._budget.failed(asked, why, failed.reached)
                    wait = chain.again(None)
                else:
                    verdict = judge(reply)
                    if verdict.meaning not in ("retry", "wait"):
                        self._budget.answered(reply.headers)
                        return reply, verdict
                    hopeful, why = True, f"{call.shown} answered {reply.status}"
                    pause = self._pause(reply)
                    wait, later = chain.again(pause), pause is not None or reply.status == 429
                    if pause is not None:
                        self._budget.paused(wait, why, reply.headers)
                    else:
                        hopeful = self._budget.failed(asked, why, reached=True)
                wait = max(wait, self._budget.wait())
            if not hopeful or chain.over(wait):
                end = chain.end(why, wait, later)
                if not isinstance(end, LaterError):
                    self._budget.given_up()
                raise end
            waits.rest(self._run, self._clock, wait, why)

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
    """The tries of one request."""

    clock: Clock
    most: float
    tries: int = 0
    began: float | None = None

    def again(self, asked: float | None) -> float:
        """Seconds to wait after one more failure. asked: for which the host asked."""
        self.tries += 1
        if self.began is None:
            self.began = self.clock.now()
        if asked is None:
            return self.clock.pause(self.tries)
        return max(self.clock.later(asked), self.clock.pause(min(self.tries, 3)) if asked < 1 else 0.0)

    def over(self, wait: float) -> bool:
        """Whether the patience ends within a wait."""
        return self.began is not None and self.clock.now() + wait - self.began > self.most

    def end(self, why: str, wait: float, later: bool) -> WherryError:
        """The error that ends it. later: the host asked for time."""
        assert self.began is not None
        if later and wait > self.most:
            return waits.too_long(self.clock, wait, self.most, why)
        tried = f"{why} (tried {self.tries} {'time' if self.tries == 1 else 'times'}"
        tried += f" in {waits.length(self.clock.now() - self.began)})"
        if later:
            moment = self.clock.moment(wait)
            return LaterError(tried, next=f"run it again after {moment}: it goes on from there")
        return SourceError(tried, next="see what is wrong there, then run it again")
