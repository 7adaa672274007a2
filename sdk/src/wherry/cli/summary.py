"""The last words on a run: what is committed, what is not and why, and what to do next. Pure functions."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.cli import advice, figures
from wherry.cli.style import Line
from wherry.cli.table import clean
from wherry.errors import UsageError
from wherry.sql.compose import SQL, Identifier, Quoting

if TYPE_CHECKING:
    from wherry.pipeline.outcome import Outcome, StreamOutcome
    from wherry.pipeline.select import Wishes

SHOWN = 10
"""Streams that get a line of their own."""
_SIMPLE = re.compile(r"[a-z_][a-z0-9_]*")
_RESERVED = frozenset(re.findall(r"\w+", """
all and any as asc both case cast check collate column create cross current_date current_time current_user default
delete desc distinct do drop else end except exists false fetch for foreign from full grant group having in index inner
insert intersect into is join key lateral leading left like limit natural not null offset on only or order outer primary
references right row select set some symmetric table then to trailing true union unique update user using values view
when where window with
"""))  # fmt: skip


class Readable(Quoting):
    """Names as people write them, quoted where they have to be."""

    def identifier(self, name: str) -> str:
        return name if _SIMPLE.fullmatch(name) and name not in _RESERVED else super().identifier(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How to speak of a run. args: the command line after `wherry`.  destination: DEST as typed; None: it takes no SQL.

    place: options that commands on the destination need to mean this run's pipeline.  environment: those that they need
    for DEST to be the one of this run.
    accept: (stream, cursor) -> how to accept a proposal.
    """

    args: Sequence[str]
    destination: str | None
    wishes: Wishes
    accept: Callable[[str, str], str]
    place: Sequence[str] = ()
    environment: Sequence[str] = ()

    @property
    def again(self) -> str:
        """The command, to run it again."""
        return clean(shlex.join(["wherry", *self.args]))


def lines(outcome: Outcome, words: Words) -> list[Line]:
    """For standard output: facts on streams, the sum, proposals, a command to look at the rows."""
    found = [*_facts(outcome), *_handed(outcome), *_unchanged(outcome), _headline(outcome), *_rejected(outcome, words)]
    if not outcome.stopped and not outcome.failed:
        rows = {s.stream: s.counts["staged"] for s in outcome.streams}
        found += advice.doubts(outcome.choices, {s.stream: s.notes for s in outcome.streams})
        found += advice.lines(advice.proposals(outcome.choices, words.wishes, rows), words.accept)
        found += _look(outcome, words)
    return found


def failures(outcome: Outcome, words: Words) -> list[Line]:
    """For standard error: every failure in three lines; the last names stream, kept bookmark and the next command."""
    groups: dict[str, list[StreamOutcome]] = {}
    for stream in outcome.failed:
        groups.setdefault(str(stream.error.to_json() if stream.error else None), []).append(stream)
    found: list[Line] = []
    if len(groups) > SHOWN:
        found.append([(f"✗ {len(groups) - SHOWN} more failures: the run log has them", "bad")])
    for streams in list(groups.values())[:SHOWN]:
        found += _failure(streams, words)
    if not groups and outcome.stopped:
        open = [s for s in outcome.streams if s.outcome == "stopped"] or outcome.streams
        text = f"{_names([s.stream for s in open])}: bookmarks stand at the last commit; next: {words.again}"
        found.append([("■ ", "warn"), (text, "")])
    return found


def command(destination: str, schema: str, table: str) -> str:
    """A command that shows rows of a table, quoted for SQL and for a shell."""
    query = SQL("select * from {table} limit 5").format(table=Identifier(schema, table)).render(Readable())
    quoted = shlex.quote(query) if re.search(r'["$`\\!]', query) else f'"{query}"'
    return f"wherry sql {shlex.quote(destination)} {quoted}"


def _headline(outcome: Outcome) -> Line:
    totals, spent = outcome.totals(), figures.seconds(outcome.seconds)
    run = "" if outcome.run is None else f"run {outcome.run}: "
    aside = sum(s.counts["staged"] for s in outcome.streams if s.aside)
    loaded = f"{figures.rows(totals['staged'] - aside)} committed"
    besides = f" and {figures.count(aside)} aside" if aside else ""
    rows = f"{loaded}{besides} in {spent}, {figures.count(totals['rejected'])} rejected"
    if outcome.failed:
        failed, total = len(outcome.failed), len(outcome.streams)
        which = "the stream failed" if total == 1 else f"{failed} of {total} streams failed"
        return [("✗ ", "bad"), (f"{run}{which}; {rows}", "")]
    if outcome.stopped:
        return [("■ ", "warn"), (f"{run}stopped by {_stopper(outcome)}; {rows}", "")]
    if any(c.selection.limit is not None for c in outcome.choices):
        return [("✔ ", "good"), (f"{run}{figures.rows(totals['staged'])} sampled in {spent}, no bookmark touched", "")]
    if outcome.streams and all(s.outcome == "unchanged" for s in outcome.streams):
        again = f", {figures.rows(totals['boundary'])} re-read" if totals["boundary"] else ""
        return [("✔ ", "good"), (f"{run}nothing new, 0 rows written in {spent}{again}", "")]
    kept = any(s.outcome == "committed" and s.mode != "replace" for s in outcome.streams)
    return [("✔ ", "good"), (f"{run}{rows}" + (", bookmarks committed with the data" if kept else ""), "")]


