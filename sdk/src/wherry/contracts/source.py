"""The contract of a source: one abstract pair, `discover` and `read`; everything else has a default."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from wherry.contracts.config import ConnectorConfig
from wherry.contracts.values import Batch, Bookmark, Mark, Piece, Progress, ReadPlan, Selection, Split, Stream
from wherry.errors import HandOffRefused

T = TypeVar("T")


class Shared:
    """What all instances of a source have in common in one run: a budget of requests a host, an access token."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._values: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under `key`, made by whoever asks first. It must bear to be used by several threads."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
            found: T = self._values[key]
            return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the host gives a source before its first call.

    log: a logger that redacts secrets.  stop: set when the run should end at the next item.  bytes: this lane's
    minimum share of the byte budget: aim at batches of a quarter of it or less.  memory: bytes that the user grants the
    whole run: refuse what could not fit, such as one value of half of it.  shared: values that the instances of all
    lanes share.  folder: for what has to outlive the run, such as a token that its provider replaced; None: there is
    none.  conceal: to be called with a secret that came to light in the run: it is not shown from then on.
    resting: a context around a wait of so many seconds that the source has chosen, with its reason: it is told to
    people, and not taken for a standstill.  handoffs: forms in which the destination takes rows as they are; none where
    the user does not want that.  least_handoff: bytes of a stream from which on it is worth it.
    """

    log: logging.Logger = field(default_factory=lambda: logging.getLogger("wherry.source"))
    stop: threading.Event = field(default_factory=threading.Event)
    bytes: int = 64 << 20
    memory: int = 512 << 20
    shared: Shared = field(default_factory=Shared)
    folder: Path | None = None
    conceal: Callable[[str], None] = lambda secret: None
    resting: Callable[[str, float], AbstractContextManager[None]] = lambda why, seconds: nullcontext()
    handoffs: frozenset[str] = frozenset()
    least_handoff: int = 0


class Source(ABC):
    """Reads streams. One instance a lane, used by one thread at a time; the constructor does no I/O.

    Order of calls: check or discover or plan; then, maybe on another instance, read, with `acknowledge` between two
    items on the reading thread; close, always. The instance that planned lives until its last split has ended.
    """

    Config: ClassVar[type[ConnectorConfig]] = ConnectorConfig
    filters: ClassVar[bool] = False
    """`Selection.where` is understood."""
    separable: ClassVar[bool] = False
    """Of a bookmark for several streams some can go on while others, those of `Progress.anew`, begin from nothing."""
    called: ClassVar[str | None] = None
    """What a source that was made from a description is called, in messages and variables; None: as the connector."""

    run: Run

    def __init__(self, config: Any) -> None:
        self.config = config
        self.run = Run()

    @classmethod
    def referred(cls, text: str) -> type[Source]:
        """The class for what was typed as the reference, if that decides which keys there are: a description in a file.

        Asked before anything is configured; its `Config.reference` is the same field. Default: this class.
        """
        return cls

    def identity(self) -> tuple[str, str]:
        """(short name, canonical address) of what is read, from the configuration alone: no user, no secret.

        The short name is the default schema and names the pipeline; the address goes into what a bookmark covers.
        """
        name = type(self).__name__.removesuffix("Source") or "source"
        text = self.config.reference_text()
        return text or name, text or name

    def check(self) -> None:
        """Reach the source with these credentials; raise `AuthError`, `TransientError` or `SourceError`."""
        next(iter(self.discover()), None)

    @abstractmethod
    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        """The streams on offer. `only`: globs over `Stream.path` that may be pushed down; the host filters again."""

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        """The work to do; no plan for a stream that has nothing new. Default: one plan and one split a stream.

        progress: by plan key, bookmarks as this source emitted them. A plan begun earlier is resumed by returning
        `Progress.open` as it is: only if its remaining splits still fit the finished ones.
        """
        for selection in selected:
            key = selection.stream.path
            known = progress.get(key, Progress())
            if known.open is not None and selection.mode != "replace":
                yield known.open
            else:
                split = Split(key=key, streams=(selection,), bookmark=known.bookmark)
                yield ReadPlan(key=key, splits=(split,))

    @abstractmethod
    def read(self, split: Split) -> Iterator[Batch | Mark]:
        """Rows and marks of one split, from `split.bookmark` on. Called again with a later bookmark after a failure."""

    def handoff(self, split: Split) -> str | None:
        """The form, one of `run.handoffs`, in which all rows of this split can go to the destination as they are.

        None: in none; they are read. Also asked for a plan that is only shown: reads next to nothing.
        """
        return None

    def hand_over(self, split: Split, form: str) -> Iterator[Piece | Mark]:
        """As `read`, with pieces in the place of batches; a mark with the stream's exact schema comes first.

        The table has to become the very one that `read` makes. Where a value stands against that, raise
        `HandOffRefused`, at any time: what was handed over is dropped, and the split is read.
        """
        raise HandOffRefused(f"{type(self).__name__} hands nothing over")

    def acknowledge(self, split: Split, bookmark: Bookmark) -> None:
        """The destination has committed up to `bookmark`. A replication slot advances here and nowhere else."""

    def close(self) -> None:
        """Let go of connections, children and files. Called once, also after an error."""
