"""Guarded loading of one plugin by name. Whatever its import does, the host gets a class or a `PluginError`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any, TypeVar

from wherry.contracts.config import ConnectorConfig
from wherry.contracts.destination import Destination
from wherry.contracts.loading import Capabilities
from wherry.contracts.source import Source
from wherry.errors import PluginError, UsageError
from wherry.host.metadata import Kind, Plugin
from wherry.limits import exhausted
from wherry.near import did_you_mean

T = TypeVar("T")


def load(plugin: Plugin) -> type[Any]:
    """The `Source` or `Destination` class that a plugin's metadata names, found fit for use.

    PluginError names distribution, version and cause; the foreign exception is its `__cause__`.
    """
    if plugin.problem:
        raise PluginError(f"{plugin.kind} {plugin.name} ({plugin.owner}) {plugin.problem}", next=plugin.remedy)
    what = f"{plugin.kind} {plugin.name} ({plugin.owner})"
    found = guarded(lambda: _as_class(find_object(plugin.value)), what, f"reinstall or uninstall {plugin.distribution}")
    return verify(found, Source if plugin.kind == "source" else Destination, what)


def find_object(value: str) -> Any:
    """What an entry point's "module:attribute" names; a module alone, without an attribute."""
    module, _, attributes = value.partition("[")[0].partition(":")
    found: Any = importlib.import_module(module.strip())
    for attribute in filter(None, attributes.strip().split(".")):
        found = getattr(found, attribute)
    return found


def load_object(text: str, kind: Kind) -> type[Source] | type[Destination]:
    """The class behind `./source.py`, `./source.py:Object`, `package.module` or `package.module:Object`."""
    base: type[Any] = Source if kind == "source" else Destination
    from wherry.functions.source import source_from, streams_of

    path, _, attribute = (text, "", "") if text.endswith(".py") or ":" not in text else text.rpartition(":")
    what = f"{kind} {text}"
    file = Path(path) if path.endswith(".py") else None

    def tried(action: Callable[[], T]) -> T:
        return guarded(action, what, f"correct {path}", file)

    module = tried(lambda: _file(file) if file else _module(path))
    classes = _classes(module, base)
    streams = tried(lambda: streams_of(module)) if kind == "source" else {}
    if attribute and not hasattr(module, attribute):
        known = [*classes, *(found.function.__name__ for found in streams.values())]
        what = f"{path} has no object {attribute!r}{did_you_mean(attribute, known)}"
        raise UsageError(what, next=f"what it has for a {kind}: {', '.join(known) or 'nothing'}")
    if attribute:
        return verify(tried(lambda: _as_class(getattr(module, attribute), attribute, module)), base, what)
    if streams and not classes:
        return tried(lambda: source_from(module))
    if len(classes) != 1:
        other = ", or @wherry.stream above a function" if kind == "source" else ""
        choices = ", ".join(classes) or f"none is defined there: write  class Mine(wherry.{base.__name__}){other}"
        raise UsageError(f"{path} must hold one {kind} class: {choices}", next=f"name it: {path}:CLASS")
    return verify(getattr(module, classes[0]), base, what)


def _as_class(found: Any, attribute: str | None = None, module: ModuleType | None = None) -> Any:
    """A module of streams, or a function that is one, as the source that it is; anything else as it is."""
    if module is None and not isinstance(found, ModuleType):
        return found
    from wherry.functions.declare import declared
    from wherry.functions.source import source_from, streams_of

    if isinstance(found, ModuleType) and streams_of(found):
        return source_from(found)
    if module is not None and declared(found) is not None:
        return source_from(module, attribute)
    return found


def guarded(action: Callable[[], T], what: str, remedy: str, file: Path | None = None) -> T:
    """The action's result; anything it raises, `SystemExit` included, becomes a `PluginError`, or a
    `ResourceError` where this machine ran out of something. Its prints are kept off standard output and standard error
    and end up in the error, if there is one. file: a module under development, whose line is named."""
    with captured() as said:
        try:
            return action()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # foreign code may raise anything, also what is no Exception
            cause = error
    if (local := exhausted(cause)) is not None:  # nothing is wrong with the plugin
        raise local from cause
    detail = _one_line(f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__)
    detail += _place(cause, file) if file else ""
    noise = _one_line(said[-1])[-120:] if said and said[-1].strip() else ""
    printed = f"; it printed: {noise}" if noise else ""
    raise PluginError(f"{what} could not be loaded: {detail}{printed}", next=remedy) from cause


def verify(found: Any, base: type[Any], what: str) -> type[Any]:
    """`found` if it is a usable class of the contract `base`; else PluginError naming what is missing."""

    def refuse(reason: str) -> PluginError:
        return PluginError(f"{what} {reason}", next=f"see the contract: python -c 'help(\"wherry.{base.__name__}\")'")

    if not isinstance(found, type) or not issubclass(found, base):
        raise refuse(f"is no subclass of wherry.{base.__name__} but {getattr(found, '__name__', repr(found))}")
    missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
    if missing:
        raise refuse(f"is unfinished: {found.__name__} lacks {missing}")
    config: Any = getattr(found, "Config", None)
    if not isinstance(config, type) or not issubclass(config, ConnectorConfig):
        raise refuse(f"has a Config that is no subclass of wherry.ConnectorConfig: {config!r}")
    if config.reference is not None and config.reference not in config.model_fields:
        raise refuse(f"has Config.reference = {config.reference!r}, which is none of its fields")
    capabilities: Any = getattr(found, "capabilities", None)
    if base is Destination and not isinstance(capabilities, Capabilities):
        raise refuse(f"has capabilities that are no wherry.Capabilities: {capabilities!r}")
    return found


@contextlib.contextmanager
def captured() -> Iterator[list[str]]:
    """Keep what is printed, also past `sys.stdout`, off the terminal; the list holds it at the end."""
    said: list[str] = []
    with _sink() as sink, contextlib.ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        for number in (1, 2):
            with contextlib.suppress(OSError):  # closed by the caller: nothing to keep clean
                saved = os.dup(number)
                stack.callback(os.close, saved)
                stack.callback(os.dup2, saved, number)
                os.dup2(sink.fileno(), number)
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            try:
                yield said
            finally:
                sink.flush()
                sink.seek(0)
                said.append(sink.read(100_000))


def _sink() -> IO[str]:
    try:
        return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
    except OSError:  # no room for what nobody needs
        return open(os.devnull, "r+", encoding="utf-8")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _place(cause: BaseException, file: Path) -> str:
    """` (issues.py, line 12)`: where in the file, or in its neighbours; a syntax error says so itself."""
    folder = file.expanduser().resolve().parent
    passed = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(cause.__traceback__)]
    lines = [f" ({code.name}, line {line})" for code, line in passed if code.parent == folder]
    return lines[-1] if lines and not isinstance(cause, SyntaxError) else ""


def _module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return importlib.import_module(name)


def _file(path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    name = f"wherry_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # so that it can import its neighbours
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are resolved through it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _classes(module: ModuleType, base: type[Any]) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
