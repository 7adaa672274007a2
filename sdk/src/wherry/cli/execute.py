"""One run from the command line: connectors, observers and signals around `pipeline.run.sync`."""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from wherry.cli.app import App
from wherry.cli.connect import End
from wherry.cli.style import show_cursor
from wherry.errors import LaterError, ResourceError, Stopped, WherryError

if TYPE_CHECKING:
    from wherry.cli.style import Line
    from wherry.host.hooks import Events, Observer
    from wherry.pipeline.outcome import Outcome
    from wherry.pipeline.prepare import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run, and how to speak of it. typed: DEST as the user gave it, for the next command.

    accept: (stream, cursor) -> how to accept a proposal.
    """

    source: End
    destination: End
    settings: Settings
    typed: str
    accept: Callable[[str, str], str]
    as_json: bool = False
    quiet: bool = False


def execute(app: App, job: Job) -> int:
    """Run the job; the exit code. Errors of the whole run are raised, those of streams are shown."""
    from wherry.cli.source_log import keeping
    from wherry.host.hooks import Events
    from wherry.pipeline.prepare import name_run

    began = time.monotonic()
    destination = job.destination.new()
    names = name_run(job.source.new(), job.source.connector, destination, job.settings)
    stop = Stop()
    observers, recorders, refused = _observers(app, job, names.pipeline)
    events = Events(observers)
    for problem in refused:
        events.message(level="warning", text=f"hook not used: {problem.message}")
    for note in (*job.source.configured.notes, *job.destination.configured.notes):
        events.message(level="warning", text=note)
    outcome: Outcome | None = None
    code = 1
    try:
        with stop.signals(events), keeping(recorders[0]):
            give_up = _give_up(app, job, recorders, events, stop, began)
            outcome = _sync(app, job, destination, names, events, stop, give_up)
    except KeyboardInterrupt:
        stopped = stop.as_error()
        stopped.next = _again(app)
        code, app.recorders, app.left = 128 + stopped.signal, recorders, True
        raise stopped from None
    except WherryError as error:
        code = error.exit_code
        app.recorders = recorders
        _named(error, app, job)
        raise
    finally:
        _finished(events, outcome, code, began)
        events.close()
    app.left = outcome.left or stop.number is not None
    code = _tell(app, job, outcome)
    unheard = next((found for recorder in recorders if (found := getattr(recorder, "failed", None))), None)
    if unheard is not None and not code:
        raise _unwritten(unheard)
    return code


def _unwritten(error: OSError) -> WherryError:
    """A run that moved everything and could not say so."""
    reason = (error.strerror or str(error)).lower()
    return ResourceError(
        f"standard output cannot be written: {reason}; what was committed stands", next="make room where it goes"
    )


def _give_up(app: App, job: Job, recorders: list[Any], events: Events, stop: Stop, began: float) -> Any:
    """How the process ends when a call that nothing interrupts does not return: told and logged, and at once."""

    def give_up(error: WherryError | None) -> None:
        from wherry.cli.report import report
        from wherry.pipeline.watch import within

        code = 1
        error = _named(error or stop.as_error(), app, job)
        kept = isinstance(error, (Stopped, LaterError)) or not error.next
        error.next = _again(app) if kept else f"{error.next}, then  {_again(app)}"
        end = job.destination if error.side == "destination" else job.source
        app.recorders = recorders

        def last_words() -> None:
            nonlocal code
            code = 128 + error.signal if isinstance(error, Stopped) else error.exit_code
            events.run_finished(
                run=None, outcome="stopped" if isinstance(error, (Stopped, LaterError)) else "failed", exit_code=code,
                seconds=time.monotonic() - began, totals={},
            )  # fmt: skip
            events.close()
            report(end.explain(error) if error.side else error, app)

        within(2, last_words)
        os._exit(code)

    return give_up


def _sync(app: App, job: Job, destination: Any, names: Any, events: Events, stop: Stop, give_up: Any) -> Outcome:
    from wherry.cli.run_log import state_folder
    from wherry.pipeline.run import sync
    from wherry.pipeline.sides import is_destinations, is_sources

    labels = {"source": job.source.label(), "destination": job.destination.label()}
    settings = replace(job.settings, folder=state_folder(), conceal=job.source.redactor.add)
    try:
        outcome = sync(
            job.source.new, destination, names=names, settings=settings, events=events, stop=stop.event,
            labels=labels, give_up=give_up,
        )  # fmt: skip
    except WherryError as error:
        if is_destinations(error) or is_sources(error):
            raise (job.destination if is_destinations(error) else job.source).explain(error) from error.__cause__
        raise
    outcome.signal = stop.number
    for stream in outcome.failed:
        if stream.error is not None:
            end = job.destination if is_destinations(stream.error) else job.source
            stream.error = _named(end.located(stream.error), app, job)
    return outcome


def _again(app: App) -> str:
    """The command, to run it again."""
    return app.redactor.redact(shlex.join(["wherry", *app.args]))


def _named(error: WherryError, app: App, job: Job) -> WherryError:
    """The error, its next step with the destination as it was typed."""
    typed = shlex.join([job.typed, *_environment(app)])
    for word in ("DEST", job.destination.new().label()) if error.next else ():  # what it calls itself is no reference
        error.next = (error.next or "").replace(f" {word} ", f" {typed} ")
    return error


def _environment(app: App) -> list[str]:
    """The options without which a name of wherry.yaml would mean another end."""
    return [] if app.environment is None else ["--env", app.environment]


def _observers(app: App, job: Job, pipeline: str) -> tuple[list[Observer], list[Any], list[Any]]:
    """Who watches the run; those of them that also keep its error; why others do not watch."""
    from wherry.cli.run_log import RunLog, state_folder
    from wherry.host.hooks import load_observers, observer

    found: list[Observer] = []
    recorders: list[Any] = []
    if job.as_json:
        from wherry.cli.json_events import JsonWriter

        recorders = app.recorders = [JsonWriter(sys.stdout, app.redactor)]
        found.append(observer(recorders[-1], "json writer", builtin=True))
    log = RunLog(state_folder(), app.redactor, pipeline=pipeline)
    log.prepare()
    recorders.insert(0, log)
    if not job.as_json and not job.quiet:
        from wherry.cli.view import Progress

        progress = Progress.on(sys.stderr, app.redactor)
        log.warn = partial(progress.message, "warning")
        progress.opening(f"reading {job.source.label()}")
        found.append(observer(progress, "progress view", builtin=True))
    found.append(observer(log, "run log", builtin=True))
    strangers, refused = load_observers(app.registry)
    return [*found, *(_redacted(stranger, app) for stranger in strangers)], recorders, refused


def _redacted(stranger: Observer, app: App) -> Observer:
    """An observer that may carry what it hears anywhere: it hears no secret."""

    def hooked(hook: Callable[..., Any]) -> Callable[..., Any]:
        return lambda **told: hook(**app.redactor.json(told))

    return replace(stranger, hooks={name: hooked(hook) for name, hook in stranger.hooks.items()})


def _finished(events: Events, outcome: Outcome | None, code: int, began: float) -> None:
    if outcome is None:
        word = "stopped" if code > 128 else "failed"
        events.run_finished(run=None, outcome=word, exit_code=code, seconds=time.monotonic() - began, totals={})
        return
    events.run_finished(
        run=outcome.run, outcome=outcome.word, exit_code=outcome.exit_code, seconds=outcome.seconds,
        totals=outcome.totals(),
    )  # fmt: skip


def _tell(app: App, job: Job, outcome: Outcome) -> int:
    """The last words: a summary on stdout, failures on stderr; the exit code."""
    from wherry.cli import summary

    sql = job.destination.cls.capabilities.sql
    told = not job.as_json and not job.quiet
    words = summary.Words(
        args=[app.redactor.redact(argument) for argument in app.args],
        destination=app.redactor.redact(job.typed) if sql else None,
        wishes=job.settings.wishes,
        accept=lambda stream, cursor: app.redactor.redact(job.accept(stream, cursor)),
        environment=_environment(app),
        place=[app.redactor.redact(option) for option in _place(job, outcome)] if told and sql else (),
    )
    if told:
        try:
            _write(app, sys.stdout, summary.lines(outcome, words))
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritten(error) from error
    if app.debug:
        from wherry.cli.report import print_traceback

        for stream in outcome.failed:
            print_traceback(stream.error, app)
    _write(app, sys.stderr, summary.failures(outcome, words))
    return outcome.exit_code


def _place(job: Job, outcome: Outcome) -> list[str]:
    """Options by which a command on rejected rows means this run's pipeline."""
    from wherry.cli.places import naming

    if not outcome.totals()["rejected"]:
        return []
    if outcome.failed or outcome.stopped:  # the destination may be why: it is not asked
        return ["--pipeline", outcome.pipeline, "--schema", outcome.schema]
    return naming(job.destination, outcome.schema, outcome.pipeline)


