"""Lines of the progress view: what is said of a stream and of a run, and how it fits a width. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from wherry.cli import figures
from wherry.cli.style import Line, plain
from wherry.cli.table import cells, clean, cut, pad, shortened
from wherry.cli.tally import Stream

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_GAP = 2
_NAME, _TAIL = 32, 44
"""Cells that names and tails have at most, however wide the terminal is."""
_TIME, _SIZE, _SHORT, _LEAST = 6, 6, 11, 8


@dataclass(frozen=True, slots=True)
class Columns:
    """Cells of each column; 0: left out.  table: the tail has room for it.  short: numbers in a few characters.
    width: of a line, None: no limit."""

    name: int
    bar: int
    rows: int
    size: int
    tail: int
    table: bool = False
    short: bool = False
    width: int | None = None


def columns(streams: Collection[Stream], width: int | None, bars: bool) -> Columns:
    """Columns for these streams: in a narrow place bar, table, size and long numbers go, in this order."""
    longest = max((cells(clean(s.name)) for s in streams), default=_LEAST)
    name = min(_NAME if width is None else max(12, min(_NAME, width // 4)), longest)
    rows = max((len(figures.rows(max(s.rows, s.estimate or 0))) for s in streams), default=0)
    tail = min(_TAIL, max((cells(_where(s)) for s in streams), default=0))
    wide = Columns(name, 14 if bars else 0, rows, _SIZE, tail, table=True, width=width)
    if width is None:
        return wide
    bar = 8 if bars else 0
    mode = max((len(s.mode) for s in streams), default=0)
    for found in (
        wide,
        Columns(name, bar, rows, _SIZE, tail, table=True, width=width),
        Columns(name, bar, rows, _SIZE, mode, width=width),
        Columns(name, bar, rows, _SIZE, 0, width=width),
        Columns(name, min(6, bar), _SHORT, 0, 0, short=True, width=width),
        Columns(name, 0, _SHORT, 0, 0, short=True, width=width),
    ):
        if _room(found) >= 0:
            return found
    return Columns(max(_LEAST, name + _room(found)), 0, _SHORT, 0, 0, short=True, width=width)


def header(source: str, destination: str, schema: str, pipeline: str, width: int | None) -> list[Line]:
    """Where from, where to, and on the right the pipeline; on lines of their own where one is too short."""
    source, destination = clean(source), f"→ {clean(destination)}, schema {clean(schema)}"
    name = f"pipeline {clean(pipeline)}"
    left = f"{source} {destination}"
    if width is None:
        return [[(left, "bold"), ("   " + name, "dim")]]
    if cells(left) + cells(name) + 3 <= width:
        return [[(left, "bold"), (" " * (width - cells(left) - cells(name)) + name, "dim")]]
    if cells(left) <= width:
        return [[(left, "bold")], [("  " + cut(name, width - 2), "dim")]]
    parts = [cut(source, width), "  " + cut(destination, width - 2)]
    return [*([(part, "bold")] for part in parts), [("  " + cut(name, width - 2), "dim")]]


def row(stream: Stream, fit: Columns, now: float) -> Line:
    """One stream. now: of the clock that the stream was begun by."""
    if stream.state == "failed":
        return _failed(stream, fit)
    sign = ("■ ", "warn") if stream.state == "stopped" else ("  ", "")
    line = [sign, (pad(shortened(clean(stream.name), fit.name), fit.name), "")]
    if fit.bar:
        line += [("  ", ""), *bar(stream, fit.bar, now)]
    line += [("  ", ""), *_rows(stream, fit)]
    if fit.size:
        line.append(("  " + pad(figures.size(stream.size), fit.size, right=True), ""))
    spent = stream.seconds if stream.done else now - stream.began if stream.state == "running" else None
    line.append(("  " + pad("" if spent is None else figures.clock(spent), _TIME, right=True), ""))
    left = None if fit.width is None else fit.width - cells(plain(line))
    for tail in _tails(stream, fit, now):
        if left is None or cells(plain(tail)) <= left:
            return line + tail
    return _clipped(line, fit.width)


def bar(stream: Stream, width: int, now: float) -> Line:
    """Committed and handed-over shares of the estimate; a spinner where nothing is estimated."""
    if stream.state == "waiting":
        return [("─" * width, "dim")]
    if stream.done and stream.state != "stopped":
        return [("━" * width, "good")]
    if not stream.estimate and stream.done:
        return [("━" * (width // 2), "warn"), ("─" * (width - width // 2), "dim")]
    if not stream.estimate:
        return [(pad(SPINNER[int(now * 10) % len(SPINNER)], width), "accent")]
    whole = max(stream.estimate, stream.rows + 1)  # an estimate may be too low: full only when it is done
    safe = width * stream.committed // whole
    sent = width * stream.rows // whole
    return [
        ("━" * safe, "warn" if stream.done else "good"),
        ("━" * (sent - safe), "accent"),
        ("─" * (width - sent), "dim"),
    ]


def total(streams: Sequence[Stream], elapsed: float, width: int | None) -> Line:
    """All streams together."""
    done = [s for s in streams if s.done]
    failed = sum(s.state == "failed" for s in streams)
    pending = sum(s.pending for s in streams)
    parts = [f"{len(done)} of {len(streams)} streams done" + (f", {failed} failed" if failed else "")]
    parts.append(f"{figures.rows(sum(s.committed for s in streams))} committed")
    if pending:
        parts.append(f"{figures.count(pending)} on the way")
    parts += [figures.size(sum(s.size for s in streams)), figures.seconds(elapsed)]
    if width is not None and cells("  ".join(["", *parts])) > width:
        short = f"{len(done)}/{len(streams)}"
        parts = [short, figures.short(sum(s.committed for s in streams)) + " committed", figures.seconds(elapsed)]
    return _clipped([("  " + "  ".join(parts), "dim")], width)


def opening(text: str, elapsed: float, width: int | None) -> Line:
    """What goes on before there is a plan."""
    frame = SPINNER[int(elapsed * 10) % len(SPINNER)] if width is not None else "…"
    return _clipped([(f"{frame} ", "accent"), (f"{text}  {figures.clock(elapsed)}", "dim")], width)


def heartbeat(streams: Sequence[Stream], elapsed: float) -> Line:
    """A sign of life where nothing can be drawn anew."""
    running = [s for s in streams if s.state == "running"]
    shown = [
        f"{clean(s.name)} {figures.rows(s.rows)} read, {figures.count(s.committed)} committed" for s in running[:3]
    ]
    if len(running) > 3:
        shown.append(f"{len(running) - 3} more")
    done = sum(s.done for s in streams)
    return [(f"… {figures.seconds(elapsed)}, {done} of {len(streams)} streams done", "dim"),
            ("; " + "; ".join(shown) if shown else "; waiting for the first rows", "dim")]  # fmt: skip


def _room(fit: Columns) -> int:
    used = [fit.name, fit.bar, fit.rows, fit.size, _TIME, fit.tail]
    return (fit.width or 0) - 2 - sum(used) - _GAP * (sum(map(bool, used)) - 1)


def _where(stream: Stream) -> str:
    return f"{stream.mode} → {clean(stream.table)}" if stream.table else stream.mode


def _rows(stream: Stream, fit: Columns) -> Line:
    if stream.state == "unchanged":
        return [(pad("unchanged", fit.rows, right=True), "dim")]
    if fit.short:
        text = figures.short(stream.committed)
        more = f"+{figures.short(stream.pending)}" if stream.pending else ""
        return [(pad(text, fit.rows - len(more), right=True), ""), (more, "accent")]
    return [(pad(figures.rows(stream.rows), fit.rows, right=True), "accent" if stream.pending else "")]


def _tails(stream: Stream, fit: Columns, now: float) -> Iterator[Line]:
    """What stands behind the numbers, longest first: the first that fits is taken."""
    if stream.state == "waiting":
        yield [("  waiting", "dim")]
    elif not stream.done:
        rate = stream.rows / max(0.1, now - stream.began)
        kept = f"{figures.count(stream.committed)} committed" if stream.committed else "none committed yet"
        if not stream.rows:
            yield [("  under way, no figures yet", "dim")]
        yield [(f"  {kept}, {figures.short(rate)} rows/s", "dim")]
        yield [(f"  {kept}", "dim")]
        if not fit.short:
            yield [(f"  {figures.short(stream.committed)} safe", "dim")]
    else:
        where: Line = [("  " + cut(_where(stream) if fit.table else stream.mode, _TAIL), "dim")]
        again: Line = [(f", {figures.count(stream.boundary)} re-read", "dim")] if stream.boundary else []
        refused: Line = [(f"  {figures.count(stream.rejected)} rejected", "warn")] if stream.rejected else []
        yield from (where + again + refused, where + refused, refused)


def _failed(stream: Stream, fit: Columns) -> Line:
    name = pad(shortened(clean(stream.name), fit.name), fit.name)
    where = "aside" if stream.mode == "replace" else "committed"
    kept = f", {figures.rows(stream.committed)} {where}" if stream.committed and not fit.short else ""
    error = clean(stream.error.removeprefix(f"{stream.name}: "))
    return _clipped([("✗ ", "bad"), (name, "bad"), (f"  failed{kept}: {error}", "")], fit.width)


def _clipped(line: Line, width: int | None) -> Line:
    if width is None or cells(plain(line)) <= width:
        return line
    clipped, left = Line(), width
    for text, style in line:
        piece = cut(text, left)
        clipped.append((piece, style))
        left -= cells(piece)
        if piece != text or left <= 0:
            break
    return clipped
