"""What is synced and how: discovered streams + what the user asked + what was settled earlier = selections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from wherry.contracts.values import MODES, Mode, Nulls, Selection, Stream
from wherry.errors import StateError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a user may say about a stream; None: nothing said. Meanings as in `Selection`."""

    mode: Mode | None = None
    key: tuple[str, ...] | None = None
    cursor: str | None = None
    columns: tuple[str, ...] | None = None
    where: str | None = None
    start: str | None = None
    end: str | None = None
    lookback: float | None = None
    nulls: Nulls | None = None
    table: str | None = None
    types: Mapping[str, str] | None = None

    def over(self, other: Wish) -> Wish:
        """This wish, with what it leaves open taken from `other`."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(other, **{k: v for k, v in mine.items() if v is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A selection and how it came about. rebuild: the table is made anew aside, because it was kept by replacing."""

    selection: Selection
    rebuild: bool = False
    remembered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """All that was asked for: which streams (globs), what for all of them, what for some (glob -> wish, or False)."""

    only: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    common: Wish = field(default_factory=Wish)
    special: Mapping[str, Wish | bool] = field(default_factory=dict)
    full_refresh: bool = False
    limit: int | None = None

    def wanted(self, streams: Iterable[Stream]) -> list[Stream]:
        """The streams meant by the globs; raises `UsageError` when one names none."""
        streams = list(streams)
        if not streams:
            raise UsageError("it offers no streams", next="check what it points at, and that its user may read there")
        for glob in self.only:
            if not any(matches(s, glob) for s in streams):
                raise _no_stream(glob, streams)
        found = [s for s in streams if self.wants(s)]
        if not found:
            told = ", ".join(s.path for s in streams[:4]) + (", …" if len(streams) > 4 else "")
            raise UsageError(
                f"every stream is excluded: {told}", key="exclude", next="exclude less, or name one with --stream"
            )
        return found

    def wants(self, stream: Stream) -> bool:
        """Whether the globs mean this stream."""
        off = [*self.exclude, *(g for g, wish in self.special.items() if wish is False)]
        return any(matches(stream, g) for g in self.only) and not any(matches(stream, g) for g in off)

    def wish(self, stream: Stream) -> Wish:
        """What was asked for one stream: special over common."""
        wish = self.common
        for glob, special in self.special.items():
            if isinstance(special, Wish) and matches(stream, glob):
                wish = special.over(wish)
        return wish


def refuse_unheard(selections: Sequence[Selection], wishes: Wishes, filters: bool) -> None:
    """Raise for wishes that would have no effect. filters: the source understands `where`."""
    if wishes.common.table and len(selections) > 1:
        names = ", ".join(s.stream.path for s in selections[:4]) + (", …" if len(selections) > 4 else "")
        raise UsageError(
            f"one table {wishes.common.table!r} cannot take {len(selections)} streams: {names}", key="table",
            next="choose one with --stream, or leave --table out",
        )  # fmt: skip
    for selection in selections:
        path = selection.stream.path
        if selection.where is not None and not filters:
            raise UsageError(f"where: this source cannot filter stream {path}", key="where", next="leave --where out")
        wish = wishes.wish(selection.stream)
        if wish.cursor and selection.mode == "replace" and wishes.limit is None:
            raise UsageError(
                f"cursor {wish.cursor!r} is of no use in mode replace, which reads stream {path} whole", key="cursor",
                next="leave --mode out, or --cursor",
            )  # fmt: skip
        bound = next((name for name in ("start", "end") if getattr(wish, name) is not None), None)
        if bound and selection.cursor is None:
            raise UsageError(
                f"{bound} {getattr(wish, bound)!r} needs a cursor, and stream {path} is read without one", key=bound,
                next="leave --limit out" if wishes.limit is not None else "name it: --cursor COLUMN",
            )  # fmt: skip


