"""From what a user typed to connectors: resolve the reference, load the class, configure it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wherry.config.redact import Redactor
from wherry.errors import UsageError, WherryError

if TYPE_CHECKING:
    from wherry.cli.app import App
    from wherry.config.environment import Environment
    from wherry.config.project import Project
    from wherry.config.reference import Reference
    from wherry.config.values import Configured
    from wherry.contracts.destination import Destination
    from wherry.contracts.source import Source
    from wherry.host.registry import Registry


@dataclass(frozen=True, slots=True)
class End:
    """One configured connector. connector: its name; plugin: its distribution and version, for messages."""

    kind: str
    connector: str
    configured: Configured
    cls: type[Any]
    plugin: str
    redactor: Redactor = field(default_factory=Redactor)

    def new(self) -> Any:
        """A new instance. Construction does no I/O."""
        return self.cls(self.configured.config)

    def label(self) -> str:
        """How to name it in messages: connector and address, no secret."""
        if self.kind == "destination":
            return f"{self.connector} {self.new().label()}"
        return f"{self.connector} {self.configured.config.reference_text()}".strip()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors that pass say which connector they are of, and where the value concerned came from."""
        try:
            yield
        except WherryError as error:
            raise self.explain(error) from error.__cause__

    def located(self, error: WherryError) -> WherryError:
        """The error with the origin of its key behind, unless the key is an option of the command."""
        from wherry.config.refusal import fields

        return self.configured.explain(error) if error.key in fields(type(self.configured.config)) else error

    def explain(self, error: WherryError) -> WherryError:
        """The error with the connector's name in front and the origin of its key behind."""
        error = self.located(error)
        prefix = f"{self.kind} {self.connector}: "
        if not error.message.startswith(prefix):
            error.message = prefix + error.message
            error.args = (error.message,)
        return error


@dataclass(slots=True)
class Workspace:
    """Where a command runs: the project, the environment, the plugins, and what must not be shown."""

    project: Project
    environment: Environment
    registry: Registry
    redactor: Redactor = field(default_factory=Redactor)

    @classmethod
    def here(cls, environment: str | None = None, app: App | None = None) -> Workspace:
        """The current directory. environment: that of `wherry.yaml`, by `--env`.

        app: the invocation, whose registry is used and whose redactor learns the secrets: errors are reported with it.
        """
        from wherry.config.environment import Environment
        from wherry.config.project import Project
        from wherry.host.registry import Registry

        project = Project.find(environment=environment)
        registry, redactor = (app.registry, app.redactor) if app else (Registry.scan(), Redactor())
        return cls(project, Environment.load(project.folder), registry, redactor)

    def source(self, text: str, sets: Sequence[str] = (), origin: str | None = None) -> End:
        """The source that `text` refers to. origin: where that was written, if not on the command line."""
        return self._end("source", text, sets, origin)

    def destination(self, text: str, sets: Sequence[str] = (), origin: str | None = None) -> End:
        """The destination that `text` refers to. origin: as of a source."""
        return self._end("destination", text, sets, origin)

    def _end(self, kind: Any, text: str, sets: Sequence[str], origin: str | None) -> End:
        from wherry.config.reference import resolve

        self.redactor.add_inside(text)
        reference = resolve(kind, text, self.registry, self.project)
        if origin is not None and reference.value is not None:
            reference = replace(reference, origin=origin)
        return self.end(reference, sets)

    def end(self, reference: Reference, sets: Sequence[str] = ()) -> End:
        """The connector of a reference, configured."""
        from wherry.config.values import configure

        cls, reference, plugin = self.loaded(reference, sets)
        configured = configure(
            reference, cls.Config, environment=self.environment, folder=self.project.folder, sets=sets,
            redactor=self.redactor,
        )  # fmt: skip
        return End(reference.kind, reference.connector, configured, cls, plugin, self.redactor)

    def loaded(self, reference: Reference, sets: Sequence[str] = ()) -> tuple[type[Any], Reference, str]:
        """The class of a reference, the reference under the class's name, and who brought it."""
        from wherry.host import load

        if reference.object is not None:
            cls: type[Any] = load.load_object(reference.object, reference.kind)
            return *self._referred(cls, reference, sets), reference.object
        found = self.registry.find(reference.kind, reference.connector)
        return *self._referred(load.load(found), reference, sets), found.owner

    def _referred(self, cls: type[Any], reference: Reference, sets: Sequence[str]) -> tuple[type[Any], Reference]:
        """The class that what was typed leads to, and the reference under its name."""
        from wherry.config.values import pointed_at

        if reference.kind != "source":
            return cls, reference
        text = pointed_at(reference, cls.Config, environment=self.environment, folder=self.project.folder, sets=sets)
        found = cls if text is None else cls.referred(text)
        if found is not cls and found.called:
            reference = replace(reference, name=reference.name or found.called)
        return found, reference


def open_source(end: End) -> Source:
    """A source for one command on this thread; the caller closes it."""
    from wherry.cli.run_log import state_folder
    from wherry.contracts.source import Run

    source: Source = end.new()
    source.run = Run(folder=state_folder(), conceal=end.redactor.add)
    return source


def new_destination(end: End) -> Destination:
    """A destination for one command."""
    destination: Destination = end.new()
    return destination


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE texts of a repeatable option as a dict."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(
                f"{option} takes NAME=VALUE, got {text!r}", key=option.strip("-"), next=f"{option} NAME={text}"
            )
        found[name.strip()] = value.strip()
    return found


__all__ = ["End", "Workspace", "new_destination", "open_source", "pairs"]
