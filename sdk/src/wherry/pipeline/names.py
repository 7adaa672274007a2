"""The name map: what a stream or column is called in the destination.

Names are kept as the source spells them. Only where the engine could not keep two apart (same name but for case or
Unicode form, a name cut at the byte limit) or reserves one (`_wherry_…`, the empty name) does a short hash of the
original follow: injective by construction, stable between runs because every choice is recorded.
"""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections.abc import Collection, Mapping

from wherry.contracts.loading import Capabilities
from wherry.contracts.values import is_ours
from wherry.errors import DataError, UsageError

REJECTED, SAMPLE = "__rejected", "__sample"
_OURS = (REJECTED, SAMPLE)
"""How tables of ours beside a stream's own end."""
_ROOM = 24  # bytes left for what is appended to table names: those, generation marks


def beside(stream: str, suffix: str) -> str:
    """What a table of ours beside a stream's own is known by: no source's stream is called so."""
    return stream + suffix.replace("__", "~")


def refuse_ours(stream: str) -> None:
    """Raise for a stream whose name would be taken for one of ours."""
    if stream.endswith(tuple(beside("", suffix) for suffix in _OURS)):
        raise DataError(
            f"stream {stream!r}: a name that ends so is kept for rejected rows and samples",
            next=f"leave it out: --exclude {stream!r}",
        )


class NameMap:
    """(stream path, source column or "") -> name. Starts from what the destination recorded; `table`, `column` add."""

    def __init__(
        self,
        recorded: Mapping[tuple[str, str], str],
        *,
        limit: int,
        case_sensitive: bool,
        reserved: Collection[str] = (),
    ):
        self._names = dict(recorded)
        self._reserved = frozenset(reserved)
        self._limit = limit
        self._fold = str if case_sensitive else _casefold
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str], set[str]] = {}
        for (stream, column), name in self._names.items():
            self._used.setdefault(self._space(stream, column), set()).add(self._fold(name))

    def table(self, stream: str, wanted: str) -> str:
        """The table of a stream; `wanted` is its own name."""
        return self._name(stream, "", wanted, self._limit - _ROOM)

    def call(self, stream: str, table: str) -> str:
        """The table of a stream as the user asked for it, whatever it was before."""
        if table.casefold().endswith(_OURS):
            raise UsageError(
                f"table {table!r}: names that end in {' or '.join(_OURS)} are kept for rejected rows and samples",
                key="table", next="choose another --table",
            )  # fmt: skip
        with self._lock:
            if self._names.get((stream, "")) != table:
                self._names.pop((stream, ""), None)
        return self._name(stream, "", table, self._limit - _ROOM)

    def column(self, stream: str, source: str) -> str:
        """The column of a stream's table that holds the source's column."""
        return self._name(stream, source, source, self._limit)

    def source(self, stream: str, column: str) -> str:
        """The source's column that a table's column holds, as recorded; the same name where nothing is."""
        known = ((source, name) for (path, source), name in self._names.items() if path == stream and source)
        return next((source for source, name in known if name == column), column)

    def _space(self, stream: str, column: str) -> tuple[str, str]:
        return ("table", stream.rpartition(".")[0]) if column == "" else ("column", stream)

    def _name(self, stream: str, column: str, wanted: str, limit: int) -> str:
        with self._lock:
            known = self._names.get((stream, column))
            if known is not None:
                return known
            used = self._used.setdefault(self._space(stream, column), set())
            name = self._free(wanted, used, limit, ends=() if column else _OURS)
            used.add(self._fold(name))
            self._names[stream, column] = name
            return name

    def _free(self, wanted: str, used: set[str], limit: int, ends: tuple[str, ...]) -> str:
        if "\0" in wanted:
            glob = "!" + wanted.replace("\0", "?")
            raise DataError(
                f"the name {wanted!r} holds a NUL character, which no engine keeps",
                next=f"leave it out: --exclude {glob[1:]!r}" if ends else f"leave it out: --columns {glob!r}",
            )
        fits = len(wanted.encode()) <= limit and wanted.strip() and not is_ours(wanted)
        fits = fits and not (wanted.casefold().endswith(ends) if ends else wanted.lower() in self._reserved)
        if fits and self._fold(wanted) not in used:
            return wanted
        digest = hashlib.blake2b(wanted.encode(), digest_size=16).hexdigest()
        stem = wanted if wanted.strip() and not is_ours(wanted) else f"column{wanted}".rstrip()
        for length in range(6, 33):
            suffix = "_" + digest[:length]
            name = _cut(stem, limit - len(suffix)) + suffix
            if self._fold(name) not in used:
                return name
        raise DataError(f"no free name for {wanted!r}")


def name_map(recorded: Mapping[tuple[str, str], str], limits: Capabilities) -> NameMap:
    """What a destination recorded, to be gone on with as it can tell names apart."""
    return NameMap(
        recorded,
        limit=limits.identifier_limit,
        case_sensitive=limits.case_sensitive,
        reserved=limits.reserved,
    )


def _casefold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")