def choose(stream: Stream, wishes: Wishes, remembered: Mapping[str, Any]) -> Choice:
    """The selection for one stream. `remembered`: what an earlier run settled (`envelope.choice`)."""
    wish = wishes.wish(stream)
    if wishes.limit is not None:
        whole = replace(wish, mode="replace", cursor=None, key=None)
        return Choice(selection=replace(_settle(stream, whole, {}), limit=wishes.limit))
    rebuild = wishes.full_refresh
    if remembered and not rebuild:
        if remembered.get("mode") == "replace" and _settle(stream, wish, remembered).mode != "replace":
            rebuild = True  # rows kept by replacing carry no bookmark: only a complete read may be built upon
        elif remembered.get("mode") != "replace":
            _refuse_change(stream, wish, remembered)
            _refuse_gone(stream, remembered)
    return Choice(selection=_settle(stream, wish, remembered), rebuild=rebuild, remembered=bool(remembered))


def _settle(stream: Stream, wish: Wish, remembered: Mapping[str, Any]) -> Selection:
    settled = ("key", "cursor", "where", "start", "lookback", "nulls", "table", "types")
    known = {k: remembered[k] for k in settled if k in remembered}
    columns = _columns(stream, wish.columns) if wish.columns is not None else remembered.get("columns")
    key = wish.key or tuple(known.get("key", ())) or stream.primary_key
    mode = wish.mode or (remembered.get("mode") if wish.cursor is None else None)
    kept = remembered.get("mode") in ("append", "merge", "history") or not remembered
    cursor = wish.cursor or known.get("cursor") or (stream.cursor if kept and mode != "replace" else None)
    mode = mode or _default_mode(stream, key, cursor)
    own = stream.lookback if cursor else 0
    selection = Selection(
        stream=stream,
        mode=mode,
        key=key if mode in ("merge", "history") or cursor else wish.key or (),
        cursor=None if mode == "replace" else cursor,
        columns=None if columns is None else tuple(columns),
        where=wish.where if wish.where is not None else known.get("where"),
        start=wish.start if wish.start is not None else known.get("start"),
        end=wish.end,
        lookback=max(known.get("lookback", 0), own) if wish.lookback is None else wish.lookback,
        nulls=wish.nulls or known.get("nulls", "include"),
        table=wish.table or known.get("table"),
        types=wish.types if wish.types is not None else known.get("types", {}),
    )
    _check(selection)
    return selection


def _default_mode(stream: Stream, key: tuple[str, ...], cursor: str | None) -> Mode:
    if stream.changes and key:
        return "merge"
    if cursor:
        return "merge" if key else "append"
    return "append" if stream.part else "replace"


def _check(s: Selection) -> None:
    path, names = s.stream.path, s.stream.schema.names
    if s.mode not in MODES:
        raise UsageError(f"mode {s.mode!r} is not known", key="mode", next=f"one of {', '.join(MODES)}")
    for option, column in [("cursor", s.cursor), *(("key", k) for k in s.key)]:
        if column is not None and names and column not in names:
            raise UsageError(f"{option}: stream {path} has no column {column!r}", key=option, next=near(column, names))
    if s.mode == "append" and s.stream.changes:
        raise UsageError(
            f"mode append would add each change of stream {path} as a row, deletes among them", key="mode",
            next="--mode merge keeps its rows as they are now, --mode history all their versions",
        )  # fmt: skip
    if s.mode in ("merge", "history") and not s.key:
        raise UsageError(
            f"mode {s.mode} needs a key, and stream {path} has none",
            key="key",
            next="name it: --key COLUMN, or in wherry.yaml  key: COLUMN",
        )
    if s.mode == "append" and s.lookback > s.stream.lookback and not s.key:
        raise UsageError(f"append with a look-back needs a key for stream {path}", key="lookback", next="--key COLUMN")
    unknown = [c for c in s.types if names and c not in names]
    if unknown:
        raise UsageError(f"type: stream {path} has no column {unknown[0]!r}", key="type", next=near(unknown[0], names))
    if s.columns is not None:
        dropped = [c for c in (*s.key, s.cursor) if c is not None and c not in s.columns]
        if dropped:
            raise UsageError(f"columns leave out {dropped[0]!r}, which is key or cursor of {path}", key="columns")