def _write(app: App, stream: IO[str], lines: list[Line]) -> None:
    from wherry.cli import style

    shown = [[(app.redactor.redact(text), kind) for text, kind in line] for line in lines]
    style.write(stream, shown, style.look(stream).color)


class Stop:
    """Two-step stopping: the first signal ends the run at the next bookmark, the second ends it at once."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.number: int | None = None

    @contextlib.contextmanager
    def signals(self, events: Events) -> Iterator[None]:
        """Handle SIGINT and SIGTERM while the body runs."""

        from wherry.pipeline.watch import Interrupt

        def handle(number: int, _: object) -> None:
            if self.event.is_set() and self.number is not None:
                show_cursor()
                os._exit(128 + number)
            self.number = number
            self.event.set()
            threading.Thread(target=self._say, args=(events,), daemon=True).start()
            raise Interrupt

        known = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in known.items():
                if self.number is None:
                    signal.signal(number, handler)
                else:  # one more signal still means "at once"; the interpreter's own end must not die of it
                    atexit.register(signal.signal, number, signal.SIG_IGN)

    def as_error(self) -> Stopped:
        """What the run is that a signal ended outside of its lanes."""
        number = self.number or signal.SIGINT
        name = signal.Signals(number).name
        return Stopped(f"stopped by {name}; what was committed stands", signal=number)

    @staticmethod
    def _say(events: Events) -> None:
        events.message(level="warning", text="stopping at the last bookmark; once more stops at once")
