"""The source `singer`: runs a tap, and makes one plan of all its streams."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry import (
    Batch,
    Mark,
    Progress,
    ReadPlan,
    Selection,
    Source,
    SourceError,
    Split,
    Stream,
    UsageError,
)

from wherry_source_singer import environments, probe
from wherry_source_singer.catalog import Entry, empty_state, entries, selected
from wherry_source_singer.client import Child, variables
from wherry_source_singer.config import SingerConfig
from wherry_source_singer.environments import Tap
from wherry_source_singer.messages import Splitter
from wherry_source_singer.private import Folder
from wherry_source_singer.probe import Facts
from wherry_source_singer.reading import Session, state_of

PLAN = "tap"
"""Key of the one plan: a tap reads all its streams in one go, and its state is one."""


class SingerSource(Source):
    """A Singer tap as a program of its own."""

    Config = SingerConfig
    config: SingerConfig
    separable = True

    def __init__(self, config: SingerConfig) -> None:
        super().__init__(config)
        self._folder: Folder | None = None
        self._children: list[Child] = []

    def identity(self) -> tuple[str, str]:
        return self.config.label(), self.config.address()

    def tap(self) -> Tap:
        """The program; made ready on first use."""
        return environments.tap_of(self.config)

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        known = self._known()
        clash = {e.stream.path for e in known if sum(o.stream.path == e.stream.path for o in known) > 1}
        if clash:
            raise SourceError(
                f"{self.name} offers stream {min(clash)} twice", next="report it to the author of the tap"
            )
        return [entry.stream for entry in known]

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        for selection in selected:
            _refuse(selection)
        known = progress.get(PLAN, Progress())
        if known.open is not None and _same(known.open, selected):
            yield known.open
        elif selected:
            anew = sorted(known.anew & {s.stream.path for s in selected})
            split = Split(
                key=PLAN, streams=tuple(selected), bookmark=known.bookmark, detail={"anew": anew} if anew else None
            )
            yield ReadPlan(key=PLAN, splits=(split,))

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        known = self._known()
        offered = {entry.stream.path for entry in known}
        wanted = [s for s in split.streams if s.stream.path in offered]
        if len(wanted) < len(split.streams):
            lost = next(s.stream.path for s in split.streams if s.stream.path not in offered)
            raise SourceError(f"{self.name} no longer offers stream {lost}", next=f"leave it out: --exclude {lost}")
        splitter = Splitter(self.name)
        with self._started(self._arguments(known, split), splitter.pieces) as child:
            yield from Session(
                child, splitter, self.name, known, wanted, split.bookmark, self.run.log, _anew(split)
            ).items()

    def close(self) -> None:
        for child in self._children:
            child.close()
        self._children = []
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    @property
    def name(self) -> str:
        """The tap's, for messages."""
        return self._tap().name

    def _tap(self) -> Tap:
        return self.run.shared.get((PLAN, "program"), self.tap)

    def _facts(self) -> Facts:
        def ask() -> Facts:
            return probe.facts(self._tap(), self.run, self._private().path, variables(self.config.variables()))

        return self.run.shared.get((PLAN, "facts"), ask)

    def _known(self) -> list[Entry]:
        """The catalog, once a run."""
        return self.run.shared.get((PLAN, "catalog"), self._discovered)

    def _discovered(self) -> list[Entry]:
        if self.config.catalog is not None:
            try:
                return entries(json.loads(Path(self.config.catalog).expanduser().read_bytes()), self.config.catalog)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise UsageError(
                    f"catalog {self.config.catalog!r} cannot be read: {reason}",
                    key="catalog",
                    next="name a catalog file",
                ) from None
        with self._started(["--config", str(self._config()), "--discover"]) as child:
            output = b"".join(child.blocks())
            if child.stopped:
                return []
            child.finish()
        return entries(_json(output), self.name)

    def _arguments(self, known: Sequence[Entry], split: Split) -> list[str]:
        folder = self._private()
        catalog = str(folder.write("catalog.json", selected(known, split.streams)))
        arguments = ["--config", str(self._config())]
        for option in self._facts().catalog:
            arguments += [option, catalog]
        state, text = state_of(split.bookmark)
        anew = _anew(split)
        if anew and isinstance(state, Mapping):
            ids = {str(v) for e in known if e.stream.path in anew for v in (e.id, e.data.get("tap_stream_id"))}
            state, text = empty_state(state, ids), ""
        if state is not None:
            arguments += ["--state", str(folder.write("state.json", text or state))]
        return arguments

    def _config(self) -> Path:
        return self._private().write("config.json", self.config.settings(self._facts().types))

    def _private(self) -> Folder:
        if self._folder is None:
            self._folder = Folder()
        return self._folder

    @contextlib.contextmanager
    def _started(self, arguments: Sequence[str], apart: Callable[[bytes], Any] = bytes) -> Iterator[Child]:
        tap, secrets = self._tap(), self.config.secrets(self._facts().types)
        for secret in secrets:
            self.run.conceal(secret)
        child = Child(
            [*tap.command, *arguments], self.run, name=tap.name, folder=self._private().path,
            env=variables(self.config.variables()), secrets=secrets,
            size=max(1 << 20, min(12 << 20, self.run.bytes // 5)), apart=apart,
        )  # fmt: skip
        self._children.append(child)
        try:
            yield child
        finally:
            child.close()
            self._children.remove(child)


def _anew(split: Split) -> frozenset[str]:
    """Paths of the streams that are read from their beginning, whatever the state says of them."""
    return frozenset(
        {
            *(split.detail or {}).get("anew", ()),
            *(s.stream.path for s in split.streams if s.mode == "replace" or s.limit),
        }
    )


def _json(output: bytes) -> Any:
    """The catalog; some taps print other lines before it."""
    for start in (0, output.find(b"\n{") + 1, output.find(b"{")):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(output[start:])
    return None


def _same(plan: ReadPlan, wanted: Sequence[Selection]) -> bool:
    """Whether the plan reads just that, in that way: a tap's state goes on only then."""

    def told(selections: Iterable[Selection]) -> list[Any]:
        return sorted(
            (s.stream.path, s.mode, s.key, s.cursor or "", s.columns or (), s.stream.incarnation) for s in selections
        )

    return told(s for split in plan.splits for s in split.streams) == told(wanted)


def _refuse(selection: Selection) -> None:
    """What only the tap could do."""
    for option in ("start", "end", "lookback"):
        if getattr(selection, option):
            raise UsageError(
                f"{option}: a tap reads from where its state is, or from where its own configuration says",
                key=option, next="leave it out; many taps know a key start_date: --set start_date=…",
            )  # fmt: skip