def _refuse_change(stream: Stream, wish: Wish, remembered: Mapping[str, Any]) -> None:
    old_mode = remembered.get("mode")
    asked: list[tuple[str, Any, Any]] = [
        ("mode", old_mode, wish.mode),
        ("key", ",".join(remembered.get("key", ())), None if wish.key is None else ",".join(wish.key)),
        ("cursor", remembered.get("cursor"), wish.cursor),
        ("table", remembered.get("table") or stream.name, wish.table),
    ]
    for name, old, new in asked:
        if new is not None and new != (old or ""):
            raise UsageError(
                f"stream {stream.path} was synced with {name} {old or 'none'}, now {new} is asked",
                key=name,
                next=f"add --full-refresh to rebuild the table, or wherry state reset DEST {stream.path}",
            )


def _refuse_gone(stream: Stream, remembered: Mapping[str, Any]) -> None:
    """The bookmark is for a cursor or key that the source no longer has: it was dropped, or renamed."""
    names = stream.schema.names
    for option, column in [("cursor", remembered.get("cursor")), *(("key", k) for k in remembered.get("key", ()))]:
        if column is not None and names and column not in names:
            raise StateError(
                f"stream {stream.path} has no column {column!r} any more, which is the {option} of its bookmark",
                key=option,
                next=f"name the one to use now, and rebuild the table: --{option} COLUMN --full-refresh "
                f"({near(column, names)}), or read it whole from now on: --mode replace --full-refresh",
            )


def _columns(stream: Stream, wanted: Sequence[str]) -> tuple[str, ...]:
    """Names, globs and exclusions ("!note", ["*", "!tmp_*"]) over the stream's columns, in its order."""
    names = stream.schema.names
    if not names:
        return _unseen(stream, wanted)
    keep = [g for g in wanted if not g.startswith("!")] or ["*"]
    drop = [g[1:] for g in wanted if g.startswith("!")]
    for glob in [*keep, *drop]:
        if not any(fnmatchcase(n, glob) for n in names):
            raise UsageError(
                f"columns: stream {stream.path} has no column {glob!r}", key="columns", next=near(glob, names)
            )
    kept = [n for n in names if any(fnmatchcase(n, g) for g in keep) and not any(fnmatchcase(n, g) for g in drop)]
    return tuple(n for n in names if n in kept or n == stream.part)


def _unseen(stream: Stream, wanted: Sequence[str]) -> tuple[str, ...]:
    """Names of columns that only its rows will tell; key and cursor are always among them."""
    globs = [name for name in wanted if any(sign in name for sign in "*?[!")]
    if globs:
        raise UsageError(
            f"columns: those of stream {stream.path} are known only when it is read, so {globs[0]!r} chooses none",
            key="columns", next="name each column that you want, or have the source declare them",
        )  # fmt: skip
    needed = [*stream.primary_key, *filter(None, [stream.cursor])]
    return tuple(dict.fromkeys([*needed, *wanted]))


def matches(stream: Stream, glob: str) -> bool:
    """Whether a glob means the stream: by its path, or by its bare name."""
    return fnmatchcase(stream.path, glob) or fnmatchcase(stream.name, glob)


def _no_stream(glob: str, streams: Sequence[Stream]) -> UsageError:
    names = [s.path for s in streams]
    return UsageError(f"no stream matches {glob!r}", key="stream", next=near(glob, names))


AGAIN = "append without a cursor adds every row again on each run"


def adds_again(selection: Selection) -> bool:
    """Whether each run appends all rows anew: nothing tells what was appended before. Snapshots are kept that way."""
    told = selection.cursor or selection.stream.part or selection.stream.changes
    return selection.mode == "append" and not told


def near(name: str, known: Sequence[str]) -> str:
    """Advice: the nearest known names, or the first few."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
    return f"there are: {shown}" if known else "there are none"
