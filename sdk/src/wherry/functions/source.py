"""A module's decorated functions as a source."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from wherry.contracts.config import public
from wherry.contracts.source import Source
from wherry.contracts.values import Batch, Mark, Progress, ReadPlan, Selection, Split, Stream
from wherry.functions.blame import explained
from wherry.functions.declare import Declared, declared
from wherry.functions.read import Read
from wherry.functions.settings import model
from wherry.functions.typed import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

_TUNING = (int, float, bool)


class FunctionSource(Source):
    """Streams that are functions. streams: by name, in the order in which they were written.  home: their module.

    offered: names of those that users see; others are read for the sake of their rows' children.
    """

    streams: ClassVar[Mapping[str, Declared]]
    offered: ClassVar[frozenset[str]]
    home: ClassVar[ModuleType]
    called: ClassVar[str]

    def identity(self) -> tuple[str, str]:
        """The module's name; with it each key that tells what is read: no secret, no number or flag with a default."""
        told = [
            f"{name}={public(str(getattr(self.config, name)))}"
            for name, field in sorted(type(self.config).model_fields.items())
            if _tells(field, getattr(self.config, name))
        ]
        return self.called, " ".join([self.called, *told])

    def check(self) -> None:
        """Read until the first row of the first stream; what it raises says what is wrong."""
        for stream in list(self.discover())[:1]:
            split = Split(key=stream.path, streams=(Selection(stream=stream, limit=1),))
            for _ in self.read(split):
                return

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        """One stream a function; its schema is empty where none was declared."""
        return [stream for stream in self.known_streams() if any(fnmatchcase(stream.name, glob) for glob in only)]

    @classmethod
    def known_streams(cls) -> Iterator[Stream]:
        """What `discover` gives, without any configuration."""
        for found in cls.streams.values():
            if found.name in cls.offered:
                yield Stream(
                    name=found.name,
                    schema=_schema(found),
                    primary_key=found.primary_key,
                    cursor=found.cursor,
                    ordered=found.ordered and found.parent is None,
                    changes=found.changes,
                    description=found.description or found.doc.partition("\n")[0] or None,
                )

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        """As usual, but what is replaced begins at the beginning."""
        for plan in super().plan(selected, progress):
            whole = plan.splits[0].streams[0].mode == "replace"
            yield ReadPlan(key=plan.key, splits=(_anew(plan.splits[0]),)) if whole else plan

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        """What the function yields."""
        (selection,) = split.streams
        reading = Read(self.called, self.config, self.run, self.streams, selection, split.bookmark, self._guard)
        return reading.items()

    def _guard(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:
            told = explained(error, self.home, self.called)
            if told is error:
                raise
            raise told from error


def source_from(module: str | ModuleType, only: str | None = None) -> type[FunctionSource]:
    """The source that a module's decorated functions are: those it defines, and those it imported.

    module: itself or its name; a module may say `source = wherry.source_from(__name__)` after its last function.
    only: the name of one function.  ValueError: none is there, or what they say of themselves does not fit together.
    """
    home = module if isinstance(module, ModuleType) else sys.modules.get(module) or importlib.import_module(module)
    found = streams_of(home)
    chosen = declared(getattr(home, only)) if only is not None else None
    if not found or (only is not None and chosen is None):
        raise ValueError(f"{only or home.__name__} is, or holds, no function that @wherry.stream decorates")
    if chosen is not None:
        found = _with_parents(chosen, found)
    doc = (inspect.getdoc(home) or f"Streams of {called(home)}.").strip()
    values = {
        "Config": model(found.values(), doc.partition("\n")[0]),
        "streams": found, "offered": frozenset([chosen.name] if chosen else found), "home": home,
        "called": called(home), "__doc__": doc, "__module__": home.__name__,
    }  # fmt: skip
    title = "".join(word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", called(home)))
    return type(f"{title}Source", (FunctionSource,), values)


def streams_of(module: ModuleType) -> dict[str, Declared]:
    """The streams that a module's functions are, by name; ValueError: two of one name, or a parent that is missing."""
    found: dict[str, Declared] = {}
    for value in vars(module).values():
        stream = declared(value)
        if stream is None or found.get(stream.name) is stream:
            continue
        if stream.name in found:
            raise ValueError(f"two functions are stream {stream.name}: give one of them another name=")
        found[stream.name] = stream
    for stream in found.values():
        _refuse_broken_line(stream, found)
    return found


def called(module: ModuleType) -> str:
    """A module's name for users: that of its file, or what is left of `wherry_source_acme.streams`."""
    parts = module.__name__.split(".")
    if parts[0].startswith("wherry_source_"):
        return parts[0].removeprefix("wherry_source_")
    return parts[-1].removeprefix("wherry_file_")


def _refuse_broken_line(stream: Declared, streams: Mapping[str, Declared]) -> None:
    line = [stream.name]
    while (parent := streams[line[-1]].parent) is not None:
        if parent not in streams:
            known = ", ".join(name for name in streams if name != stream.name) or "none"
            raise ValueError(f"stream {line[-1]}: there is no stream {parent!r} to be its parent; there are: {known}")
        if parent in line:
            raise ValueError(f"stream {stream.name} is its own ancestor: {' → '.join([*line, parent])}")
        line.append(parent)


def _with_parents(stream: Declared, streams: Mapping[str, Declared]) -> dict[str, Declared]:
    above = _with_parents(streams[stream.parent], streams) if stream.parent else {}
    return {**above, stream.name: stream}


def _schema(found: Declared) -> pa.Schema:
    """What is promised: nothing, where the key or the cursor is not among the columns that are declared."""
    import pyarrow as pa

    types = schema_of(found)
    whole = types is not None and {*found.primary_key, *filter(None, [found.cursor])} <= set(types.names)
    return types if whole else pa.schema([])


def _anew(split: Split) -> Split:
    return Split(key=split.key, streams=split.streams, detail=split.detail)


def _tells(field: Any, value: Any) -> bool:
    if value is None or value == field.default or hasattr(value, "get_secret_value"):
        return False
    return field.is_required() or not isinstance(value, _TUNING)