def _facts(outcome: Outcome) -> list[Line]:
    """What a reader should know of streams that are not simply replaced."""
    told = [s for s in outcome.streams if s.outcome == "committed" and s.mode != "replace"]
    changes = {c.selection.stream.path for c in outcome.choices if c.selection.stream.changes}
    found: list[Line] = []
    for stream in told[:SHOWN]:
        numbers = stream.counts
        parts = [f"{figures.count(numbers[n])} {n}" for n in ("inserted", "updated", "deleted") if numbers[n]]
        if not parts and numbers["staged"]:
            parts = ["nothing changed"]
        facts = [_way(stream), *([", ".join(parts)] if parts else [])]
        if numbers["boundary"]:
            plural = "" if numbers["boundary"] == 1 else "s"
            facts.append(f"{figures.count(numbers['boundary'])} boundary row{plural} re-read")
        if _blind(stream, stream.stream in changes):
            facts.append("deletes not seen")
        found.append([(f"  {clean(stream.stream)}: ", ""), ("; ".join(facts), "dim")])
    if len(told) > SHOWN:
        found.append([(f"  and {len(told) - SHOWN:,} more streams", "dim")])
    return found


def _handed(outcome: Outcome) -> list[Line]:
    """Streams whose rows nobody looked at on the way."""
    forms: dict[str, list[str]] = {}
    for stream in outcome.streams:
        if stream.handed and stream.outcome == "committed":
            forms.setdefault(stream.handed, []).append(stream.stream)
    return [[(f"  {clean(_names(paths))}: ", ""), (f"handed over: {form}", "dim")] for form, paths in forms.items()]


def _way(stream: StreamOutcome) -> str:
    key, cursor = ", ".join(map(clean, stream.key)), clean(stream.cursor or "")
    if len(stream.windows) == 1:
        before, now = stream.windows[0]
        cursor += clean(f" in ({before}, {now}]" if before is not None else f" up to {now}")
    if stream.mode == "append":
        return "append" + (f" by {cursor}" if cursor else "")
    return f"{stream.mode} on {key}" + (f", {cursor}" if cursor else "")


def _blind(stream: StreamOutcome, changes: bool) -> bool:
    """Whether rows deleted at the source stay: everything but complete reads and change logs."""
    return not changes and (stream.mode in ("merge", "append") or (stream.mode == "history" and bool(stream.cursor)))


def _unchanged(outcome: Outcome) -> list[Line]:
    quiet = [s for s in outcome.streams if s.outcome == "unchanged"]
    if not quiet:
        return []
    changes = {c.selection.stream.path for c in outcome.choices if c.selection.stream.changes}
    blind = "; deletes not seen" if any(_blind(s, s.stream in changes) for s in quiet) else ""
    return [[(f"  {_names([s.stream for s in quiet])}: ", ""), (f"unchanged{blind}", "dim")]]


def _rejected(outcome: Outcome, words: Words) -> list[Line]:
    found: list[Line] = []
    for stream in [s for s in outcome.streams if s.counts["rejected"] and not s.aside][:SHOWN]:
        table = f"{stream.table}__rejected"
        where = f"{stream.schema}.{table}"
        if words.destination:
            where = shlex.join(
                ["wherry", "rejects", "show", words.destination, stream.stream, *words.place, *words.environment]
            )
        what = f"{clean(stream.stream)}: {figures.rows(stream.counts['rejected'])} rejected, see  {clean(where)}"
        found.append([("! ", "warn"), (what, "")])
    return found


def _look(outcome: Outcome, words: Words) -> list[Line]:
    """The table with the most rows is the one to look at."""
    written = [s for s in outcome.streams if s.counts["staged"]]
    if not written or words.destination is None:
        return []
    most = max(written, key=lambda s: s.counts["staged"])
    shown = " ".join([command(words.destination, most.schema, most.table), *map(shlex.quote, words.environment)])
    return [[("next: ", "bold"), (clean(shown), "accent")]]


def _failure(streams: list[StreamOutcome], words: Words) -> list[Line]:
    error, names = streams[0].error, _names([s.stream for s in streams])
    message = (error.message if error is not None else "failed").removeprefix(f"{streams[0].stream}: ")
    found: list[Line] = [[("✗ ", "bad"), (f"{names}: {clean(message)}", "")]]
    if error is not None and error.where:
        found.append([(f"  {clean(error.where)}", "")])
    step = clean(error.next) if error is not None and error.next else ""
    changed = isinstance(error, UsageError)  # the same command again cannot help
    next = step if "wherry " in step or (step and changed) else f"{step}, then  {words.again}" if step else words.again
    found.append([(f"  {names}: {_keeps(streams)}; next: {next}", "")])
    return found


def _keeps(streams: list[StreamOutcome]) -> str:
    """What of these streams stands."""
    if all(s.aside for s in streams):
        return "the table is as it was, nothing of this run is in it, bookmark kept"
    rows = sum(s.counts["staged"] for s in streams if not s.aside)
    if len(streams) == 1 and streams[0].kept is not None:
        moved = f", {figures.rows(rows)} of this run are in" if rows else ", as before this run"
        return f"bookmark kept at {clean(streams[0].cursor or '')} = {clean(streams[0].kept)}{moved}"
    if rows:
        return f"bookmark kept at the last commit, {figures.rows(rows)} of this run are in"
    return "bookmark kept as before this run"


def _names(paths: Sequence[str]) -> str:
    shown = ", ".join(clean(path) for path in paths[:5])
    return shown + (f" and {len(paths) - 5:,} more" if len(paths) > 5 else "")


def _stopper(outcome: Outcome) -> str:
    if outcome.signal is None:
        return f"--run-timeout {figures.seconds(outcome.limit)}" if outcome.limit is not None else "its caller"
    try:
        return signal.Signals(outcome.signal).name
    except ValueError:
        return f"signal {outcome.signal}"
