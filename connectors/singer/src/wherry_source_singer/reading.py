"""One run of a tap, from its first block to how it ended: rows, and the states that cover them."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from wherry import Batch, Bookmark, Mark, Selection, SourceError

from wherry_source_singer.catalog import Entry
from wherry_source_singer.client import Child
from wherry_source_singer.messages import NOISE, Message, Piece, Records, Splitter
from wherry_source_singer.streams import Reading, versions


class Session:
    """What is read from one child. anew: paths of streams that it reads from their beginning.

    A bookmark is `{"state": what the tap said last, "versions": {stream: version}, "seen": [streams it told of]}`;
    "text" has the state where JSON numbers would change it. A state in the middle of a read is passed on unless rows
    could come twice or be missing by it: when a stream is only added to (the tap may read its rows again), or has begun
    a new version of its table.
    """

    def __init__(
        self, child: Child, splitter: Splitter, name: str, known: Sequence[Entry], wanted: Sequence[Selection],
        bookmark: Bookmark, log: logging.Logger, anew: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._child = child
        self._splitter = splitter
        self._name = name
        self._log = log
        before = bookmark if isinstance(bookmark, Mapping) else {}
        self._state = {key: before[key] for key in ("state", "text") if key in before}
        self._seen = set(before.get("seen", ()))
        self._later = bool(before)
        old: Mapping[str, int] = before.get("versions", {})
        paths = {entry.stream.path: entry for entry in known}
        self._streams: dict[str, Reading] = {}
        self._readings = [Reading(s, None if s.stream.path in anew else old.get(s.stream.path)) for s in wanted]
        for reading in self._readings:
            entry = paths[reading.path]
            for name_ in (entry.data.get("tap_stream_id"), entry.id):
                self._streams[str(name_)] = reading
        self._old = dict(old)
        self._anew = tuple(s.stream.path for s in wanted if s.stream.path in anew)
        self._held = any(s.mode == "append" for s in wanted)
        self._fresh = False
        """Rows came since the last bookmark."""
        self._unknown: set[str] = set()

    def items(self) -> Iterator[Batch | Mark]:
        """Everything, until the tap has ended well; raises `SourceError` when it has not."""
        if self._later and self._anew:
            yield Mark(truncate=self._anew)  # the tap reads these from their beginning, whatever came of them before
        rest = b""
        for found in self._child.blocks():
            if isinstance(found, bytes):  # a line without its end: the tap's end tells what it is
                rest = found
                continue
            for piece in found:
                yield from self._piece(piece)
            if all(reading.full for reading in self._readings):
                return
        if self._child.stopped:
            return
        self._child.finish()
        for piece in self._splitter.pieces(rest) if rest else ():
            yield from self._piece(piece)
        yield from self._finished()

    def _piece(self, piece: Piece) -> Iterator[Batch | Mark]:
        if isinstance(piece, Records):
            yield from self._records(piece)
        else:
            yield from self._message(piece)

    def _records(self, piece: Records) -> Iterator[Batch | Mark]:
        reading = self._reading(piece.stream)
        if reading is None or reading.full:
            return
        for version, lines in versions(piece.lines):
            if version is not None:
                yield from self._version(reading, version)
            try:
                yield from reading.batches(lines)
            except SourceError as error:
                error.message = f"{self._name}: {error.message}"
                error.args = (error.message,)
                raise
            self._fresh = True

    def _reading(self, stream: str) -> Reading | None:
        found = self._streams.get(stream)
        if found is None and stream not in self._unknown:
            self._unknown.add(stream)
            self._log.info("%s: sends stream %s, which was not asked for", self._name, stream)
        return found

    def _version(self, reading: Reading, version: int) -> Iterator[Mark]:
        """Rows of this version come now. Those of an earlier one go, once the tap has declared this one whole."""
        if version == reading.version:
            return
        again = reading.version is not None
        before, reading.version = reading.known, version
        newer = before is not None and version > before
        if reading.selection.mode != "replace":
            reading.known = version if before is None or newer else before
        if again or (newer and reading.selection.mode != "replace" and not _snapshot(reading.selection)):
            reading.switched = self._held = True
            yield Mark(truncate=(reading.path,))

    def _message(self, message: Message) -> Iterator[Mark]:
        if message.type == "STATE":
            self._state = {"text": message.text} if message.text else {"state": message.data.get("value")}
            if self._fresh and not self._held:
                self._fresh = False
                yield Mark(bookmark=self._bookmark())
        elif message.type == "SCHEMA":
            reading = self._reading(message.stream)
            if reading is not None:
                self._seen.add(reading.path)
                self._check_key(reading, message.data)
                yield from reading.tell(message.data)
        elif message.type == "ACTIVATE_VERSION":
            reading = self._streams.get(message.stream)
            if reading is not None and isinstance(message.data.get("version"), int):
                reading.activated = message.data["version"]
        elif message.type == NOISE:
            for line in message.data["lines"]:
                self._child.stderr.noise(line)
        elif message.type == "BATCH":
            raise SourceError(
                f"{self._name} sent a message BATCH for stream {message.stream}: rows in files are not taken",
                next="leave batch_config out of its configuration, so that it sends RECORD",
            )
        else:
            self._log.info("%s: sends messages %s, which are not known", self._name, message.type[:40])

    def _check_key(self, reading: Reading, message: Mapping[str, Any]) -> None:
        told = tuple(message.get("key_properties") or ())
        key = reading.selection.stream.primary_key
        if told and key and set(told) != set(key):
            self._log.warning(
                "%s: stream %s now has the key %s; rows are merged by %s", self._name, reading.path, ", ".join(told),
                ", ".join(reading.selection.key or key),
            )  # fmt: skip

    def _finished(self) -> Iterator[Mark]:
        """The tap has ended well: whatever it began has to be whole."""
        for reading in self._readings:
            path = reading.path
            if reading.switched and reading.activated != reading.version:
                raise SourceError(
                    f"{self._name} began version {reading.version} of {path} and ended without ACTIVATE_VERSION for it",
                    next="run it again",
                )
            if not reading.told and reading.selection.mode == "replace" and path in self._seen:
                raise SourceError(
                    f"{self._name} ended without a word of stream {path}, which it had in an earlier run: its table "
                    "stays as it is", next=f"if the stream is gone, leave it out: --exclude {path}",
                )  # fmt: skip
            yield from self._emptied(reading)
        untold = [reading.path for reading in self._readings if not reading.told]
        if untold:
            self._log.warning("%s: ended without a word of %s", self._name, _few(untold))
        yield Mark(bookmark=self._bookmark())

    def _emptied(self, reading: Reading) -> Iterator[Mark]:
        """A new version without a row."""
        version, selection = reading.activated, reading.selection
        if version is None or selection.mode == "replace":
            return
        if reading.known is not None and version > reading.known and reading.told and not _snapshot(selection):
            yield Mark(truncate=(reading.path,))
        reading.known = max(version, reading.known or version)

    def _bookmark(self) -> dict[str, Any]:
        found = self._old | {
            r.path: r.known for r in self._readings if r.known is not None and r.selection.mode != "replace"
        }
        marks: dict[str, Any] = dict(self._state)
        if found:
            marks["versions"] = dict(sorted(found.items()))
        return marks | {"seen": sorted(self._seen)}


def state_of(bookmark: Bookmark) -> tuple[Any, str]:
    """(state, its text) of a bookmark; (None, "") if the tap never said one."""
    if not isinstance(bookmark, Mapping):
        return None, ""
    if "text" in bookmark:
        return json.loads(bookmark["text"]), str(bookmark["text"])
    state = bookmark.get("state")
    return state, "" if state is None else json.dumps(state)


def _snapshot(selection: Selection) -> bool:
    """Its absent keys end by themselves when it was read whole."""
    return selection.mode == "history" and not selection.cursor and not selection.stream.changes


def _few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
